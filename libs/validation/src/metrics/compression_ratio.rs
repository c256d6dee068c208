//! `compressionRatio`: bytes of the dataset's text over bytes of its gzip (Shaib et al., 2024): how much it repeats itself.

use crate::definition::{Definition, Value};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::text::deflate::gzip_size;
use crate::text::sampled::{SAMPLE, SampledTexts};

pub(crate) const INFO: Info = Info {
    name: "compressionRatio",
    description: "Bytes of all texts, joined by newlines in the order of their rows, over those of their gzip at level 6, as Python's gzip.compress. High means repetitive. Above 1,000 rows, over the 1,000 whose ids have the smallest SHA-256.",
    scale: Scale::Ratio,
    row: false,
    needs_reference: false,
    needs_text: true,
    params: &[],
};

struct CompressionRatio;

pub(crate) fn new() -> impl Definition {
    CompressionRatio
}

impl Definition for CompressionRatio {
    type State = SampledTexts;

    fn row(&self, _: &Sample<'_>) -> Result<Option<f64>, RowError> {
        Ok(None)
    }

    fn add(&self, state: &mut SampledTexts, sample: &Sample<'_>) -> Result<(), RowError> {
        state.add(sample, str::to_owned);
        Ok(())
    }

    fn score(&self, state: &SampledTexts) -> Option<Value> {
        let joined = state.in_row_order().join("\n");
        let value = joined.len() as f64 / gzip_size(joined.as_bytes()) as f64;
        Some(Value { value, distribution: None })
    }

    fn signature(&self) -> String {
        format!("gzip:6|join:newline|sample:{SAMPLE}|version:1")
    }
}
