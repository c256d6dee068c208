//! Texts that no one would write: very long, without words, without letters. Every metric has a value for them, in time and memory that
//! grow about as the text does.

use serde_json::{Value, json};
use textnlp_validation::pii::{Kind, find, mask};
use textnlp_validation::{Metric, Sample, Scale, TextMetric, registry};

fn metrics() -> Vec<TextMetric> {
    let texts = registry::all().filter(|info| info.needs_text);
    let metric = |name: &str| {
        let params = match name {
            "regex" => json!({"pattern": "(a|b)*c"}),
            "language" => json!({"is": "eng"}),
            "jsonSchema" => json!({"schema": {"type": "object"}}),
            "expression" => json!({"expression": "size(text)"}),
            _ => Value::Null,
        };
        match registry::build(name, &params) {
            Ok(Metric::Text(metric)) => metric,
            other => panic!("{name}: {other:?}"),
        }
    };
    texts.map(|info| metric(info.name)).collect()
}

/// Checks the value of the text against the reference, and of a dataset of two such rows.
fn check(text: &str, reference: &str) {
    for metric in metrics() {
        let sample = Sample {
            id: "0-0",
            text,
            references: &[reference],
            tokens: Some(0),
            finish_reason: Some("stop"),
        };
        let mut dataset = metric.accumulator();
        dataset.add(&sample).unwrap();
        dataset.add(&Sample { id: "1-0", ..sample }).unwrap();
        let (low, high) = match metric.info().scale {
            Scale::Percent => (0.0, 100.0),
            Scale::Unit => (0.0, 1.0),
            Scale::Count | Scale::Ratio => (0.0, f64::MAX),
            Scale::Real => (f64::MIN, f64::MAX),
        };
        if let Some(score) = dataset.score() {
            let shown: String = text.chars().take(20).collect();
            assert!((low..=high).contains(&score.value), "{metric:?} {shown:?} {score:?}");
        }
    }
}

fn row(name: &str, text: &str, reference: &str) -> f64 {
    let metric = metrics().into_iter().find(|metric| metric.info().name == name).unwrap();
    metric.row(&Sample { text, references: &[reference], ..Sample::default() }).unwrap().unwrap()
}

#[test]
fn texts_of_nothing_and_of_one_token_have_values() {
    for text in
        ["", " ", "\n", "a", ".", "\u{301}", "\0", "é", "😀", "<", "&", "-", "1", "@", "\u{feff}"]
    {
        for reference in ["", "a", text, "two words"] {
            check(text, reference);
        }
    }
}

#[test]
fn control_characters_and_lone_marks_are_texts_too() {
    let controls: String = ('\0'..'\u{a0}').collect();
    for text in [
        &controls,
        &"\u{301}".repeat(3_000),
        &"\u{301}\u{327}".repeat(2_000),
        &"\u{fdfa}".repeat(500),
        &"\u{202e}a\u{200b}".repeat(500),
    ] {
        check(text, &controls);
        check(&controls, text);
        check(text, text);
    }
}

#[test]
fn very_long_texts_have_values() {
    let words: String = (0..40_000_u64).map(|i| format!("w{} ", i * i % 7_919)).collect();
    let lines: String = (0..20_000).map(|i| format!("the {}\n", i % 9_000)).collect();
    for text in [
        &"a".repeat(100_000),
        &"a ".repeat(100_000),
        &words,
        &lines,
        &"a@b.co 10.0.0.1 ".repeat(5_000),
        &"-".repeat(50_000),
        &"1".repeat(50_000),
        &"1 ".repeat(50_000),
    ] {
        check(text, "one two three");
        check("one two three", text);
    }
}

#[test]
fn a_long_text_equals_itself() {
    let text: String = (0..9_000_u64)
        .map(|i| format!("w{}{}", i * i % 977, if i % 9 == 0 { '\n' } else { ' ' }))
        .collect();
    for (name, value) in [
        ("bleu", 100.0),
        ("chrf", 100.0),
        ("ter", 0.0),
        ("rouge1", 1.0),
        ("rougeL", 1.0),
        ("rougeLsum", 1.0),
    ] {
        assert!((row(name, &text, &text) - value).abs() < 1e-9, "{name}");
    }
}

#[test]
fn rouge_l_reads_the_first_65536_words_and_rouge_lsum_4096_lines() {
    let long = "a ".repeat(65_536);
    assert_eq!(row("rougeL", &(long.clone() + &"b ".repeat(9)), &long), 1.0);
    assert_eq!(row("rougeL", &(long.clone() + "b"), &"b ".repeat(2)), 0.0);
    let lines: String = (0..4_096).map(|i| format!("w{i}\n")).collect();
    assert_eq!(row("rougeLsum", &(lines.clone() + "more"), &lines), 1.0);
}

#[test]
fn personal_data_is_found_in_a_text_full_of_it() {
    let kinds = Kind::ALL.map(|(_, kind)| kind);
    let text = "a@b.co 4111 1111 1111 1111, ".repeat(5_000);
    assert_eq!(find(&text, &kinds).len(), 10_000);
    assert_eq!(mask(&text, &kinds), "<email> <creditCard>, ".repeat(5_000));
    // What begins as something over and over, and never is.
    for text in
        ["a@", "@a.", "1.2.", "+1 ", "DE89 ", "http://", "a.", "www.", "(", "::", "4111-", "1"]
    {
        let long = text.repeat(20_000);
        let masked = mask(&long, &kinds);
        assert_eq!(find(&masked, &kinds), [], "{text}");
    }
}
