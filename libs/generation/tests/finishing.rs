//! What finalizing makes of rows: duplicates and personal data are taken out, intervals and the report's page are made. The columns are
//! templates, so that the texts are those of the test.

mod common;

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use textnlp_dataset::store::LocalStore;
use textnlp_generation::local;
use textnlp_generation::rows::Options;
use textnlp_generation::{Cancel, Error, Progress, Report, Source};

use common::{job, models, spec};

fn finish(
    directory: &Path,
    texts: &[&str],
    validation: Value,
    output: Value,
) -> Result<Report, Error> {
    let records: Vec<Value> =
        texts.iter().map(|text| json!({"given": text, "n": 5_550_100})).collect();
    let spec = spec(json!({
        "modelRef": {"name": "parrot"},
        "source": {"inline": {"records": records}},
        "columns": [{"name": "text", "value": "{{ given }}"}],
        "validation": validation,
        "output": output,
    }));
    let source = Source::Inline(spec.source.inline.as_ref().expect("records").records.to_vec());
    let store = LocalStore::open(directory).expect("a store");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let options = Options::new(3, Cancel::new());
    let run = local::run(
        job(&spec),
        models(),
        &source,
        &store,
        Arc::new(Progress::default()),
        &options,
        |_| Ok(()),
    );
    Ok(runtime.block_on(run)?.report)
}

fn column(directory: &Path, file: &str, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(directory.join(file)).expect("a file");
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
    rows.map(|row| row[name].as_str().expect("a text").to_owned()).collect()
}

const LONG: &str =
    "the train to the coast leaves at nine and stops at every small town on its way north";
const NEARLY: &str =
    "the train to the coast leaves at nine and stops at every small town on its way south";

#[test]
fn the_first_of_equal_rows_stays_and_the_others_are_rejected_as_duplicates() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let texts = ["One", "two", " ONE ", "x", "two"];
    let validation = json!({
        "metrics": [{"metric": "duplicateRate", "column": "text"}],
        "filters": [{"name": "long", "metric": "charCount", "column": "text", "min": 2}],
        "deduplicate": {"column": "text"},
    });
    let report = finish(at, &texts, validation, json!({"formats": ["JSONL", "Parquet"]})).unwrap();
    assert_eq!(column(at, "dataset.jsonl", "text"), ["One", "two"]);
    assert_eq!(column(at, "rejected.jsonl", "id"), ["2-0", "3-0", "4-0"]);
    let rejections: Vec<_> =
        report.rejections.iter().map(|r| (r.filter.as_str(), r.rows)).collect();
    assert_eq!(rejections, [("long", 1), ("duplicate", 2)]);
    assert!(report.rows.balance() && report.rows.rejected == 3, "{:?}", report.rows);
    assert_eq!(report.scores[0].value, Some(0.0));
    // The second pass, for Parquet, decides the same.
    let source = textnlp_dataset::source::Options { reserved_names: true, ..Default::default() };
    let rows = textnlp_dataset::source::open(at, "dataset.parquet", &source).unwrap();
    assert_eq!(rows.count(), 2);
}

#[test]
fn near_duplicates_go_from_the_threshold_on() {
    let texts = [LONG, NEARLY, "something else"];
    for (threshold, stay) in [(json!(0.8), 2), (json!(0.95), 3), (Value::Null, 2)] {
        let directory = tempfile::tempdir().unwrap();
        let mut deduplicate = json!({"column": "text", "method": "Near"});
        if !threshold.is_null() {
            deduplicate["threshold"] = threshold.clone();
        }
        let validation = json!({"deduplicate": deduplicate});
        let report = finish(directory.path(), &texts, validation, json!({})).unwrap();
        assert_eq!(report.rows.accepted, stay, "{threshold}");
    }
    let directory = tempfile::tempdir().unwrap();
    let validation = json!({"deduplicate": {"column": "txt"}});
    let error = finish(directory.path(), &texts, validation, json!({})).unwrap_err().to_string();
    assert!(
        error.contains("spec.validation.deduplicate.column") && error.contains("text"),
        "{error}"
    );
}

