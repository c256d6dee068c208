//! `regex`: whether a pattern occurs in the text, in linear time and bounded memory whatever the pattern.

use regex::{Regex, RegexBuilder};

use crate::definition::{Definition, Mean, RowMetric};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::params::{ParamError, ParamInfo, ParamKind, Params, quote};

/// Bytes that the compiled pattern may take, and its search cache.
const SIZE_LIMIT: usize = 1 << 20;

/// How deep groups may be nested.
const NEST_LIMIT: u32 = 64;

pub(crate) const INFO: Info = Info {
    name: "regex",
    description: "1 if the pattern occurs in the text, 0 if not; the dataset's value is the share. Syntax of the Rust crate regex.",
    scale: Scale::Unit,
    row: true,
    needs_reference: false,
    needs_text: true,
    params: &[ParamInfo {
        name: "pattern",
        description: "The regular expression. It may match anywhere: write ^ and $ for the whole text.",
        kind: ParamKind::Text(1_024),
    }],
};

struct Matches(Regex);

pub(crate) fn new(params: &Params) -> Result<impl Definition + use<>, ParamError> {
    let pattern = params.text("pattern");
    let regex = RegexBuilder::new(pattern)
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(SIZE_LIMIT)
        .nest_limit(NEST_LIMIT)
        .build();
    regex.map(|regex| Mean(Matches(regex))).map_err(|error| {
        let allowed = "a regular expression of at most 1 MiB when compiled, without look-around and back-references";
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim();
        ParamError::new("params.pattern", format!("{} ({reason})", quote(pattern)), allowed)
    })
}

impl RowMetric for Matches {
    fn value(&self, sample: &Sample<'_>) -> Result<f64, RowError> {
        Ok(f64::from(u8::from(self.0.is_match(sample.text))))
    }

    fn signature(&self) -> String {
        // A bar in the pattern must not look like the next field.
        format!("pattern:{}|version:1", self.0.as_str().replace('|', "\\x7c"))
    }
}
