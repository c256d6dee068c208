//! What holds for every input: scores do not depend on order or grouping, and nothing panics.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use textnlp_validation::{
    Accumulator, Bootstrap, Expression, Metric, Sample, TextMetric, duplicate_key, registry,
};

#[derive(Debug, Clone)]
struct Row {
    text: String,
    references: Vec<String>,
}

/// Every metric of texts, with each parameter away from its default at least once.
fn metrics() -> Vec<TextMetric> {
    let mut variants: Vec<(&str, Value)> = vec![
        ("regex", json!({"pattern": "[aeiou]"})),
        ("bleu", json!({"tokenize": "intl", "smoothing": "floor"})),
        ("bleu", json!({"tokenize": "char", "smoothing": "add-k"})),
        ("bleu", json!({"tokenize": "none", "smoothing": "none"})),
        (
            "bleu",
            json!({"tokenize": "zh", "smoothing": "add-k", "smoothingValue": 0.3, "lowercase": true}),
        ),
        ("bleuNltk", json!({"method": 5, "n": 3})),
        ("bleuNltk", json!({"method": 6})),
        ("bleuNltk", json!({"method": 7, "tokenize": "char"})),
        ("rouge1", json!({"stemmer": true})),
        ("rougeL", json!({"stemmer": true})),
        ("rougeLsum", json!({"stemmer": true})),
        ("chrf", json!({"wordOrder": 2, "lowercase": true})),
        (
            "ter",
            json!({"normalized": true, "noPunctuation": true, "asianSupport": true, "caseSensitive": true}),
        ),
        ("distinct", json!({"n": 1})),
        ("selfBleu", json!({"n": 2})),
        ("language", json!({"is": "eng"})),
        ("repetition", json!({"n": 1})),
        ("pii", json!({"entities": ["phone", "url"]})),
        ("nearDuplicateRate", json!({"threshold": 0.3})),
        ("jsonSchema", json!({"schema": {"type": ["object", "number"]}})),
        ("expression", json!({"expression": "size(text)"})),
    ];
    let named = ["regex", "language", "jsonSchema", "expression"];
    let plain = registry::all().filter(|info| info.needs_text && !named.contains(&info.name));
    variants.extend(plain.map(|info| (info.name, Value::Null)));
    variants
        .into_iter()
        .map(|(name, params)| match registry::build(name, &params) {
            Ok(Metric::Text(metric)) => metric,
            other => panic!("{name}: {other:?}"),
        })
        .collect()
}

fn add(accumulator: &mut Accumulator, at: usize, row: &Row) {
    let references: Vec<&str> = row.references.iter().map(String::as_str).collect();
    let sample = Sample {
        id: &format!("{at}-0"),
        text: &row.text,
        references: &references,
        tokens: Some(row.text.len() as u64 / 4),
        finish_reason: Some(if at.is_multiple_of(3) { "length" } else { "stop" }),
    };
    accumulator.add(&sample).unwrap();
}

/// Personal data of every kind, whole and cut, close together.
fn personal() -> impl Strategy<Value = String> {
    let whole = proptest::sample::select(vec![
        "jane.doe+x@mail.example.co.uk",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "378282246310005",
        "DE89 3704 0044 0532 0130 00",
        "GB82WEST12345698765432",
        "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        "536-22-1234",
        "10.0.0.1/24",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "https://example.com/a?b=c",
        "www.x.museum",
        "shop.example.org/cart",
        "+49 30 901820",
        "(212) 555-0187 ext. 12",
        "020 7946 0958",
    ]);
    let piece = prop_oneof![
        4 => whole.clone().prop_map(str::to_owned),
        2 => (whole, 0..20_usize).prop_map(|(text, end)| text.chars().take(end).collect()),
        2 => "[0-9 ().+@:/a-z-]{0,8}",
        1 => any::<char>().prop_map(String::from),
    ];
    let between = proptest::sample::select(vec!["", " ", ", ", "-", ".", "/", "(", "@", "<", "x"]);
    proptest::collection::vec((piece, between), 0..8)
        .prop_map(|pieces| pieces.into_iter().map(|(piece, between)| piece + between).collect())
}

