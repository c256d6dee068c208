//! The registry's metrics as a manifest uses them.

use serde_json::{Value, json};
use textnlp_validation::{
    Counts, DatasetScore, MergeError, Metric, RowError, Sample, TextMetric, registry,
};

fn text_metric(name: &str, params: Value) -> TextMetric {
    match registry::build(name, &params) {
        Ok(Metric::Text(metric)) => metric,
        other => panic!("{name}: {other:?}"),
    }
}

/// These have a parameter without a default.
const NEED_PARAMS: [&str; 4] = ["regex", "language", "jsonSchema", "expression"];

fn score(name: &str, params: Value, texts: &[&str]) -> Option<DatasetScore> {
    let mut dataset = text_metric(name, params).accumulator();
    for (at, text) in texts.iter().enumerate() {
        dataset
            .add(&Sample { id: &at.to_string(), text, references: &["a b"], ..Sample::default() })
            .unwrap();
    }
    dataset.score()
}

#[test]
fn every_metric_is_built_with_defaults_and_described() {
    let names: Vec<_> = registry::all().map(|info| info.name).collect();
    assert_eq!(
        names,
        [
            "bleu",
            "bleuNltk",
            "rouge1",
            "rouge2",
            "rougeL",
            "rougeLsum",
            "chrf",
            "ter",
            "distinct",
            "selfBleu",
            "compressionRatio",
            "repetition",
            "duplicateRate",
            "nearDuplicateRate",
            "fleschReadingEase",
            "fleschKincaidGrade",
            "pii",
            "language",
            "wordCount",
            "charCount",
            "tokenCount",
            "truncated",
            "regex",
            "jsonSchema",
            "expression",
            "failedRate",
            "acceptedRows",
            "acceptanceRate",
        ]
    );
    for info in registry::all() {
        assert_eq!(registry::info(info.name), Some(info));
        assert!(info.description.ends_with('.'), "{}", info.name);
        let params = match info.name {
            "regex" => json!({"pattern": "x"}),
            "language" => json!({"is": "eng"}),
            "jsonSchema" => json!({"schema": {}}),
            "expression" => json!({"expression": "1"}),
            _ => Value::Null,
        };
        let metric = registry::build(info.name, &params).unwrap();
        assert_eq!(metric.info(), info);
        assert!(metric.signature().starts_with(info.name), "{}", metric.signature());
        assert!(metric.signature().contains("version:"), "{}", metric.signature());
    }
}

#[test]
fn wrong_parameters_are_refused_with_field_found_and_allowed() {
    for (name, params, expect) in [
        ("BLEU", json!({}), "metric: found `BLEU`; allowed: bleu, bleuNltk, rouge1, rouge2"),
        ("bleu", json!([]), "params: found a list; allowed: an object of parameters"),
        (
            "bleu",
            json!({"tokenize": "13A"}),
            "params.tokenize: found `13A`; allowed: one of 13a, intl, zh, char, none",
        ),
        (
            "bleu",
            json!({"smoothing": null}),
            "params.smoothing: found null; allowed: one of exp, floor, add-k, none",
        ),
        (
            "bleu",
            json!({"n": 4}),
            "params.n: found an unknown parameter; allowed: tokenize, smoothing, smoothingValue, lowercase",
        ),
        (
            "bleu",
            json!({"smoothingValue": 0.5}),
            "params.smoothingValue: found 0.5; allowed: nothing: it belongs to the smoothings floor and add-k",
        ),
        (
            "bleu",
            json!({"smoothing": "floor", "smoothingValue": 1.5}),
            "params.smoothingValue: found 1.5; allowed: a number from 0 to 1 with smoothing floor",
        ),
        (
            "bleu",
            json!({"smoothing": "add-k", "smoothingValue": -1}),
            "params.smoothingValue: found -1; allowed: a number from 0 to 1000",
        ),
        (
            "pii",
            json!({"entities": ["email", "name"]}),
            "params.entities: found `name`; allowed: a list of iban, creditCard, crypto, ssn, ipAddress, email, url, phone",
        ),
        (
            "pii",
            json!({"entities": []}),
            "params.entities: found an empty list; allowed: a list of",
        ),
        (
            "bleuNltk",
            json!({"method": 6, "n": 2}),
            "params.n: found 2; allowed: 3 or 4 with method 6",
        ),
        (
            "wordCount",
            json!({"n": 4}),
            "params.n: found an unknown parameter; allowed: nothing: this metric has no parameters",
        ),
        (
            "rougeL",
            json!({"stemmer": "yes"}),
            "params.stemmer: found `yes`; allowed: true or false",
        ),
        ("language", json!({}), "params.is: found nothing; allowed: a text of 1 to 3 characters"),
        ("language", json!({"is": "en"}), "params.is: found `en`; allowed: one of "),
        ("distinct", json!({"n": 0}), "params.n: found 0; allowed: a whole number from 1 to 4"),
        ("distinct", json!({"n": 5}), "params.n: found 5; allowed: a whole number from 1 to 4"),
        ("distinct", json!({"n": 1.5}), "params.n: found 1.5; allowed: a whole number from 1 to 4"),
        ("selfBleu", json!({"n": "2"}), "params.n: found `2`; allowed: a whole number from 1 to 4"),
        (
            "regex",
            json!(null),
            "params.pattern: found nothing; allowed: a text of 1 to 1024 characters",
        ),
        (
            "regex",
            json!({"pattern": ""}),
            "params.pattern: found 0 characters; allowed: a text of 1 to 1024 characters",
        ),
        ("regex", json!({"pattern": "ä".repeat(1025)}), "params.pattern: found 1025 characters"),
        (
            "regex",
            json!({"pattern": "a("}),
            "params.pattern: found `a(` (error: unclosed group); allowed: a regular expression",
        ),
        ("regex", json!({"pattern": "(?=a)"}), "look-around"),
        ("regex", json!({"pattern": "(a{1000}){1000}"}), "size limit"),
        ("regex", json!({"pattern": "(".repeat(500) + &")".repeat(500)}), "nest"),
    ] {
        let error = registry::build(name, &params).expect_err(name).to_string();
        assert!(error.contains(expect), "{name} {params}\n{error}");
    }
}

