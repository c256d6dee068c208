//! The metrics of pairs of which `tests/goldens/make_scores.py` wrote the oracles' values: every parameter of each.

use serde_json::Value;

use super::{close, golden, metric, pair};
use crate::metric::{Sample, TextMetric};

/// Compares all values of a file, of which there must be `least`. Where the oracle refuses, the value is 0.
fn check(file: Vec<Value>, least: usize) {
    let pairs = golden!("pairs");
    let name = file[0]["metric"].as_str().unwrap();
    let metrics: Vec<TextMetric> =
        file[0]["params"].as_array().unwrap().iter().map(|p| metric(name, p.clone())).collect();
    let mut compared = 0;
    for line in &file[1..] {
        let values = line.as_array().unwrap();
        let (text, references) = pair(&pairs[values[0].as_u64().unwrap() as usize]);
        let sample = Sample { text, references: &references, ..Sample::default() };
        for (metric, golden) in metrics.iter().zip(&values[1..]) {
            let found = metric.row(&sample).unwrap().unwrap();
            if golden.is_null() {
                assert_eq!(found, 0.0, "{metric:?} {text:?}");
            } else {
                close(found, golden, || {
                    let shown: String = text.chars().take(300).collect();
                    format!("{metric:?} {shown:?} {}", references.len())
                });
            }
            compared += 1;
        }
    }
    assert!(compared >= least, "{name}: {compared}");
}

#[test]
fn bleu_with_its_other_parameters_equals_sacrebleu() {
    check(golden!("bleu_settings"), 4_000);
}

#[test]
fn nltk_bleu_equals_nltk_for_every_smoothing_and_length() {
    check(golden!("bleu_nltk"), 8_000);
}
