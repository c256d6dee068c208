//! The objects that are measured: one model, and many jobs of one shape. No I/O.

use serde_json::{Value, json};
use textnlp_tests::{Job, Model};

use crate::answers::{MODEL_FILE, SAMPLES};

/// Namespace of the operator's jobs.
pub(crate) const NAMESPACE: &str = "bench";
/// Namespace of the plain client's jobs, which the operator does not look after.
pub(crate) const PLAIN: &str = "bench-plain";
/// Name of the fake node.
pub(crate) const NODE: &str = "bench-node";

/// The model that all jobs name, in a claim of its own.
pub(crate) fn model() -> Value {
    Model::small("smollm2").with("source/persistentVolumeClaim/path", json!(MODEL_FILE)).0
}

/// A job: 16 records, one shard, the dataset in an object store (a claim of its own would be one write more, and would
/// measure the provisioner of volumes).
pub(crate) fn job(number: usize) -> Value {
    let name = format!("job-{number:05}");
    let uri = format!("s3://bench/{name}/");
    Job::small(&name)
        .with("samplesPerRecord", json!(SAMPLES))
        .with("output", json!({"destination": {"objectStore": {"uri": uri}}}))
        .with("execution", json!({"shards": 1}))
        .0
}

/// A job that is held and does nothing.
pub(crate) fn suspended(number: usize) -> Value {
    let job = Job(job(number)).with("execution/suspend", json!(true));
    job.0
}

/// Namespaces, the model's claim over an empty directory, and the account of the plain client.
pub(crate) fn ground() -> Value {
    let namespace =
        |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "bench-models"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadOnlyMany"], "storageClassName": "",
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/var/empty"},
            "claimRef": {"namespace": NAMESPACE, "name": "models"}
        }
    });
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models", "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadOnlyMany"], "storageClassName": "", "volumeName": "bench-models",
            "resources": {"requests": {"storage": "1Gi"}}
        }
    });
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "plain", "namespace": PLAIN}
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "bench-plain"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "plain", "namespace": PLAIN}]
    });
    let items = [namespace(NAMESPACE), namespace(PLAIN), volume, claim, account, binding];
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// The fake node: room for everything.
pub(crate) fn node(address: &str) -> Value {
    let room = json!({"cpu": "1000000", "memory": "1000Ti", "pods": "1000000", "ephemeral-storage": "1000Ti"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": NODE, "labels": {
            "kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"
        }},
        "status": {
            "capacity": room, "allocatable": room,
            "addresses": [{"type": "InternalIP", "address": address}],
            "nodeInfo": {
                "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "none",
                "containerRuntimeVersion": "none://0", "kubeletVersion": "v1.34.0", "kubeProxyVersion": "",
                "operatingSystem": "linux", "architecture": "amd64"
            }
        }
    })
}
