//! Filters and gates as a manifest uses them.

use serde_json::{Map, Value, json};
use textnlp_validation::{
    DatasetScore, Expression, Filter, Gate, Metric, Range, RowError, Sample, Stat, registry,
};

fn range(min: Option<f64>, max: Option<f64>) -> Range {
    Range::new(min, max).unwrap()
}

fn score(name: &str, params: Value, texts: &[&str]) -> Option<DatasetScore> {
    let Ok(Metric::Text(metric)) = registry::build(name, &params) else { panic!("{name}") };
    let mut dataset = metric.accumulator();
    for (at, text) in texts.iter().enumerate() {
        dataset.add(&Sample { id: &at.to_string(), text, ..Sample::default() }).unwrap();
    }
    dataset.score()
}

#[test]
fn a_filter_keeps_rows_within_its_range_ends_included() {
    let metric = registry::build("wordCount", &Value::Null).unwrap();
    let filter = Filter::range(metric, range(Some(2.0), Some(3.0))).unwrap();
    for (text, keep) in [("a", false), ("a b", true), ("a b c", true), ("a b c d", false)] {
        let sample = Sample { text, ..Sample::default() };
        assert_eq!(filter.keeps(Some(&sample), &Map::new()), Ok(keep), "{text}");
    }
    let error = filter.keeps(None, &Map::new()).unwrap_err();
    assert_eq!(error, RowError::NoText { metric: "wordCount" });
}

#[test]
fn a_filter_may_be_an_expression() {
    let filter = Filter::Expression(Expression::compile("row.n > 2").unwrap());
    for (row, keep) in
        [(json!({"n": 3}), Some(true)), (json!({"n": 2}), Some(false)), (json!({}), None)]
    {
        assert_eq!(filter.keeps(None, row.as_object().unwrap()).ok(), keep);
    }
}

#[test]
fn filters_need_row_values() {
    for name in ["distinct", "selfBleu", "compressionRatio", "nearDuplicateRate", "failedRate"] {
        let metric = registry::build(name, &Value::Null).unwrap();
        let error = Filter::range(metric, range(Some(0.0), None)).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("use this one as a gate"), "{error}");
    }
}

#[test]
fn ranges_need_an_end_and_their_ends_in_order() {
    for (min, max, expect) in [
        (None, None, "min: found neither min nor max; allowed: min, max, or both"),
        (Some(2.0), Some(1.0), "min: found 2; allowed: at most max, which is 1"),
        (Some(f64::NAN), None, "min: found NaN; allowed: a finite number"),
        (None, Some(f64::INFINITY), "max: found inf; allowed: a finite number"),
    ] {
        assert_eq!(Range::new(min, max).unwrap_err().to_string(), expect);
    }
}

#[test]
fn a_gate_reads_the_dataset_value_or_a_figure_of_the_row_values() {
    let words =
        score("wordCount", Value::Null, &["a", "a b", "a b c", "a b c d", "a b c d e f g h i j"])
            .unwrap();
    let info = registry::info("wordCount").unwrap();
    let gate = |stat, max| Gate::new(info, range(None, Some(max)), stat).unwrap();
    for (stat, value) in [
        (None, 4.0),
        (Some("mean"), 4.0),
        (Some("min"), 1.0),
        (Some("p50"), 3.0),
        (Some("max"), 10.0),
    ] {
        let stat = stat.map(|name| Stat::parse(name).unwrap());
        assert_eq!(gate(stat, value).value(&words), Some(value), "{stat:?}");
        assert!(gate(stat, value).passes(&words), "{stat:?}");
        assert!(!gate(stat, value - 0.5).passes(&words), "{stat:?}");
    }
    let p95 = gate(Stat::parse("p95").ok(), 9.0).value(&words).unwrap();
    assert!((p95 - 8.8).abs() < 1e-12, "{p95}"); // numpy.quantile([1, 2, 3, 4, 10], 0.95)
}

#[test]
fn a_gate_asks_no_figure_of_a_metric_without_row_values() {
    let info = registry::info("distinct").unwrap();
    let error = Gate::new(info, range(Some(0.5), None), Some(Stat::P05)).unwrap_err().to_string();
    assert!(error.contains("distinct has one value for the whole dataset"), "{error}");
    let error = Stat::parse("p99").unwrap_err().to_string();
    assert_eq!(error, "stat: found `p99`; allowed: mean, min, p05, p50, p95, max");
}
