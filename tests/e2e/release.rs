//! The release itself: upgrades and rollbacks while jobs run, and `helm test`. Runs after the other tests: it changes the operator
//! that they use.

use serde_json::{Value, json};
use textnlp_tests::disturb::{
    OPERATOR, operator, operator_pods, then_undo, until_operator_is_ready,
};
use textnlp_tests::{Answer, Job, Model, Space, eventually, kubectl, run};

/// Name of the release, and so of all its objects.
const RELEASE: &str = "textnlp-operator";
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/textnlp-operator");
/// Name of everything that `helm test` makes.
const TEST: &str = "textnlp-operator-test";
/// Where a test with a model of its own runs: the namespace of its [`Space`].
const WITH_MODEL: &str = "e2e-helm-test";

#[track_caller]
fn helm(arguments: &[&str]) -> Answer {
    run("helm", &[arguments, &["--namespace", OPERATOR]].concat())
}

/// The revision that is deployed.
#[track_caller]
fn revision() -> String {
    let status = helm(&["status", RELEASE, "--output", "json"]).expect("helm status");
    let status: Value = serde_json::from_str(&status).expect("JSON");
    status["version"].as_i64().expect("a revision").to_string()
}

/// The same release with other values.
#[track_caller]
fn upgrade(values: &[&str]) {
    let command = ["upgrade", RELEASE, CHART, "--reuse-values", "--wait", "--timeout", "3m"];
    helm(&[&command, values].concat()).expect("helm upgrade");
}

#[track_caller]
fn roll_back(revision: &str) {
    helm(&["rollback", RELEASE, revision, "--wait", "--timeout", "3m"]).expect("helm rollback");
}

/// Does something to the release, which is then what it was, also when the test fails.
fn with_release<T>(change: impl FnOnce(&str) -> T) -> T {
    let before = revision();
    then_undo(
        || change(&before),
        || {
            roll_back(&before);
            until_operator_is_ready();
        },
    )
}

/// Waits until so many pods are the operator's, none of them an old one.
#[track_caller]
fn until_replaced(old: &[String], replicas: usize) -> Vec<String> {
    eventually("the operator's pods are new ones", || {
        let now = operator_pods();
        let is_new = now.len() == replicas && !now.iter().any(|pod| old.contains(pod));
        if is_new { Ok(now) } else { Err(format!("{now:?}, once {old:?}")) }
    })
}

/// A job that takes longer than a new operator needs to come up.
fn long(name: &str) -> Job {
    Job::small(name)
        .with("samplesPerRecord", json!(6))
        .with("execution", json!({"parallelism": 1, "concurrency": 1}))
}

/// Starts a job, does something in its midst, and holds the dataset against the local run's.
#[track_caller]
fn in_the_midst_of(job: &Job, space: &Space, disturb: impl FnOnce()) -> Value {
    space.apply(&job.0);
    space.until_half_done(job);
    disturb();
    let done = space.expect_local_digest(job);
    assert_eq!(done["status"]["usage"]["requests"], 96, "every row is counted once");
    done["status"]["output"]["digest"].clone()
}

#[test]
fn an_upgrade_and_a_rollback_while_jobs_run_change_no_row_and_no_server() {
    let _operator = operator();
    let space = Space::new("release");
    space.apply(&Model::small("smollm2").0);
    with_release(|before| {
        let first = operator_pods();
        let mut second = Vec::new();
        let upgraded = in_the_midst_of(&long("upgraded"), &space, || {
            upgrade(&["--set-string", "podAnnotations.upgraded=yes", "--set", "replicas=3"]);
            second = until_replaced(&first, 3);
        });
        let servers = space.running("server");
        let rolled_back = in_the_midst_of(&long("rolled-back"), &space, || {
            roll_back(before);
            until_replaced(&second, first.len());
        });
        assert_eq!(upgraded, rolled_back);
        // Neither changed anything about the model: its servers are still the first ones.
        assert_eq!(space.running("server"), servers, "{}", space.picture());
    });
    let template = kubectl(&[
        "--namespace",
        OPERATOR,
        "get",
        "deployment",
        RELEASE,
        "--output",
        "jsonpath={.spec.template.metadata.annotations}",
    ])
    .expect("the Deployment");
    assert!(!template.contains("upgraded"), "{template}");
}

/// What `helm test` left in a namespace.
fn left(namespace: &str) -> String {
    let kinds = "generationjobs,modeldeployments,pods,roles,rolebindings,serviceaccounts,networkpolicies,pvc";
    let names = kubectl(&["--namespace", namespace, "get", kinds, "--output", "name"]);
    let names = names.expect("kubectl get");
    let is_left = |line: &&str| line.contains(TEST);
    names.lines().filter(is_left).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn expect_nothing_left(namespace: &str) {
    eventually("nothing of the test is left", || {
        let left = left(namespace);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

#[track_caller]
fn expect_test_to_pass() {
    let answer = helm(&["test", RELEASE, "--timeout", "5m"]);
    let said = format!("{}{}", answer.stdout, answer.stderr);
    assert!(answer.ok(), "{said}");
    // The pod's log, which Helm shows by itself.
    assert!(said.contains(&format!("gj/{TEST}  Succeeded")), "{said}");
    assert!(said.contains("10 accepted"), "{said}");
    expect_nothing_left(OPERATOR);
}

#[test]
fn helm_test_runs_ten_rows_with_and_without_a_model_and_says_what_was_in_the_way() {
    let _operator = operator();
    let space = Space::new("helm-test");
    assert_eq!(space.name(), WITH_MODEL);
    expect_test_to_pass();

    let claim = "tests.model.source.persistentVolumeClaim";
    with_release(|_| {
        upgrade(&[
            "--set",
            &format!("tests.namespace={WITH_MODEL}"),
            "--set",
            &format!("{claim}.claimName=models"),
            "--set",
            &format!("{claim}.path=SmolLM2-135M-Instruct.Q4_1.gguf"),
            "--set",
            "tests.model.resources.requests.cpu=100m",
        ]);
        expect_test_to_pass();
        expect_nothing_left(WITH_MODEL);

        upgrade(&[
            "--set",
            &format!("{claim}.claimName=missing"),
            "--set",
            "tests.timeoutSeconds=20",
        ]);
        let answer = helm(&["test", RELEASE, "--timeout", "3m"]);
        let said = format!("{}{}", answer.stdout, answer.stderr);
        assert!(!answer.ok(), "{said}");
        assert!(said.contains(&format!("gj/{TEST}: not at its end within 20 s")), "{said}");
        assert!(said.contains(&format!("mdl/{TEST}")) && said.contains("missing"), "{said}");
        // The pod is left, for its log; the next test takes its place.
        expect_nothing_left(WITH_MODEL);
        assert!(left(OPERATOR).contains(&format!("pod/{TEST}")), "{}", left(OPERATOR));
    });
    expect_test_to_pass();
}
