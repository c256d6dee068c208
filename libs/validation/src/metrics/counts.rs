//! `failedRate`, `acceptedRows`, `acceptanceRate`: what became of the rows that the manifest asks for.

use crate::metric::{Counts, Info, Scale};

const fn info(name: &'static str, description: &'static str, scale: Scale) -> Info {
    Info {
        name,
        description,
        scale,
        row: false,
        needs_reference: false,
        needs_text: false,
        params: &[],
    }
}

pub(crate) const FAILED_RATE: Info =
    info("failedRate", "Rows whose generation failed, of all that were requested.", Scale::Unit);

pub(crate) const ACCEPTED_ROWS: Info = info("acceptedRows", "Rows in the dataset.", Scale::Count);

pub(crate) const ACCEPTANCE_RATE: Info =
    info("acceptanceRate", "Rows in the dataset, of all that were requested.", Scale::Unit);

pub(crate) fn failed_rate(counts: &Counts) -> Option<f64> {
    rate(counts.failed, counts.requested)
}

pub(crate) fn accepted_rows(counts: &Counts) -> Option<f64> {
    Some(counts.accepted as f64)
}

pub(crate) fn acceptance_rate(counts: &Counts) -> Option<f64> {
    rate(counts.accepted, counts.requested)
}

fn rate(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
