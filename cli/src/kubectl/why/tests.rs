//! Chains, from the objects of a namespace as JSON.

use serde_json::{Value, json};
use textnlp_crds::task::labels;

use super::world::World;
use super::{Found, explain, remedy};
use crate::kubectl::testing::{condition, job, model, read};

/// Holds a chain against `OBJECT REASON words of the message`, and its remedy against words of it.
#[track_caller]
fn check(subject: Found, world: World, expect: &[(&str, &str, &str)], to_do: &str) {
    let world = World { namespace: "shop".into(), ..world };
    let steps = explain(&subject, &world);
    let found: Vec<(&str, &str)> =
        steps.iter().map(|step| (step.what.as_str(), step.reason.as_str())).collect();
    let wanted: Vec<(&str, &str)> =
        expect.iter().map(|(what, reason, _)| (*what, *reason)).collect();
    assert_eq!(found, wanted, "{steps:#?}");
    for (step, (_, _, words)) in steps.iter().zip(expect) {
        assert!(step.message.contains(words), "{:?} does not say {words:?}", step.message);
    }
    let remedy = remedy(&world, &steps).unwrap_or_default();
    assert!(remedy.contains(to_do), "{remedy:?} does not say {to_do:?}");
}

fn a_job(status: Value) -> Found {
    Found::Job(Box::new(job(json!({}), status)))
}

fn a_model(status: Value) -> Found {
    Found::Model(Box::new(model(status)))
}

/// The status of an unfinished job.
fn unfinished(phase: &str, reason: &str, message: &str) -> Value {
    json!({"observedGeneration": 1, "phase": phase, "conditions": [condition("Reconciling", "True", reason, message)]})
}

/// The status of a model that does not answer.
fn not_ready(reason: &str) -> Value {
    json!({"observedGeneration": 1, "readyReplicas": 0, "conditions": [condition("Ready", "False", reason, "")]})
}

fn child_job<T: serde::de::DeserializeOwned>(component: &str, spec: Value, status: Value) -> T {
    let (label, uid) = match component {
        "fetch" => (labels::MODEL_UID, "u-model"),
        _ => (labels::JOB_UID, "u-job"),
    };
    read(json!({
        "metadata": {"name": format!("x-{component}"), "uid": "u-child", "creationTimestamp": "2026-01-01T00:02:00Z",
            "labels": {label: uid, labels::COMPONENT: component, "kueue.x-k8s.io/queue-name": "gpu"}},
        "spec": spec, "status": status,
    }))
}

fn deployment<T: serde::de::DeserializeOwned>(conditions: Value) -> T {
    read(json!({
        "metadata": {"name": "mdl-x", "uid": "u-deployment",
            "labels": {labels::MODEL_UID: "u-model", labels::COMPONENT: "server"}},
        "spec": {"replicas": 1, "selector": {}, "template": {}}, "status": {"conditions": conditions},
    }))
}

/// A pod of the child Job, or a server of the model: it has both marks.
fn pod<T: serde::de::DeserializeOwned>(status: Value) -> T {
    read(json!({
        "metadata": {"name": "p", "uid": "u-pod", "creationTimestamp": "2026-01-01T00:02:00Z",
            "labels": {labels::MODEL_UID: "u-model", labels::COMPONENT: "server"},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "x", "uid": "u-child"}]},
        "spec": {"nodeName": "node-1", "containers": [{"name": "textnlp",
                "resources": {"limits": {"nvidia.com/gpu": "1"}}}],
            "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}]},
        "status": status,
    }))
}

fn container(state: Value, last_state: Value) -> Value {
    json!([{"name": "textnlp", "image": "a:1", "imageID": "", "ready": false, "restartCount": 3,
        "state": state, "lastState": last_state}])
}

fn event<T: serde::de::DeserializeOwned>(uid: &str, reason: &str, message: &str) -> T {
    read(json!({
        "metadata": {"name": "e"}, "type": if reason == "Pulling" { "Normal" } else { "Warning" },
        "involvedObject": {"uid": uid}, "reason": reason, "message": message,
        "lastTimestamp": "2026-01-01T00:03:00Z",
    }))
}

#[test]
fn a_job_that_nobody_looks_at_asks_for_the_operator() {
    let world = World::default();
    check(
        a_job(json!({"observedGeneration": -1})),
        world,
        &[("gj/tickets", "Unseen", "")],
        "is the operator running",
    );
}

