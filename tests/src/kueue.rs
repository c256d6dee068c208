//! The real Kueue on the test cluster: there while a test uses it, and only for the namespaces of these tests.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::command::{kubectl, run, run_with_input};
use crate::disturb::{alone, cluster};
use crate::space::Space;

/// Image of Kueue, made of the program that `tests/cluster/tool kueue` builds.
const IMAGE: (&str, &str) = ("textnlp.dev/kueue", "test");
/// Namespace of Kueue.
const NAMESPACE: &str = "kueue-system";
/// Label of a Job: its LocalQueue.
const QUEUE: &str = "kueue.x-k8s.io/queue-name";
/// The queue of every namespace.
pub const LOCAL_QUEUE: &str = "batch";
/// A class of Jobs that go before all others.
pub const URGENT: &str = "e2e-urgent";

/// How many tests use it.
static USERS: Mutex<usize> = Mutex::new(0);

/// Kueue is there as long as one of these is.
#[derive(Debug)]
pub struct Kueue(());

impl Kueue {
    /// Installs Kueue, unless another test has done so. It looks after `namespaces`, all that a test will ever name.
    #[track_caller]
    pub fn install(namespaces: &[&str]) -> Self {
        let mut users = users();
        if *users == 0 {
            let _alone = alone();
            install(namespaces);
        }
        *users += 1;
        Self(())
    }

    /// Gives a namespace a LocalQueue with a quota of its own, in which the higher priority goes first.
    #[track_caller]
    pub fn queue(&self, space: &Space, cpu: &str) {
        let name = space.name();
        space.apply(&json!({"apiVersion": "v1", "kind": "List", "items": [
            {
                "apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "ClusterQueue", "metadata": {"name": name},
                "spec": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
                    "preemption": {"withinClusterQueue": "LowerPriority"},
                    "resourceGroups": [{
                        "coveredResources": ["cpu", "memory"],
                        "flavors": [{"name": "e2e", "resources": [
                            {"name": "cpu", "nominalQuota": cpu}, {"name": "memory", "nominalQuota": "100Gi"}
                        ]}]
                    }]
                }
            },
            {
                "apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "LocalQueue",
                "metadata": {"name": LOCAL_QUEUE, "namespace": name}, "spec": {"clusterQueue": name}
            }
        ]}));
    }

    /// A Job in the queue that takes `cpu` of its quota until it is deleted.
    pub fn occupant(&self, name: &str, cpu: &str, priority: Option<&str>) -> Value {
        let mut labels = json!({QUEUE: LOCAL_QUEUE});
        if let Some(priority) = priority {
            labels["kueue.x-k8s.io/priority-class"] = priority.into();
        }
        json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": labels},
            "spec": {"suspend": true, "template": {"spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "pause", "image": "textnlp.dev/pause:test",
                    "resources": {"requests": {"cpu": cpu, "memory": "16Mi"}},
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}
                }]
            }}}
        })
    }
}

impl Drop for Kueue {
    fn drop(&mut self) {
        let mut users = users();
        *users -= 1;
        if *users == 0 {
            uninstall();
        }
    }
}

fn users() -> MutexGuard<'static, usize> {
    USERS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[track_caller]
fn install(namespaces: &[&str]) {
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster/tool");
    let program = run(tool, &["kueue"]).expect("Kueue is built");
    let program = Path::new(program.trim());
    let directory = std::env::temp_dir().join(format!("textnlp-kueue-{}", std::process::id()));
    let text = |path: &Path| path.display().to_string();
    let make = || {
        std::fs::create_dir_all(&directory)?;
        // The chart starts /manager.
        std::fs::copy(program, directory.join("manager"))?;
        std::fs::write(directory.join("values.json"), values(namespaces).to_string())
    };
    make().expect("a temporary directory");
    let (image, archive) = (format!("{}:{}", IMAGE.0, IMAGE.1), text(&directory.join("kueue.tar")));
    cluster(&["image", &image, &text(&directory.join("manager")), &archive]);
    cluster(&["load", &archive]);
    // A chart without the API for pending workloads: without its server, nothing of the cluster could list all kinds.
    let chart = directory.join("chart");
    run("cp", &["-r", &text(&program.with_file_name("chart")), &text(&chart)]).expect("the chart");
    std::fs::remove_dir_all(chart.join("templates/visibility")).expect("the chart's part");
    run(
        "helm",
        &[
            "upgrade",
            "--install",
            "kueue",
            &text(&chart),
            "--namespace",
            NAMESPACE,
            "--create-namespace",
            "--values",
            &text(&directory.join("values.json")),
            "--wait",
            "--timeout",
            "4m",
        ],
    )
    .expect("Kueue is installed");
    let _ = std::fs::remove_dir_all(&directory); // the next start of the machine clears it away
    let cluster_wide = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "ResourceFlavor", "metadata": {"name": "e2e"}},
        {
            "apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "WorkloadPriorityClass",
            "metadata": {"name": URGENT}, "value": 1000, "description": "goes first"
        }
    ]});
    run_with_input("kubectl", &["apply", "-f", "-"], &cluster_wide.to_string())
        .expect("the flavour");
}

/// Batch Jobs of our own namespaces and nothing else, so that other tests are not touched.
fn values(namespaces: &[&str]) -> Value {
    let configuration = json!({
        "apiVersion": "config.kueue.x-k8s.io/v1beta2", "kind": "Configuration",
        "health": {"healthProbeBindAddress": ":8081"},
        "metrics": {"bindAddress": ":8443"},
        "webhook": {"port": 9443},
        "leaderElection": {"leaderElect": false},
        "managedJobsNamespaceSelector": {"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces}
        ]},
        "integrations": {"frameworks": ["batch/job"]}
    });
    json!({
        "controllerManager": {
            "featureGates": [{"name": "VisibilityOnDemand", "enabled": false}],
            "manager": {
                "image": {"repository": IMAGE.0, "tag": IMAGE.1, "pullPolicy": "Never"},
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
            }
        },
        "managerConfig": {"controllerManagerConfigYaml": configuration.to_string()}
    })
}

/// Workloads and queues have finalizers that only Kueue takes away: they go before it does.
fn uninstall() {
    for kind in ["workloads", "localqueues", "clusterqueues", "resourceflavors"] {
        let kind = format!("{kind}.kueue.x-k8s.io");
        kubectl(&["delete", &kind, "--all", "--all-namespaces", "--timeout=60s"]);
    }
    run("helm", &["uninstall", "kueue", "--namespace", NAMESPACE, "--wait", "--timeout", "2m"]);
    kubectl(&["delete", "namespace", NAMESPACE, "--wait=false", "--ignore-not-found"]);
}
