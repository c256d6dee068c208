//! What the API server itself refuses, in the words and with the path that a user can act on.

use serde_json::{Value, json};
use textnlp_tests::disturb::together;
use textnlp_tests::{Job, Space, kubectl};

/// A change of the small job, and what the refusal must name.
fn cases() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("sampling/maxTokens", json!(0), "spec.sampling.maxTokens"),
        ("sampling/maxTokens", json!(-1), "spec.sampling.maxTokens"),
        ("sampling/maxTokens", json!(2_147_483_648_i64), "spec.sampling.maxTokens"),
        ("sampling/maxTokens", json!("many"), "spec.sampling.maxTokens"),
        ("sampling/temperature", json!(-0.1), "spec.sampling.temperature"),
        ("sampling/temperature", json!(2.1), "spec.sampling.temperature"),
        ("sampling/topP", json!(0), "spec.sampling.topP"),
        ("sampling/topP", json!(1.1), "spec.sampling.topP"),
        ("sampling/topK", json!(-1), "spec.sampling.topK"),
        ("execution", json!({"parallelism": 0}), "spec.execution.parallelism"),
        ("execution", json!({"parallelism": -1}), "spec.execution.parallelism"),
        ("execution", json!({"parallelism": 1_000_000}), "spec.execution.parallelism"),
        ("source/configMap", json!({"name": "a", "key": "b.csv"}), "spec.source"),
        ("output/destination/objectStore", json!({"uri": "s3://b/p/"}), "spec.output.destination"),
        ("columns/0/mode", json!("chat"), "spec.columns[0].mode"),
        ("columns/1/name", json!("ticket"), "spec.columns[1]"),
        ("source/inline/records", json!(vec![json!({"a": 1}); 1001]), "spec.source.inline.records"),
        ("colums", json!([]), "colums"),
        ("columns", Value::Null, "spec.columns"),
        (
            "output/destination",
            json!({"directory": {"path": "../x"}}),
            "spec.output.destination.directory.path",
        ),
        (
            "output/destination",
            json!({"directory": {"path": "/x"}}),
            "spec.output.destination.directory.path",
        ),
        (
            "output/destination",
            json!({"persistentVolumeClaim": {"claimName": "c", "path": "a/../../b"}}),
            "spec.output.destination.persistentVolumeClaim.path",
        ),
    ]
}

#[test]
fn the_api_server_refuses_what_can_never_work_and_names_the_field() {
    let _undisturbed = together();
    let space = Space::empty("admission");
    for (pointer, value, path) in cases() {
        let job = Job::small("refused").with(pointer, value.clone());
        let answer = textnlp_tests::run_with_input(
            "kubectl",
            &[
                "--namespace",
                space.name(),
                "create",
                "--dry-run=server",
                "--validate=strict",
                "-f",
                "-",
            ],
            &job.0.to_string(),
        );
        assert!(!answer.ok(), "{pointer} = {value} was accepted");
        assert!(answer.stderr.contains(path), "{pointer} = {value}: {}", answer.stderr);
    }
    let empty = json!({"apiVersion": "textnlp.dev/v1alpha1", "kind": "GenerationJob", "metadata": {"name": "empty"}, "spec": {}});
    let answer = space.try_apply(&empty);
    assert!(!answer.ok() && answer.stderr.contains("spec.columns"), "{}", answer.stderr);
}

#[test]
fn a_fresh_object_does_not_look_finished() {
    let _undisturbed = together();
    let space = Space::empty("fresh");
    space.apply(&Job::small("tickets").0);
    let fresh = space.get("gj/tickets");
    assert!(fresh["status"]["observedGeneration"].as_i64().is_some(), "{fresh}");
}

#[test]
fn the_definitions_are_small_enough_for_a_plain_apply() {
    let _undisturbed = together();
    for name in ["generationjobs.textnlp.dev", "modeldeployments.textnlp.dev"] {
        let definition =
            kubectl(&["get", "crd", name, "--output", "json"]).expect("the definition");
        let object: Value = serde_json::from_str(&definition).expect("JSON");
        assert!(object["spec"].to_string().len() < 200_000, "{name}");
    }
}

#[test]
fn a_frozen_field_cannot_change_after_the_start() {
    let _undisturbed = together();
    let space = Space::new("frozen");
    let job = Job::small("tickets").with("source/limit", json!(1));
    space.start(&textnlp_tests::Model::small("smollm2"), &job);
    space.until("gj/tickets", "it has started", |o| !o["status"]["startTime"].is_null());
    let answer = space.try_apply(&job.with("sampling/seed", json!(8)).0);
    assert!(!answer.ok() && answer.stderr.contains("spec.sampling"), "{}", answer.stderr);
}
