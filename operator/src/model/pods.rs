//! The pods of a model: the Deployment of its servers, and the fetch Job. Pure builders.
//!
//! Both come from the same `spec.pod`, so that a fetch pod, the first that mounts the cache, puts its volume where the servers
//! can run.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Affinity, Container, ContainerPort, EnvVar, HTTPGetAction, Lifecycle, LifecycleHandler,
    PersistentVolumeClaimVolumeSource, PodAffinity, PodAffinityTerm, PodSpec, Probe,
    ResourceRequirements, SecretVolumeSource, SleepAction, Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use textnlp_crds::engine::{Dtype, Engine, KvCache, Quantization};
use textnlp_crds::output::AccessMode;
use textnlp_crds::scaling::Rollout;
use textnlp_crds::task::{
    Fetched, MODEL_SECRET_MOUNT, MODEL_SOURCE_VARIABLE, MODELS_MOUNT, SERVER_PORT, labels,
};

use super::fetch::FETCH;
use super::network::{PORT_NAME, SERVER, label_selector, selector};
use super::validate::{Source, Validated};
use crate::config::Config;
use crate::pod_template::{CONTAINER, Template};

/// Name of the volume with the model.
const MODELS: &str = "models";
/// Name of the volume with the source's Secret.
const SECRET: &str = "secret";
/// Seconds that a server keeps serving after its end is known, while Services and clients stop sending to it.
const PRE_STOP_SECONDS: i64 = 5;
/// Seconds beyond the draining: the five for which a server itself still takes requests after SIGTERM, and as many again for
/// what it has to close.
const GRACE_MARGIN_SECONDS: i64 = 10;
/// Seconds after which a rollout without progress is marked in the Deployment: pulling an image and loading weights take long.
const PROGRESS_DEADLINE_SECONDS: i32 = 1_800;
/// Pods of a fetch Job that may fail before it does.
const FETCH_BACKOFF_LIMIT: i32 = 2;

/// The Deployment, without replicas: they are the scaler's.
pub fn deployment(model: &Validated, fetched: &Fetched, config: &Config) -> Deployment {
    let rollout = model.spec.rollout.clone().unwrap_or_default();
    let template = Template {
        component: SERVER,
        args: server_args(model, fetched, &rollout),
        container: server(model),
        pod: PodSpec {
            termination_grace_period_seconds: Some(
                i64::from(rollout.drain_seconds) + PRE_STOP_SECONDS + GRACE_MARGIN_SECONDS,
            ),
            volumes: Some(vec![models_volume(model)]),
            ..pod_spec(model)
        },
        user: model.spec.pod.as_ref(),
    };
    Deployment {
        metadata: model.owner.object_meta(&model.child_name(), SERVER),
        spec: Some(DeploymentSpec {
            progress_deadline_seconds: Some(PROGRESS_DEADLINE_SECONDS),
            revision_history_limit: Some(2),
            selector: label_selector(selector(model)),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(rollout.max_surge)),
                    max_unavailable: Some(IntOrString::Int(rollout.max_unavailable)),
                }),
            }),
            template: template.build(&model.owner, config),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn server_args(model: &Validated, fetched: &Fetched, rollout: &Rollout) -> Vec<String> {
    let mut args: Vec<String> =
        ["serve", "--model", &model_path(&fetched.path), "--name", model.owner.name()]
            .map(Into::into)
            .into();
    args.extend(["--listen".into(), format!("0.0.0.0:{SERVER_PORT}")]);
    if let Some(digest) = &fetched.model.digest {
        args.extend(["--expect-digest".into(), digest.clone()]);
    }
    args.extend(["--drain-seconds".into(), rollout.drain_seconds.to_string()]);
    args.extend(engine_flags(model.spec.engine.as_ref()));
    args
}