#[test]
fn whole_numbers_may_be_written_with_a_point() {
    assert_eq!(
        text_metric("distinct", json!({"n": 3.0})).signature(),
        "distinct|n:3|case:lc|tok:13a|version:1"
    );
}

#[test]
fn signatures_say_what_was_measured() {
    let signature =
        |name, params| score(name, params, &["a b", "c d"]).map(|score| score.signature);
    for (name, params, expect) in [
        ("bleu", json!({}), "bleu|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"),
        (
            "bleu",
            json!({"smoothing": "add-k"}),
            "bleu|nrefs:1|case:mixed|eff:no|tok:13a|smooth:add-k[1.00]|version:2.6.0",
        ),
        (
            "bleu",
            json!({"smoothing": "floor", "smoothingValue": 0.125, "tokenize": "zh", "lowercase": true}),
            "bleu|nrefs:1|case:lc|eff:no|tok:zh|smooth:floor[0.125]|version:2.6.0",
        ),
        (
            "bleuNltk",
            json!({"method": 3, "n": 2}),
            "bleuNltk|nrefs:1|n:2|case:mixed|tok:13a|smooth:method3|version:3.10.4",
        ),
        ("rougeL", json!({"stemmer": true}), "rougeL|nrefs:1|case:lc|stemmer:yes|version:0.1.2"),
        (
            "selfBleu",
            json!({}),
            "selfBleu|n:4|case:mixed|tok:13a|smooth:method1|sample:1000|version:3.10.4",
        ),
        ("duplicateRate", json!({}), "duplicateRate|fold:nfkc+case+space|version:1"),
        (
            "nearDuplicateRate",
            json!({"threshold": 0.75}),
            "nearDuplicateRate|threshold:0.75|fold:nfkc+case+space|shingles:5 words|minhash:128|version:2.0.0",
        ),
        (
            "chrf",
            json!({"wordOrder": 2}),
            "chrf|nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no|version:2.6.0",
        ),
        (
            "ter",
            json!({"normalized": true}),
            "ter|nrefs:1|case:lc|tok:tercom|norm:yes|punct:yes|asian:no|version:2.6.0",
        ),
        (
            "compressionRatio",
            json!({}),
            "compressionRatio|gzip:6|join:newline|sample:1000|version:1",
        ),
        ("repetition", json!({"n": 2}), "repetition|n:2|case:lc|tok:13a|version:1"),
        ("regex", json!({"pattern": "a|b"}), "regex|pattern:a\\x7cb|version:1"),
        ("wordCount", json!({}), "wordCount|version:1"),
    ] {
        assert_eq!(signature(name, params).as_deref(), Some(expect));
    }
    let row = text_metric("bleu", json!({})).signature();
    assert_eq!(row, "bleu|case:mixed|eff:yes|tok:13a|smooth:exp|version:2.6.0");
}

