//! `language`: whether a text is in a language, as the crate whatlang 0.18 detects it.

use whatlang::{Lang, detect_lang};

use crate::definition::{Definition, Mean, RowMetric};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::params::{ParamError, ParamInfo, ParamKind, Params, quote};

pub(crate) const INFO: Info = Info {
    name: "language",
    description: "1 if the text is in the language, 0 if it is in another or in none that can be told; the dataset's value is the share. Detected by trigrams (the crate whatlang 0.18): short texts are often taken for a related language.",
    scale: Scale::Unit,
    row: true,
    needs_reference: false,
    needs_text: true,
    params: &[ParamInfo {
        name: "is",
        description: "The language, by its ISO 639-3 code: eng, deu, fra, spa, cmn, …",
        kind: ParamKind::Text(3),
    }],
};

struct Language(Lang);

pub(crate) fn new(params: &Params) -> Result<impl Definition + use<>, ParamError> {
    let code = params.text("is");
    Lang::from_code(code).map(|lang| Mean(Language(lang))).ok_or_else(|| {
        let codes = Lang::all().iter().map(Lang::code).collect::<Vec<_>>().join(", ");
        ParamError::new("params.is", quote(code), format!("one of {codes}"))
    })
}

impl RowMetric for Language {
    fn value(&self, sample: &Sample<'_>) -> Result<f64, RowError> {
        Ok(f64::from(u8::from(detect_lang(sample.text) == Some(self.0))))
    }

    fn signature(&self) -> String {
        format!("is:{}|detector:whatlang|version:0.18", self.0.code())
    }
}
