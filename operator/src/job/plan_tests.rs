//! Plans: what is written next, in each situation.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde_json::{Value, json};
use textnlp_crds::GenerationJob;

use super::*;
use crate::job::fixture::*;
use crate::job::validate::validate;

/// The plan's writes, in a few words each, and the stand's name.
fn words(observed: &Observed, second: i64) -> (Vec<String>, String) {
    let plan = plan(observed, &validate(observed), &config(), at(second)).expect("a plan");
    let mut writes = Vec::new();
    writes.extend(plan.claim.iter().map(|claim| format!("claim {}", claim.name_any())));
    writes.extend(plan.task.iter().map(|task| format!("task {}", task.name_any())));
    writes.extend(plan.delete.iter().map(|job| format!("delete {}", job.name_any())));
    writes.extend(
        plan.patch.iter().map(|patch| format!("patch {} {}", patch.name, patch.fields["spec"])),
    );
    writes.extend(plan.create.iter().map(|job| format!("create {}", job.name_any())));
    let stand = format!("{:?}", plan.stand);
    let stand = stand.split(['(', ' ']).next().unwrap_or_default().to_owned();
    (writes, stand)
}

fn check(observed: &Observed, writes: &[&str], stand: &str) {
    assert_eq!(
        words(observed, 10),
        (writes.iter().map(|write| (*write).to_owned()).collect(), stand.to_owned())
    );
}

fn running(fields: Value) -> GenerationJob {
    with_status(job(fields), begun(json!({})))
}

#[test]
fn the_status_says_that_the_job_begins_before_anything_is_made() {
    check(&observed(job(json!({})), vec![]), &[], "Begins");
    check(
        &observed(running(json!({})), vec![]),
        &[
            "claim gj-tickets-4a49acf8-dataset",
            "task gj-tickets-4a49acf8-task-0",
            "create gj-tickets-4a49acf8-prepare-0",
        ],
        "Preparing",
    );
    // Begun before, and killed after the snapshot: it stays as it is.
    check(
        &with_snapshot(observed(running(json!({})), vec![])),
        &["claim gj-tickets-4a49acf8-dataset", "create gj-tickets-4a49acf8-prepare-0"],
        "Preparing",
    );
}

#[test]
fn workers_are_made_when_the_model_answers() {
    let job = running(json!({}));
    let mut observed = with_snapshot(observed(job.clone(), vec![prepare_done(&job)]));
    check(&observed, &["create gj-tickets-4a49acf8-generate-0"], "Generating");
    let asleep = model_with(json!({"model": {"digest": DIGEST, "numerics": "cpu-1/int8"}}));
    observed.models.insert("smollm2".into(), Some(Arc::new(asleep)));
    check(&observed, &[], "WaitingForModel");
}

#[test]
fn a_converged_job_causes_no_write() {
    let job = running(json!({}));
    check(
        &observed(job.clone(), vec![prepare_done(&job), generate(&job, json!({}))]),
        &[],
        "Generating",
    );
    check(&observed(job.clone(), vec![child(&job, Step::Prepare, json!({}))]), &[], "Preparing");
}

#[test]
fn nothing_missing_means_no_worker() {
    let job = running(json!({}));
    let complete = child(&job, Step::Prepare, job_condition("Complete", ""));
    let all = Prepared { shards: 0, finished: 8, ..answered() };
    let complete = ended(complete, 0, &textnlp_crds::task::Termination::Prepared(all).write());
    let observed = with_snapshot(observed(job, vec![complete]));
    check(&observed, &["create gj-tickets-4a49acf8-finalize-0"], "Finalizing");
}

#[test]
fn a_user_suspends_and_resumes_and_changes_the_number_of_workers() {
    let suspended = running(json!({"execution": {"suspend": true}}));
    let active = generate(&suspended, json!({}));
    let name = active.job.name_any();
    check(
        &observed(suspended.clone(), vec![active]),
        &[&format!("patch {name} {{\"suspend\":true}}")],
        "Suspended",
    );
    check(
        &observed(
            suspended.clone(),
            vec![generate(&suspended, json!({"spec": {"suspend": true}}))],
        ),
        &[],
        "Suspended",
    );
    check(&observed(suspended.clone(), vec![]), &[], "Suspended");

    let resumed = running(json!({"execution": {"parallelism": 2}}));
    check(
        &observed(resumed.clone(), vec![generate(&resumed, json!({"spec": {"suspend": true}}))]),
        &[&format!("patch {name} {{\"suspend\":false,\"parallelism\":2}}")],
        "Generating",
    );
}