#[test]
fn rows_with_different_numbers_of_references_are_signed_var() {
    let mut dataset = text_metric("rouge1", Value::Null).accumulator();
    for references in [&["a"][..], &["a", "b"]] {
        dataset.add(&Sample { text: "a", references, ..Sample::default() }).unwrap();
    }
    assert!(dataset.score().unwrap().signature.starts_with("rouge1|nrefs:var|"));
}

#[test]
fn a_dataset_without_rows_has_no_score() {
    for info in registry::all().filter(|info| info.needs_text && !NEED_PARAMS.contains(&info.name))
    {
        assert_eq!(score(info.name, Value::Null, &[]), None, "{}", info.name);
    }
    // Rows, but nothing to compare.
    assert_eq!(score("selfBleu", Value::Null, &["alone"]), None);
    assert_eq!(score("distinct", json!({"n": 3}), &["a b", ""]), None);
}

#[test]
fn duplicates_are_rows_with_an_earlier_twin() {
    let texts = ["Hello  World", "hello world", "HELLO\nWORLD ", "other", "ｈｅｌｌｏ world"];
    assert_eq!(score("duplicateRate", Value::Null, &texts).unwrap().value, 3.0 / 5.0);
}

#[test]
fn near_duplicates_are_rows_with_an_earlier_near_twin() {
    let long = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen";
    let texts = [
        long,
        "One  two three four five six seven eight nine ten eleven twelve thirteen FOURTEEN",
        "one two three four five six seven eight nine ten eleven twelve thirteen",
        "something else that has more words than five",
        "two",
        "two",
        "",
        " ",
    ];
    let rate = |threshold: f64| {
        score("nearDuplicateRate", json!({"threshold": threshold}), &texts).unwrap().value
    };
    assert_eq!(rate(0.8), 4.0 / 8.0);
    // The third has 9 of the first one's 10 shingles.
    assert_eq!(rate(0.95), 3.0 / 8.0);
}

#[test]
fn texts_in_a_language_make_a_share() {
    let texts = [
        "The flight was delayed by three hours and nobody at the desk could tell us why.",
        "Der Flug hatte drei Stunden Verspätung, und niemand am Schalter konnte uns sagen, warum.",
        "フライトが三時間も遅れたのに、誰も理由を教えてくれませんでした。",
        "",
    ];
    for (code, share) in [("eng", 0.25), ("deu", 0.25), ("jpn", 0.25), ("fra", 0.0)] {
        assert_eq!(score("language", json!({"is": code}), &texts).unwrap().value, share, "{code}");
    }
}

#[test]
fn personal_data_is_counted_for_a_row_and_makes_a_share_of_rows() {
    let texts = ["a@example.com, b@example.com", "none", "10.0.0.1", "nothing"];
    let all = score("pii", Value::Null, &texts).unwrap();
    assert_eq!(all.value, 0.5);
    assert_eq!(all.distribution.unwrap().max, 2.0);
    let addresses = score("pii", json!({"entities": ["ipAddress"]}), &texts).unwrap();
    assert_eq!(
        (addresses.value, addresses.signature.as_str()),
        (0.25, "pii|entities:ipAddress|version:1")
    );
}

#[test]
fn rows_are_compressed_in_the_order_of_their_ids() {
    // len('\n'.join(texts)) / len(gzip.compress('\n'.join(texts).encode(), 6))
    let texts: Vec<String> = (0..12).map(|i| format!("row number {i} of many rows")).collect();
    let mut forwards = text_metric("compressionRatio", Value::Null).accumulator();
    let mut backwards = forwards.clone();
    let add = |dataset: &mut textnlp_validation::Accumulator, at: usize| {
        let sample = Sample { id: &format!("{at}-0"), text: &texts[at], ..Sample::default() };
        dataset.add(&sample).unwrap();
    };
    (0..12).for_each(|at| add(&mut forwards, at));
    (0..12).rev().for_each(|at| add(&mut backwards, at));
    assert_eq!(forwards.score(), backwards.score());
    assert!((forwards.score().unwrap().value - 313.0 / 82.0).abs() < 1e-12);
}

