//! `tokenCount`: tokens of the generating model's tokenizer, counted where the text was made.

use crate::definition::{Definition, Mean, RowMetric};
use crate::metric::{Info, RowError, Sample, Scale};

pub(crate) const INFO: Info = Info {
    name: "tokenCount",
    description: "Tokens of the text, counted by the tokenizer of the model that wrote it.",
    scale: Scale::Count,
    row: true,
    needs_reference: false,
    needs_text: true,
    params: &[],
};

struct TokenCount;

pub(crate) fn new() -> impl Definition {
    Mean(TokenCount)
}

impl RowMetric for TokenCount {
    fn value(&self, sample: &Sample<'_>) -> Result<f64, RowError> {
        let tokens = sample.tokens.ok_or(RowError::NoTokenCount { metric: INFO.name })?;
        Ok(tokens as f64)
    }

    fn signature(&self) -> String {
        "version:1".to_owned()
    }
}
