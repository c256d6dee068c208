//! One manifest, one dataset: on a laptop and on a cluster, whatever the number of pods.

use serde_json::json;
use textnlp_tests::disturb::together;
use textnlp_tests::{Job, Model, Space};

#[test]
fn one_two_and_three_workers_and_two_servers_give_the_dataset_of_a_local_run() {
    let _undisturbed = together();
    let space = Space::new("same-digest");
    space.apply(&Model::small("smollm2").with("replicas", json!(2)).0);
    for parallelism in 1..=3 {
        let job = Job::small(&format!("with-{parallelism}"))
            .with("execution", json!({"parallelism": parallelism}));
        space.apply(&job.0);
        space.expect_local_digest(&job);
    }
}

#[test]
fn a_larger_limit_extends_the_dataset_and_other_filters_only_finalize_again() {
    let _undisturbed = together();
    let space = Space::new("extended");
    let ten = Job::small("tickets").with("source/limit", json!(10));
    space.start(&Model::small("smollm2"), &ten);
    let first = space.expect_local_digest(&ten);

    let all = Job::small("tickets").with("source/limit", json!(16));
    space.apply(&all.0);
    space.until("gj/tickets", "the job goes on", |o| o["status"]["phase"] != "Succeeded");
    let second = space.expect_local_digest(&all);
    assert_ne!(first["status"]["output"]["digest"], second["status"]["output"]["digest"]);

    let strict = all.with("validation/filters/0/min", json!(12));
    space.apply(&strict.0);
    let generation = |o: &serde_json::Value| o["metadata"]["generation"].clone();
    space.until("gj/tickets", "the new filter is applied", |o| {
        o["status"]["observedGeneration"] == generation(o) && o["status"]["phase"] == "Succeeded"
    });
    let third = space.expect_local_digest(&strict);
    assert_eq!(third["status"]["usage"], second["status"]["usage"], "no token was generated again");
    assert!(
        third["status"]["rows"]["rejected"].as_i64()
            > second["status"]["rows"]["rejected"].as_i64()
    );
}
