//! The committed CRDs: fresh, small enough, and structural as an API server demands.

use std::path::Path;

use kube_cel::{compile_schema, estimate_rule_cost};
use serde_json::{Value, json};
use textnlp_crds::{Kind, admission, crdgen};

fn committed(kind: Kind) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(crdgen::file_name(kind));
    std::fs::read_to_string(path).expect("the CRD is committed")
}

#[test]
fn the_committed_crds_are_what_the_types_yield() {
    for kind in Kind::ALL {
        assert!(
            committed(kind) == crdgen::yaml(kind).expect("the CRD is YAML"),
            "{} is stale: run `cargo run -p textnlp-crds --bin crdgen`",
            crdgen::file_name(kind)
        );
    }
}

#[test]
fn each_crd_is_small_enough_for_kubectl_apply_as_yaml_and_as_json() {
    for kind in Kind::ALL {
        let json = crdgen::definition(kind).to_string();
        assert!(json.len() < crdgen::MAX_BYTES, "{}: {} bytes", kind.name(), json.len());
        let yaml = committed(kind);
        assert!(yaml.len() < crdgen::MAX_BYTES, "{}: {} bytes", kind.name(), yaml.len());
    }
}

#[test]
fn the_yaml_of_a_crd_reads_back_as_the_same_json() {
    for kind in Kind::ALL {
        let read: Value = serde_saphyr::from_str(&committed(kind)).expect("YAML");
        assert_eq!(read, crdgen::definition(kind));
    }
}

#[test]
fn every_node_of_a_schema_is_structural() {
    for kind in Kind::ALL {
        each_node(kind.schema(), kind.name(), &mut |path, node| {
            for forbidden in [
                "$ref",
                "nullable",
                "oneOf",
                "anyOf",
                "allOf",
                "not",
                "title",
                "uniqueItems",
                "const",
            ] {
                assert!(node.get(forbidden).is_none(), "{path} has {forbidden}");
            }
            assert!(
                !(node.get("properties").is_some() && node.get("additionalProperties").is_some()),
                "{path}"
            );
            let int_or_string = node.get("x-kubernetes-int-or-string").is_some();
            assert!(int_or_string != node.get("type").is_some(), "{path} has no type, or two");
            assert_eq!(
                node.get("type") == Some(&"array".into()),
                node.get("items").is_some(),
                "{path}"
            );
            let format = node.get("format").and_then(Value::as_str).unwrap_or("int64");
            assert!(!format.starts_with("uint") && format != "int16", "{path}: {format}");
            let Some(keys) = node.get("x-kubernetes-list-map-keys").and_then(Value::as_array)
            else {
                return;
            };
            let required = node["items"]["required"].as_array().expect("keys are required");
            assert!(keys.iter().all(|key| required.contains(key)), "{path}");
        });
    }
}

#[test]
fn every_field_of_ours_has_a_description() {
    for kind in Kind::ALL {
        each_node(kind.schema(), kind.name(), &mut |path, node| {
            let kubernetes = [
                "tolerations",
                "affinity",
                "topologySpreadConstraints",
                "resources",
                "imagePullSecrets",
                "env",
                "securityContext",
                "conditions",
            ];
            let below = kubernetes.iter().any(|name| {
                path.contains(&format!(".{name}.")) || path.contains(&format!(".{name}["))
            });
            let element = path.ends_with("[]") || path.ends_with("{}");
            let described = node
                .get("description")
                .and_then(Value::as_str)
                .is_some_and(|words| words.len() > 5);
            assert!(below || element || described, "{path} has no description");
        });
    }
}

#[test]
fn every_rule_compiles_has_a_message_and_stays_within_the_cost_that_an_api_server_allows() {
    for kind in Kind::ALL {
        let mut rules = 0;
        each_node(kind.schema(), kind.name(), &mut |path, node| {
            for rule in
                node.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten()
            {
                let text = rule["rule"].as_str().expect("a rule");
                assert!(
                    rule["message"].as_str().is_some_and(|message| !message.contains('\n')),
                    "{path}: {text}"
                );
                let schema = compile_schema(node);
                assert!(schema.validations.iter().all(Result::is_ok), "{path}: {text}");
                let warnings = estimate_rule_cost(text, &schema);
                assert!(warnings.is_empty(), "{path}: {text}: {warnings:?}");
                rules += 1;
            }
        });
        assert!(rules >= 8, "{}: {rules} rules", kind.name());
    }
}

#[test]
fn a_fresh_status_looks_unfinished_to_kstatus() {
    for kind in Kind::ALL {
        let schema = kind.schema();
        assert_eq!(schema["properties"]["status"]["default"], json!({"observedGeneration": -1}));
        assert!(schema["properties"]["status"].get("required").is_none());
    }
}

#[test]
fn defaults_are_valid_and_complete() {
    let job = json!({
        "apiVersion": "textnlp.dev/v1alpha1", "kind": "GenerationJob", "metadata": {"name": "a"},
        "spec": {"modelRef": {"name": "m"}, "columns": [{"name": "text", "prompt": "Hi"}]},
    });
    let admitted = admission::admit(Kind::GenerationJob, &job, None).expect("a small job");
    let spec = json!({
        "modelRef": {"name": "m"},
        "columns": [{"name": "text", "prompt": "Hi", "mode": "Auto"}],
        "samplesPerRecord": 1,
        "source": {"offset": 0},
        "sampling": {"temperature": 1.0, "topP": 1.0, "topK": 0, "minP": 0.0, "repetitionPenalty": 1.0, "maxTokens": 256, "stop": [], "seed": 0},
        "output": {"formats": ["JSONL"]},
        "execution": {"parallelism": 1, "backoffLimitPerShard": 3, "suspend": false},
    });
    assert_eq!(admitted["spec"], spec);
    assert_eq!(admitted["status"], json!({"observedGeneration": -1}));
    let model = json!({
        "apiVersion": "textnlp.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "a"},
        "spec": {"source": {"file": {"path": "m.gguf"}}, "engine": {}, "scaling": {"maxReplicas": 2}, "rollout": {}, "cache": {}},
    });
    let admitted = admission::admit(Kind::ModelDeployment, &model, None).expect("a small model");
    let spec = json!({
        "source": {"file": {"path": "m.gguf"}},
        "replicas": 1,
        "engine": {"dtype": "Auto", "quantization": "Auto", "kvCache": "Auto"},
        "cache": {"accessMode": "ReadWriteOnce"},
        "scaling": {"minReplicas": 0, "maxReplicas": 2, "target": {"concurrentRequests": 16}, "idleSeconds": 300, "stabilizationSeconds": 120},
        "rollout": {"maxSurge": 0, "maxUnavailable": 1, "drainSeconds": 60},
    });
    assert_eq!(admitted["spec"], spec);
}

fn each_node(node: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, node);
    for (name, property) in node.get("properties").and_then(Value::as_object).into_iter().flatten()
    {
        each_node(property, &format!("{path}.{name}"), visit);
    }
    if let Some(items) = node.get("items") {
        each_node(items, &format!("{path}[]"), visit);
    }
    if let Some(values) = node.get("additionalProperties").filter(|values| values.is_object()) {
        each_node(values, &format!("{path}{{}}"), visit);
    }
}
