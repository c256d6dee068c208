//! `kubectl textnlp`: each verb against jobs and models that run.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use textnlp_tests::disturb::together;
use textnlp_tests::{
    Answer, Job, Model, Space, binary, eventually, kubectl, plugin, run, run_with_input,
};

/// Pods that read a claim for `get`, those on their way out apart.
fn reading_pods(space: &Space) -> usize {
    let pods = space.list("pods", "app.kubernetes.io/managed-by=kubectl-textnlp");
    pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).count()
}

#[track_caller]
fn expect_refusal(answer: &Answer, code: i32, words: &str) {
    assert_eq!(answer.code, code, "{}{}", answer.stdout, answer.stderr);
    assert!(answer.stderr.contains(words), "{}", answer.stderr);
}

#[test]
fn a_job_is_followed_to_its_end_and_its_rows_are_brought_home() {
    let _undisturbed = together();
    let space = Space::new("plugin-get");
    let job = Job::small("tickets").with("source/limit", json!(2));
    space.start(&Model::small("smollm2"), &job);
    expect_refusal(
        &plugin(&space, &["get", "tickets", "-o", "/tmp/x"]),
        2,
        "has not written its dataset yet",
    );
    let page = plugin(&space, &["status", "tickets", "--watch"]).expect("status --watch");
    assert!(page.contains("gj/tickets  Succeeded"), "{page}");
    let done = space.expect_local_digest(&job);
    let digest = done["status"]["output"]["digest"].as_str().unwrap_or_default();
    assert!(page.contains(digest), "{page}");

    let home = tempfile::tempdir().expect("a directory");
    let rows = home.path().join("rows");
    let to = rows.display().to_string();
    let said = plugin(&space, &["get", "tickets", "-o", &to]).expect("get");
    assert!(said.contains(digest), "{said}");
    let read = |name: &str| std::fs::read_to_string(rows.join(name)).expect(name);
    let manifest: Value = serde_json::from_str(&read("manifest.json")).expect("JSON");
    assert_eq!(manifest["digest"], digest);
    let accepted = done["status"]["rows"]["accepted"].as_u64();
    assert_eq!(Some(read("dataset.jsonl").lines().count() as u64), accepted);
    assert!(!read("report.md").is_empty());
    assert_eq!(reading_pods(&space), 0, "the pod is deleted");

    // Again: nothing to do; into something else: refused, and left alone.
    plugin(&space, &["get", "tickets", "-o", &to]).expect("get into the same directory");
    std::fs::write(home.path().join("mine.txt"), "mine").expect("a file");
    let elsewhere = home.path().display().to_string();
    expect_refusal(&plugin(&space, &["get", "tickets", "-o", &elsewhere]), 2, "is not empty");
    let one = home.path().join("one").display().to_string();
    let unknown = plugin(&space, &["get", "tickets", "-o", &one, "--file", "data.csv"]);
    expect_refusal(&unknown, 1, "there are: README.md, dataset.jsonl");
    plugin(&space, &["get", "tickets", "-o", &one, "--file", "dataset.jsonl"]).expect("get --file");
    assert_eq!(
        std::fs::read(home.path().join("one/dataset.jsonl")).expect("a file"),
        read("dataset.jsonl").as_bytes()
    );
    assert_eq!(reading_pods(&space), 0);

    let logs = plugin(&space, &["logs", "tickets"]).expect("logs");
    assert!(logs.lines().all(|line| line.starts_with("[gj-tickets-")), "{logs}");
    let refused = plugin(&space, &["retry", "tickets"]);
    expect_refusal(&refused, 2, "has succeeded: nothing is missing");
    let fine = plugin(&space, &["why", "tickets"]).expect("why");
    assert!(fine.contains("nothing is in the way"), "{fine}");
}

