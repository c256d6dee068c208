//! `charCount`: Unicode scalar values, as Python's `len(text)`.

use crate::definition::{Definition, Mean, RowMetric};
use crate::metric::{Info, RowError, Sample, Scale};

pub(crate) const INFO: Info = Info {
    name: "charCount",
    description: "Characters (Unicode scalar values), as Python's len(text).",
    scale: Scale::Count,
    row: true,
    needs_reference: false,
    needs_text: true,
    params: &[],
};

struct CharCount;

pub(crate) fn new() -> impl Definition {
    Mean(CharCount)
}

impl RowMetric for CharCount {
    fn value(&self, sample: &Sample<'_>) -> Result<f64, RowError> {
        Ok(sample.text.chars().count() as f64)
    }

    fn signature(&self) -> String {
        "version:1".to_owned()
    }
}
