//! Comparison with the reference implementations: `tests/goldens/make_goldens.py` wrote what they answered.

mod scores;

use std::io::Read;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::metric::{Metric, Sample, TextMetric};
use crate::registry;
use crate::text::folding::duplicate_key;
use crate::text::porter::stem;
use crate::text::tokenize::Tokenizer;

const TOLERANCE: f64 = 1e-9;
const TOKENIZERS: [&str; 4] = ["13a", "intl", "char", "none"];
const SMOOTHINGS: [&str; 4] = ["exp", "floor", "add-k", "none"];

macro_rules! golden {
    ($name:literal) => {
        $crate::goldens::read(include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/goldens/",
            $name,
            ".jsonl.gz"
        )))
    };
}
use golden;

fn read(compressed: &[u8]) -> Vec<Value> {
    let mut lines = String::new();
    flate2::read::GzDecoder::new(compressed).read_to_string(&mut lines).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn metric(name: &str, params: Value) -> TextMetric {
    match registry::build(name, &params).unwrap() {
        Metric::Text(metric) => metric,
        Metric::Count(_) => panic!("{name} reads no texts"),
    }
}

fn bleu(tokenizer: &str, smoothing: &str) -> TextMetric {
    metric("bleu", json!({"tokenize": tokenizer, "smoothing": smoothing}))
}

/// The first 16 digits of the SHA-256.
fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

fn pair(golden: &Value) -> (&str, Vec<&str>) {
    (golden["text"].as_str().unwrap(), strings(&golden["references"]))
}

/// The values at `path` differ from the golden ones by at most the tolerance.
fn close(found: f64, golden: &Value, context: impl FnOnce() -> String) {
    let golden = golden.as_f64().unwrap();
    assert!((found - golden).abs() <= TOLERANCE, "{}: {found}, oracle {golden}", context());
}

#[test]
fn sentence_bleu_equals_sacrebleu_for_every_tokenizer_and_smoothing() {
    let pairs = golden!("pairs");
    assert!(pairs.len() >= 1_000);
    for (t, tokenizer) in TOKENIZERS.iter().enumerate() {
        for (s, smoothing) in SMOOTHINGS.iter().enumerate() {
            let bleu = bleu(tokenizer, smoothing);
            for golden in &pairs {
                let (text, references) = pair(golden);
                let sample = Sample { text, references: &references, ..Sample::default() };
                let found = bleu.row(&sample).unwrap().unwrap();
                close(found, &golden["bleu"][t][s], || {
                    let shown: String = text.chars().take(300).collect();
                    format!("{tokenizer} {smoothing} {shown:?}")
                });
            }
        }
    }
}

#[test]
fn corpus_bleu_equals_sacrebleu_in_value_and_signature() {
    let pairs = golden!("pairs");
    for golden in golden!("corpora") {
        for (t, tokenizer) in TOKENIZERS.iter().enumerate() {
            for (s, smoothing) in SMOOTHINGS.iter().enumerate() {
                let mut corpus = bleu(tokenizer, smoothing).accumulator();
                for index in golden["pairs"].as_array().unwrap() {
                    let (text, references) = pair(&pairs[index.as_u64().unwrap() as usize]);
                    corpus
                        .add(&Sample { text, references: &references, ..Sample::default() })
                        .unwrap();
                }
                let score = corpus.score().unwrap();
                let signature = golden["signatures"][t][s].as_str().unwrap();
                assert_eq!(score.signature, format!("bleu|{signature}"));
                close(score.value, &golden["bleu"][t][s], || score.signature.clone());
            }
        }
    }
}

#[test]
fn rouge_equals_rouge_score_with_and_without_stemmer() {
    let pairs = golden!("pairs");
    for (kind, stemmer) in [("plain", false), ("stem", true)] {
        for (i, name) in ["rouge1", "rouge2", "rougeL"].into_iter().enumerate() {
            let rouge = metric(name, json!({"stemmer": stemmer}));
            let mut compared = 0;
            // The oracle's table for rougeL does not fit into memory for the longest texts.
            for golden in pairs.iter().filter(|golden| !golden["rouge"][kind][i].is_null()) {
                let (text, references) = pair(golden);
                let sample = Sample { text, references: &references, ..Sample::default() };
                let found = rouge.row(&sample).unwrap().unwrap();
                close(found, &golden["rouge"][kind][i], || format!("{name} {kind} {text:?}"));
                compared += 1;
            }
            assert!(compared >= 1_000, "{name} {kind}: {compared}");
        }
    }
}

#[test]
fn word_counts_equal_pythons() {
    let words = metric("wordCount", Value::Null);
    for golden in golden!("pairs") {
        let (text, _) = pair(&golden);
        let found = words.row(&Sample { text, ..Sample::default() }).unwrap().unwrap();
        close(found, &golden["words"], || format!("{text:?}"));
    }
}

#[test]
fn self_bleu_and_distinct_equal_nltk_and_the_definition() {
    for golden in golden!("sets") {
        let texts = strings(&golden["texts"]);
        for name in ["selfBleu", "distinct"] {
            for n in 1..=4_usize {
                // The sample of the large set was scored for n = 2 only.
                let expect = &golden[name][n - 1];
                if expect.is_null() && texts.len() > 1_000 {
                    continue;
                }
                let mut set = metric(name, json!({"n": n})).accumulator();
                for (at, text) in texts.iter().enumerate() {
                    let id = format!("{at}-0");
                    set.add(&Sample { id: &id, text, ..Sample::default() }).unwrap();
                }
                match set.score() {
                    Some(score) => close(score.value, expect, || format!("{name} {n} {texts:?}")),
                    None => assert!(expect.is_null(), "{name} {n} {texts:?}"),
                }
            }
        }
    }
}

#[test]
fn tokens_of_13a_and_intl_equal_sacrebleus() {
    for golden in golden!("tokens") {
        let text = golden["text"].as_str().unwrap();
        for name in ["13a", "intl"] {
            let found = Tokenizer::named(name).tokenize(text);
            let found: Vec<_> = found.iter().collect();
            assert_eq!(found, strings(&golden[name]), "{name} {text:?}");
        }
    }
}

#[test]
fn tokens_of_zh_equal_sacrebleus() {
    for (golden, expect) in golden!("tokens").iter().zip(golden!("tokens_zh")) {
        let text = golden["text"].as_str().unwrap();
        let found = Tokenizer::named("zh").tokenize(text);
        let found = found.iter().collect::<Vec<_>>().join(" ");
        assert_eq!(hex(found.as_bytes()), expect.as_str().unwrap(), "{text:?} became {found:?}");
    }
}

#[test]
fn stems_equal_nltks() {
    let words = golden!("words");
    assert!(words.len() > 5_000);
    for golden in words {
        let word = golden[0].as_str().unwrap();
        assert_eq!(stem(word), golden[1].as_str().unwrap(), "{word}");
    }
}

#[test]
fn keys_of_folded_texts_equal_pythons() {
    for golden in golden!("folded") {
        let text = golden["text"].as_str().unwrap();
        let key = format!("{:032x}", duplicate_key(text));
        assert_eq!(key, golden["key"].as_str().unwrap(), "{text:?}");
    }
}