/// Words that meet often, and all that a user can type.
fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => "[a-c]{1,3}",
        1 => "[0-9.,-]{1,5}",
        1 => "\\PC{0,4}",
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(word, 0..12).prop_map(|words| words.join(" "))
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (text(), proptest::collection::vec(text(), 1..3))
        .prop_map(|(text, references)| Row { text, references });
    proptest::collection::vec(row, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_any_grouping_give_the_same_bits(
        rows in rows(),
        shards in proptest::collection::vec(0_usize..5, 40),
        reverse in any::<bool>(),
    ) {
        let bootstrap = Bootstrap { resamples: 20, ..Bootstrap::default() };
        for metric in metrics() {
            let mut whole = metric.accumulator_with(bootstrap);
            rows.iter().enumerate().for_each(|(at, row)| add(&mut whole, at, row));

            let mut parts: Vec<_> = (0..5).map(|_| metric.accumulator_with(bootstrap)).collect();
            let mut order: Vec<usize> = (0..rows.len()).collect();
            if reverse {
                order.reverse();
            }
            order.iter().for_each(|at| add(&mut parts[shards[*at]], *at, &rows[*at]));
            // ((4 + 3) + saved and restored (2 + (1 + 0)))
            let mut left = parts.pop().unwrap();
            left.merge(parts.pop().unwrap()).unwrap();
            let mut right = parts.pop().unwrap();
            let mut inner = parts.pop().unwrap();
            inner.merge(parts.pop().unwrap()).unwrap();
            right.merge(inner).unwrap();
            let sent = serde_json::to_string(&right.save()).unwrap();
            left.merge(metric.restore(&serde_json::from_str(&sent).unwrap()).unwrap()).unwrap();

            prop_assert_eq!(left.save(), whole.save(), "{:?}", metric);
            prop_assert_eq!(left.score(), whole.score(), "{:?}", metric);
            prop_assert_eq!(left.interval(), whole.interval(), "{:?}", metric);
            let bits = |accumulator: &Accumulator| accumulator.score().map(|score| score.value.to_bits());
            prop_assert_eq!(bits(&left), bits(&whole), "{:?}", metric);
        }
    }

    #[test]
    fn every_text_has_a_finite_value_within_the_scale(text in any::<String>(), reference in any::<String>()) {
        use textnlp_validation::Scale;
        for metric in metrics() {
            let sample = Sample {
                id: &text, text: &text, references: &[&reference, &text], tokens: Some(u64::MAX), finish_reason: Some(&text),
            };
            let (low, high) = match metric.info().scale {
                Scale::Percent => (0.0, 100.0),
                Scale::Unit => (0.0, 1.0),
                Scale::Count | Scale::Ratio => (0.0, f64::MAX),
                Scale::Real => (f64::MIN, f64::MAX),
            };
            let row = metric.row(&sample).unwrap();
            prop_assert_eq!(row.is_some(), metric.info().row, "{:?}", metric);
            prop_assert!(row.is_none_or(|value| (low..=high).contains(&value)), "{:?} {:?}", metric, row);
            let mut dataset = metric.accumulator();
            dataset.add(&sample).unwrap();
            dataset.add(&Sample { id: "other", ..sample }).unwrap();
            if let Some(score) = dataset.score() {
                prop_assert!((low..=high).contains(&score.value), "{:?} {:?}", metric, score);
            }
        }
        let _ = duplicate_key(&text);
        let kinds = textnlp_validation::pii::Kind::ALL.map(|(_, kind)| kind);
        let found = textnlp_validation::pii::find(&text, &kinds);
        prop_assert!(found.windows(2).all(|two| two[0].range.end <= two[1].range.start), "{:?}", found);
    }

    #[test]
    fn nothing_is_found_in_a_masked_text(text in personal()) {
        use textnlp_validation::pii::{Kind, find, mask};
        let kinds = Kind::ALL.map(|(_, kind)| kind);
        let masked = mask(&text, &kinds);
        prop_assert_eq!(find(&masked, &kinds), [], "{:?} became {:?}", text, masked);
        for kind in kinds {
            prop_assert_eq!(find(&mask(&text, &[kind]), &[kind]), [], "{:?} {:?}", kind, text);
        }
    }

    #[test]
    fn patterns_and_parameters_never_panic(text in any::<String>(), number in any::<f64>()) {
        for info in registry::all() {
            for value in [json!(text), json!(number), json!({"x": text}), Value::Null] {
                let mut params = Map::new();
                params.insert(info.params.first().map_or("n", |param| param.name).to_owned(), value.clone());
                let _ = registry::build(info.name, &Value::Object(params));
                let _ = registry::build(info.name, &value);
            }
        }
        let unknown = registry::build(&format!("{text}?"), &Value::Null);
        prop_assert!(unknown.is_err());
    }

    #[test]
    fn expressions_never_panic(
        tokens in proptest::collection::vec(
            proptest::sample::select(vec![
                "row", ".", "a", "b", "(", ")", "[", "]", "{", "}", "?", ":", ",", "+", "-", "*", "/", "%", "!", "!=", "==", "<", ">=",
                "&&", "||", "in", "1", "2.5", "3u", "'s'", "\"t\"", "null", "true", "has", "exists", "map", "filter", "all", "size",
                "contains", "matches", "x", "'('", "b''", "9223372036854775807", "0", "@", "`", "\\", "//", "\n", ".5", "1e400", "0x",
            ]),
            0..24,
        ),
        spaces in any::<bool>(),
        any_text in any::<String>(),
    ) {
        let row = json!({"a": "s(", "b": [1, "x", {"a": null}], "c": u64::MAX});
        for source in [tokens.join(if spaces { " " } else { "" }), any_text] {
            if let (Ok(expression), Some(row)) = (Expression::compile(&source), row.as_object()) {
                let _ = expression.evaluate(row);
            }
        }
    }

    #[test]
    fn expressions_of_random_shape_end(source in expression()) {
        let row = json!({"a": "s(", "b": [1, "x", {"a": null}], "c": u64::MAX});
        if let (Ok(expression), Some(row)) = (Expression::compile(&source), row.as_object()) {
            let _ = expression.evaluate(row);
        }
    }
}

/// Sources that parse.
fn expression() -> impl Strategy<Value = String> {
    let leaf = proptest::sample::select(vec![
        "row",
        "row.a",
        "row.b",
        "row.c",
        "row.zzz",
        "x",
        "1",
        "-1",
        "2.5",
        "3u",
        "'s'",
        "''",
        "null",
        "true",
        "false",
        "[]",
        "{}",
        "1e308",
        "9223372036854775807",
        "(-9223372036854775807 - 1)",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(5, 24, 3, |inner| {
        let binary = proptest::sample::select(vec![
            "+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "in",
        ]);
        let method =
            proptest::sample::select(vec!["contains", "startsWith", "endsWith", "matches"]);
        let function =
            proptest::sample::select(vec!["size", "string", "int", "uint", "double", "!", "-"]);
        let macros = proptest::sample::select(vec!["all", "exists", "exists_one", "map", "filter"]);
        prop_oneof![
            (inner.clone(), binary, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (inner.clone(), method, inner.clone()).prop_map(|(a, f, b)| format!("({a}).{f}({b})")),
            (function, inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            (inner.clone(), macros, inner.clone())
                .prop_map(|(a, m, b)| format!("({a}).{m}(x, {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})[{b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{{a}: {b}}}")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}