#[test]
fn with_a_queue_suspension_is_kueue_s_and_the_user_s_deletes_the_job() {
    let queued = json!({"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "team"}}, "spec": {"suspend": true}});
    let waiting = running(json!({"execution": {"queueName": "team"}}));
    check(&observed(waiting.clone(), vec![generate(&waiting, queued.clone())]), &[], "Queued");
    let suspended = running(json!({"execution": {"queueName": "team", "suspend": true}}));
    let child = generate(&suspended, queued);
    let name = child.job.name_any();
    check(&observed(suspended, vec![child]), &[&format!("delete {name}")], "Suspended");
    // The Job comes before the model: it is woken after admission.
    let mut first = with_snapshot(observed(waiting.clone(), vec![prepare_done(&waiting)]));
    first.models.insert(
        "smollm2".into(),
        Some(Arc::new(model_with(json!({"model": {"digest": DIGEST, "numerics": "cpu-1/int8"}})))),
    );
    check(&first, &["create gj-tickets-4a49acf8-generate-0"], "Queued");
}

#[test]
fn another_model_or_the_deadline_ends_the_job_and_its_workers() {
    let job = running(json!({}));
    let child = generate(&job, json!({}));
    let name = child.job.name_any();
    let mut changed = observed(job.clone(), vec![prepare_done(&job), child.clone()]);
    let other = model_with(
        json!({"readyReplicas": 1, "model": {"digest": "sha256:other", "numerics": "cpu-1/int8"}}),
    );
    changed.models.insert("smollm2".into(), Some(Arc::new(other)));
    check(&changed, &[&format!("delete {name}")], "Failed");

    let late = running(json!({"execution": {"activeDeadlineSeconds": 5}}));
    let late = observed(late.clone(), vec![prepare_done(&late), child]);
    assert_eq!(words(&late, 4).1, "Generating");
    check(&late, &[&format!("delete {name}")], "Failed");
}

#[test]
fn lost_shards_are_finalized_without_them() {
    let job = running(json!({}));
    let failed = generate(&job, job_condition("Failed", "FailedIndexes"));
    let observed = with_snapshot(observed(job.clone(), vec![prepare_done(&job), failed]));
    let plan = plan(&observed, &validate(&observed), &config(), at(1)).expect("a plan");
    let created = serde_json::to_value(plan.create).expect("JSON");
    assert_eq!(
        created["spec"]["template"]["spec"]["containers"][0]["args"],
        json!(["finalize", "--lost-shards"])
    );
}

#[test]
fn rules_that_changed_meanwhile_are_the_rules_of_finalize() {
    let job = running(json!({}));
    let complete = generate(&job, job_condition("Complete", ""));
    let judged = running(json!({"output": {"formats": ["CSV"]}}));
    let mut observed =
        with_snapshot(observed(job.clone(), vec![prepare_done(&job), complete.clone()]));
    observed.job = Arc::new(judged.clone());
    check(
        &observed,
        &["task gj-tickets-4a49acf8-finalize-0-0", "create gj-tickets-4a49acf8-finalize-0"],
        "Finalizing",
    );
    let by_old_rules = child(&job, Step::Finalize, json!({}));
    let name = by_old_rules.job.name_any();
    observed.children = vec![prepare_done(&job), complete, by_old_rules];
    check(&observed, &[&format!("delete {name}")], "Finalizing");
}

#[test]
fn rows_that_were_asked_for_meanwhile_are_another_attempt() {
    let job = running(json!({}));
    let done = child(&job, Step::Finalize, job_condition("Complete", ""));
    let done = ended(done, 0, &textnlp_crds::task::Termination::Finalized(Box::default()).write());
    let children = vec![prepare_done(&job), generate(&job, job_condition("Complete", "")), done];
    let mut observed = with_snapshot(observed(job, children));
    assert_eq!(words(&observed, 1).1, "Done");
    observed.job = Arc::new(running(json!({"samplesPerRecord": 3})));
    let plan = plan(&observed, &validate(&observed), &config(), at(1)).expect("a plan");
    assert_eq!((plan.stand, plan.attempt), (Stand::Begins, 1));
}

#[test]
fn a_stuck_child_is_made_anew_when_the_user_changes_what_pods_look_like() {
    let job = running(json!({}));
    let stuck = child(&job, Step::Prepare, json!({}));
    let name = stuck.job.name_any();
    let mut observed = observed(job, vec![stuck]);
    check(&observed, &[], "Preparing");
    observed.trouble =
        Some(Trouble { reason: "ImagePullFailed".into(), message: "x".into(), pod: "p".into() });
    check(&observed, &[&format!("delete {name}")], "Preparing");
}

#[test]
fn children_of_an_ended_job_stay_until_their_time_is_over() {
    let ended = json!({
        "completionTime": at(0).to_string(),
        "conditions": conditions(&["Prepared=True/Prepared", "Succeeded=True/Succeeded"]),
    });
    let job = |ttl: Value| {
        with_status(
            job(json!({"execution": {"ttlSecondsAfterFinished": ttl}})),
            begun(ended.clone()),
        )
    };
    let prepare = prepare_done(&job(Value::Null));
    let name = prepare.job.name_any();
    check(&observed(job(Value::Null), vec![prepare.clone()]), &[], "Ended");
    check(&observed(job(json!(60)), vec![prepare.clone()]), &[], "Ended");
    check(&observed(job(json!(10)), vec![prepare]), &[&format!("delete {name}")], "Ended");
}

#[test]
fn a_claim_gets_and_loses_its_owner_with_when_deleted() {
    let claim = |owner: Value| -> PersistentVolumeClaim {
        serde_json::from_value(json!({"metadata": {"name": "c", "ownerReferences": owner}}))
            .expect("a claim")
    };
    let ours = json!([{"apiVersion": "textnlp.dev/v1alpha1", "kind": "GenerationJob", "name": "tickets", "uid": "uid-1",
        "controller": true, "blockOwnerDeletion": true}]);
    let look = |when: &str, found| {
        let job = running(json!({"output": {"destination": {"claim": {"whenDeleted": when}}}}));
        let mut observed = observed(job.clone(), vec![child(&job, Step::Prepare, json!({}))]);
        observed.owned_claim = Some(found);
        let plan = plan(&observed, &validate(&observed), &config(), at(1)).expect("a plan");
        plan.claim_owner.map(|patch| patch.fields["metadata"]["ownerReferences"].clone())
    };
    assert_eq!(look("Retain", claim(Value::Null)), None);
    assert_eq!(look("Delete", claim(ours.clone())), None);
    assert_eq!(look("Delete", claim(Value::Null)), Some(ours.clone()));
    assert_eq!(look("Retain", claim(ours)), Some(Value::Null));
}
