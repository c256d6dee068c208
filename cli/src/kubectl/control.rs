//! `suspend`, `resume` and `retry`: patches of `spec.execution.suspend`. What may be done to a job as it stands is decided by pure
//! functions; the verbs carry it out.

use std::time::Duration;

use kube::ResourceExt;
use serde_json::json;
use textnlp_crds::GenerationJob;
use textnlp_crds::conditions::types;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::error::Error;
use super::standing::{Standing, condition, standing};
use super::target::find_job;
use crate::note;

/// How long the operator may take to see that a job is suspended, before `retry` says that it does not.
const OPERATOR_LIMIT: Duration = Duration::from_secs(60);
/// Time between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How often a patch is made again that somebody else's change came before.
const CONFLICTS: usize = 5;

/// What a verb does to a job as it stands.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// `spec.execution.suspend` is set, and then this is said.
    Set(bool, String),
    /// It is as wanted already.
    Nothing(String),
}

/// Pauses a job.
pub(crate) async fn suspend(cluster: &Cluster, name: &str) -> Result<String, Error> {
    change(cluster, name, suspending).await
}

/// Lets a job go on.
pub(crate) async fn resume(cluster: &Cluster, name: &str) -> Result<String, Error> {
    change(cluster, name, resuming).await
}

/// Begins another attempt of a failed job: suspended and seen so by the operator, then resumed.
pub(crate) async fn retry(cluster: &Cluster, name: &str) -> Result<String, Error> {
    let job = find_job(cluster, name).await?;
    let failed = retrying(&job)?;
    let name = job.name_any();
    if !job.spec.execution.suspend {
        change(cluster, &name, |job| retrying(job).map(|_| Step::Set(true, String::new()))).await?;
    }
    wait_until_seen(cluster, &name).await?;
    change(cluster, &name, |_| Ok(Step::Set(false, failed.clone()))).await
}

/// Looks at a job, decides, and patches exactly the version that was looked at.
async fn change(
    cluster: &Cluster,
    name: &str,
    decide: impl Fn(&GenerationJob) -> Result<Step, Error>,
) -> Result<String, Error> {
    for _ in 0..CONFLICTS {
        let job = find_job(cluster, name).await?;
        let (suspend, next) = match decide(&job)? {
            Step::Nothing(said) => return Ok(said),
            Step::Set(suspend, next) => (suspend, next),
        };
        let patch = json!({
            "metadata": {"resourceVersion": job.resource_version()},
            "spec": {"execution": {"suspend": suspend}},
        });
        match cluster.merge::<GenerationJob>(&job.name_any(), &patch).await {
            Ok(_) => {
                if let Some(owner) = kept_by(&job) {
                    note(&format!(
                        "note: {owner} manages this job and may set spec.execution.suspend back; change it there too"
                    ));
                }
                return Ok(next);
            }
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Conflict { what: format!("patch gj/{name}") })
}

/// A tool that keeps objects as a repository has them.
fn kept_by(job: &GenerationJob) -> Option<&'static str> {
    let has = |key: &str| job.annotations().contains_key(key) || job.labels().contains_key(key);
    if has("argocd.argoproj.io/tracking-id") || has("argocd.argoproj.io/instance") {
        Some("Argo CD")
    } else if has("kustomize.toolkit.fluxcd.io/name") || has("helm.toolkit.fluxcd.io/name") {
        Some("Flux")
    } else {
        None
    }
}

fn suspending(job: &GenerationJob) -> Result<Step, Error> {
    let name = job.name_any();
    refuse_deleted(job)?;
    match standing(job) {
        Standing::Succeeded => {
            Err(Error::Refused(format!("gj/{name} has succeeded: there is nothing to suspend")))
        }
        Standing::Failed => Err(Error::Refused(format!(
            "gj/{name} has failed: there is nothing to suspend; `kubectl textnlp retry {name}` begins another attempt"
        ))),
        _ if job.spec.execution.suspend => {
            Ok(Step::Nothing(format!("gj/{name} is suspended already")))
        }
        _ => Ok(Step::Set(
            true,
            format!(
                "gj/{name} is suspended: its workers keep the rows that they have finished and stop; the model goes \
                 back to sleep if nobody else needs it. `kubectl textnlp resume {name}` goes on with the missing rows"
            ),
        )),
    }
}

fn resuming(job: &GenerationJob) -> Result<Step, Error> {
    let name = job.name_any();
    refuse_deleted(job)?;
    if !job.spec.execution.suspend {
        return Ok(Step::Nothing(match standing(job) {
            Standing::Failed => format!(
                "gj/{name} is not suspended, it has failed; `kubectl textnlp retry {name}` begins another attempt"
            ),
            _ => format!("gj/{name} is not suspended"),
        }));
    }
    let what = match (standing(job), &job.spec.execution.queue_name) {
        (Standing::Failed, _) => {
            "is resumed: as it had failed, another attempt begins over the rows that are missing"
                .into()
        }
        (Standing::Succeeded, _) => {
            "is no longer suspended; it has succeeded, so nothing runs".into()
        }
        (_, Some(queue)) => format!(
            "is resumed: it waits for the queue {queue} to admit it, then goes on with the missing rows"
        ),
        (_, None) => {
            "is resumed: it goes on with the missing rows as soon as its model answers".to_owned()
        }
    };
    Ok(Step::Set(
        false,
        format!("gj/{name} {what}. `kubectl textnlp status {name} --watch` follows it"),
    ))
}