#[test]
fn an_interrupted_get_leaves_no_pod() {
    let _undisturbed = together();
    let space = Space::new("plugin-interrupt");
    let job = Job::small("tickets").with("source/limit", json!(1));
    space.start(&Model::small("smollm2"), &job);
    space.expect_local_digest(&job);
    let home = tempfile::tempdir().expect("a directory");
    let to = home.path().join("rows");
    // An image that is nowhere: the pod waits for as long as it takes.
    let child = Command::new("kubectl")
        .args([
            "textnlp",
            "get",
            "tickets",
            "--image",
            "textnlp.dev/missing:1",
            "-n",
            space.name(),
            "-o",
        ])
        .arg(&to)
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl starts");
    eventually("the pod is there", || match reading_pods(&space) {
        1 => Ok(()),
        count => Err(format!("{count} pods")),
    });
    // kubectl becomes its plugin, so that the signal reaches it.
    let killed =
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    eventually("the pod is gone", || match reading_pods(&space) {
        0 => Ok(()),
        count => Err(format!("{count} pods")),
    });
    assert!(!to.exists(), "nothing was written");
}

#[test]
fn suspend_and_resume_pause_a_job_and_lose_nothing() {
    let _undisturbed = together();
    let space = Space::new("plugin-suspend");
    let job = Job::small("tickets");
    space.start(&Model::small("smollm2"), &job);
    space.until_half_done(&job);
    let said = plugin(&space, &["suspend", "tickets"]).expect("suspend");
    assert!(said.contains("kubectl textnlp resume tickets"), "{said}");
    space.until("gj/tickets", "suspended", |o| o["status"]["phase"] == "Suspended");
    let again = plugin(&space, &["suspend", "tickets"]).expect("suspend again");
    assert!(again.contains("suspended already"), "{again}");
    expect_refusal(&plugin(&space, &["retry", "tickets"]), 2, "kubectl textnlp resume tickets");
    let why = plugin(&space, &["why", "tickets"]).expect("why");
    assert!(why.contains("to do: `kubectl textnlp resume tickets`"), "{why}");
    plugin(&space, &["resume", "tickets"]).expect("resume");
    space.expect_local_digest(&job);
}

#[test]
fn a_failed_gate_is_the_exit_code_3_and_retry_begins_another_attempt() {
    let _undisturbed = together();
    let space = Space::new("plugin-retry");
    let job = Job::small("tickets")
        .with("source/limit", json!(1))
        .with("validation/gates/0", json!({"metric": "acceptedRows", "min": 1000}));
    space.start(&Model::small("smollm2"), &job);
    let attempt = |expected: i64| {
        let answer = plugin(&space, &["status", "tickets", "--watch", "--json"]);
        assert_eq!(answer.code, 3, "{}{}", answer.stdout, answer.stderr);
        let document: Value = serde_json::from_str(&answer.stdout).expect("one JSON document");
        assert_eq!(document["reason"], "GateFailed");
        assert_eq!(document["status"]["validation"]["passed"], false);
        assert_eq!(document["status"]["attempt"], expected);
    };
    attempt(0);
    let why = plugin(&space, &["why", "tickets"]).expect("why");
    assert!(why.contains("kubectl textnlp get tickets -o DIR"), "{why}");
    let said = plugin(&space, &["retry", "tickets"]).expect("retry");
    assert!(said.contains("attempt 1 begins"), "{said}");
    // Between the end of one attempt and the beginning of the next, the job still has its old status.
    space.until("gj/tickets", "attempt 1", |o| o["status"]["attempt"] == 1);
    attempt(1);
}

#[test]
fn why_leads_from_a_job_to_an_image_that_is_nowhere() {
    let _undisturbed = together();
    let space = Space::new("plugin-why");
    let model = Model::small("smollm2").with("pod", json!({"image": "textnlp.dev/missing:1"}));
    space.start(&model, &Job::small("tickets"));
    eventually("why says it", || {
        let said = plugin(&space, &["why", "tickets"]).expect("why");
        let whole = [
            "gj/tickets",
            "mdl/smollm2",
            "job/",
            "pod/",
            "image textnlp.dev/missing:1",
            "to do: push the image",
        ];
        if whole.iter().all(|part| said.contains(part)) { Ok(()) } else { Err(said) }
    });
    // The model's status follows when its pod has been stuck for a while.
    space.until_condition("mdl/smollm2", "Ready", "False", "ImagePullFailed");
    let listed = plugin(&space, &["status"]).expect("status");
    assert!(listed.contains("tickets") && listed.contains("ImagePullFailed"), "{listed}");
}

