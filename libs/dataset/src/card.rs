//! `README.md` of a dataset: the card that hubs read.

use crate::format::Format;
use crate::manifest::Manifest;

/// A line of the card's table of scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Metric, such as `rougeL`.
    pub metric: String,
    /// The column that was scored.
    pub column: Option<String>,
    /// The value.
    pub value: f64,
    /// Whether it passed its gate, if it has one.
    pub passed: Option<bool>,
}

/// The card's text.
///
/// `title` is the job's name; `manifest` gives counts, digests, models and files; `formats` become `data_files`.
pub fn render(title: &str, manifest: &Manifest, formats: &[Format], scores: &[Score]) -> String {
    unimplemented!()
}
