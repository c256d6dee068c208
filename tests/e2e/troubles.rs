//! What goes wrong shows where a user looks, and mending the cause is enough.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use textnlp_tests::disturb::{alone, kill_pod, then_undo, together};
use textnlp_tests::{Job, Model, Space, condition, kubectl, model_file, plugin};

#[test]
fn a_missing_image_is_named_in_the_models_condition_and_another_image_mends_it() {
    let _undisturbed = together();
    let space = Space::new("no-image");
    space.apply(&Model::small("smollm2").with("pod", json!({"image": "textnlp.dev/missing:1"})).0);
    let message = space.until_condition("mdl/smollm2", "Ready", "False", "ImagePullFailed");
    assert!(message.contains("textnlp.dev/missing:1"), "{message}");
    assert_eq!(condition(&space.get("mdl/smollm2"), "Reconciling")["status"], "True");
    space.patch("mdl/smollm2", json!({"spec": {"pod": {"image": null}}}));
    space.until_condition("mdl/smollm2", "Ready", "True", "");
}

#[test]
fn a_gpu_that_no_node_has_is_waited_for_with_the_schedulers_words() {
    let _undisturbed = together();
    let space = Space::new("no-gpu");
    let gpu =
        json!({"requests": {"cpu": "100m", "memory": "700Mi"}, "limits": {"nvidia.com/gpu": 1}});
    space.apply(&Model::small("smollm2").with("resources", gpu).0);
    let message = space.until_condition("mdl/smollm2", "Ready", "False", "Unschedulable");
    assert!(message.contains("nvidia.com/gpu"), "{message}");
    textnlp_tests::disturb::cluster(&["capacity", "1", "nvidia.com/gpu", "1"]);
    space.until_condition("mdl/smollm2", "Ready", "True", "");
    textnlp_tests::disturb::cluster(&["capacity", "1", "nvidia.com/gpu", "0"]);
}

#[test]
fn a_truncated_model_file_is_named_and_a_whole_one_mends_it() {
    let _undisturbed = together();
    let space = Space::empty("truncated");
    let whole = std::fs::read(model_file()).expect("the model");
    let (_directory, file) = own_model(&space, &whole[..whole.len() / 2]);
    space.apply(&Model::small("smollm2").0);
    let message = space.until_condition("mdl/smollm2", "Ready", "False", "InvalidModel");
    assert!(message.contains("gguf"), "{message}");
    std::fs::write(&file, &whole).expect("the whole model");
    space.until_condition("mdl/smollm2", "Ready", "True", "");
}

#[test]
fn an_unbound_claim_is_named_and_a_volume_mends_it() {
    let _undisturbed = together();
    let space = Space::empty("unbound");
    space.apply(&json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"},
        "spec": {"accessModes": ["ReadOnlyMany"], "storageClassName": "", "resources": {"requests": {"storage": "10Gi"}},
            "volumeName": format!("{}-models", space.name())}
    }));
    space.apply(&Model::small("smollm2").0);
    let message = space.until_condition("mdl/smollm2", "Ready", "False", "ClaimNotBound");
    assert!(message.contains("models"), "{message}");
    let directory = model_file().parent().map(|p| p.display().to_string()).unwrap_or_default();
    space.volume("models", &directory, "ReadOnlyMany");
    space.until_condition("mdl/smollm2", "Ready", "True", "");
}

#[test]
fn a_template_that_does_not_compile_stops_the_job_before_any_worker_starts() {
    let _undisturbed = together();
    let space = Space::new("template");
    let job = Job::small("tickets").with("columns/0/prompt", json!("{% if product %}no end"));
    space.start(&Model::small("smollm2"), &job);
    let message = space.until_condition("gj/tickets", "Stalled", "True", "InvalidSpec");
    assert!(message.contains("spec.columns[0].prompt"), "{message}");
    assert!(space.list("pods", "app.kubernetes.io/component=worker").is_empty());
}

