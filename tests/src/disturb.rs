//! What may go wrong in a cluster, on purpose. What disturbs all of it runs alone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::command::{kubectl, run};
use crate::wait::eventually;

static CLUSTER: RwLock<()> = RwLock::new(());
static OPERATOR_ALONE: Mutex<()> = Mutex::new(());

/// Held by a test that needs an undisturbed cluster.
pub fn together() -> RwLockReadGuard<'static, ()> {
    CLUSTER.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Held by a test that disturbs the whole cluster, or measures it.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    CLUSTER.write().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Held, beside [`together`], by a test that kills the operator, which others merely wait for, or that needs it whole.
pub fn operator() -> MutexGuard<'static, ()> {
    OPERATOR_ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Does something in a disturbed cluster, and undoes the disturbance, also when it fails.
pub fn then_undo<T>(disturbed: impl FnOnce() -> T, undo: impl FnOnce()) -> T {
    let result = catch_unwind(AssertUnwindSafe(disturbed));
    undo();
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Runs `tests/cluster/cluster`, which knows the machinery below the API server.
#[track_caller]
pub fn cluster(arguments: &[&str]) -> String {
    let script = std::env::var("TEXTNLP_CLUSTER")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/cluster/cluster").to_owned());
    run(&script, arguments).expect(&format!("tests/cluster/cluster {}", arguments.join(" ")))
}

/// Namespace of the operator.
pub const OPERATOR: &str = "textnlp-system";

/// Names of the operator's pods.
pub fn operator_pods() -> Vec<String> {
    let answer = kubectl(&[
        "--namespace",
        OPERATOR,
        "get",
        "pods",
        "--selector",
        "app.kubernetes.io/name=textnlp-operator",
        "--field-selector",
        "status.phase=Running",
        "--output",
        "jsonpath={.items[*].metadata.name}",
    ]);
    answer.stdout.split_whitespace().map(str::to_owned).collect()
}

/// Kills a pod without any grace.
#[track_caller]
pub fn kill_pod(namespace: &str, pod: &str) {
    assert!(try_kill_pod(namespace, pod), "{pod} in {namespace} cannot be killed");
}

/// As [`kill_pod`]; false where the pod is gone.
pub fn try_kill_pod(namespace: &str, pod: &str) -> bool {
    kubectl(&["--namespace", namespace, "delete", "pod", pod, "--grace-period=0", "--force"]).ok()
}

/// Waits until the operator is there again.
#[track_caller]
pub fn until_operator_is_ready() {
    eventually("the operator is ready", || {
        let answer = kubectl(&[
            "--namespace",
            OPERATOR,
            "rollout",
            "status",
            "deployment",
            "--selector",
            "app.kubernetes.io/name=textnlp-operator",
            "--timeout=5s",
        ]);
        if answer.ok() { Ok(()) } else { Err(answer.stderr) }
    });
}
