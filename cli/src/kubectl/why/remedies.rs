//! What to do, by the reason that a chain ends with. No I/O.
//!
//! `{name}` is what was asked about, `{object}` the last link, `{namespace}` the namespace.

/// What to do about a reason that is somebody else's word.
pub(super) const UNKNOWN: &str = "mend what the message names; `kubectl describe {object} -n {namespace}` shows all that is known of it";

/// Reasons and remedies, in the order of the alphabet.
const REMEDIES: [(&str, &str); 67] = [
    ("BackoffLimitExceeded", "mend what the message names, then `kubectl textnlp retry {name}`"),
    ("CacheFull", "raise spec.cache.size, and let the claim grow, or free space in it"),
    (
        "ClaimNotBound",
        "make a volume that fits the claim, or name a storage class that makes one (`kubectl describe {object} -n {namespace}`); a ReadWriteOnce volume must be let go by pods on other nodes",
    ),
    ("ClaimNotFound", "create the claim, or name one that exists in the manifest"),
    (
        "ConfigMapKeyMissing",
        "add the key to the ConfigMap, or name another in spec.source.configMap.key",
    ),
    (
        "ConfigMapNotFound",
        "create the ConfigMap in the namespace {namespace}, or name another in the manifest",
    ),
    (
        "ContainerCreating",
        "wait; if it lasts, `kubectl describe {object} -n {namespace}` shows its Events",
    ),
    ("CrashLoop", "read why it ends: `kubectl textnlp logs {name}`"),
    (
        "CreateContainerError",
        "mend what the message names in the pod's spec (spec.pod, spec.execution.pod)",
    ),
    (
        "DeadlineExceeded",
        "raise or remove spec.execution.activeDeadlineSeconds, then `kubectl textnlp retry {name}`: finished rows are kept",
    ),
    ("Deleting", "wait; a finalizer of somebody else's keeps it if it lasts"),
    ("DigestMismatch", "put the file there whole, or correct the digest in the manifest"),
    (
        "DownloadFailed",
        "mend the address, the network or the Secret that the message names; it is tried again by itself",
    ),
    ("EngineFailed", "read why: `kubectl textnlp logs {name}`; it is started again by itself"),
    ("Error", "read why it ended: `kubectl textnlp logs {name}`; it is tried again by itself"),
    (
        "Evicted",
        "the node had too little of something: the message names it; the pod is made again by itself",
    ),
    ("External", "nothing is in the way: the model runs elsewhere"),
    ("FailedCreate", "an admission rule of the cluster refuses a child: the message names it"),
    (
        "FailedMount",
        "mend what the message names: the volume, its driver, or a Secret or ConfigMap that is mounted",
    ),
    (
        "FetchFailed",
        "mend what the message names; it is tried again by itself, within five minutes. `kubectl textnlp logs {name}` has more",
    ),
    (
        "Fetching",
        "wait: the model's files are being brought into the cache; `kubectl textnlp logs {name}` shows how far it is",
    ),
    ("Finalizing", "wait: rows are merged, scored and written"),
    (
        "Forbidden",
        "an admission rule of the cluster, or the operator's role, refuses a child: the message names it",
    ),
    (
        "GateFailed",
        "the dataset is written and can be read: `kubectl textnlp get {name} -o DIR`. Change the gate in spec.validation (the same rows are judged anew), or the prompts in a job of another name",
    ),
    ("Generating", "nothing is in the way: rows are being generated"),
    (
        "ImagePullFailed",
        "push the image, or correct its name (spec.pod.image, spec.execution.pod.image, the chart's workloadImage); a private registry needs imagePullSecrets",
    ),
    (
        "Invalid",
        "correct the field that the message names: the API server refuses the child that it makes",
    ),
    (
        "InvalidModel",
        "put a whole model file there, of a format that can be served: `textnlp model inspect FILE` says what it is",
    ),
    ("InvalidSource", "correct spec.source as the message says"),
    (
        "InvalidSpec",
        "correct the field that the message names, and apply the manifest again; a job that has started needs another name",
    ),
    (
        "JobFailed",
        "read its pods' logs: `kubectl textnlp logs {name}`; then `kubectl textnlp retry {name}`",
    ),
    (
        "LocalOnly",
        "this manifest is for `textnlp run`: in a cluster, use a ConfigMap, a claim or an object store",
    ),
    (
        "ModelChanged",
        "the model is another than when the job started: bring the former one back and `kubectl textnlp retry {name}`, or give the job another name",
    ),
    ("ModelFailed", "mend the model first: `kubectl textnlp why` of it says more"),
    ("ModelNotCached", "wait: the model's files are being brought into the cache"),
    (
        "ModelNotFound",
        "apply the ModelDeployment, or correct spec.modelRef.name; the job goes on by itself",
    ),
    ("ModelNotReady", "wait: the model is starting"),
    (
        "ModelUnauthorized",
        "of a model: correct the token in the Secret of its source, or accept its licence at the hub; it is tried again by itself. Of a job: its workers have no token that the servers take (servers.access was changed), or the key of the external server is wrong; then `kubectl textnlp retry {name}`",
    ),
    ("ModelUnreadable", "let user 65532 read the model's files in the claim"),
    ("NameTaken", "delete or rename the object that has the child's name"),
    ("NoPods", "wait; if it lasts, is the cluster's controller manager running?"),
    (
        "NoRows",
        "every row was rejected or failed: `kubectl textnlp get {name} -o DIR --file rejected.jsonl --file failed.jsonl` shows why. Loosen spec.validation.filters, or mend the prompts in a job of another name",
    ),
    ("NotReady", "wait: it is starting; `kubectl textnlp logs {name}` shows what it does"),
    (
        "OutOfMemory",
        "raise the memory limit (spec.resources of a model, spec.execution.pod.resources of a job)",
    ),
    (
        "Pending",
        "wait; if it lasts, is the operator running? `kubectl get pods -A -l app.kubernetes.io/name=textnlp-operator`",
    ),
    ("Preparing", "wait: the source is being read and checked"),
    ("PullingImage", "wait: the node is pulling the image"),
    (
        "QuotaExceeded",
        "raise the quota, delete what uses it up, or ask for less (resources, parallelism, replicas)",
    ),
    ("Refused", "correct spec.execution.pod or spec.pod as the message says"),
    (
        "ResultUnreadable",
        "something removes pods as soon as they end: find what it is, then `kubectl textnlp retry {name}`",
    ),
    ("RollingOut", "wait: servers are being replaced one by one"),
    (
        "ScaledToZero",
        "nothing is in the way: the model sleeps, and a job or a request to its autoscaler wakes it",
    ),
    ("ScalingUp", "wait: more servers are starting"),
    (
        "SecretMissing",
        "create the Secret in the namespace {namespace}, with the keys of docs/pods.md, or name another in secretRef",
    ),
    ("ServersNotReady", "wait; `kubectl textnlp logs {name}` shows what the servers do"),
    ("Serving", "nothing is in the way: the model answers"),
    (
        "ShardsLost",
        "read why workers failed: `kubectl textnlp logs {name} --step worker`; then `kubectl textnlp retry {name}` makes the missing rows",
    ),
    (
        "SnapshotLost",
        "the ConfigMap with the job's snapshot was deleted: `kubectl textnlp retry {name}` begins an attempt with a new one",
    ),
    ("SourceNotFound", "put the records where spec.source says, or correct spec.source"),
    ("Starting", "wait; if it lasts, `kubectl describe {object} -n {namespace}` shows its Events"),
    ("Succeeded", "nothing is in the way: `kubectl textnlp get {name} -o DIR` copies the dataset"),
    ("Suspended", "`kubectl textnlp resume {name}` lets it go on"),
    (
        "TargetInUse",
        "another job owns that place: name another path or claim, or delete the other job's data there",
    ),
    (
        "Unschedulable",
        "add a node that fits, or ask for less: resources, nodeSelector, tolerations and affinity in the manifest's pod",
    ),
    (
        "Unseen",
        "is the operator running, and does it watch the namespace {namespace}? `kubectl get pods -A -l app.kubernetes.io/name=textnlp-operator`",
    ),
    ("UnsupportedEngine", "choose in spec.engine what the message says is supported"),
    (
        "WaitingForQuota",
        "wait for Kueue, or give its ClusterQueue more quota: `kubectl describe {object} -n {namespace}`; a queue that does not exist admits nobody (`kubectl get localqueues -n {namespace}`)",
    ),
];

/// What to do about a reason; none where the cluster's own words must do.
pub(super) fn of(reason: &str) -> Option<&'static str> {
    REMEDIES
        .binary_search_by_key(&reason, |(reason, _)| reason)
        .ok()
        .and_then(|index| REMEDIES.get(index))
        .map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_each_reason_stands_in_it_once() {
        assert!(REMEDIES.is_sorted_by(|(a, _), (b, _)| a < b), "the search depends on the order");
        assert!(of("Unschedulable").is_some());
        assert_eq!(of("SomethingElse"), None);
    }

    #[test]
    fn each_reason_of_the_documentation_has_a_remedy() {
        let page = include_str!("../../../../docs/reasons.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let cells = rows.filter_map(|row| row.split('|').next());
        let reasons: Vec<&str> = cells.flat_map(|cell| cell.split('`').step_by(2)).collect();
        assert!(reasons.contains(&"Unschedulable"), "the page has its tables: {reasons:?}");
        let without: Vec<_> = reasons
            .into_iter()
            .filter(|reason| reason.chars().all(char::is_alphanumeric) && !reason.is_empty())
            .filter(|reason| of(reason).is_none())
            .collect();
        assert!(without.is_empty(), "{without:?}");
    }
}
