//! The pod that reads a dataset's claim. No I/O.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::ResourceExt;
use serde_json::{Value, json};
use textnlp_crds::GenerationJob;
use textnlp_crds::task::{OUTPUT_MOUNT, labels};

use super::super::error::Error;

/// The main container of all pods, and its program.
pub(crate) const CONTAINER: &str = "textnlp";
/// The program in the image: it has no shell that would look for it.
pub(crate) const PROGRAM: &str = "/textnlp";
/// The pod ends by itself after so many seconds, should nobody delete it.
const DEADLINE: i64 = 3_600;
/// User and group of all pods.
const USER: i64 = 65_532;

/// The folder of a claim as the pod sees it.
pub(crate) fn root(path: &str) -> String {
    if path.is_empty() { OUTPUT_MOUNT.to_owned() } else { format!("{OUTPUT_MOUNT}/{path}") }
}

/// The pod. Its image and what lets it run where the job's pods run are theirs.
pub(crate) fn pod(
    job: &GenerationJob,
    children: &[Job],
    image: Option<&str>,
    claim: &str,
    path: &str,
) -> Result<Pod, Error> {
    let template = template(children);
    let image = image
        .map(str::to_owned)
        .or_else(|| template.and_then(|pod| pod.containers.first()?.image.clone()))
        .or_else(|| job.spec.execution.pod.as_ref()?.image.clone());
    let Some(image) = image else {
        return Err(Error::Refused(format!(
            "gj/{}: its pods are gone, and with them the name of their image; give --image, the one that the operator \
             starts jobs with (TEXTNLP_IMAGE of its Deployment)",
            job.name_any()
        )));
    };
    let spec = spec(template, &image, claim, path);
    let object = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name(job, std::process::id()),
            "namespace": job.namespace(),
            // Not the operator's labels: it must not take the pod for one of its own.
            "labels": {
                (labels::NAME): "textnlp",
                (labels::MANAGED_BY): "kubectl-textnlp",
                (labels::COMPONENT): "get",
            },
            "annotations": {
                (labels::OWNER_NAME): job.name_any(),
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                "sidecar.istio.io/inject": "false",
            },
        },
        "spec": spec,
    });
    serde_json::from_value(object).map_err(|error| Error::Unreadable {
        what: "the job's pod template".into(),
        message: error.to_string(),
    })
}

/// What the job's newest child Job makes its pods from.
fn template(children: &[Job]) -> Option<&PodSpec> {
    let newest = children
        .iter()
        .max_by_key(|job| job.metadata.creation_timestamp.as_ref().map(|time| time.0))?;
    newest.spec.as_ref()?.template.spec.as_ref()
}

/// A name of its own for each call, so that two may run at once.
fn name(job: &GenerationJob, process: u32) -> String {
    let slug: String =
        job.name_any().chars().map(|c| if c == '.' { '-' } else { c }).take(30).collect();
    let nonce =
        k8s_openapi::jiff::Timestamp::now().as_microsecond() as u64 ^ (u64::from(process) << 20);
    format!("gj-get-{}-{:08x}", slug.trim_matches('-'), nonce & 0xffff_ffff)
}

fn spec(template: Option<&PodSpec>, image: &str, claim: &str, path: &str) -> Value {
    let wait = (DEADLINE - 5).to_string();
    let mut spec = json!({
        "restartPolicy": "Never",
        "activeDeadlineSeconds": DEADLINE,
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [{
            "name": CONTAINER,
            "image": image,
            "args": ["send", "--root", root(path), "--wait", wait],
            "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
            "volumeMounts": [{"name": "output", "mountPath": OUTPUT_MOUNT, "readOnly": true}],
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
            },
        }],
        "volumes": [{"name": "output", "persistentVolumeClaim": {"claimName": claim}}],
    });
    let Some(template) = template else { return spec };
    let theirs = serde_json::to_value(template).unwrap_or_default();
    for key in [
        "imagePullSecrets",
        "nodeSelector",
        "tolerations",
        "runtimeClassName",
        "securityContext",
    ] {
        if !theirs[key].is_null() {
            spec[key] = theirs[key].clone();
        }
    }
    // Not its affinity to other pods: those of the job have ended, and a claim finds its node itself.
    let nodes = &theirs["affinity"]["nodeAffinity"];
    if !nodes.is_null() {
        spec["affinity"] = json!({"nodeAffinity": nodes});
    }
    let pull_policy = &theirs["containers"][0]["imagePullPolicy"];
    if !pull_policy.is_null() {
        spec["containers"][0]["imagePullPolicy"] = pull_policy.clone();
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubectl::testing::{job, read};

    fn child(image: &str) -> Job {
        read(json!({
            "metadata": {"name": "finalize", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"template": {"spec": {
                "containers": [{"name": "textnlp", "image": image, "imagePullPolicy": "Always"}],
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
                "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}},
                "securityContext": {"runAsUser": 1000, "fsGroup": 1000, "runAsNonRoot": true},
                "serviceAccountName": "theirs",
            }}},
        }))
    }

    #[test]
    fn the_pod_is_restricted_reads_only_and_runs_where_the_jobs_pods_run() {
        let pod = pod(&job(json!({}), json!({})), &[child("a:1")], None, "data", "x/dataset")
            .expect("a pod");
        let name = pod.name_any();
        assert!(name.starts_with("gj-get-tickets-") && name.len() <= 50, "{name}");
        assert_eq!(
            serde_json::to_value(&pod).expect("JSON"),
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": name, "namespace": "shop",
                    "labels": {"app.kubernetes.io/component": "get", "app.kubernetes.io/managed-by": "kubectl-textnlp",
                        "app.kubernetes.io/name": "textnlp"},
                    "annotations": {"textnlp.dev/owner-name": "tickets", "sidecar.istio.io/inject": "false",
                        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
                },
                "spec": {
                    "restartPolicy": "Never", "activeDeadlineSeconds": 3600, "terminationGracePeriodSeconds": 1,
                    "automountServiceAccountToken": false, "enableServiceLinks": false,
                    "securityContext": {"runAsUser": 1000, "fsGroup": 1000, "runAsNonRoot": true},
                    "tolerations": [{"key": "gpu", "operator": "Exists"}],
                    "containers": [{
                        "name": "textnlp", "image": "a:1", "imagePullPolicy": "Always",
                        "args": ["send", "--root", "/var/lib/textnlp/output/x/dataset", "--wait", "3595"],
                        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
                        "volumeMounts": [{"name": "output", "mountPath": "/var/lib/textnlp/output", "readOnly": true}],
                        "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                            "capabilities": {"drop": ["ALL"]}},
                    }],
                    "volumes": [{"name": "output", "persistentVolumeClaim": {"claimName": "data"}}],
                },
            })
        );
    }

    #[test]
    fn the_image_is_the_one_given_the_childrens_or_the_specs() {
        let image = |spec: Value, children: &[Job], given: Option<&str>| {
            pod(&job(spec, json!({})), children, given, "data", "").map(|pod| {
                pod.spec.and_then(|spec| spec.containers[0].image.clone()).unwrap_or_default()
            })
        };
        let spec = || json!({"execution": {"pod": {"image": "spec:1"}}});
        assert_eq!(image(spec(), &[child("a:1")], Some("given:1")).unwrap(), "given:1");
        assert_eq!(image(spec(), &[child("a:1")], None).unwrap(), "a:1");
        assert_eq!(image(spec(), &[], None).unwrap(), "spec:1");
        let error = image(json!({}), &[], None).unwrap_err().to_string();
        assert!(error.contains("give --image"), "{error}");
    }
}