fn server(model: &Validated) -> Container {
    Container {
        ports: Some(vec![ContainerPort {
            name: Some(PORT_NAME.into()),
            container_port: SERVER_PORT.into(),
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        }]),
        resources: model.spec.resources.clone(),
        volume_mounts: Some(vec![mount(MODELS, MODELS_MOUNT, true)]),
        // It answers `/healthz` while it loads: the start is not what liveness has to wait for.
        startup_probe: Some(probe("/healthz", 2, 60)),
        readiness_probe: Some(probe("/readyz", 2, 3)),
        liveness_probe: Some(probe("/healthz", 10, 6)),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: PRE_STOP_SECONDS }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        ..Container::default()
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String(PORT_NAME.into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

/// The engine's flags: only what the manifest sets, so that a server's own defaults stay its own.
fn engine_flags(engine: Option<&Engine>) -> Vec<String> {
    let Some(engine) = engine else { return Vec::new() };
    let dtype = match engine.dtype {
        Dtype::Auto => None,
        Dtype::F32 => Some("F32"),
        Dtype::BF16 => Some("BF16"),
        Dtype::F16 => Some("F16"),
    };
    let quantization = match engine.quantization {
        Quantization::Auto => None,
        Quantization::None => Some("None"),
        Quantization::Int8 => Some("Int8"),
        Quantization::Int4 => Some("Int4"),
    };
    let kv_cache = match engine.kv_cache {
        KvCache::Auto => None,
        KvCache::BF16 => Some("BF16"),
        KvCache::Int8 => Some("Int8"),
    };
    let number = |value: Option<i32>| value.map(|value| value.to_string());
    let flags = [
        ("--dtype", dtype.map(Into::into)),
        ("--quantization", quantization.map(Into::into)),
        ("--kv-cache", kv_cache.map(Into::into)),
        ("--max-context-tokens", number(engine.max_context_tokens)),
        ("--max-batch-tokens", number(engine.max_batch_tokens)),
        ("--max-sequences", number(engine.max_sequences)),
    ];
    flags
        .into_iter()
        .filter_map(|(flag, value)| Some([flag.to_owned(), value?]))
        .flatten()
        .collect()
}

/// The fetch Job. It brings the model into the cache, or, with a claim of the user's own, only looks at it.
pub fn fetch_job(model: &Validated, config: &Config) -> Job {
    let volumes =
        [models_volume(model)].into_iter().chain(secret(model).map(secret_volume)).collect();
    let template = Template {
        component: FETCH,
        args: fetch_args(model),
        container: fetcher(model),
        pod: PodSpec {
            restart_policy: Some("Never".into()),
            volumes: Some(volumes),
            ..pod_spec(model)
        },
        user: model.spec.pod.as_ref(),
    };
    Job {
        metadata: model.owner.object_meta(&model.fetch_name(), FETCH),
        spec: Some(JobSpec {
            backoff_limit: Some(FETCH_BACKOFF_LIMIT),
            pod_failure_policy: Some(failure_policy()),
            template: template.build(&model.owner, config),
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// A disruption does not count; exit code 2 says that trying again cannot help.
fn failure_policy() -> PodFailurePolicy {
    let disrupted = PodFailurePolicyOnPodConditionsPattern {
        type_: "DisruptionTarget".into(),
        status: "True".into(),
    };
    let hopeless = PodFailurePolicyOnExitCodesRequirement {
        container_name: Some(CONTAINER.into()),
        operator: "In".into(),
        values: vec![2],
    };
    let rule = |action: &str| PodFailurePolicyRule {
        action: action.into(),
        ..PodFailurePolicyRule::default()
    };
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule { on_pod_conditions: Some(vec![disrupted]), ..rule("Ignore") },
            PodFailurePolicyRule { on_exit_codes: Some(hopeless), ..rule("FailJob") },
        ],
    }
}

fn fetch_args(model: &Validated) -> Vec<String> {
    match &model.source {
        Source::Claim { path, .. } => {
            let path = if path.is_empty() { "." } else { path };
            vec![FETCH.into(), "--offline".into(), path.into()]
        }
        Source::Remote { .. } | Source::External(_) => vec![FETCH.into()],
    }
}

fn fetcher(model: &Validated) -> Container {
    let mut mounts =
        vec![mount(MODELS, MODELS_MOUNT, matches!(model.source, Source::Claim { .. }))];
    if secret(model).is_some() {
        mounts.push(mount(SECRET, MODEL_SECRET_MOUNT, true));
    }
    let quantities = |pairs: &[(&str, &str)]| {
        Some(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned())))
                .collect(),
        )
    };
    Container {
        env: Some(vec![EnvVar {
            name: MODEL_SOURCE_VARIABLE.into(),
            value: Some(model.source_json()),
            value_from: None,
        }]),
        resources: Some(ResourceRequirements {
            requests: quantities(&[("cpu", "100m"), ("memory", "256Mi")]),
            limits: quantities(&[("memory", "2Gi")]),
            claims: None,
        }),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// What servers and fetch pods have in common: account, place, tolerations.
fn pod_spec(model: &Validated) -> PodSpec {
    let user = model.spec.pod.as_ref();
    PodSpec {
        affinity: affinity(model),
        service_account_name: Some(model.child_name()),
        tolerations: tolerations(
            user.and_then(|pod| pod.tolerations.as_deref()),
            model.spec.resources.as_ref(),
        ),
        ..PodSpec::default()
    }
}

/// A cache that one node at a time can attach keeps all pods of the model on one node: elsewhere they would wait for the volume
/// without a word. A user's own rules about other pods go before it.
fn affinity(model: &Validated) -> Option<Affinity> {
    let mode = model.spec.cache.as_ref().map(|cache| cache.access_mode).unwrap_or_default();
    if !matches!(model.source, Source::Remote { .. }) || mode != AccessMode::ReadWriteOnce {
        return None;
    }
    let mut affinity =
        model.spec.pod.as_ref().and_then(|pod| pod.affinity.clone()).unwrap_or_default();
    affinity.pod_affinity.get_or_insert_with(|| PodAffinity {
        required_during_scheduling_ignored_during_execution: Some(vec![PodAffinityTerm {
            label_selector: Some(label_selector(
                [(labels::MODEL_UID.into(), model.owner.uid().into())].into(),
            )),
            topology_key: "kubernetes.io/hostname".into(),
            ..PodAffinityTerm::default()
        }]),
        ..PodAffinity::default()
    });
    Some(affinity)
}

/// The user's tolerations, and one for each device that is asked for: nodes with accelerators are often tainted with their
/// resource's name, and not every cluster adds the toleration by itself.
fn tolerations(
    user: Option<&[Toleration]>,
    resources: Option<&ResourceRequirements>,
) -> Option<Vec<Toleration>> {
    let mut tolerations = user.unwrap_or_default().to_vec();
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    for device in limits.into_iter().flat_map(BTreeMap::keys).filter(|name| is_device(name)) {
        if !tolerations.iter().any(|toleration| toleration.key.as_ref() == Some(device)) {
            tolerations.push(Toleration {
                key: Some(device.clone()),
                operator: Some("Exists".into()),
                effect: Some("NoSchedule".into()),
                ..Toleration::default()
            });
        }
    }
    (!tolerations.is_empty()).then_some(tolerations)
}

/// An extended resource, such as `nvidia.com/gpu`: those of Kubernetes itself have no domain, or its own.
fn is_device(resource: &str) -> bool {
    resource.split_once('/').is_some_and(|(domain, _)| !domain.ends_with("kubernetes.io"))
}

/// The claim with the model. A user's own is attached read-only too: that is all that some volumes allow.
fn models_volume(model: &Validated) -> Volume {
    let read_only = matches!(model.source, Source::Claim { .. }).then_some(true);
    Volume {
        name: MODELS.into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: model.claim_name(),
            read_only,
        }),
        ..Volume::default()
    }
}

fn secret_volume(secret: &str) -> Volume {
    Volume {
        name: SECRET.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.into()),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The Secret that opens the source.
fn secret(model: &Validated) -> Option<&str> {
    match &model.source {
        Source::Remote { secret } => secret.as_deref(),
        Source::Claim { .. } | Source::External(_) => None,
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// Where a server finds the model whose path in the claim is `path`.
fn model_path(path: &str) -> String {
    match path.trim_matches('/') {
        "" | "." => MODELS_MOUNT.into(),
        path => format!("{MODELS_MOUNT}/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, NAME, config, fetched, in_claim, metadata, model};
    use super::*;
    use serde_json::{Value, json};

    fn value(object: impl serde::Serialize) -> Value {
        serde_json::to_value(object).expect("JSON")
    }

    fn pod_security() -> Value {
        json!({
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
            "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
        })
    }

    fn container_security() -> Value {
        json!({
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
        })
    }

    #[test]
    fn the_servers_of_a_model_in_a_claim() {
        let probe = |path: &str, period: i32, failures: i32| {
            json!({
                "httpGet": {"path": path, "port": "http"},
                "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": failures,
            })
        };
        let expect = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata(NAME, "server"),
            "spec": {
                "progressDeadlineSeconds": 1800,
                "revisionHistoryLimit": 2,
                "selector": {"matchLabels": {"app.kubernetes.io/component": "server", "textnlp.dev/model-uid": "uid-1"}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
                "template": {
                    "metadata": {"labels": fixture::labels("server"), "annotations": {"textnlp.dev/owner-name": "smollm2"}},
                    "spec": {
                        "serviceAccountName": NAME,
                        "automountServiceAccountToken": false,
                        "enableServiceLinks": false,
                        "terminationGracePeriodSeconds": 75,
                        "securityContext": pod_security(),
                        "volumes": [
                            {"name": "models", "persistentVolumeClaim": {"claimName": "models", "readOnly": true}},
                            {"name": "tmp", "emptyDir": {}},
                        ],
                        "containers": [{
                            "name": "textnlp",
                            "image": "textnlp:0.1.0",
                            "imagePullPolicy": "IfNotPresent",
                            "args": [
                                "serve", "--model", "/var/lib/textnlp/models/smollm2.gguf", "--name", "smollm2",
                                "--listen", "0.0.0.0:8000", "--expect-digest", "sha256:d1", "--drain-seconds", "60",
                            ],
                            "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
                            "startupProbe": probe("/healthz", 2, 60),
                            "readinessProbe": probe("/readyz", 2, 3),
                            "livenessProbe": probe("/healthz", 10, 6),
                            "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
                            "securityContext": container_security(),
                            "terminationMessagePolicy": "File",
                            "volumeMounts": [
                                {"name": "models", "mountPath": "/var/lib/textnlp/models", "readOnly": true},
                                {"name": "tmp", "mountPath": "/tmp"},
                            ],
                        }],
                    },
                },
            },
        });
        assert_eq!(value(deployment(&in_claim(), &fetched(), &config())), expect);
    }

    #[test]
    fn a_server_with_a_gpu_and_engine_settings() {
        let model = model(json!({
            "source": {"huggingFace": {"repo": "a/b"}},
            "engine": {"dtype": "BF16", "quantization": "None", "kvCache": "Int8", "maxContextTokens": 4096, "maxSequences": 8},
            "resources": {"requests": {"cpu": "4"}, "limits": {"memory": "8Gi", "nvidia.com/gpu": "1", "hugepages-2Mi": "1Gi"}},
            "rollout": {"maxSurge": 1, "maxUnavailable": 0, "drainSeconds": 300},
            "pod": {
                "nodeSelector": {"gpu": "l4"},
                "tolerations": [{"key": "spot", "operator": "Exists"}],
                "labels": {"team": "nlp", "textnlp.dev/model-uid": "forged"},
            },
        }));
        let deployment = value(deployment(&model, &fetched(), &config()));
        let spec = &deployment["spec"];
        let pod = &spec["template"]["spec"];
        assert_eq!(spec["strategy"]["rollingUpdate"], json!({"maxSurge": 1, "maxUnavailable": 0}));
        assert_eq!(spec["template"]["metadata"]["labels"]["team"], "nlp");
        assert_eq!(spec["template"]["metadata"]["labels"]["textnlp.dev/model-uid"], "uid-1");
        assert_eq!(pod["terminationGracePeriodSeconds"], 315);
        assert_eq!(pod["nodeSelector"], json!({"gpu": "l4"}));
        assert_eq!(
            pod["tolerations"],
            json!([
                {"key": "spot", "operator": "Exists"},
                {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
            ])
        );
        assert_eq!(
            pod["volumes"][0],
            json!({"name": "models", "persistentVolumeClaim": {"claimName": format!("{NAME}-cache")}})
        );
        assert_eq!(pod["containers"][0]["resources"], value(&model.spec.resources));
        let args = pod["containers"][0]["args"].as_array().expect("arguments");
        let engine = [
            "--dtype",
            "BF16",
            "--quantization",
            "None",
            "--kv-cache",
            "Int8",
            "--max-context-tokens",
            "4096",
            "--max-sequences",
            "8",
        ];
        assert_eq!(args[args.len() - engine.len()..], engine.map(Value::from));
    }

    #[test]
    fn the_user_s_own_toleration_of_a_device_is_enough() {
        let resources = ResourceRequirements {
            limits: Some([("nvidia.com/gpu".to_owned(), Quantity("1".into()))].into()),
            ..ResourceRequirements::default()
        };
        let own: Vec<Toleration> =
            serde_json::from_value(json!([{"key": "nvidia.com/gpu", "value": "present"}]))
                .expect("tolerations");
        assert_eq!(tolerations(Some(&own), Some(&resources)), Some(own.clone()));
        assert_eq!(tolerations(None, None), None);
    }

    #[test]
    fn the_fetch_job_of_a_claim_only_looks() {
        let model = in_claim();
        let source = r#"{"persistentVolumeClaim":{"claimName":"models","path":"smollm2.gguf"}}"#;
        let expect = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata(&model.fetch_name(), "fetch"),
            "spec": {
                "backoffLimit": 2,
                "podFailurePolicy": {"rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {"action": "FailJob", "onExitCodes": {"containerName": "textnlp", "operator": "In", "values": [2]}},
                ]},
                "template": {
                    "metadata": {"labels": fixture::labels("fetch"), "annotations": {"textnlp.dev/owner-name": "smollm2"}},
                    "spec": {
                        "serviceAccountName": NAME,
                        "automountServiceAccountToken": false,
                        "enableServiceLinks": false,
                        "restartPolicy": "Never",
                        "terminationGracePeriodSeconds": 60,
                        "securityContext": pod_security(),
                        "volumes": [
                            {"name": "models", "persistentVolumeClaim": {"claimName": "models", "readOnly": true}},
                            {"name": "tmp", "emptyDir": {}},
                        ],
                        "containers": [{
                            "name": "textnlp",
                            "image": "textnlp:0.1.0",
                            "imagePullPolicy": "IfNotPresent",
                            "args": ["fetch", "--offline", "smollm2.gguf"],
                            "env": [{"name": "TEXTNLP_MODEL_SOURCE", "value": source}],
                            "resources": {
                                "requests": {"cpu": "100m", "memory": "256Mi"},
                                "limits": {"memory": "2Gi"},
                            },
                            "securityContext": container_security(),
                            "terminationMessagePolicy": "File",
                            "volumeMounts": [
                                {"name": "models", "mountPath": "/var/lib/textnlp/models", "readOnly": true},
                                {"name": "tmp", "mountPath": "/tmp"},
                            ],
                        }],
                    },
                },
            },
        });
        assert_eq!(value(fetch_job(&model, &config())), expect);
    }

    #[test]
    fn the_fetch_job_of_a_hub_fills_the_cache_and_reads_its_secret_from_files() {
        let model = model(
            json!({"source": {"huggingFace": {"repo": "a/b", "secretRef": {"name": "hub"}}}}),
        );
        let job = value(fetch_job(&model, &config()));
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(
            pod["volumes"],
            json!([
                {"name": "models", "persistentVolumeClaim": {"claimName": format!("{NAME}-cache")}},
                {"name": "secret", "secret": {"secretName": "hub"}},
                {"name": "tmp", "emptyDir": {}},
            ])
        );
        assert_eq!(pod["containers"][0]["args"], json!(["fetch"]));
        assert_eq!(
            pod["containers"][0]["volumeMounts"],
            json!([
                {"name": "models", "mountPath": "/var/lib/textnlp/models"},
                {"name": "secret", "mountPath": "/etc/textnlp/secrets/model", "readOnly": true},
                {"name": "tmp", "mountPath": "/tmp"},
            ])
        );
    }

    #[test]
    fn a_cache_of_one_node_keeps_its_pods_together() {
        let check = |spec: Value, expect: Value| assert_eq!(value(affinity(&model(spec))), expect);
        let hub = json!({"huggingFace": {"repo": "a/b"}});
        let together = json!({"requiredDuringSchedulingIgnoredDuringExecution": [{
            "labelSelector": {"matchLabels": {"textnlp.dev/model-uid": "uid-1"}}, "topologyKey": "kubernetes.io/hostname",
        }]});
        check(json!({"source": hub.clone()}), json!({"podAffinity": together.clone()}));
        check(
            json!({"source": hub.clone(), "cache": {"accessMode": "ReadWriteMany"}}),
            Value::Null,
        );
        check(json!({"source": {"persistentVolumeClaim": {"claimName": "models"}}}), Value::Null);
        let nodes = json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}]});
        let user =
            json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": nodes}});
        let mut both = user.clone();
        both["podAffinity"] = together;
        check(json!({"source": hub, "pod": {"affinity": user}}), both);
    }

    #[test]
    fn another_source_has_another_fetch_job() {
        let named = |spec: Value| model(spec).fetch_name();
        let first = named(json!({"source": {"huggingFace": {"repo": "a/b", "revision": "1"}}}));
        assert_ne!(
            first,
            named(json!({"source": {"huggingFace": {"repo": "a/b", "revision": "2"}}}))
        );
        let more =
            json!({"source": {"huggingFace": {"repo": "a/b", "revision": "1"}}, "replicas": 3});
        assert_eq!(first, named(more));
        assert!(first.len() <= 50, "{first}");
    }

    #[test]
    fn the_path_of_a_model_lies_below_the_mount() {
        let check = |path: &str, expect: &str| assert_eq!(model_path(path), expect);
        check("a/b.gguf", "/var/lib/textnlp/models/a/b.gguf");
        check("", "/var/lib/textnlp/models");
        check(".", "/var/lib/textnlp/models");
        check("a/", "/var/lib/textnlp/models/a");
    }
}
