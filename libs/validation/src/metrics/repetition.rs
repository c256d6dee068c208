//! `repetition`: n-grams of a text that occurred before in it, of all its n-grams (seq-rep-n; Welleck et al., 2020).

use std::collections::HashSet;

use foldhash::fast::RandomState;

use crate::definition::{Definition, Mean, RowMetric};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::params::{ParamInfo, ParamKind, Params};
use crate::text::ngrams::{MAX_ORDER, Ngram, Vocabulary, ngrams};
use crate::text::tokenize::Tokenizer;

pub(crate) const INFO: Info = Info {
    name: "repetition",
    description: "N-grams that occurred before in the same text, of all its n-grams (seq-rep-n): 0 means that none occurs twice, also where the text is shorter than one. Lower-cased 13a tokens; the dataset's value is the mean.",
    scale: Scale::Unit,
    row: true,
    needs_reference: false,
    needs_text: true,
    params: &[ParamInfo {
        name: "n",
        description: "Tokens in an n-gram.",
        kind: ParamKind::Integer(1, MAX_ORDER as i64, 4),
    }],
};

struct Repetition {
    n: usize,
}

pub(crate) fn new(params: &Params) -> impl Definition + use<> {
    Mean(Repetition { n: usize::try_from(params.integer("n")).unwrap_or(1).clamp(1, MAX_ORDER) })
}

impl RowMetric for Repetition {
    fn value(&self, sample: &Sample<'_>) -> Result<f64, RowError> {
        let lowered = sample.text.to_lowercase();
        let tokens = Tokenizer::Mteval13a.tokenize(&lowered);
        let ids = Vocabulary::default().ids(tokens.iter());
        let mut seen: HashSet<Ngram, RandomState> = HashSet::default();
        let (mut repeated, mut all) = (0_u64, 0_u64);
        for gram in ngrams(&ids, self.n) {
            repeated += u64::from(!seen.insert(gram));
            all += 1;
        }
        Ok(repeated as f64 / all.max(1) as f64)
    }

    fn signature(&self) -> String {
        format!("n:{}|case:lc|tok:13a|version:1", self.n)
    }
}
