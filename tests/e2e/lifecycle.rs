//! From creation to deletion: what waits, what stays, what goes, and that a converged operator is silent.

use std::time::Duration;

use serde_json::{Value, json};
use textnlp_tests::disturb::{OPERATOR, cluster, operator, together};
use textnlp_tests::{Job, Model, Space, condition, eventually, eventually_or};

#[test]
fn a_job_without_its_model_waits_and_goes_on_when_the_model_appears() {
    let _undisturbed = together();
    let space = Space::new("model-later");
    let job = Job::small("tickets").with("source/limit", json!(2));
    space.apply(&job.0);
    let message = space.until_condition("gj/tickets", "Reconciling", "True", "ModelNotFound");
    assert!(message.contains("smollm2"), "{message}");
    space.apply(&Model::small("smollm2").0);
    space.expect_local_digest(&job);
}

#[test]
fn kubectl_wait_sees_success() {
    let _undisturbed = together();
    let space = Space::new("wait");
    let job = Job::small("tickets").with("source/limit", json!(2));
    space.start(&Model::small("smollm2"), &job);
    space
        .kubectl(&["wait", "--for=condition=Succeeded", "gj/tickets", "--timeout=240s"])
        .expect(&space.picture());
    space
        .kubectl(&["wait", "--for=condition=Ready", "mdl/smollm2", "--timeout=10s"])
        .expect(&space.picture());
}

#[test]
fn an_idle_model_goes_to_zero_and_a_job_wakes_it_again() {
    let _undisturbed = together();
    let space = Space::new("from-zero");
    let scaling = json!({"minReplicas": 0, "maxReplicas": 2, "initialReplicas": 1,
        "target": {"concurrentRequests": 16}, "idleSeconds": 5, "stabilizationSeconds": 5});
    space.apply(&Model::small("smollm2").with("scaling", scaling).0);
    space.until_condition("mdl/smollm2", "Ready", "True", "Serving");
    space.until_condition("mdl/smollm2", "Ready", "True", "ScaledToZero");
    let job = Job::small("tickets").with("execution", json!({"concurrency": 16}));
    space.apply(&job.0);
    space.until("mdl/smollm2", "a replica is ready", |o| {
        o["status"]["readyReplicas"].as_i64() > Some(0)
    });
    space.expect_local_digest(&job);
    space.until_condition("mdl/smollm2", "Ready", "True", "ScaledToZero");
    space.until("mdl/smollm2", "no server runs", |_| space.running("server").is_empty());
}

#[test]
fn deleting_a_job_and_a_model_leaves_no_child_and_keeps_the_rows_as_asked() {
    let _undisturbed = together();
    let space = Space::new("deleted");
    let short = |name: &str, when: &str| {
        Job::small(name)
            .with("source/limit", json!(1))
            .with("output/destination/claim/whenDeleted", json!(when))
    };
    let (kept, gone) = (short("kept", "Retain"), short("gone", "Delete"));
    space.start(&Model::small("smollm2"), &kept);
    space.apply(&gone.0);
    space.expect_local_digest(&kept);
    space.expect_local_digest(&gone);
    let claims = || space.list("pvc", "app.kubernetes.io/managed-by=textnlp-operator");
    assert_eq!(claims().len(), 2, "{}", space.picture());
    space.kubectl(&["delete", "gj/kept", "gj/gone", "mdl/smollm2"]).expect("kubectl delete");
    eventually("the children are gone", || {
        let answer = space.kubectl(&[
            "get", "jobs,pods,deployments,services,configmaps,poddisruptionbudgets,networkpolicies,serviceaccounts",
            "--selector", "app.kubernetes.io/managed-by=textnlp-operator", "--output", "name",
        ]);
        if answer.stdout.trim().is_empty() { Ok(()) } else { Err(answer.stdout) }
    });
    let kept_alone = || {
        let left = claims();
        let owner =
            |claim: &Value| claim["metadata"]["annotations"]["textnlp.dev/owner-name"] == "kept";
        (left.len() == 1 && left.iter().all(owner)).then_some(())
    };
    eventually_or("one claim is left", kept_alone, || space.picture());
}