#[test]
fn a_missing_config_map_key_is_waited_for() {
    let _undisturbed = together();
    let space = Space::new("config-map");
    let job = Job::small("tickets")
        .with("source", json!({"configMap": {"name": "products", "key": "products.csv"}}))
        .with("validation", json!({}));
    space.start(&Model::small("smollm2"), &job);
    space.until_condition("gj/tickets", "Reconciling", "True", "ConfigMapNotFound");
    let products = |key: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "products"},
            "data": {key: "product\nkettle\n"}})
    };
    space.apply(&products("other.csv"));
    let message = space.until_condition("gj/tickets", "Reconciling", "True", "ConfigMapKeyMissing");
    assert!(message.contains("products.csv"), "{message}");
    space.apply(&products("products.csv"));
    space.until_condition("gj/tickets", "Succeeded", "True", "");
}

#[test]
fn a_missing_secret_is_named() {
    let _undisturbed = together();
    let space = Space::new("secret");
    let job = Job::small("tickets").with(
        "output/destination",
        json!({"objectStore": {"uri": "s3://bucket/p/", "secretRef": {"name": "keys"}}}),
    );
    space.start(&Model::small("smollm2"), &job);
    let message = space.until_condition("gj/tickets", "Reconciling", "True", "SecretMissing");
    assert!(message.contains("keys"), "{message}");
    space.apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"},
        "stringData": {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    }));
    // The pods go on; that no store answers there is the next trouble, and another one.
    space.until("gj/tickets", "the Secret is there", |o| {
        condition(o, "Reconciling")["reason"] != "SecretMissing"
    });
}

#[test]
fn a_job_past_its_deadline_fails_and_says_so() {
    let _undisturbed = together();
    let space = Space::new("deadline");
    let job = Job::small("tickets").with("execution", json!({"activeDeadlineSeconds": 1}));
    space.start(&Model::small("smollm2"), &job);
    space.until_condition("gj/tickets", "Stalled", "True", "DeadlineExceeded");
    space.until("gj/tickets", "no worker runs", |_| space.running("worker").is_empty());
}

#[test]
fn a_file_of_a_laptop_is_refused_in_a_cluster() {
    let _undisturbed = together();
    let space = Space::new("local-only");
    let job = Job::small("tickets").with("source", json!({"file": {"path": "records.csv"}}));
    space.start(&Model::small("smollm2"), &job);
    space.until_condition("gj/tickets", "Stalled", "True", "LocalOnly");
}

#[test]
fn a_server_that_runs_out_of_memory_says_so() {
    let _undisturbed = together();
    let space = Space::new("memory");
    let little =
        json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}});
    space.apply(&Model::small("smollm2").with("resources", little).0);
    space.until_condition("mdl/smollm2", "Ready", "False", "OutOfMemory");
    space.patch("mdl/smollm2", json!({"spec": {"resources": {"limits": {"memory": "2Gi"}}}}));
    space.until_condition("mdl/smollm2", "Ready", "True", "");
}

#[test]
fn a_quota_that_is_used_up_is_named() {
    let _undisturbed = together();
    let space = Space::new("quota");
    let quota = |pods: &str| json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": pods}}});
    space.apply(&quota("0"));
    space.apply(&Model::small("smollm2").0);
    let message = space.until_condition("mdl/smollm2", "Ready", "False", "QuotaExceeded");
    assert!(message.contains("few"), "{message}");
    space.apply(&quota("10"));
    space.until_condition("mdl/smollm2", "Ready", "True", "");
}

