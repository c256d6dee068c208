//! Whole objects, as the API server gets them.

use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};
use textnlp_crds::GenerationJob;

use super::*;
use crate::config::Config;
use crate::job::fixture;
use crate::job::position::Turn;
use crate::job::validate::validate;

const FIRST: Turn<'static> = Turn { attempt: 0, run: 0, child: None };

fn built(fields: Value, one_node: bool, build: impl Fn(&Blueprint<'_>) -> Job) -> Value {
    built_with(fields, &[], one_node, build)
}

/// The same, under an operator with these flags.
fn built_with(
    fields: Value,
    flags: &[&str],
    one_node: bool,
    build: impl Fn(&Blueprint<'_>) -> Job,
) -> Value {
    let job = fixture::job(fields);
    let config = fixture::config_with(flags);
    let owner = fixture::owner(&job);
    let task = task_of(&job);
    let blueprint = blueprint(&job, &owner, &task, &config, one_node);
    serde_json::to_value(build(&blueprint)).expect("JSON")
}

fn task_of(job: &GenerationJob) -> JobTask {
    let observed = fixture::observed(job.clone(), Vec::new());
    let validated = validate(&observed).expect("valid");
    task(&observed.owner, &job.spec, 0, validated.models)
}

fn blueprint<'a>(
    job: &'a GenerationJob,
    owner: &'a Owner,
    task: &'a JobTask,
    config: &'a Config,
    one_node: bool,
) -> Blueprint<'a> {
    Blueprint {
        owner,
        task,
        task_name: task_name(owner, 0),
        execution: &job.spec.execution,
        model_secrets: BTreeMap::from([("gpt".into(), "gpt-key".into())]),
        one_node,
        config,
    }
}

fn labels(component: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "textnlp",
        "app.kubernetes.io/managed-by": "textnlp-operator",
        "app.kubernetes.io/component": component,
        "textnlp.dev/job-uid": "uid-1",
    })
}

fn owner_references() -> Value {
    json!([{
        "apiVersion": "textnlp.dev/v1alpha1", "kind": "GenerationJob", "name": "tickets", "uid": "uid-1",
        "controller": true, "blockOwnerDeletion": true,
    }])
}

fn failure_policy() -> Value {
    json!({"rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [130]}},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2]}},
    ]})
}

/// The pod template of a step: what all have, and what this one mounts.
fn template(component: &str, args: Value, mounts: Value, volumes: Value) -> Value {
    let with_tmp = |list: Value, tmp: Value| {
        let mut list = list.as_array().cloned().expect("a list");
        list.push(tmp);
        list
    };
    json!({
        "metadata": {"labels": labels(component), "annotations": {"textnlp.dev/owner-name": "tickets"}},
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "textnlp",
                "image": "textnlp:0.1.0",
                "imagePullPolicy": "IfNotPresent",
                "args": args,
                "terminationMessagePolicy": "File",
                "securityContext": {
                    "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
                },
                "volumeMounts": with_tmp(mounts, json!({"name": "tmp", "mountPath": "/tmp"})),
            }],
            "enableServiceLinks": false,
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationGracePeriodSeconds": 60,
            "volumes": with_tmp(volumes, json!({"name": "tmp", "emptyDir": {}})),
        },
    })
}

fn task_mount() -> (Value, Value) {
    (
        json!({"name": "task", "mountPath": "/etc/textnlp/task", "readOnly": true}),
        json!({"name": "task", "configMap": {"name": "gj-tickets-4a49acf8-task-0"}}),
    )
}

fn output_mount() -> (Value, Value) {
    (
        json!({"name": "output", "mountPath": "/var/lib/textnlp/output"}),
        json!({"name": "output", "persistentVolumeClaim": {"claimName": "gj-tickets-4a49acf8-dataset"}}),
    )
}

#[test]
fn prepare_reads_a_key_of_a_config_map_and_writes_into_the_claim() {
    let source =
        json!({"source": {"inline": null, "configMap": {"name": "products", "key": "p.csv"}}});
    let found = built(source, false, |blueprint| prepare(blueprint, &FIRST));
    let hash = found["metadata"]["annotations"][POD_HASH].clone();
    let (task, output) = (task_mount(), output_mount());
    let expected = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "gj-tickets-4a49acf8-prepare-0",
            "namespace": "shop",
            "labels": labels("prepare"),
            "annotations": {
                "textnlp.dev/owner-name": "tickets", "textnlp.dev/attempt": "0", "textnlp.dev/run": "0", POD_HASH: hash,
            },
            "ownerReferences": owner_references(),
        },
        "spec": {
            "backoffLimit": 3,
            "completions": 1,
            "parallelism": 1,
            "podFailurePolicy": failure_policy(),
            "podReplacementPolicy": "Failed",
            "template": template("prepare", json!(["prepare"]),
                json!([task.0, output.0, {"name": "source", "mountPath": "/etc/textnlp/source", "readOnly": true}]),
                json!([task.1, output.1, {"name": "source", "configMap": {"name": "products", "items": [{"key": "p.csv", "path": "p.csv"}]}}])),
        },
    });
    assert_eq!(found, expected);
}

