//! `jsonSchema`: whether the text is JSON that a schema allows.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::definition::{Definition, Mean, RowMetric};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::params::{ParamError, ParamInfo, ParamKind, Params, quote};
use crate::text::hashes::text_hash;
use crate::text::schema_graph::SchemaGraph;

/// Bytes of the schema as JSON.
const MAX_BYTES: usize = 32 << 10;

/// Drafts that `$schema` may name, by a part of their address.
const DRAFTS: [&str; 4] =
    ["draft-06/schema", "draft-07/schema", "draft/2019-09/schema", "draft/2020-12/schema"];

/// Steps that a row may cost: well below a second.
const BUDGET: f64 = 2e6;

/// Bytes that a compiled pattern may take.
const PATTERN_LIMIT: usize = 1 << 20;

pub(crate) const INFO: Info = Info {
    name: "jsonSchema",
    description: "1 if the text is JSON that the schema allows, 0 if not; the dataset's value is the share. JSON Schema, draft 2020-12 unless $schema names another from draft-06 on; references stay within the schema; format is not asserted.",
    scale: Scale::Unit,
    row: true,
    needs_reference: false,
    needs_text: true,
    params: &[ParamInfo {
        name: "schema",
        description: "The schema, an object.",
        kind: ParamKind::Object(MAX_BYTES),
    }],
};

struct Allowed {
    validator: Validator,
    graph: SchemaGraph,
    signature: String,
}

pub(crate) fn new(params: &Params) -> Result<impl Definition + use<>, ParamError> {
    let schema = params.object("schema");
    let wrong = |found: String, allowed: &str| ParamError::new("params.schema", found, allowed);
    if let Some(named) = schema.get("$schema")
        && !DRAFTS.iter().any(|draft| named.as_str().is_some_and(|named| named.contains(draft)))
    {
        return Err(wrong(
            format!("$schema {named}"),
            "none, or one of draft-06, draft-07, 2019-09, 2020-12",
        ));
    }
    let graph = SchemaGraph::new(schema).map_err(|(found, allowed)| wrong(found, allowed))?;
    let validator = jsonschema::options()
        .should_validate_formats(false)
        .with_pattern_options(
            PatternOptions::regex().size_limit(PATTERN_LIMIT).dfa_size_limit(PATTERN_LIMIT),
        )
        .build(schema)
        .map_err(|error| {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { "the schema".to_owned() } else { place };
            wrong(format!("{place}: {}", quote(&error.to_string())), "a JSON Schema")
        })?;
    let signature = format!("schema:{:016x}|version:1", text_hash(&schema.to_string()));
    Ok(Mean(Allowed { validator, graph, signature }))
}

impl RowMetric for Allowed {
    fn value(&self, sample: &Sample<'_>) -> Result<f64, RowError> {
        let Ok(document) = serde_json::from_str::<Value>(sample.text) else { return Ok(0.0) };
        if !self.graph.is_within(BUDGET, &document) {
            return Err(RowError::TooManySteps { metric: INFO.name });
        }
        Ok(f64::from(u8::from(self.validator.is_valid(&document))))
    }

    fn signature(&self) -> String {
        self.signature.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{Metric, ParamError, Sample, TextMetric, registry};

    fn metric(schema: Value) -> Result<TextMetric, ParamError> {
        match registry::build("jsonSchema", &json!({"schema": schema}))? {
            Metric::Text(metric) => Ok(metric),
            Metric::Count(_) => panic!("jsonSchema reads texts"),
        }
    }

    fn value(metric: &TextMetric, text: &str) -> Result<f64, String> {
        let sample = Sample { text, ..Sample::default() };
        metric.row(&sample).map(|value| value.unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_text_passes_if_it_is_json_that_the_schema_allows() {
        let metric = metric(json!({
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string", "pattern": "^[A-Z]"}, "children": {"items": {"$ref": "#"}}},
            "additionalProperties": false,
        }))
        .unwrap();
        for (text, expect) in [
            (r#"{"name": "Ann"}"#, 1.0),
            (r#"{"name": "Ann", "children": [{"name": "Bo"}]}"#, 1.0),
            (r#"{"name": "Ann", "children": [{"name": "bo"}]}"#, 0.0),
            (r#"{"name": 1}"#, 0.0),
            (r#"{"name": "Ann", "age": 3}"#, 0.0),
            (r#"{"name": "Ann""#, 0.0),
            ("", 0.0),
            (&"[".repeat(100_000), 0.0),
        ] {
            assert_eq!(value(&metric, text), Ok(expect), "{}", &text[..text.len().min(60)]);
        }
    }

    #[test]
    fn a_schema_that_is_none_or_would_never_end_is_refused_by_name() {
        for (schema, part) in [
            (json!({"type": "strin"}), "params.schema"),
            (json!({"$ref": "#"}), "back to itself"),
            (json!({"$ref": "https://example.com/x"}), "within the schema"),
            (json!({"pattern": "(a"}), "params.schema"),
            (json!({"pattern": "a{1000}{1000}{1000}"}), "params.schema"),
            (json!({"description": "x".repeat(40_000)}), "bytes"),
            (json!("string"), "an object"),
        ] {
            let error = metric(schema.clone()).unwrap_err().to_string();
            assert!(error.contains(part), "{schema}: {error}");
        }
    }

    #[test]
    fn the_schema_says_which_draft_it_is_in() {
        let schema = |draft: &str| {
            let items = json!([{"type": "string"}, {"type": "integer"}]);
            json!({"$schema": format!("http://json-schema.org/{draft}/schema#"), "items": items})
        };
        let metric = metric(schema("draft-07")).unwrap();
        assert_eq!(value(&metric, r#"["a", 1]"#), Ok(1.0));
        assert_eq!(value(&metric, r#"[1, "a"]"#), Ok(0.0));
        for draft in ["draft-04", "draft-99"] {
            let error = super::tests::metric(schema(draft)).unwrap_err().to_string();
            assert!(error.contains("draft-06"), "{error}");
        }
    }

    #[test]
    fn a_text_that_would_take_for_ever_fails_its_row() {
        let twice = json!({"anyOf": [
            {"properties": {"x": {"$ref": "#"}}, "required": ["y"]},
            {"properties": {"x": {"$ref": "#"}}, "required": ["z"]},
        ]});
        let metric = metric(twice).unwrap();
        let deep = format!("{}1{}", r#"{"x":"#.repeat(100), "}".repeat(100));
        assert!(value(&metric, &deep).unwrap_err().contains("too many steps"));
        assert_eq!(value(&metric, r#"{"x": 1, "y": 2}"#), Ok(1.0));
    }
}
