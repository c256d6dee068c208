//! `truncated`: whether generation stopped because the text had reached its greatest length.

use crate::definition::{Definition, Mean, RowMetric};
use crate::metric::{Info, RowError, Sample, Scale};

pub(crate) const INFO: Info = Info {
    name: "truncated",
    description: "1 if generation stopped at maxTokens (finish reason length), 0 if not; the dataset's value is the share.",
    scale: Scale::Unit,
    row: true,
    needs_reference: false,
    needs_text: true,
    params: &[],
};

struct Truncated;

pub(crate) fn new() -> impl Definition {
    Mean(Truncated)
}

impl RowMetric for Truncated {
    fn value(&self, sample: &Sample<'_>) -> Result<f64, RowError> {
        let reason = sample.finish_reason.ok_or(RowError::NoFinishReason { metric: INFO.name })?;
        Ok(f64::from(u8::from(reason == "length")))
    }

    fn signature(&self) -> String {
        "version:1".to_owned()
    }
}