#[test]
fn generate_is_an_indexed_job_of_workers_with_the_keys_of_external_models() {
    let execution = json!({"execution": {"parallelism": 5, "backoffLimitPerShard": 2}});
    let found =
        built(execution, false, |blueprint| generate(blueprint, &FIRST, &fixture::answered()));
    let (task, output) = (task_mount(), output_mount());
    let mut pods = template(
        "worker",
        json!(["worker"]),
        json!([task.0, output.0, {"name": "model-secret-0", "mountPath": "/etc/textnlp/secrets/models/gpt", "readOnly": true}]),
        json!([task.1, output.1, {"name": "model-secret-0", "secret": {
            "secretName": "gpt-key", "defaultMode": 0o440, "items": [{"key": "apiKey", "path": "apiKey"}]}}]),
    );
    pods["spec"]["containers"][0]["ports"] = json!([{"name": "metrics", "containerPort": 9400}]);
    let expected = json!({
        "backoffLimitPerIndex": 2,
        "completionMode": "Indexed",
        "completions": 3,
        // No more workers than shards.
        "parallelism": 3,
        "podFailurePolicy": failure_policy(),
        "podReplacementPolicy": "Failed",
        "template": pods,
    });
    assert_eq!(found["spec"], expected);
    assert_eq!(found["metadata"]["name"], "gj-tickets-4a49acf8-generate-0");
}

