//! Jobs in the queue of the real Kueue.

use serde_json::json;
use textnlp_tests::disturb::together;
use textnlp_tests::kueue::{Kueue, LOCAL_QUEUE, URGENT};
use textnlp_tests::{Job, Model, Space, condition};

/// All namespaces of these tests.
const NAMESPACES: [&str; 2] = ["e2e-quota", "e2e-preempted"];
/// The whole quota; each of the job's pods takes it.
const QUOTA: &str = "100m";

/// A job whose pods ask for the whole quota.
fn queued() -> Job {
    let resources = json!({"requests": {"cpu": QUOTA, "memory": "64Mi"}});
    Job::small("tickets").with(
        "execution",
        json!({"queueName": LOCAL_QUEUE, "concurrency": 2, "pod": {"resources": resources}}),
    )
}

fn until_admitted(space: &Space, job: &str) {
    space.until(&format!("job/{job}"), "it is admitted", |o| o["spec"]["suspend"] == false);
}

#[test]
fn a_job_waits_for_quota_says_so_and_goes_on_when_there_is_some() {
    let kueue = Kueue::install(&NAMESPACES);
    let _undisturbed = together();
    let space = Space::new("quota");
    kueue.queue(&space, QUOTA);
    space.apply(&kueue.occupant("occupant", QUOTA, None));
    until_admitted(&space, "occupant");

    let scaling = json!({"minReplicas": 0, "maxReplicas": 1, "initialReplicas": 0,
        "target": {"concurrentRequests": 16}, "idleSeconds": 5, "stabilizationSeconds": 5});
    let job = queued();
    space.start(&Model::small("smollm2").with("scaling", scaling), &job);
    space.until_condition("gj/tickets", "Suspended", "True", "WaitingForQuota");
    let said = space.until("gj/tickets", "it says what Kueue says", |o| {
        let message = condition(o, "Suspended")["message"].clone();
        message.as_str().is_some_and(|message| message.contains("insufficient"))
    });
    assert_eq!(said["status"]["phase"], "Suspended", "{said}");
    assert_eq!(condition(&said, "Reconciling")["reason"], "WaitingForQuota", "{said}");
    let message = condition(&said, "Suspended")["message"].to_string();
    assert!(message.contains("cpu"), "the resource is named: {message}");
    assert!(
        space.running("server").is_empty(),
        "a model is not woken for a job that is not admitted"
    );

    space.kubectl(&["delete", "job", "occupant"]).expect("kubectl delete");
    let done = space.expect_local_digest(&job);
    assert_eq!(condition(&done, "Suspended")["status"], "False", "{done}");
}

#[test]
fn a_job_that_is_preempted_keeps_its_rows_and_goes_on_afterwards() {
    let kueue = Kueue::install(&NAMESPACES);
    let _undisturbed = together();
    let space = Space::new("preempted");
    kueue.queue(&space, QUOTA);
    let job = queued();
    space.start(&Model::small("smollm2"), &job);
    space.until_half_done(&job);

    space.apply(&kueue.occupant("urgent", QUOTA, Some(URGENT)));
    until_admitted(&space, "urgent");
    space.until_condition("gj/tickets", "Suspended", "True", "WaitingForQuota");
    space.until("gj/tickets", "all workers are gone", |_| space.running("worker").is_empty());
    let stopped = space.get("gj/tickets");
    assert_ne!(stopped["status"]["phase"], "Failed", "{stopped}");

    space.kubectl(&["delete", "job", "urgent"]).expect("kubectl delete");
    space.expect_local_digest(&job);
}
