//! What may change in a job that has started, and what may not.

use serde_json::{Value, json};
use textnlp_crds::{Kind, admission};

fn job() -> Value {
    json!({
        "apiVersion": "textnlp.dev/v1alpha1",
        "kind": "GenerationJob",
        "metadata": {"name": "tickets"},
        "spec": {
            "modelRef": {"name": "m"},
            "source": {"inline": {"records": [{"a": 1, "b": null}]}, "limit": 10},
            "samplesPerRecord": 2,
            "constants": {"k": [1, {"deep": true}]},
            "attributes": [{"name": "tone", "choice": {"values": ["x", "y"]}}],
            "sampling": {"temperature": 0.8},
            "columns": [{"name": "text", "prompt": "Hi"}],
        },
    })
}

/// The answer to a change of the field at `pointer`; a null removes it.
fn change(started: bool, pointer: &str, value: Value) -> String {
    let mut old = job();
    old["status"] = match started {
        true => json!({"observedGeneration": 1, "startTime": "2026-11-24T18:00:00Z"}),
        false => json!({"observedGeneration": 1}),
    };
    let mut new = job();
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
    let parent = new.pointer_mut(parent).and_then(Value::as_object_mut).expect("a parent");
    if value.is_null() {
        parent.shift_remove(field);
    } else {
        parent.insert(field.into(), value);
    }
    match admission::admit(Kind::GenerationJob, &new, Some(&old)) {
        Ok(admitted) => {
            assert_eq!(admitted["status"], old["status"], "the status is the stored one");
            "accepted".into()
        }
        Err(causes) => causes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn what_decides_the_rows_is_frozen_once_the_job_has_started() {
    let frozen = [
        ("/spec/modelRef", json!({"name": "other"})),
        ("/spec/source/inline", json!({"records": [{"a": 2, "b": null}]})),
        ("/spec/source/format", json!("CSV")),
        ("/spec/source/offset", json!(1)),
        ("/spec/constants", json!({"k": [1, {"deep": false}]})),
        ("/spec/constants", Value::Null),
        ("/spec/attributes", json!([{"name": "tone", "choice": {"values": ["x"]}}])),
        ("/spec/attributes", Value::Null),
        ("/spec/sampling", json!({"temperature": 0.8, "seed": 1})),
        ("/spec/columns", json!([{"name": "text", "prompt": "Ho"}])),
    ];
    for (pointer, value) in frozen {
        let path = pointer.trim_start_matches('/').replace('/', ".");
        let answer = change(true, pointer, value.clone());
        let ending = "field is immutable once the job has started: make a new job, or delete this one and create it again";
        assert!(answer.starts_with(&format!("{path}: Invalid value: ")), "{answer}");
        assert!(answer.ends_with(ending), "{answer}");
        assert_eq!(answer.lines().count(), 1, "{answer}");
        assert_eq!(change(false, pointer, value), "accepted", "{pointer} before the start");
    }
    // From one kind of source to another: both are named.
    let answer = change(true, "/spec/source", json!({"file": {"path": "a.csv"}, "limit": 10}));
    let paths: Vec<&str> = answer.lines().filter_map(|line| line.split(": ").next()).collect();
    assert_eq!(paths, ["spec.source.inline", "spec.source.file"]);
}

#[test]
fn limit_and_samples_may_only_grow() {
    assert_eq!(change(true, "/spec/source/limit", json!(11)), "accepted");
    assert_eq!(change(true, "/spec/source/limit", Value::Null), "accepted");
    assert_eq!(
        change(true, "/spec/source/limit", json!(9)),
        "spec.source.limit: Invalid value: 9: limit can only be raised once the job has started"
    );
    assert_eq!(change(true, "/spec/samplesPerRecord", json!(3)), "accepted");
    assert_eq!(
        change(true, "/spec/samplesPerRecord", json!(1)),
        "spec.samplesPerRecord: Invalid value: 1: samplesPerRecord can only be raised once the job has started"
    );
    assert_eq!(change(false, "/spec/samplesPerRecord", json!(1)), "accepted");
}

#[test]
fn what_only_judges_or_runs_the_rows_may_change_at_any_time() {
    let free = [
        ("/spec/validation", json!({"gates": [{"metric": "failedRate", "max": 0.5}]})),
        ("/spec/output", json!({"formats": ["CSV"]})),
        ("/spec/execution", json!({"suspend": true, "parallelism": 7})),
        ("/metadata/labels", json!({"team": "nlp"})),
    ];
    for (pointer, value) in free {
        assert_eq!(change(true, pointer, value), "accepted", "{pointer}");
    }
}

#[test]
fn a_default_written_out_is_no_change() {
    let sampling = json!({"temperature": 0.8, "topP": 1, "maxTokens": 256, "stop": [], "seed": 0});
    assert_eq!(change(true, "/spec/sampling", sampling), "accepted");
}
