//! What Python wrote or computed (`golden/make.py`), read and computed here.

use serde_json::{Value, json};
use textnlp_dataset::digest::{DatasetDigest, SourceDigest, canonical};
use textnlp_dataset::source::{Format, Limits, read_bytes};
use textnlp_dataset::{Outcome, Record, Row, RowMeta, SourceRecord};

#[test]
fn every_type_that_pyarrow_writes_is_read() {
    let bytes = include_bytes!("golden/types.parquet");
    let expect: Vec<Record> = serde_json::from_str(include_str!("golden/types.json")).unwrap();
    let found = read_bytes(Format::Parquet, bytes, Limits::default()).unwrap();
    assert_eq!(found.len(), expect.len());
    for (found, expect) in found.iter().zip(&expect) {
        let found = found.record.as_ref().unwrap();
        for (name, value) in expect {
            assert_eq!(found.get(name), Some(value), "record field `{name}`");
        }
        assert_eq!(found.keys().collect::<Vec<_>>(), expect.keys().collect::<Vec<_>>());
    }
}

#[test]
fn a_damaged_parquet_file_is_an_error_wherever_it_is_cut_or_changed() {
    let good = include_bytes!("golden/types.parquet");
    // The crate's assertions would fill the output of the test.
    std::panic::set_hook(Box::new(|_| {}));
    for cut in (0..good.len()).step_by(97) {
        let error =
            read_bytes(Format::Parquet, &good[..cut], Limits::default()).unwrap_err().to_string();
        assert!(error.starts_with("input: damaged, or no Parquet: "), "{error}");
    }
    for position in (0..good.len()).step_by(7) {
        let mut bytes = good.to_vec();
        bytes[position] ^= 0xff;
        // An error or other values, but never a panic.
        let _ = read_bytes(Format::Parquet, &bytes, Limits::default());
    }
    let _ = std::panic::take_hook();
}

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/digest.json")).unwrap()
}

#[test]
fn the_source_digest_is_the_one_that_python_computes_and_a_prefix_has_its_own() {
    let golden = golden();
    let mut digest = SourceDigest::new();
    for (index, record) in golden["records"].as_array().unwrap().iter().enumerate() {
        if index == 2 {
            assert_eq!(digest.current(), golden["sourceDigestOfTwo"]);
        }
        let record = Ok(record.as_object().unwrap().clone());
        digest.add(&SourceRecord { index: index as u64, record });
    }
    assert_eq!(digest.current(), golden["sourceDigest"]);
    assert_eq!(digest.records(), 3);
}

fn row(value: &Value) -> Row {
    let object = |name: &str| value[name].as_object().unwrap().clone();
    Row {
        id: value["id"].as_str().unwrap().parse().unwrap(),
        fields: object("fields"),
        attributes: object("attributes"),
        columns: object("columns"),
        outcome: Outcome::Generated,
        meta: RowMeta {
            finish_reasons: serde_json::from_value(value["finishReasons"].clone()).unwrap(),
            ..RowMeta::default()
        },
    }
}

#[test]
fn the_dataset_digest_is_the_one_that_python_computes_and_ignores_prompts_and_tokens() {
    let golden = golden();
    let mut digest = DatasetDigest::new();
    for value in golden["rows"].as_array().unwrap() {
        let mut row = row(value);
        row.meta.prompts.insert("ticket".into(), json!("a prompt"));
        row.meta.tokens.insert("ticket".into(), Default::default());
        digest.add(&row);
    }
    assert_eq!(digest.current(), golden["datasetDigest"]);
}

#[test]
fn canonical_json_does_not_depend_on_the_order_of_fields_or_the_spelling_of_numbers() {
    let a: Value = serde_json::from_str(r#"{"b": 1, "a": [1.50, 1e2]}"#).unwrap();
    let b: Value = serde_json::from_str(r#"{"a": [1.5, 100], "b": 1.0}"#).unwrap();
    assert_eq!(canonical(&a), canonical(&b));
    assert_eq!(canonical(&a), br#"{"a":[1.5,100],"b":1}"#);
}
