//! The metrics of pairs of which `tests/goldens/make_scores.py` wrote the oracles' values: every parameter of each.

use serde_json::{Value, json};

use super::{close, golden, hex, metric, pair, strings};
use crate::metric::{Sample, TextMetric};
use crate::text::folding::fold;
use crate::text::minhash::{shingles, signature};
use crate::text::readability::counts;

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

#[test]
fn rouge_lsum_equals_rouge_score_with_and_without_stemmer() {
    check(golden!("rouge_lsum"), 2_000);
}

#[test]
fn chrf_and_its_variants_with_words_equal_sacrebleu() {
    check(golden!("chrf"), 3_000);
}

#[test]
fn ter_equals_sacrebleu_for_every_normalization() {
    check(golden!("ter"), 4_000);
}

#[test]
fn confidence_intervals_are_about_those_of_sacrebleus_bootstrap() {
    let pairs = golden!("pairs");
    for line in golden!("intervals") {
        let metric = metric(line["metric"].as_str().unwrap(), Value::Null);
        let mut corpus = metric.accumulator_with(crate::Bootstrap::default());
        for index in line["pairs"].as_array().unwrap() {
            let (text, references) = pair(&pairs[index.as_u64().unwrap() as usize]);
            let id = index.to_string();
            let references = &references[..1];
            corpus.add(&Sample { id: &id, text, references, ..Sample::default() }).unwrap();
        }
        let (score, found) = (corpus.score().unwrap().value, corpus.interval().unwrap());
        close(score, &line["score"], || format!("{metric:?}"));
        assert!(found.low < score && score < found.high, "{found:?}");
        // Half of sacrebleu's interval; two bootstraps of 1,000 resamples differ by some percent.
        let (half, expect) = ((found.high - found.low) / 2.0, line["ci"].as_f64().unwrap());
        assert!((half / expect - 1.0).abs() < 0.15, "{metric:?}: {half}, sacrebleu {expect}");
    }
}

#[test]
fn repetition_and_compression_follow_their_definitions() {
    let pairs = golden!("pairs");
    let metrics = [
        metric("repetition", json!({"n": 4})),
        metric("repetition", json!({"n": 2})),
        metric("compressionRatio", Value::Null),
    ];
    for line in golden!("texts") {
        let text = pairs[line["pair"].as_u64().unwrap() as usize]["text"].as_str().unwrap();
        let sample = Sample { id: "0", text, ..Sample::default() };
        for (metric, golden) in metrics.iter().zip(line["scores"].as_array().unwrap()) {
            let mut dataset = metric.accumulator();
            dataset.add(&sample).unwrap();
            close(dataset.score().unwrap().value, golden, || format!("{metric:?} {text:?}"));
        }
    }
    for (set, golden) in golden!("sets").iter().zip(golden!("compressed_sets")) {
        let mut dataset = metrics[2].accumulator();
        // Of more than 1,000 rows those with the smallest hashes are read, as for self-BLEU.
        for (at, text) in strings(&set["texts"]).into_iter().enumerate() {
            let id = format!("{at}-0");
            dataset.add(&Sample { id: &id, text, ..Sample::default() }).unwrap();
        }
        close(dataset.score().unwrap().value, &golden, || "a set".to_owned());
    }
}

#[test]
fn words_and_sentences_equal_textstats_and_minhash_signatures_datasketchs() {
    let pairs = golden!("pairs");
    for line in golden!("texts") {
        let text = pairs[line["pair"].as_u64().unwrap() as usize]["text"].as_str().unwrap();
        let counts = counts(text);
        assert_eq!(json!([counts.words, counts.sentences]), line["readability"], "{text:?}");
        let folded = fold(text);
        let words: Vec<&str> = folded.split(' ').collect();
        let bytes: Vec<u8> =
            signature(&shingles(&words, 5)).iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(hex(&bytes), line["minhash"].as_str().unwrap(), "{text:?}");
    }
}

#[test]
fn near_duplicates_are_the_pairs_that_datasketch_finds() {
    for line in golden!("near") {
        let texts = strings(&line["texts"]);
        for (threshold, expect) in line["rates"].as_object().unwrap() {
            let params = json!({"threshold": threshold.parse::<f64>().unwrap()});
            let mut dataset = metric("nearDuplicateRate", params).accumulator();
            for (at, text) in texts.iter().enumerate() {
                let id = format!("{at}-0");
                dataset.add(&Sample { id: &id, text, ..Sample::default() }).unwrap();
            }
            close(dataset.score().unwrap().value, expect, || format!("{threshold} {texts:?}"));
        }
    }
}