#[test]
fn personal_data_is_masked_before_anything_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let texts = ["Write to ann@example.com", "Call +49 30 901820 now", "Nothing"];
    let validation = json!({
        "metrics": [{"metric": "pii", "column": "text"}, {"metric": "pii", "column": "given"}],
        "filters": [{"name": "clean", "metric": "pii", "column": "text", "max": 0}],
    });
    let mask = json!({"maskPii": {}});
    let report = finish(at, &texts, validation.clone(), mask).unwrap();
    assert_eq!(report.rows.accepted, 3);
    assert_eq!(
        column(at, "dataset.jsonl", "text"),
        ["Write to <email>", "Call <phone> now", "Nothing"]
    );
    assert_eq!(report.scores.iter().map(|s| s.value).collect::<Vec<_>>(), [Some(0.0); 2]);
    for file in ["dataset.jsonl", "report.json", "report.md", "report.html", "README.md"] {
        let text = std::fs::read_to_string(at.join(file)).unwrap();
        assert!(!text.contains("ann@example.com") && !text.contains("901820"), "{file}");
    }
    // A number stays a number.
    assert!(std::fs::read_to_string(at.join("dataset.jsonl")).unwrap().contains("5550100"));
    // Asked of one field and one kind, only that is masked; the same chunks give another dataset without a new row.
    let mask = json!({"maskPii": {"fields": ["text"], "entities": ["email"]}});
    let report = finish(at, &texts, validation, mask).unwrap();
    assert_eq!((report.rows.accepted, report.rows.rejected), (2, 1));
    assert_eq!(column(at, "dataset.jsonl", "given")[0], texts[0]);
    let error = finish(at, &texts, json!({}), json!({"maskPii": {"fields": ["mail"]}}));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("spec.output.maskPii.fields[0]"), "{error}");
}

#[test]
fn a_score_has_a_confidence_interval_where_it_is_asked_for() {
    let texts = ["a", "b c", "d e f", "g h i j", "k l m n o"];
    let interval = |confidence: Value| {
        let directory = tempfile::tempdir().unwrap();
        let mut validation = json!({"metrics": [
            {"metric": "wordCount", "column": "text"},
            {"metric": "distinct", "column": "text", "params": {"n": 1}},
        ]});
        if !confidence.is_null() {
            validation["confidence"] = confidence;
        }
        let report = finish(directory.path(), &texts, validation, json!({})).unwrap();
        assert_eq!(report.scores[1].ci, None, "distinct is no mean");
        report.scores[0].ci
    };
    assert_eq!(interval(Value::Null), None);
    let asked = interval(json!({"level": 0.9})).unwrap();
    assert!(asked.low < 3.0 && 3.0 < asked.high && asked.level == 0.9, "{asked:?}");
    assert_eq!(interval(json!({"level": 0.9})), Some(asked));
    let wider = interval(json!({})).unwrap();
    assert!(wider.low <= asked.low && wider.high >= asked.high && wider.level == 0.95);
    assert_ne!(interval(json!({"level": 0.9, "seed": 2})), Some(asked));
}

#[test]
fn the_reports_page_shows_rows_scores_and_plots_and_lets_no_text_act() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let texts = ["<script>alert(1)</script>", "a \u{202e}b", "c d e"];
    let validation = json!({
        "metrics": [{"metric": "wordCount", "column": "text"}],
        "gates": [{"metric": "charCount", "column": "text", "max": 3}],
        "onGateFailure": "Warn",
    });
    finish(at, &texts, validation, json!({})).unwrap();
    let page = std::fs::read_to_string(at.join("report.html")).unwrap();
    for part in [
        "<!doctype html>",
        "Not passed",
        "wordCount",
        "class=\"bar\"",
        "≤ 3",
        "&lt;script&gt;",
        "\\u{202e}",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for part in ["<script", "\u{202e}", "http://", "https://", "src=", "href="] {
        assert!(!page.contains(part), "{part}");
    }
}

#[test]
fn a_metric_of_ones_own_is_an_expression_or_a_json_schema() {
    let directory = tempfile::tempdir().unwrap();
    let texts = [r#"{"a": 1}"#, r#"{"a": "x"}"#, "no JSON"];
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    let validation = json!({"metrics": [
        {"metric": "jsonSchema", "column": "text", "params": {"schema": schema}},
        {"metric": "expression", "column": "text", "params": {"expression": "size(text)"}},
        {"metric": "expression", "column": "text", "reference": "given", "params": {"expression": "references[0] == text"}},
    ]});
    let report = finish(directory.path(), &texts, validation, json!({})).unwrap();
    let values: Vec<f64> = report.scores.iter().filter_map(|score| score.value).collect();
    assert_eq!(values, [1.0 / 3.0, 25.0 / 3.0, 1.0]);
    let rows = std::fs::read_to_string(directory.path().join("dataset.jsonl")).unwrap();
    let first: Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    let scores = first["_textnlp"]["scores"].as_object().unwrap();
    // Three metrics, three values, though two have one name and column.
    assert_eq!(scores.len(), 3, "{scores:?}");
}
