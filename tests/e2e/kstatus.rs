//! What Helm, Flux and Argo CD compute from our conditions, with the library that they use.

use std::sync::OnceLock;

use serde_json::json;
use textnlp_tests::disturb::together;
use textnlp_tests::{Job, Model, Space, run, run_with_input};

/// The program of `tests/kstatus`, built once.
fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/kstatus");
        let path = std::env::temp_dir().join(format!("textnlp-kstatus-{}", std::process::id()));
        let path = path.display().to_string();
        run("go", &["build", "-C", sources, "-o", &path, "."]).expect("go build");
        path
    })
}

#[track_caller]
fn computed(space: &Space, object: &str) -> String {
    let answer = run_with_input(program(), &[], &space.get(object).to_string()).expect("kstatus");
    answer.split('\t').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn the_status_of_live_objects_is_what_the_page_says() {
    let _undisturbed = together();
    let space = Space::new("kstatus-live");
    let zero = json!({"minReplicas": 0, "maxReplicas": 1, "initialReplicas": 0,
        "target": {"concurrentRequests": 16}, "idleSeconds": 600, "stabilizationSeconds": 60});
    let job = Job::small("tickets").with("execution", json!({"suspend": true, "concurrency": 1}));
    space.apply(&job.0);
    space.until_condition("gj/tickets", "Suspended", "True", "");
    assert_eq!(computed(&space, "gj/tickets"), "Current", "suspended");

    space.apply(&Model::small("smollm2").with("scaling", zero).0);
    assert_eq!(computed(&space, "mdl/smollm2"), "InProgress", "a fresh model");
    space.until_condition("mdl/smollm2", "Ready", "True", "ScaledToZero");
    assert_eq!(computed(&space, "mdl/smollm2"), "Current", "at zero by policy");

    space.patch("gj/tickets", json!({"spec": {"execution": {"suspend": false}}}));
    for phase in ["Preparing", "WaitingForModel", "Running"] {
        space.until("gj/tickets", phase, |o| o["status"]["phase"] == phase);
        assert_eq!(computed(&space, "gj/tickets"), "InProgress", "{phase}");
    }
    space.expect_local_digest(&job);
    assert_eq!(computed(&space, "gj/tickets"), "Current", "succeeded");

    let never = Job::small("never").with("source", json!({"file": {"path": "records.csv"}}));
    space.apply(&never.0);
    space.until_condition("gj/never", "Stalled", "True", "");
    assert_eq!(computed(&space, "gj/never"), "Failed");

    space.patch("gj/never", json!({"metadata": {"finalizers": ["example.com/held"]}}));
    space.kubectl(&["delete", "gj/never", "--wait=false"]).expect("kubectl delete");
    assert_eq!(computed(&space, "gj/never"), "Terminating");
    space.patch("gj/never", json!({"metadata": {"finalizers": null}}));
}
