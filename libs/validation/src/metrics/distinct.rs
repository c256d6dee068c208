//! `distinct`: different n-grams, of all n-grams of the dataset (Li et al., 2016).

use sha2::{Digest, Sha256};

use crate::definition::{Definition, Value};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::params::{ParamInfo, ParamKind, Params};
use crate::text::hashes::DistinctHashes;
use crate::text::ngrams::MAX_ORDER;
use crate::text::tokenize::Tokenizer;

pub(crate) const INFO: Info = Info {
    name: "distinct",
    description: "Different n-grams, of all n-grams of all rows: 1 means that none occurs twice. Lower-cased 13a tokens; no n-gram spans two rows.",
    scale: Scale::Unit,
    row: false,
    needs_reference: false,
    needs_text: true,
    params: &[ParamInfo {
        name: "n",
        description: "Tokens in an n-gram.",
        kind: ParamKind::Integer(1, MAX_ORDER as i64, 2),
    }],
};

struct Distinct {
    n: usize,
}

pub(crate) fn new(params: &Params) -> impl Definition + use<> {
    Distinct { n: usize::try_from(params.integer("n")).unwrap_or(1).clamp(1, MAX_ORDER) }
}

impl Definition for Distinct {
    type State = DistinctHashes;

    fn row(&self, _: &Sample<'_>) -> Result<Option<f64>, RowError> {
        Ok(None)
    }

    fn add(&self, state: &mut DistinctHashes, sample: &Sample<'_>) -> Result<(), RowError> {
        let lowered = sample.text.to_lowercase();
        let tokens = Tokenizer::Mteval13a.tokenize(&lowered);
        let tokens: Vec<&str> = tokens.iter().collect();
        for gram in tokens.windows(self.n) {
            state.insert(hash(gram));
        }
        Ok(())
    }

    fn score(&self, state: &DistinctHashes) -> Option<Value> {
        let value = state.distinct() as f64 / state.items() as f64;
        (state.items() > 0).then_some(Value { value, distribution: None })
    }

    fn signature(&self) -> String {
        format!("n:{}|case:lc|tok:13a|version:1", self.n)
    }
}

/// 128 bits of the n-gram's SHA-256: no two n-grams meet by chance or by intent.
fn hash(gram: &[&str]) -> u128 {
    let mut hasher = Sha256::new();
    for token in gram {
        hasher.update(token.as_bytes());
        hasher.update(b" "); // which no token contains
    }
    hasher.finalize().iter().take(16).fold(0, |hash, byte| hash << 8 | u128::from(*byte))
}
