//! The fetch Job: what it looks like, and what became of it. Pure.
//!
//! Its name carries the hash of the source, so that another source has another Job. Its answer is kept in an annotation of the
//! Job, where it survives the pods and the operator. A Job that failed is made again after a pause that grows to five minutes:
//! mending the file, the Secret or the network is enough, nothing needs to be deleted.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use textnlp_crds::task::{Fetched, Termination};

use crate::{meta, pods};

/// Component of fetch pods, and the command that they run.
pub const FETCH: &str = "fetch";
/// Annotation of a fetch Job: the JSON of its [`Fetched`].
pub const FETCHED: &str = "textnlp.dev/fetched";
/// Annotation of a fetch Job: the JSON of its [`FetchFailure`], or of its predecessor's while it runs.
pub const FAILURE: &str = "textnlp.dev/failure";
/// Annotation of a fetch Job: how many Jobs failed before it.
pub const ATTEMPT: &str = "textnlp.dev/attempt";

/// The exit code of a pod whose work cannot succeed however often it is tried.
const HOPELESS: i32 = 2;
/// The pause before a failed Job is made again: this long, then twice as long each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// The longest pause.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(300);

/// Why a model could not be fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchFailure {
    /// One word, as a condition's reason.
    pub reason: String,
    /// What happened, and what to do.
    pub message: String,
    /// Whether only another source, or another file there, can help (exit code 2).
    pub permanent: bool,
    /// The pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The exit code of its container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

impl FetchFailure {
    fn is_like(&self, other: &Self) -> bool {
        (&self.reason, &self.message, self.exit_code) == (&other.reason, &other.message, other.exit_code)
    }
}

/// What became of the fetch Job.
#[derive(Clone, Debug, PartialEq)]
pub enum Fetch {
    /// There is none.
    Missing,
    /// It is being deleted.
    Leaving,
    /// It runs, or will.
    Running {
        /// Why the Job before it failed, if there was one, or why a pod of this one did.
        failure: Option<FetchFailure>,
    },
    /// The model is there.
    Done {
        /// The answer.
        fetched: Box<Fetched>,
        /// Whether the answer still has to be written down.
        record: bool,
    },
    /// It failed.
    Failed {
        /// Why.
        failure: FetchFailure,
        /// Whether that still has to be written down.
        record: bool,
        /// When it is made again.
        again: Timestamp,
    },
    /// It ended well, but nobody can read its answer any more.
    Lost,
}

/// Reads a fetch Job and its pods.
pub fn read(job: Option<&Job>, pods: &[&Pod]) -> Fetch {
    let Some(job) = job else { return Fetch::Missing };
    if job.metadata.deletion_timestamp.is_some() {
        return Fetch::Leaving;
    }
    if let Some(fetched) = annotation::<Fetched>(job, FETCHED) {
        return Fetch::Done { fetched: Box::new(fetched), record: false };
    }
    let recorded = annotation::<FetchFailure>(job, FAILURE);
    let own_pods: Vec<&Pod> = pods.iter().copied().filter(|pod| is_of(pod, job)).collect();
    let failure = match (last_failure(&own_pods), recorded.clone()) {
        // The first cause stays: it is the same again in each attempt, only the pod is another.
        (Some(new), Some(old)) if new.is_like(&old) => Some(old),
        (new, old) => new.or(old),
    };
    let status = job.status.as_ref();
    if ended(status, "Complete").is_some() {
        return match own_pods.iter().find_map(|pod| answer(pod)) {
            Some(fetched) => Fetch::Done { fetched: Box::new(fetched), record: true },
            None => Fetch::Lost,
        };
    }
    match ended(status, "Failed") {
        Some((at, reason, message)) => {
            let failure = failure.unwrap_or_else(|| FetchFailure {
                reason: "FetchFailed".into(),
                message: format!("the fetch Job failed ({reason}): {message}"),
                ..FetchFailure::default()
            });
            let record = recorded.as_ref() != Some(&failure);
            Fetch::Failed { failure, record, again: at.saturating_add(pause(attempt(job))).unwrap_or(at) }
        }
        None => Fetch::Running { failure },
    }
}

/// How many Jobs failed before this one.
pub fn attempt(job: &Job) -> u32 {
    job.annotations().get(ATTEMPT).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Whether the Job is still what would be created now. A Job cannot be changed; one that waits for an image that the spec no
/// longer names is replaced.
pub fn is_current(job: &Job, wanted: &Job) -> bool {
    job.annotations().get(meta::DESIRED_HASH) == wanted.annotations().get(meta::DESIRED_HASH)
}

/// The Job, as the one after `attempts` that failed, the last of them for `failure`.
pub fn after(mut wanted: Job, attempts: u32, failure: &FetchFailure) -> Job {
    let failure = serde_json::to_string(failure).unwrap_or_default();
    let annotations = wanted.annotations_mut();
    annotations.insert(ATTEMPT.into(), attempts.to_string());
    annotations.insert(FAILURE.into(), failure);
    wanted
}

fn pause(attempts: u32) -> SignedDuration {
    FIRST_PAUSE.checked_mul(1 << attempts.min(8)).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE)
}

fn annotation<T: for<'a> Deserialize<'a>>(job: &Job, key: &str) -> Option<T> {
    serde_json::from_str(job.annotations().get(key)?).ok()
}

fn is_of(pod: &Pod, job: &Job) -> bool {
    let uid = job.metadata.uid.as_deref();
    pod.owner_references().iter().any(|owner| owner.controller == Some(true) && Some(owner.uid.as_str()) == uid)
}

/// When and why a Job ended with a condition.
fn ended(status: Option<&JobStatus>, type_: &str) -> Option<(Timestamp, String, String)> {
    let conditions = status?.conditions.as_ref()?;
    let condition = conditions.iter().find(|c| c.type_ == type_ && c.status == "True")?;
    let at = condition.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    Some((at, condition.reason.clone().unwrap_or_default(), condition.message.clone().unwrap_or_default()))
}

fn answer(pod: &Pod) -> Option<Fetched> {
    match pods::end(pod)?.answer? {
        Termination::Fetched(fetched) => Some(fetched),
        _ => None,
    }
}

/// The failure of the pod that failed last.
fn last_failure(pods: &[&Pod]) -> Option<FetchFailure> {
    let failed = pods.iter().filter_map(|pod| Some((pod.creation_timestamp(), failure(pod)?)));
    failed.max_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, failure)| failure)
}

fn failure(pod: &Pod) -> Option<FetchFailure> {
    let end = pods::end(pod).filter(|end| end.exit_code != Some(0))?;
    let (reason, message) = match end.answer {
        Some(Termination::Failed(failure)) => (failure.reason, failure.message),
        _ => (pods::reason(&end.reason, &end.message), end.message),
    };
    Some(FetchFailure {
        reason,
        message,
        permanent: end.exit_code == Some(HOPELESS),
        pod: Some(end.pod),
        exit_code: end.exit_code,
    })
}
