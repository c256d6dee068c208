//! The Deployment of a model's servers. Pure.

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, HTTPGetAction, Lifecycle, LifecycleHandler, PodSpec, Probe,
    SleepAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use textnlp_crds::engine::Engine;
use textnlp_crds::scaling::Rollout;
use textnlp_crds::task::{Fetched, MODELS_MOUNT, SERVER_PORT};

use super::access;
use super::formats::format_flags;
use super::network::{PORT_NAME, SERVER, label_selector, selector};
use super::place::{MODELS, models_volume, mount, pod_spec};
use super::validate::Validated;
use crate::config::Config;
use crate::pod_template::Template;

/// Seconds that a server keeps serving after its end is known, while Services and clients stop sending to it.
const PRE_STOP_SECONDS: i64 = 5;
/// Seconds beyond the draining: the five for which a server itself still takes requests after SIGTERM, and as many again for
/// what it has to close.
const GRACE_MARGIN_SECONDS: i64 = 10;
/// Seconds after which a rollout without progress is marked in the Deployment: pulling an image and loading weights take long.
const PROGRESS_DEADLINE_SECONDS: i32 = 1_800;

/// The Deployment, without replicas: they are the scaler's.
pub fn deployment(model: &Validated, fetched: &Fetched, config: &Config) -> Deployment {
    let rollout = model.spec.rollout.clone().unwrap_or_default();
    let template = Template {
        component: SERVER,
        args: server_args(model, fetched, &rollout, config),
        container: server(model, config),
        pod: PodSpec {
            termination_grace_period_seconds: Some(
                i64::from(rollout.drain_seconds) + PRE_STOP_SECONDS + GRACE_MARGIN_SECONDS,
            ),
            volumes: Some(
                [models_volume(model)]
                    .into_iter()
                    .chain(config.access.iter().flat_map(access::volumes))
                    .collect(),
            ),
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

fn server_args(
    model: &Validated,
    fetched: &Fetched,
    rollout: &Rollout,
    config: &Config,
) -> Vec<String> {
    let mut args: Vec<String> =
        ["serve", "--model", &model_path(&fetched.path), "--name", model.owner.name()]
            .map(Into::into)
            .into();
    args.extend(["--listen".into(), format!("0.0.0.0:{SERVER_PORT}")]);
    args.extend(["--log-format", "json"].map(Into::into));
    if let Some(digest) = &fetched.model.digest {
        args.extend(["--expect-digest".into(), digest.clone()]);
    }
    args.extend(["--drain-seconds".into(), rollout.drain_seconds.to_string()]);
    args.extend(engine_flags(model.spec.engine.as_ref()));
    args.extend(config.access.iter().flat_map(|access| access::flags(model, access)));
    args
}

fn server(model: &Validated, config: &Config) -> Container {
    let models = mount(MODELS, MODELS_MOUNT, true);
    let mounts = [models].into_iter().chain(config.access.iter().flat_map(access::mounts));
    Container {
        ports: Some(vec![ContainerPort {
            name: Some(PORT_NAME.into()),
            container_port: SERVER_PORT.into(),
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        }]),
        resources: model.spec.resources.clone(),
        volume_mounts: Some(mounts.collect()),
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
    let mut all = format_flags(engine);
    let Some(engine) = engine else { return all };
    let number = |value: Option<i32>| value.map(|value| value.to_string());
    let flags = [
        ("--max-context-tokens", number(engine.max_context_tokens)),
        ("--max-batch-tokens", number(engine.max_batch_tokens)),
        ("--max-sequences", number(engine.max_sequences)),
    ];
    let set = flags.into_iter().filter_map(|(flag, value)| Some([flag.to_owned(), value?]));
    all.extend(set.flatten());
    all
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
    use super::super::fixture::{
        self, NAME, config, container_security, fetched, in_claim, metadata, model, pod_security,
    };
    use super::*;
    use crate::traces::Traces;
    use serde_json::{Value, json};

    fn value(object: impl serde::Serialize) -> Value {
        serde_json::to_value(object).expect("JSON")
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
                                "--listen", "0.0.0.0:8000", "--log-format", "json",
                                "--expect-digest", "sha256:d1", "--drain-seconds", "60",
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
    fn where_traces_go_the_user_s_variables_take_the_places_of_the_operator_s() {
        let model = model(json!({
            "source": {"persistentVolumeClaim": {"claimName": "models", "path": "smollm2.gguf"}},
            "pod": {"env": [{"name": "POD_NAME", "value": "mine"}, {"name": "OTEL_TRACES_SAMPLER", "value": "always_off"}]},
        }));
        let variable = |name: &str| match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some("http://collector:4318".to_owned()),
            "OTEL_TRACES_SAMPLER" => Some("always_on".to_owned()),
            _ => None,
        };
        let traces = Traces::of(variable).expect("valid");
        assert!(traces.is_some());
        let deployment = value(deployment(&model, &fetched(), &Config { traces, ..config() }));
        let env = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
        let env = env.as_array().expect("variables");
        let value = |name: &str| {
            let found: Vec<&Value> = env.iter().filter(|one| one["name"] == name).collect();
            // Server-side apply refuses a name that comes twice.
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            found[0]["value"].clone()
        };
        assert_eq!(value("OTEL_TRACES_SAMPLER"), "always_off");
        assert_eq!(value("POD_NAME"), "mine");
        assert_eq!(value("OTEL_EXPORTER_OTLP_ENDPOINT"), "http://collector:4318");
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