#[test]
fn a_job_whose_model_is_not_there_names_those_that_are() {
    let mut other = model(json!({}));
    other.metadata.name = Some("smollm3".into());
    let world = World { models: vec![other], ..World::default() };
    check(
        a_job(unfinished("Pending", "ModelNotFound", "there is no model smollm2")),
        world,
        &[
            ("gj/tickets", "ModelNotFound", "smollm2"),
            ("mdl/smollm2", "ModelNotFound", "there are: smollm3"),
        ],
        "apply the ModelDeployment",
    );
}

#[test]
fn an_image_is_followed_from_the_job_through_the_model_to_the_pod() {
    let waiting = json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}});
    let status = json!({"phase": "Pending", "containerStatuses": container(waiting, json!({}))});
    let world = World {
        models: vec![model(not_ready("ImagePullFailed"))],
        deployments: vec![deployment(json!([]))],
        pods: vec![pod(status)],
        ..World::default()
    };
    check(
        a_job(unfinished("WaitingForModel", "ModelNotReady", "smollm2 does not answer")),
        world,
        &[
            ("gj/tickets", "ModelNotReady", "does not answer"),
            ("mdl/smollm2", "ImagePullFailed", ""),
            ("deployment/mdl-x", "ServersNotReady", "0 of 1"),
            ("pod/p", "ImagePullFailed", "waits (on node-1): ErrImagePull"),
            ("image a:1", "ImagePullFailed", "not found"),
        ],
        "push the image",
    );
}

#[test]
fn a_device_that_no_node_has_is_followed_to_the_nodes() {
    let message =
        "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate.";
    let unscheduled = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": message, "lastTransitionTime": "2026-01-01T00:02:00Z"}]});
    let world = World {
        deployments: vec![deployment(json!([]))],
        pods: vec![pod(unscheduled)],
        nodes: vec![read(
            json!({"metadata": {"name": "node-1"}, "status": {"allocatable": {"cpu": "2"}}}),
        )],
        ..World::default()
    };
    check(
        a_model(not_ready("Unschedulable")),
        world,
        &[
            ("mdl/smollm2", "Unschedulable", ""),
            ("deployment/mdl-x", "ServersNotReady", ""),
            ("pod/p", "Unschedulable", "Insufficient nvidia.com/gpu"),
            (
                "nodes",
                "Unschedulable",
                "asks for 1; of nvidia.com/gpu the nodes have in all: node-1 none",
            ),
        ],
        "add a node that fits",
    );
}

fn unbound(claims: Vec<Value>, unread: Vec<String>) -> World {
    let message = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
    let status = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": message}]});
    World {
        jobs: vec![child_job("fetch", json!({"template": {}}), json!({"active": 1}))],
        pods: vec![pod(status)],
        claims: claims.into_iter().map(read).collect(),
        events: vec![event("u-claim", "ProvisioningFailed", "storageclass fast not found")],
        unread,
        ..World::default()
    }
}

