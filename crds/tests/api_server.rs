//! Admission against the API server's own code: `api_server/oracle` (Go) answered the cases, and
//! every path and reason must be the same. `api_server/oracle/main.go` says how to run it again.

use std::collections::BTreeSet;

use serde_json::Value;
use textnlp_crds::Kind;
use textnlp_crds::admission::{self, CauseKind};
use textnlp_crds::manifest;

const CASES: &str = include_str!("api_server/cases.jsonl");
const ANSWERS: &str = include_str!("api_server/answers.jsonl");

#[test]
fn every_case_gets_the_paths_and_the_reasons_that_an_api_server_gives() {
    let lines =
        |text: &'static str| text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let cases: Vec<Value> = lines(CASES).collect();
    let answers: Vec<Value> = lines(ANSWERS).collect();
    assert_eq!(cases.len(), answers.len(), "run the oracle again");
    assert!(cases.len() > 100);
    for (case, answer) in cases.iter().zip(&answers) {
        assert_eq!(case["name"], answer["name"], "run the oracle again");
        compare(case, answer);
    }
}

fn compare(case: &Value, answer: &Value) {
    let kind = case["object"]["kind"].as_str().and_then(Kind::from_name).expect("a kind");
    let found = admission::admit(kind, &case["object"], case.get("old")).err().unwrap_or_default();
    // The oracle knows the schema alone: metadata is checked elsewhere in an API server.
    let found: Vec<_> = found
        .iter()
        .filter(|cause| cause.kind != CauseKind::Skipped && !cause.path.starts_with("metadata"))
        .collect();
    let expected = answer["causes"].as_array().expect("causes");
    let paths: BTreeSet<&str> = found.iter().map(|cause| cause.path.as_str()).collect();
    let expected_paths: BTreeSet<&str> =
        expected.iter().filter_map(|cause| cause["path"].as_str()).collect();
    assert_eq!(paths, expected_paths, "{}: {found:?}", case["name"]);
    for cause in expected {
        let path = cause["path"].as_str().expect("a path");
        let reason = reason(path, cause["message"].as_str().expect("a message"));
        let same = found.iter().any(|cause| cause.path == path && cause.message.contains(reason));
        assert!(same, "{}: {path}: {reason:?} is not among {found:?}", case["name"]);
    }
}

/// The message without the value, which an API server mostly replaces by the name of its type.
fn reason<'m>(path: &str, message: &'m str) -> &'m str {
    if let Some((_, reason)) = message.split_once(&format!("{path} in body ")) {
        return reason;
    }
    let types = ["object", "array", "string", "integer", "number", "boolean"];
    types
        .iter()
        .find_map(|type_| message.strip_prefix(&format!("Invalid value: \"{type_}\": ")))
        .unwrap_or(message)
}

#[test]
fn plain_scalars_are_read_as_kubectl_reads_them() {
    let texts: Vec<&str> = include_str!("api_server/scalars.txt").lines().collect();
    let answers: Vec<&str> = include_str!("api_server/scalars.jsonl").lines().collect();
    assert_eq!(texts.len(), answers.len(), "run the oracle again");
    for (text, answer) in texts.iter().zip(answers) {
        let expected: Value = serde_json::from_str(answer).expect("JSON");
        let found = manifest::parse("a", format!("a: {text}\n").as_bytes());
        let found = found.map(|documents| documents[0].value["a"].clone());
        match expected.get("a") {
            Some(value) => assert_eq!(found, Ok(as_stored(value)), "{text}"),
            None => assert!(found.is_err(), "{text}: {found:?}"),
        }
    }
}

/// An API server holds numbers as 64-bit signed integers or doubles.
fn as_stored(value: &Value) -> Value {
    match (value.as_i64(), value.as_f64()) {
        (Some(integer), _) => integer.into(),
        (None, Some(0.0)) => 0.into(),
        (None, Some(double)) => double.into(),
        _ => value.clone(),
    }
}