#[test]
fn workers_and_nobody_else_have_a_token_for_servers_that_ask_for_one() {
    let access = ["--kubernetes-access=true", "--kubernetes-audience=models.example"];
    let pod = |build: fn(&Blueprint<'_>) -> Job| {
        built_with(json!({}), &access, false, build)["spec"]["template"]["spec"].clone()
    };
    let worker = pod(|blueprint| generate(blueprint, &FIRST, &fixture::answered()));
    let token = json!({"name": "server-token", "projected": {"defaultMode": 0o440, "sources": [
        {"serviceAccountToken": {"audience": "models.example", "expirationSeconds": 3600, "path": "token"}},
    ]}});
    assert_eq!(worker["volumes"][3], token);
    let mount = json!({"name": "server-token", "mountPath": "/var/run/secrets/textnlp.dev", "readOnly": true});
    assert_eq!(worker["containers"][0]["volumeMounts"][3], mount);
    assert_eq!(worker["automountServiceAccountToken"], false);
    let others: [fn(&Blueprint<'_>) -> Job; 2] =
        [|blueprint| prepare(blueprint, &FIRST), |blueprint| finalize(blueprint, &FIRST, false)];
    for build in others {
        assert!(!pod(build)["volumes"].to_string().contains("server-token"));
    }
}

#[test]
fn workers_of_external_models_alone_have_no_token_of_ours() {
    let job = fixture::job(json!({}));
    let owner = fixture::owner(&job);
    let mut task = task_of(&job);
    for model in task.models.values_mut() {
        model.external = Some(Default::default());
    }
    let config = fixture::config_with(&["--kubernetes-access=true"]);
    let blueprint = blueprint(&job, &owner, &task, &config, false);
    let worker = serde_json::to_value(generate(&blueprint, &FIRST, &fixture::answered()));
    assert!(!worker.expect("JSON").to_string().contains("server-token"));
}

#[test]
fn with_a_queue_a_job_is_made_suspended_and_labelled() {
    let found = built(json!({"execution": {"queueName": "team"}}), false, |blueprint| {
        finalize(blueprint, &Turn { attempt: 2, run: 1, child: None }, true)
    });
    assert_eq!(found["spec"]["suspend"], true);
    assert_eq!(found["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], "team");
    assert_eq!(found["metadata"]["name"], "gj-tickets-4a49acf8-finalize-2-1");
    assert_eq!(
        found["spec"]["template"]["spec"]["containers"][0]["args"],
        json!(["finalize", "--lost-shards"])
    );
}

#[test]
fn pods_that_share_a_claim_of_one_node_are_drawn_together_beside_the_user_s_own_wishes() {
    let theirs = json!({"labelSelector": {"matchLabels": {"app": "cache"}}, "topologyKey": "zone"});
    let pod = json!({
        "labels": {"team": "a", "textnlp.dev/job-uid": "forged", "app.kubernetes.io/component": "forged"},
        "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [theirs]}},
        "env": [{"name": "RUST_LOG", "value": "debug"}],
        "image": "mirror/textnlp:0.1.0",
    });
    let found = built(json!({"execution": {"pod": pod}}), true, |blueprint| {
        generate(blueprint, &FIRST, &fixture::answered())
    });
    let template = &found["spec"]["template"];
    let ours = json!({"labelSelector": {"matchLabels": {"textnlp.dev/job-uid": "uid-1"}}, "topologyKey": "kubernetes.io/hostname"});
    let required = &template["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(*required, json!([theirs, ours]));
    assert_eq!(template["metadata"]["labels"]["team"], "a");
    assert_eq!(template["metadata"]["labels"]["textnlp.dev/job-uid"], "uid-1");
    assert_eq!(template["metadata"]["labels"]["app.kubernetes.io/component"], "worker");
    assert_eq!(template["spec"]["containers"][0]["image"], "mirror/textnlp:0.1.0");
    assert_eq!(found["metadata"]["annotations"]["textnlp.dev/one-node"], "true");
}

#[test]
fn an_object_store_has_secrets_and_no_claim() {
    let store = |name: &str| json!({"uri": "s3://bucket/x", "secretRef": {"name": name}});
    let fields = json!({
        "source": {"inline": null, "objectStore": store("in")},
        "output": {"destination": {"objectStore": store("out")}},
    });
    let found = built(fields, false, |blueprint| prepare(blueprint, &FIRST));
    let volumes = found["spec"]["template"]["spec"]["volumes"].as_array().expect("volumes").clone();
    let names: Vec<&str> = volumes.iter().filter_map(|volume| volume["name"].as_str()).collect();
    assert_eq!(names, ["task", "output-secret", "source-secret", "tmp"]);
    assert_eq!(volumes[2]["secret"], json!({"secretName": "in", "defaultMode": 0o440}));
}

#[test]
fn a_retained_claim_has_no_owner_that_the_garbage_collector_knows() {
    let owner = fixture::owner(&fixture::job(json!({})));
    let wanted = |when: &str| {
        serde_json::from_value(json!({"whenDeleted": when, "storageClassName": "fast"}))
            .expect("a claim")
    };
    let retained = serde_json::to_value(claim(&owner, &wanted("Retain"))).expect("JSON");
    let expected = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "gj-tickets-4a49acf8-dataset",
            "namespace": "shop",
            "labels": labels("dataset"),
            "annotations": {"textnlp.dev/owner-name": "tickets", "textnlp.dev/owner-uid": "uid-1"},
        },
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}, "storageClassName": "fast"},
    });
    assert_eq!(retained, expected);
    let deleted = serde_json::to_value(claim(&owner, &wanted("Delete"))).expect("JSON");
    assert_eq!(deleted["metadata"]["ownerReferences"], owner_references());
}

#[test]
fn a_snapshot_is_immutable_and_read_back_as_it_was() {
    let job = fixture::job(json!({}));
    let owner = fixture::owner(&job);
    let snapshot = task_of(&job);
    let map = task_map(&owner, &task_name(&owner, 0), &snapshot).expect("JSON");
    assert_eq!(map.immutable, Some(true));
    assert_eq!(read_task(&map), Some(snapshot.clone()));
    let model = &snapshot.models["smollm2"];
    assert_eq!(model.pods.as_deref(), Some("mdl-smollm2-afaec2d5-pods.shop.svc:8000"));
    assert_eq!((model.digest.as_str(), model.chat), (fixture::DIGEST, true));
    assert_eq!(snapshot.claim.as_deref(), Some("gj-tickets-4a49acf8-dataset"));
}

#[test]
fn a_finalize_step_judges_by_the_new_rules_over_the_rows_that_are_there() {
    let before = fixture::job(json!({"samplesPerRecord": 2}));
    let after = fixture::job(json!({
        "samplesPerRecord": 9, "output": {"formats": ["CSV"]}, "validation": {"gates": [{"metric": "acceptedRows", "min": 1}]},
    }));
    let task = rejudged(&task_of(&before), &after.spec);
    assert_eq!(task.spec.samples_per_record, 2);
    assert_eq!(task.spec.output.formats, after.spec.output.formats);
    assert_eq!(task.spec.validation, after.spec.validation);
}