/// What to say once another attempt has begun; an error for a job that has not failed.
fn retrying(job: &GenerationJob) -> Result<String, Error> {
    let name = job.name_any();
    refuse_deleted(job)?;
    let refused = |why: &str| Err(Error::Refused(format!("gj/{name} {why}")));
    match standing(job) {
        Standing::Failed => {
            let next = job
                .status
                .as_ref()
                .and_then(|status| status.attempt)
                .unwrap_or(0)
                .saturating_add(1);
            Ok(format!(
                "gj/{name}: attempt {next} begins over the rows that are missing; finished rows are kept. \
                 `kubectl textnlp status {name} --watch` follows it"
            ))
        }
        Standing::Succeeded => refused(
            "has succeeded: nothing is missing. Raise spec.source.limit or spec.samplesPerRecord for more rows; change \
             spec.validation to judge the same rows anew",
        ),
        Standing::Suspended => refused(&format!(
            "is suspended and has not failed: `kubectl textnlp resume {name}` goes on"
        )),
        Standing::Unseen | Standing::Unfinished => refused(&format!(
            "has not failed: it still works. `kubectl textnlp why {name}` says what it is waiting for"
        )),
    }
}

fn refuse_deleted(job: &GenerationJob) -> Result<(), Error> {
    match job.metadata.deletion_timestamp {
        Some(_) => Err(Error::Refused(format!("gj/{} is being deleted", job.name_any()))),
        None => Ok(()),
    }
}

/// Waits until the operator has written down that the job is suspended: resumed before that, nothing would have happened.
async fn wait_until_seen(cluster: &Cluster, name: &str) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        let job = find_job(cluster, name).await?;
        if !job.spec.execution.suspend {
            return Err(Error::Refused(format!(
                "gj/{name} was resumed by somebody else meanwhile; `kubectl textnlp status {name}` says how it stands"
            )));
        }
        let seen =
            job.status.as_ref().and_then(|status| condition(&status.conditions, types::SUSPENDED));
        if seen.is_some_and(|suspended| suspended.status == "True") {
            return Ok(());
        }
        if begun.elapsed() >= OPERATOR_LIMIT {
            return Err(Error::Transfer(format!(
                "gj/{name} is suspended, but the operator took no note of it within {} s: is it running? Once it is, \
                 `kubectl textnlp retry {name}` goes on from here",
                OPERATOR_LIMIT.as_secs()
            )));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubectl::testing::job;

    #[test]
    fn only_what_runs_or_waits_can_be_suspended() {
        let check = |status: serde_json::Value, expect: Result<bool, &str>| {
            let decided = suspending(&job(json!({}), status.clone()));
            match (decided, expect) {
                (Ok(Step::Set(suspend, _)), Ok(expect)) => assert_eq!(suspend, expect, "{status}"),
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
                (decided, expect) => panic!("{status}: {decided:?}, expected {expect:?}"),
            }
        };
        check(json!({"observedGeneration": -1}), Ok(true));
        check(json!({"phase": "Running"}), Ok(true));
        let ended = |status: &str| {
            json!({"conditions": [{"type": "Succeeded", "status": status, "reason": "R", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
        };
        check(ended("True"), Err("has succeeded"));
        check(ended("False"), Err("kubectl textnlp retry tickets"));
        let suspended = job(json!({"execution": {"suspend": true}}), json!({}));
        assert_eq!(
            suspending(&suspended).unwrap(),
            Step::Nothing("gj/tickets is suspended already".into())
        );
    }

    #[test]
    fn resuming_says_what_happens_next() {
        let check = |spec: serde_json::Value, status: serde_json::Value, expect: &str| {
            let (Step::Set(false, said) | Step::Nothing(said)) =
                resuming(&job(spec, status)).unwrap()
            else {
                panic!("resume never suspends");
            };
            assert!(said.contains(expect), "{said}");
        };
        let suspended = json!({"execution": {"suspend": true}});
        let failed = json!({"conditions": [{"type": "Succeeded", "status": "False", "reason": "R", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        check(json!({}), json!({}), "is not suspended");
        check(json!({}), failed.clone(), "kubectl textnlp retry tickets");
        check(suspended.clone(), json!({}), "as soon as its model answers");
        check(suspended, failed, "another attempt begins");
        check(
            json!({"execution": {"suspend": true, "queueName": "gpu"}}),
            json!({}),
            "waits for the queue gpu",
        );
    }

    #[test]
    fn only_a_failed_job_is_retried() {
        let check = |spec: serde_json::Value, status: serde_json::Value, expect: &str| {
            let text = match retrying(&job(spec, status)) {
                Ok(text) => text,
                Err(error) => {
                    assert_eq!(error.reason(), "Refused");
                    error.to_string()
                }
            };
            assert!(text.contains(expect), "{text}");
        };
        let ended = |status: &str| {
            json!({"attempt": 1, "conditions": [{"type": "Succeeded", "status": status, "reason": "R", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
        };
        check(json!({}), ended("False"), "attempt 2 begins over the rows that are missing");
        check(json!({}), ended("True"), "has succeeded: nothing is missing");
        check(json!({}), json!({"phase": "Running"}), "has not failed: it still works");
        check(json!({"execution": {"suspend": true}}), json!({}), "kubectl textnlp resume tickets");
    }
}
