//! The schema's metrics and parameters are those that the metrics themselves know.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use textnlp_validation::{ParamKind, registry};

/// What a job's `spec.validation` may hold.
fn validation() -> Value {
    let crd: Value = serde_saphyr::from_str(include_str!("../generationjob.yaml")).unwrap();
    let path =
        "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/validation/properties";
    crd.pointer(path).expect("the schema of spec.validation").clone()
}

fn words(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The words of the first list behind `start` in the rules of metrics, filters or gates.
fn listed(entry: &Value, start: &str) -> BTreeSet<String> {
    let rules = entry["x-kubernetes-validations"].as_array().unwrap();
    let behind = rules.iter().find_map(|rule| rule["rule"].as_str()?.split_once(start)).unwrap().1;
    words_of(behind.split_once('[').unwrap().1.split_once(']').unwrap().0)
}

fn words_of(list: &str) -> BTreeSet<String> {
    list.split(", ").map(|word| word.trim_matches('\'').to_owned()).collect()
}

fn names(of: impl Fn(&textnlp_validation::Info) -> bool) -> BTreeSet<String> {
    registry::all().filter(|info| of(info)).map(|info| info.name.to_owned()).collect()
}

#[test]
fn the_schema_knows_every_metric_and_no_other() {
    let validation = validation();
    for list in ["metrics", "filters", "gates"] {
        let metric = &validation[list]["items"]["properties"]["metric"];
        assert_eq!(words(&metric["enum"]), names(|_| true), "{list}");
    }
}

#[test]
fn rules_ask_for_a_column_a_reference_and_row_values_where_the_metric_does() {
    let validation = validation();
    for list in ["metrics", "filters", "gates"] {
        let entry = &validation[list]["items"];
        // `self.metric in [...] ? !has(self.column) : has(self.column)`, and the same of the reference.
        let before = |end: &str| -> BTreeSet<String> {
            let rules = entry["x-kubernetes-validations"].as_array().unwrap();
            let rule =
                rules.iter().find_map(|rule| rule["rule"].as_str()?.split_once(end)).unwrap().0;
            words_of(rule.rsplit_once('[').unwrap().1)
        };
        assert_eq!(before("] ? !has(self.column)"), names(|info| !info.needs_text), "{list}");
        assert_eq!(before("] ? has(self.reference)"), names(|info| info.needs_reference), "{list}");
    }
    let without_row_values = names(|info| !info.row);
    let filters = &validation["filters"]["items"];
    assert_eq!(listed(filters, "!has(self.metric) || !(self.metric in "), without_row_values);
    let gates = &validation["gates"]["items"];
    assert_eq!(listed(gates, "!has(self.stat) || !(self.metric in "), without_row_values);
}

#[test]
fn every_parameter_has_the_type_and_the_range_that_its_metrics_allow() {
    let metrics = &validation()["metrics"]["items"];
    let schema = &metrics["properties"]["params"]["properties"];
    let mut described = BTreeSet::new();
    for info in registry::all() {
        for param in info.params {
            let (found, context) = (&schema[param.name], format!("{} {}", info.name, param.name));
            let has = |field: &str, value: Value| {
                let same = match (found[field].as_f64(), value.as_f64()) {
                    (Some(a), Some(b)) => a == b,
                    _ => found[field] == value,
                };
                assert!(same, "{context}: {field} is {}, not {value}", found[field]);
            };
            match param.kind {
                ParamKind::Choice(allowed, _) => {
                    let allowed = allowed.iter().map(|word| (*word).to_owned()).collect();
                    assert_eq!(words(&found["enum"]), allowed, "{context}");
                }
                ParamKind::Integer(min, max, _) => {
                    has("type", json!("integer"));
                    has("minimum", json!(min));
                    has("maximum", json!(max));
                }
                ParamKind::Number(min, max, _) => {
                    has("type", json!("number"));
                    has("minimum", json!(min));
                    has("maximum", json!(max));
                }
                ParamKind::Subset(allowed) => {
                    let allowed = allowed.iter().map(|word| (*word).to_owned()).collect();
                    assert_eq!(words(&found["items"]["enum"]), allowed, "{context}");
                }
                ParamKind::Flag(_) => has("type", json!("boolean")),
                ParamKind::Text(_) => has("type", json!("string")),
                ParamKind::Object(_) => has("type", json!("object")),
            }
            described.insert(param.name.to_owned());
        }
    }
    let known: BTreeSet<String> = schema.as_object().unwrap().keys().cloned().collect();
    assert_eq!(known, described);
    for param in known {
        let of_param = names(|info| info.params.iter().any(|p| p.name == param));
        assert_eq!(
            listed(metrics, &format!("!has(self.params.{param}) || self.metric in ")),
            of_param
        );
    }
}
