//! The fetch Job of a model's source. Pure.

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use textnlp_crds::task::{MODEL_SECRET_MOUNT, MODEL_SOURCE_VARIABLE, MODELS_MOUNT};

use super::fetch::FETCH;
use super::formats::format_flags;
use super::place::{MODELS, SECRET, models_volume, mount, pod_spec, secret, secret_volume};
use super::validate::{Source, Validated};
use crate::config::Config;
use crate::pod_template::{CONTAINER, Template};

/// Pods of a fetch Job that may fail before it does.
const FETCH_BACKOFF_LIMIT: i32 = 2;

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
    let mut args = vec![FETCH.to_owned()];
    if let Source::Claim { path, .. } = &model.source {
        let path = if path.is_empty() { "." } else { path };
        args.extend(["--offline".into(), path.into()]);
    }
    // It says what the servers will compute in.
    args.extend(format_flags(model.spec.engine.as_ref()));
    args
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

#[cfg(test)]
mod tests {
    use super::super::fixture::{
        self, NAME, config, container_security, in_claim, metadata, model, pod_security,
    };
    use super::*;
    use serde_json::{Value, json};

    fn value(object: impl serde::Serialize) -> Value {
        serde_json::to_value(object).expect("JSON")
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
}