#[test]
fn a_model_that_moves_to_another_server_leaves_nothing_of_ours_behind() {
    let _undisturbed = together();
    let space = Space::new("moves");
    space.apply(&Model::small("claimed").0);
    // No hub can be reached from here: the fetch fails, after the cache was made.
    let hub = json!({"huggingFace": {"repo": "nobody/nothing", "endpoint": "http://198.51.100.1"}});
    let fetched = Model::small("fetched").with("source", hub).with("cache", json!({"size": "1Gi"}));
    space.apply(&fetched.0);
    space.until_condition("mdl/claimed", "Ready", "True", "");
    let kinds =
        "deployments,services,serviceaccounts,networkpolicies,poddisruptionbudgets,jobs,pvc";
    let children = || space.list(kinds, "app.kubernetes.io/managed-by=textnlp-operator");
    let kinds_of = |children: &[Value]| -> Vec<String> {
        children.iter().map(|child| child["kind"].as_str().unwrap_or_default().to_owned()).collect()
    };
    eventually("both models have their children", || {
        let found = kinds_of(&children());
        let wanted = ["Deployment", "PodDisruptionBudget", "PersistentVolumeClaim"];
        let all = wanted.iter().all(|kind| found.iter().any(|other| other == kind));
        if all { Ok(()) } else { Err(format!("{found:?}")) }
    });
    let elsewhere = json!({"external": {"endpoint": "http://192.0.2.1:8000", "model": "theirs"}});
    for model in ["claimed", "fetched"] {
        let moved = Model(json!({
            "apiVersion": "textnlp.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": model},
            "spec": {"source": elsewhere.clone()}
        }));
        space.apply(&moved.0);
    }
    eventually("no child is left", || {
        let found = kinds_of(&children());
        if found.is_empty() { Ok(()) } else { Err(format!("{found:?}")) }
    });
    space.until_condition("mdl/claimed", "Ready", "True", "External");
}

#[test]
fn a_converged_operator_writes_nothing_but_its_lease_for_a_minute() {
    let _undisturbed = together();
    let _operator = operator();
    let space = Space::new("silent");
    let job = Job::small("tickets").with("source/limit", json!(1));
    space.start(&Model::small("smollm2"), &job);
    space.expect_local_digest(&job);
    std::thread::sleep(Duration::from_secs(60)); // the last figures of the run
    let log = cluster(&["audit"]);
    let before = std::fs::read_to_string(log.trim()).expect("the audit log").lines().count();
    std::thread::sleep(Duration::from_secs(60));
    let text = std::fs::read_to_string(log.trim()).expect("the audit log");
    let lines: Vec<Value> =
        text.lines().skip(before).filter_map(|line| serde_json::from_str(line).ok()).collect();
    let ours = |line: &&Value| {
        line["user"]["username"]
            .as_str()
            .is_some_and(|user| user.contains("serviceaccount:textnlp-system"))
            // Other tests' objects have not converged.
            && [space.name(), OPERATOR].iter().any(|name| line["objectRef"]["namespace"] == *name)
    };
    assert!(lines.iter().any(|line| ours(&line)), "the audit log shows the operator at all");
    let writes: Vec<&Value> = lines
        .iter()
        .filter(ours)
        .filter(|line| {
            !["get", "list", "watch"].contains(&line["verb"].as_str().unwrap_or_default())
        })
        .filter(|line| line["objectRef"]["resource"] != "leases")
        .collect();
    assert!(writes.is_empty(), "{writes:#?}");
}

#[test]
fn an_event_that_comes_again_is_counted_in_the_first_one() {
    let _undisturbed = together();
    let _operator = operator(); // it counts in memory
    let space = Space::new("series");
    space.apply(&Job::small("tickets").with("execution", json!({"suspend": true})).0);
    space.until_condition("gj/tickets", "Suspended", "True", "Suspended");
    space.patch("gj/tickets", json!({"spec": {"execution": {"suspend": false}}}));
    space.until_condition("gj/tickets", "Reconciling", "True", "ModelNotFound");
    // What repeats within a minute is not written.
    std::thread::sleep(Duration::from_secs(61));
    space.patch("gj/tickets", json!({"spec": {"execution": {"suspend": true}}}));
    space.until_condition("gj/tickets", "Suspended", "True", "Suspended");
    eventually("the event is counted", || {
        let events = space.list("events.events.k8s.io", "");
        let suspended: Vec<&Value> =
            events.iter().filter(|event| event["reason"] == "Suspended").collect();
        match suspended.as_slice() {
            [only] if only["series"]["count"] == 2 => Ok(()),
            other => Err(format!("{other:#?}")),
        }
    });
}

#[test]
fn conditions_never_say_reconciling_and_stalled_at_once() {
    let _undisturbed = together();
    let space = Space::new("kstatus");
    let job = Job::small("tickets")
        .with("source/limit", json!(2))
        .with("validation/gates/0", json!({"metric": "acceptedRows", "min": 1000}));
    space.start(&Model::small("smollm2"), &job);
    let failed = space.until("gj/tickets", "the gate fails", |o| {
        let both =
            ["Reconciling", "Stalled"].iter().all(|kind| condition(o, kind)["status"] == "True");
        assert!(!both, "{o}");
        o["status"]["phase"] == "Failed"
    });
    assert_eq!(condition(&failed, "Stalled")["status"], "True");
    assert_eq!(condition(&failed, "Validated")["status"], "False");
    assert_eq!(condition(&failed, "Succeeded")["status"], "False");
}