#[test]
fn a_childs_name_that_is_taken_is_named_and_goes_on_when_it_is_free() {
    let _undisturbed = together();
    let space = Space::new("taken");
    // A gate that cannot pass: such a job may be tried again.
    let job = Job::small("tickets")
        .with("source/limit", json!(1))
        .with("validation/gates/0", json!({"metric": "acceptedRows", "min": 1000}));
    space.start(&Model::small("smollm2"), &job);
    space.until_condition("gj/tickets", "Stalled", "True", "GateFailed");
    let first = space.list("configmaps", "app.kubernetes.io/managed-by=textnlp-operator").remove(0);
    let name = first["metadata"]["name"].as_str().unwrap_or_default();
    let prefix = name.strip_suffix("-task-0").expect("the snapshot of attempt 0");
    // What an operator left behind that was killed in the middle, of another time.
    let left = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "immutable": true, "data": {"job.json": "{}"},
        "metadata": {"name": format!("{prefix}-task-1"), "labels": first["metadata"]["labels"],
            "annotations": first["metadata"]["annotations"], "ownerReferences": first["metadata"]["ownerReferences"]}
    });
    space.kubectl_with("create", &left).expect("the snapshot is there");
    let foreign = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": format!("{prefix}-prepare-1")},
        "spec": {"suspend": true, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "pause", "image": "textnlp.dev/pause:test"}]
        }}}
    });
    space.apply(&foreign);
    plugin(&space, &["retry", "tickets"]).expect("retry");
    let message = space.until_condition("gj/tickets", "Reconciling", "True", "NameTaken");
    assert!(message.contains(&format!("{prefix}-prepare-1")), "{message}");
    space.kubectl(&["delete", "job", &format!("{prefix}-prepare-1")]).expect("kubectl delete");
    space.until("gj/tickets", "attempt 1 is done", |o| {
        o["status"]["attempt"] == 1 && condition(o, "Stalled")["reason"] == "GateFailed"
    });
}

#[test]
fn a_right_that_the_operator_lacks_is_named_and_given_back_mends_it() {
    let _alone = alone();
    let space = Space::new("rights");
    let role: Value = serde_json::from_str(
        &kubectl(&["get", "clusterrole", "textnlp-operator", "--output", "json"])
            .expect("the role"),
    )
    .expect("JSON");
    let mut less = role["rules"].clone();
    for rule in less.as_array_mut().into_iter().flatten() {
        if rule["resources"] == json!(["jobs"]) {
            rule["verbs"] = json!(["get", "list", "watch"]);
        }
    }
    let set = |rules: &Value| {
        let patch = json!({"rules": rules}).to_string();
        kubectl(&[
            "patch",
            "clusterrole",
            "textnlp-operator",
            "--type",
            "merge",
            "--patch",
            &patch,
        ])
        .expect("the role is patched");
    };
    set(&less);
    let refused = || {
        space.apply(&Model::small("smollm2").0);
        space.until_condition("mdl/smollm2", "Ready", "False", "Forbidden")
    };
    let message = then_undo(refused, || set(&role["rules"]));
    assert!(message.contains("cannot create resource \"jobs\""), "{message}");
    space.until_condition("mdl/smollm2", "Ready", "True", "");
}

#[test]
fn a_model_file_that_was_replaced_is_another_model_and_is_served_as_that() {
    let _undisturbed = together();
    let space = Space::empty("changed");
    let mut bytes = std::fs::read(model_file()).expect("the model");
    let (_directory, file) = own_model(&space, &bytes);
    space.apply(&Model::small("smollm2").0);
    space.until_condition("mdl/smollm2", "Ready", "True", "");
    let before = space.get("mdl/smollm2")["status"]["model"]["digest"].clone();

    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, &bytes).expect("another model");
    kill_pod(space.name(), &space.running("server")[0]);
    space.until("mdl/smollm2", "the other model is served", |o| {
        o["status"]["model"]["digest"] != before && condition(o, "Ready")["status"] == "True"
    });
}

#[test]
fn a_server_that_cannot_start_says_why_until_its_spec_is_mended() {
    let _undisturbed = together();
    let space = Space::new("crash");
    space.apply(&Model::small("smollm2").with("engine", json!({"dtype": "F16"})).0);
    let message = space.until_condition("mdl/smollm2", "Ready", "False", "UnsupportedEngine");
    assert!(message.contains("F16"), "{message}");
    let why = plugin(&space, &["why", "mdl/smollm2"]).expect("why");
    assert!(why.contains("this build does not compute in it"), "{why}");
    space.patch("mdl/smollm2", json!({"spec": {"engine": null}}));
    space.until_condition("mdl/smollm2", "Ready", "True", "");
}

/// The claim `models` over a directory of the test's own, with these bytes as the model's file; both are returned.
fn own_model(space: &Space, bytes: &[u8]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    // The pods are not root: everybody may look into it.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open).expect("permissions");
    let file = directory.path().join(model_file().file_name().expect("a file"));
    std::fs::write(&file, bytes).expect("the model is written");
    space.volume("models", &directory.path().display().to_string(), "ReadOnlyMany");
    (directory, file)
}
