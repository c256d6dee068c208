//! Nothing is lost and nothing comes twice, whatever breaks while a job runs: the digest is the local run's.

use std::time::Duration;

use serde_json::json;
use textnlp_tests::disturb::{
    OPERATOR, alone, cluster, kill_pod, operator, operator_pods, then_undo, together, try_kill_pod,
    until_operator_is_ready,
};
use textnlp_tests::{Job, Model, Space, eventually_or, kubectl};

fn running(space: &str, parallelism: i64) -> (Space, Job) {
    let space = Space::new(space);
    let job = Job::small("tickets")
        .with("execution", json!({"parallelism": parallelism, "concurrency": 2}));
    space.start(&Model::small("smollm2").with("replicas", json!(2)), &job);
    space.until_half_done(&job);
    (space, job)
}

#[test]
fn a_killed_worker_loses_no_row_and_doubles_none() {
    let _undisturbed = together();
    let (space, job) = running("killed-worker", 2);
    // A worker lives for one shard: there is none between two of them, and one that was seen may have ended.
    let kill = || {
        let killed = |worker: &String| try_kill_pod(space.name(), worker);
        let killed = space.running("worker").into_iter().filter(killed).count();
        (killed > 0).then_some(())
    };
    eventually_or("a running worker is killed", kill, || space.picture());
    space.expect_local_digest(&job);
}

#[test]
fn a_killed_model_server_loses_no_row_and_doubles_none() {
    let _undisturbed = together();
    let (space, job) = running("killed-server", 2);
    let servers = space.running("server");
    assert!(!servers.is_empty(), "{}", space.picture());
    kill_pod(space.name(), &servers[0]);
    space.expect_local_digest(&job);
}

#[test]
fn a_suspended_job_keeps_its_rows_and_goes_on_when_it_is_resumed() {
    let _undisturbed = together();
    let (space, job) = running("suspended", 1);
    space.patch("gj/tickets", json!({"spec": {"execution": {"suspend": true}}}));
    space.until_condition("gj/tickets", "Suspended", "True", "");
    space.until("gj/tickets", "all workers are gone", |_| space.running("worker").is_empty());
    space.patch("gj/tickets", json!({"spec": {"execution": {"suspend": false}}}));
    let done = space.expect_local_digest(&job);
    assert_eq!(done["status"]["usage"]["requests"], 32, "no finished row was made again");
}

#[test]
fn more_and_fewer_workers_during_a_run_give_the_same_dataset() {
    let _undisturbed = together();
    let (space, job) = running("parallelism", 1);
    space.patch("gj/tickets", json!({"spec": {"execution": {"parallelism": 3}}}));
    space.until("gj/tickets", "three workers", |_| space.running("worker").len() >= 2);
    space.patch("gj/tickets", json!({"spec": {"execution": {"parallelism": 1}}}));
    space.expect_local_digest(&job);
}

#[test]
fn a_job_survives_the_death_of_both_operator_replicas() {
    let _undisturbed = together();
    let _operator = operator();
    let (space, job) = running("killed-operator", 2);
    for pod in operator_pods() {
        kill_pod(OPERATOR, &pod);
    }
    space.expect_local_digest(&job);
    until_operator_is_ready();
}

#[test]
fn a_job_survives_a_minute_without_the_api_server() {
    let _alone = alone();
    let (space, job) = running("no-api", 2);
    cluster(&["api-stop"]);
    std::thread::sleep(Duration::from_secs(60));
    cluster(&["api-start"]);
    space.expect_local_digest(&job);
    until_operator_is_ready();
}

#[test]
fn an_api_server_that_streams_no_lists_is_served_as_well() {
    let _alone = alone();
    let restart_api = |arguments: &[&str]| {
        cluster(&["api-stop"]);
        cluster(&[&["api-start"], arguments].concat());
        for pod in operator_pods() {
            kill_pod(OPERATOR, &pod);
        }
        until_operator_is_ready();
    };
    restart_api(&["--feature-gates", "WatchList=false"]);
    let runs = || {
        let space = Space::new("paged-lists");
        let job = Job::small("tickets").with("source/limit", json!(1));
        space.start(&Model::small("smollm2"), &job);
        space.expect_local_digest(&job);
    };
    then_undo(runs, || restart_api(&[]));
}

#[test]
fn a_job_survives_the_loss_of_a_node() {
    let _undisturbed = together();
    const ONLY_THIS_TEST: &str = "example.com/may-be-lost";
    cluster(&["node-up", "2", "--taint", ONLY_THIS_TEST]);
    let spread = json!({
        "tolerations": [{"key": ONLY_THIS_TEST, "operator": "Exists"}],
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "textnlp"}}
        }]
    });
    let space = Space::new("lost-node");
    let job = Job::small("tickets")
        .with("execution", json!({"parallelism": 2, "concurrency": 2, "pod": spread}));
    space.start(&Model::small("smollm2").with("replicas", json!(2)).with("pod", spread), &job);
    space.until_half_done(&job);
    let lost = space.list("pods", "app.kubernetes.io/name=textnlp");
    let lost = lost
        .iter()
        .filter(|pod| pod["spec"]["nodeName"] == "node-2" && pod["status"]["phase"] == "Running");
    assert!(lost.count() > 0, "no pod would be lost: {}", space.picture());
    cluster(&["node-down", "2"]);
    // What a node controller of a cloud does when a machine is gone; without one, it takes five minutes.
    kubectl(&["delete", "node", "node-2"]).expect("the node is deleted");
    space.expect_local_digest(&job);
}
