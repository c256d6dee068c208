//! The metrics by name. A new metric is a file in `metrics/` and a line in `ENTRIES`.

use std::sync::Arc;

use serde_json::Value;

use crate::definition::{Definition, ErasedDefinition};
use crate::metric::{CountMetric, Counts, Info, Metric, TextMetric};
use crate::metrics::*;
use crate::params::{ParamError, Params, quote};

/// One metric: its description and how it is made of its parameters.
struct Entry {
    info: &'static Info,
    make: Make,
}

enum Make {
    Text(fn(&Params) -> Result<Arc<dyn ErasedDefinition>, ParamError>),
    Count(fn(&Counts) -> Option<f64>),
}

const ENTRIES: &[Entry] = &[
    text(&bleu::INFO, |params| done(bleu::new(params)?)),
    text(&bleu_nltk::INFO, |params| done(bleu_nltk::new(params)?)),
    text(&rouge::ROUGE_1, |params| done(rouge::of_ngrams(1, params))),
    text(&rouge::ROUGE_2, |params| done(rouge::of_ngrams(2, params))),
    text(&rouge::ROUGE_L, |params| done(rouge::of_subsequence(params))),
    text(&rouge::ROUGE_L_SUM, |params| done(rouge::of_lines(params))),
    text(&chrf::INFO, |params| done(chrf::new(params))),
    text(&ter::INFO, |params| done(ter::new(params))),
    text(&distinct::INFO, |params| done(distinct::new(params))),
    text(&self_bleu::INFO, |params| done(self_bleu::new(params))),
    text(&compression_ratio::INFO, |_| done(compression_ratio::new())),
    text(&repetition::INFO, |params| done(repetition::new(params))),
    text(&duplicate_rate::INFO, |_| done(duplicate_rate::new())),
    text(&near_duplicate_rate::INFO, |params| done(near_duplicate_rate::new(params))),
    text(&flesch::READING_EASE, |_| done(flesch::reading_ease())),
    text(&flesch::KINCAID_GRADE, |_| done(flesch::kincaid_grade())),
    text(&pii::INFO, |params| done(pii::new(params))),
    text(&language::INFO, |params| done(language::new(params)?)),
    text(&word_count::INFO, |_| done(word_count::new())),
    text(&char_count::INFO, |_| done(char_count::new())),
    text(&token_count::INFO, |_| done(token_count::new())),
    text(&truncated::INFO, |_| done(truncated::new())),
    text(&regex::INFO, |params| done(regex::new(params)?)),
    text(&json_schema::INFO, |params| done(json_schema::new(params)?)),
    text(&expression::INFO, |params| done(expression::new(params)?)),
    count(&counts::FAILED_RATE, counts::failed_rate),
    count(&counts::ACCEPTED_ROWS, counts::accepted_rows),
    count(&counts::ACCEPTANCE_RATE, counts::acceptance_rate),
];

const fn text(
    info: &'static Info,
    make: fn(&Params) -> Result<Arc<dyn ErasedDefinition>, ParamError>,
) -> Entry {
    Entry { info, make: Make::Text(make) }
}

const fn count(info: &'static Info, value: fn(&Counts) -> Option<f64>) -> Entry {
    Entry { info, make: Make::Count(value) }
}

fn done(definition: impl Definition) -> Result<Arc<dyn ErasedDefinition>, ParamError> {
    Ok(Arc::new(definition))
}

/// The descriptions of all metrics, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Info> {
    ENTRIES.iter().map(|entry| entry.info)
}

/// The description of one metric.
pub fn info(name: &str) -> Option<&'static Info> {
    all().find(|info| info.name == name)
}

/// Makes a metric. `params` is an object, or null for the defaults.
///
/// # Errors
/// [`ParamError`] if the name or a parameter is unknown, or a parameter's value is not allowed.
pub fn build(name: &str, params: &Value) -> Result<Metric, ParamError> {
    let Some(entry) = ENTRIES.iter().find(|entry| entry.info.name == name) else {
        let names = all().map(|info| info.name).collect::<Vec<_>>().join(", ");
        return Err(ParamError::new("metric", quote(name), names));
    };
    let params = Params::read(entry.info.params, params)?;
    Ok(match entry.make {
        Make::Text(make) => {
            Metric::Text(TextMetric { info: entry.info, definition: make(&params)? })
        }
        Make::Count(value) => Metric::Count(CountMetric { info: entry.info, value }),
    })
}
