//! What goes wrong shows where a user looks, and mending the cause is enough.

use serde_json::json;
use textnlp_tests::disturb::together;
use textnlp_tests::{Job, Model, Space, condition, model_file};

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
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("SmolLM2-135M-Instruct.Q4_1.gguf");
    let whole = std::fs::read(model_file()).expect("the model");
    std::fs::write(&file, &whole[..whole.len() / 2]).expect("half a model");
    space.volume("models", &directory.path().display().to_string(), "ReadOnlyMany");
    // The pods are not root: everybody may look into the directory.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open).expect("permissions");
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
