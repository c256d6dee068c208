//! `wordCount`: Python's `len(text.split())`.

use crate::definition::{Definition, Mean, RowMetric};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::text::whitespace::split;

pub(crate) const INFO: Info = Info {
    name: "wordCount",
    description: "Words between white space, as Python's len(text.split()).",
    scale: Scale::Count,
    row: true,
    needs_reference: false,
    needs_text: true,
    params: &[],
};

struct WordCount;

pub(crate) fn new() -> impl Definition {
    Mean(WordCount)
}

impl RowMetric for WordCount {
    fn value(&self, sample: &Sample<'_>) -> Result<f64, RowError> {
        Ok(split(sample.text).count() as f64)
    }

    fn signature(&self) -> String {
        "version:1".to_owned()
    }
}