#[test]
fn shares_are_means_of_ones_and_zeros() {
    let found = score("regex", json!({"pattern": "^a"}), &["abc", "bca", "a", "A"]).unwrap();
    assert_eq!((found.value, found.rows), (0.5, 4));
    let mut truncated = text_metric("truncated", Value::Null).accumulator();
    for reason in ["length", "stop", "stop", "stop"] {
        truncated.add(&Sample { finish_reason: Some(reason), ..Sample::default() }).unwrap();
    }
    assert_eq!(truncated.score().unwrap().value, 0.25);
}

#[test]
fn a_row_that_lacks_what_the_metric_reads_is_an_error_and_changes_nothing() {
    for (name, expect) in [
        ("bleu", RowError::NoReference { metric: "bleu" }),
        ("rouge2", RowError::NoReference { metric: "rouge2" }),
        ("tokenCount", RowError::NoTokenCount { metric: "tokenCount" }),
        ("truncated", RowError::NoFinishReason { metric: "truncated" }),
    ] {
        let metric = text_metric(name, Value::Null);
        let bare = Sample { text: "a", ..Sample::default() };
        assert_eq!(metric.row(&bare), Err(expect.clone()));
        let mut dataset = metric.accumulator();
        assert_eq!(dataset.add(&bare), Err(expect));
        assert_eq!((dataset.rows(), dataset.score()), (0, None));
    }
}

#[test]
fn counts_become_rates_and_no_rows_have_none() {
    let counts = Counts { requested: 8, accepted: 5, rejected: 1, failed: 2 };
    for (name, expect, of_nothing) in [
        ("failedRate", 0.25, None),
        ("acceptedRows", 5.0, Some(0.0)),
        ("acceptanceRate", 0.625, None),
    ] {
        match registry::build(name, &Value::Null) {
            Ok(Metric::Count(metric)) => {
                assert_eq!(metric.score(&counts), Some(expect), "{name}");
                assert_eq!(metric.score(&Counts::default()), of_nothing, "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn scores_of_other_metrics_and_damaged_ones_do_not_merge() {
    let mut bigrams = text_metric("distinct", json!({"n": 2})).accumulator();
    let trigrams = text_metric("distinct", json!({"n": 3}));
    let error = bigrams.merge(trigrams.accumulator()).unwrap_err();
    assert!(matches!(error, MergeError::OtherMetric { .. }), "{error}");
    let saved = bigrams.save();
    assert!(matches!(trigrams.restore(&saved), Err(MergeError::OtherMetric { .. })));

    let mut damaged = serde_json::to_value(&saved).unwrap();
    damaged["state"] = json!({"items": 1});
    let error = bigrams.metric().restore(&serde_json::from_value(damaged).unwrap()).unwrap_err();
    assert!(matches!(error, MergeError::Damaged { .. }), "{error}");
}

#[test]
fn a_saved_score_that_claims_rows_it_lacks_yields_a_number_all_the_same() {
    for info in registry::all().filter(|info| info.needs_text && !NEED_PARAMS.contains(&info.name))
    {
        let metric = text_metric(info.name, Value::Null);
        let mut saved = serde_json::to_value(metric.accumulator().save()).unwrap();
        saved["rows"] = json!(u64::MAX);
        let mut restored = metric.restore(&serde_json::from_value(saved).unwrap()).unwrap();
        restored.merge(restored.clone()).unwrap();
        assert!(restored.score().is_none_or(|score| score.value.is_finite()), "{}", info.name);
    }
}

#[test]
fn a_sampled_metric_reads_the_same_rows_whatever_their_order() {
    let rows: Vec<String> =
        (0..1_500).map(|i| format!("word{} and word{} again", i % 7, i % 11)).collect();
    let metric = text_metric("selfBleu", json!({"n": 2}));
    let score_of = |order: &mut dyn Iterator<Item = usize>| {
        let mut dataset = metric.accumulator();
        for at in order {
            dataset
                .add(&Sample { id: &format!("{at}-0"), text: &rows[at], ..Sample::default() })
                .unwrap();
        }
        dataset.score().unwrap()
    };
    let forwards = score_of(&mut (0..1_500));
    assert_eq!(forwards.rows, 1_500);
    assert_eq!(forwards, score_of(&mut (0..1_500).rev()));
}

#[test]
fn a_pattern_may_have_1024_characters_however_many_bytes_they_take() {
    let pattern = "[äöü]".repeat(204) + "äöüß";
    assert_eq!((pattern.chars().count(), pattern.len() > 1_024), (1_024, true));
    assert!(registry::build("regex", &json!({"pattern": pattern})).is_ok());
}