#[test]
fn a_name_that_is_not_there_lists_those_that_are() {
    let _undisturbed = together();
    let space = Space::empty("plugin-names");
    space.apply(&Job::small("tickets").0);
    let answer = plugin(&space, &["status", "ticket"]);
    expect_refusal(&answer, 1, "no job or model is named ticket in the namespace");
    expect_refusal(&answer, 1, "there are: gj/tickets");
    expect_refusal(&plugin(&space, &["suspend", "mdl/tickets"]), 2, "this verb is for jobs");
}

#[test]
fn a_wait_with_a_limit_ends_with_what_is_in_the_way() {
    let _undisturbed = together();
    let space = Space::empty("plugin-limit");
    space.apply(&Job::small("tickets").0);
    space.until_condition("gj/tickets", "Reconciling", "True", "ModelNotFound");
    let answer = plugin(&space, &["status", "tickets", "--watch", "--timeout-seconds", "1"]);
    expect_refusal(&answer, 1, "tickets: not at its end within 1 s");
    expect_refusal(&answer, 1, "ModelNotFound");
    // As in its image, where the program has one name only.
    let page = run(&binary("textnlp"), &["kubectl", "status", "gj/tickets", "-n", space.name()]);
    assert!(page.expect("textnlp kubectl").contains("ModelNotFound"));
}

#[test]
fn a_missing_permission_is_named() {
    let _undisturbed = together();
    let space = Space::empty("plugin-rights");
    space.apply(
        &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody"}}),
    );
    let token = space.kubectl(&["create", "token", "nobody"]).expect("a token");
    let view = kubectl(&["config", "view", "--raw", "--minify", "--flatten", "--output", "json"])
        .expect("the kubeconfig");
    let mut config: Value = serde_json::from_str(&view).expect("JSON");
    config["users"][0]["user"] = json!({"token": token.trim()});
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("kubeconfig");
    std::fs::write(&file, config.to_string()).expect("the kubeconfig is written");
    let answer = plugin(&space, &["status", "--kubeconfig", &file.display().to_string()]);
    expect_refusal(&answer, 1, "permission is missing: list generationjobs.textnlp.dev");
}

#[test]
fn an_api_server_that_is_not_there_is_named() {
    let space_less = |arguments: &[&str]| {
        let mut all = vec!["textnlp"];
        all.extend(arguments);
        kubectl(&all)
    };
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "users": [{"name": "me", "user": {}}],
    });
    std::fs::write(&file, config.to_string()).expect("the kubeconfig is written");
    let path = file.display().to_string();
    let answer = space_less(&["status", "--kubeconfig", &path]);
    expect_refusal(&answer, 1, "the API server https://127.0.0.1:1 cannot be reached");
    let answer = space_less(&["status", "--kubeconfig", &path, "--context", "there"]);
    expect_refusal(&answer, 2, "there is no context there; there are: here");
    let answer = space_less(&["status", "--kubeconfig", "/nowhere/kubeconfig"]);
    expect_refusal(&answer, 2, "/nowhere/kubeconfig");
}

#[test]
fn nothing_in_a_message_acts_on_the_terminal() {
    let _undisturbed = together();
    let space = Space::empty("plugin-escape");
    let job = json!({
        "apiVersion": "textnlp.dev/v1alpha1", "kind": "GenerationJob", "metadata": {"name": "evil"},
        "spec": {"columns": [{"name": "text", "value": "x"}], "execution": {"queueName": "\u{1b}[2Jgone"}},
    });
    run_with_input("kubectl", &["apply", "-n", space.name(), "-f", "-"], &job.to_string())
        .expect("apply");
    for arguments in [["status", "evil"], ["why", "evil"]] {
        let answer = plugin(&space, &arguments).expect("the plugin");
        assert!(!answer.contains('\u{1b}'), "{answer:?}");
    }
}