#[test]
fn a_claim_that_is_not_bound_says_what_it_asks_for_and_what_its_events_say() {
    let chain = |last: Option<(&'static str, &'static str, &'static str)>| {
        let mut chain = vec![
            ("mdl/smollm2", "ClaimNotBound", ""),
            ("job/x-fetch", "PodsNotReady", "1 active"),
            ("pod/p", "ClaimNotBound", "unbound immediate"),
        ];
        chain.extend(last);
        chain
    };
    let pending = json!({"metadata": {"name": "models", "uid": "u-claim"}, "status": {"phase": "Pending"},
        "spec": {"storageClassName": "fast", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let said = "Pending, asks for 1Gi ReadWriteOnce of storage class fast; ProvisioningFailed: storageclass fast not found";
    let subject = || a_model(not_ready("ClaimNotBound"));
    let expect = chain(Some(("pvc/models", "ClaimNotBound", said)));
    check(
        subject(),
        unbound(vec![pending], vec![]),
        &expect,
        "kubectl describe pvc/models -n shop",
    );
    let expect = chain(Some(("pvc/models", "ClaimNotFound", "no such claim")));
    check(subject(), unbound(vec![], vec![]), &expect, "create the claim");
    // What may not be read is not said to be missing.
    let unread = vec!["permission is missing: list persistentvolumeclaims".to_owned()];
    check(subject(), unbound(vec![], unread), &chain(None), "make a volume");
}

#[test]
fn what_only_events_tell_is_told() {
    let check_event = |reason: &str, message: &str, expect: &[(&str, &str, &str)], to_do: &str| {
        let creating = json!({"waiting": {"reason": "ContainerCreating"}});
        let status =
            json!({"phase": "Pending", "containerStatuses": container(creating, json!({}))});
        let world = World {
            jobs: vec![child_job("prepare", json!({"template": {}}), json!({"active": 1}))],
            pods: vec![pod(status)],
            claims: vec![read(
                json!({"metadata": {"name": "models"}, "status": {"phase": "Bound"}}),
            )],
            events: vec![
                event("u-pod", reason, message),
                event("u-other", "FailedMount", "somebody else's"),
            ],
            ..World::default()
        };
        let chain = [("gj/tickets", "Preparing", ""), ("job/x-prepare", "PodsNotReady", "")];
        let chain: Vec<_> = chain.into_iter().chain(expect.iter().copied()).collect();
        check(a_job(unfinished("Preparing", "Preparing", "")), world, &chain, to_do);
    };
    check_event(
        "FailedMount",
        "MountVolume.SetUp failed for volume \"s\" : secret \"keys\" not found",
        &[
            ("pod/p", "SecretMissing", "not found (on node-1)"),
            ("secret/keys", "SecretMissing", ""),
        ],
        "create the Secret in the namespace shop",
    );
    check_event(
        "FailedMount",
        "configmap \"products\" not found",
        &[("pod/p", "ConfigMapNotFound", ""), ("configmap/products", "ConfigMapNotFound", "")],
        "create the ConfigMap",
    );
    check_event(
        "FailedAttachVolume",
        "Multi-Attach error for volume \"pvc-1\"",
        &[("pod/p", "ClaimNotBound", "Multi-Attach")],
        "let go by pods on other nodes",
    );
    check_event(
        "Pulling",
        "Pulling image \"a:1\"",
        &[("pod/p", "PullingImage", "a:1")],
        "pulling the image",
    );
}

#[test]
fn a_quota_is_shown_with_what_is_used_of_it() {
    let refused = "pods \"p\" is forbidden: exceeded quota: few, requested: pods=1, used: pods=2, limited: pods=2";
    let quota = || {
        vec![read(
            json!({"metadata": {"name": "few"}, "status": {"hard": {"pods": "2"}, "used": {"pods": "2"}}}),
        )]
    };
    let world = World {
        jobs: vec![child_job("worker", json!({"template": {}}), json!({}))],
        events: vec![event("u-child", "FailedCreate", refused)],
        quotas: quota(),
        ..World::default()
    };
    check(
        a_job(unfinished("Running", "QuotaExceeded", "")),
        world,
        &[
            ("gj/tickets", "QuotaExceeded", ""),
            ("job/x-worker", "QuotaExceeded", "exceeded quota: few"),
            ("quota/few", "QuotaExceeded", "used: pods 2 of 2"),
        ],
        "raise the quota",
    );
    let failure = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": refused}]);
    let world =
        World { deployments: vec![deployment(failure)], quotas: quota(), ..World::default() };
    check(
        a_model(not_ready("QuotaExceeded")),
        world,
        &[
            ("mdl/smollm2", "QuotaExceeded", ""),
            ("deployment/mdl-x", "QuotaExceeded", ""),
            ("quota/few", "QuotaExceeded", "pods 2 of 2"),
        ],
        "raise the quota",
    );
}

#[test]
fn a_queue_is_followed_to_kueues_workload() {
    let workload = json!({"metadata": {"name": "w", "ownerReferences": [{"uid": "u-child"}]}, "status": {"conditions": [
        {"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": "insufficient unused quota for cpu",
            "lastTransitionTime": "2026-01-01T00:02:00Z"}]}});
    let chain = |workload: Option<Value>, expect: &[(&str, &str, &str)]| {
        let world = World {
            jobs: vec![child_job("prepare", json!({"suspend": true, "template": {}}), json!({}))],
            workloads: workload.into_iter().collect(),
            ..World::default()
        };
        check(
            a_job(unfinished("Pending", "WaitingForQuota", "")),
            world,
            expect,
            "kubectl get localqueues -n shop",
        );
    };
    let job = [
        ("gj/tickets", "WaitingForQuota", ""),
        ("job/x-prepare", "WaitingForQuota", "the queue gpu"),
    ];
    chain(None, &job);
    let told = ("workload/w", "WaitingForQuota", "Pending: insufficient unused quota for cpu");
    chain(Some(workload), &[job[0], job[1], told]);
}

#[test]
fn a_container_that_keeps_ending_tells_its_own_words() {
    let check_crash = |terminated: Value, expect: (&str, &str, &str), to_do: &str| {
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let statuses = container(waiting, json!({"terminated": terminated}));
        let world = World {
            deployments: vec![deployment(json!([]))],
            pods: vec![pod(json!({"phase": "Running", "containerStatuses": statuses}))],
            ..World::default()
        };
        let chain =
            [("mdl/smollm2", "CrashLoop", ""), ("deployment/mdl-x", "ServersNotReady", ""), expect];
        check(a_model(not_ready("CrashLoop")), world, &chain, to_do);
    };
    let said = r#"{"failed": {"reason": "InvalidModel", "message": "the file is truncated"}}"#;
    check_crash(
        json!({"exitCode": 2, "message": said}),
        (
            "pod/p",
            "InvalidModel",
            "exit code 2: the file is truncated; 3 time(s) so far (on node-1)",
        ),
        "put a whole model file there",
    );
    check_crash(
        json!({"exitCode": 137, "reason": "OOMKilled"}),
        ("pod/p", "OutOfMemory", "exit code 137"),
        "raise the memory limit",
    );
    check_crash(
        json!({"exitCode": 1, "reason": "Error"}),
        ("pod/p", "CrashLoop", "exit code 1"),
        "kubectl textnlp logs mdl/smollm2",
    );
}

#[test]
fn a_job_that_failed_is_followed_to_the_pod_that_failed_first() {
    let status = json!({
        "phase": "Failed", "conditions": [condition("Stalled", "True", "InvalidSpec", "spec.columns[0].prompt: no end")],
        "failure": {"reason": "InvalidSpec", "message": "spec.columns[0].prompt: no end", "pod": "gj-p", "exitCode": 2},
    });
    check(
        a_job(status),
        World::default(),
        &[
            ("gj/tickets", "InvalidSpec", "prompt"),
            ("pod/gj-p", "InvalidSpec", "exit code 2: spec.columns"),
        ],
        "correct the field",
    );
}

#[test]
fn what_is_as_it_should_be_says_so() {
    let suspended = Found::Job(Box::new(job(
        json!({"execution": {"suspend": true}}),
        unfinished("Suspended", "X", ""),
    )));
    check(suspended, World::default(), &[("gj/tickets", "X", "")], "");
    let ready = json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:02:00Z"}],
        "phase": "Running"});
    let world = World {
        jobs: vec![child_job("worker", json!({"template": {}}), json!({"active": 1}))],
        pods: vec![pod(ready)],
        models: vec![model(
            json!({"readyReplicas": 1, "conditions": [condition("Ready", "True", "Serving", "")]}),
        )],
        ..World::default()
    };
    let running = a_job(unfinished("Running", "Generating", "rows are generated"));
    check(running, world, &[("gj/tickets", "Generating", "")], "nothing is in the way");
    let asleep = a_model(
        json!({"readyReplicas": 0, "conditions": [condition("Ready", "True", "ScaledToZero", "")]}),
    );
    check(asleep, World::default(), &[("mdl/smollm2", "ScaledToZero", "")], "the model sleeps");
}

#[test]
fn a_server_that_loads_says_that_it_is_not_ready() {
    let loading = json!({"phase": "Running", "containerStatuses": container(json!({"running": {}}), json!({})),
        "conditions": [{"type": "Ready", "status": "False", "message": "containers with unready status: [textnlp]"}]});
    let world = World {
        deployments: vec![deployment(json!([]))],
        pods: vec![pod(loading)],
        ..World::default()
    };
    check(
        a_model(not_ready("Starting")),
        world,
        &[
            ("mdl/smollm2", "Starting", ""),
            ("deployment/mdl-x", "ServersNotReady", ""),
            ("pod/p", "NotReady", "it runs (on node-1)"),
        ],
        "kubectl textnlp logs mdl/smollm2",
    );
}

#[test]
fn pods_that_failed_before_do_not_hide_that_their_successor_runs() {
    let ended = json!({"phase": "Failed", "containerStatuses":
        container(json!({"terminated": {"exitCode": 1, "reason": "Error"}}), json!({}))});
    let world = |pods: Vec<Value>| World {
        jobs: vec![child_job("worker", json!({"template": {}}), json!({"active": 1, "failed": 1}))],
        pods: pods.into_iter().map(pod).collect(),
        models: vec![model(
            json!({"readyReplicas": 1, "conditions": [condition("Ready", "True", "Serving", "")]}),
        )],
        ..World::default()
    };
    let running = || a_job(unfinished("Running", "Generating", ""));
    let both = world(vec![ended.clone(), json!({"phase": "Running"})]);
    check(running(), both, &[("gj/tickets", "Generating", "")], "nothing is in the way");
    check(
        running(),
        world(vec![ended]),
        &[
            ("gj/tickets", "Generating", ""),
            ("job/x-worker", "PodsNotReady", "1 active, 0 ready, 1 failed"),
            ("pod/p", "Error", "exit code 1"),
        ],
        "kubectl textnlp logs tickets",
    );
}
