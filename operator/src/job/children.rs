//! What the child Jobs of a GenerationJob say: their step, their state, and what their pods answered. No I/O.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use textnlp_crds::task::{Finalized, Prepared, Termination, labels};

use crate::meta::Owner;
use crate::pods::{self, End};

/// Annotation: the attempt that a child Job belongs to.
pub(crate) const ATTEMPT: &str = "textnlp.dev/attempt";
/// Annotation: how often the step was begun in this attempt before.
pub(crate) const RUN: &str = "textnlp.dev/run";
/// Annotation of the generate Job: the answer of prepare, as JSON, from which the Job was made.
pub(crate) const PREPARED: &str = "textnlp.dev/prepared";
/// Annotation of the finalize Job: hash of what judges and forms the dataset.
pub(crate) const VALIDATION: &str = "textnlp.dev/validation-hash";
/// Annotation: all pods of the Job are on one node, since only one can mount the claim.
pub(crate) const ONE_NODE: &str = "textnlp.dev/one-node";
/// Label by which Kueue finds a Job.
pub(crate) const QUEUE: &str = "kueue.x-k8s.io/queue-name";

/// A step of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// One pod: snapshot, checks, shards.
    Prepare,
    /// An Indexed Job of workers.
    Generate,
    /// One pod: merge, scores, report.
    Finalize,
}

impl Step {
    /// Value of `app.kubernetes.io/component`.
    pub(crate) fn component(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Generate => "worker",
            Self::Finalize => "finalize",
        }
    }

    /// As names have it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Generate => "generate",
            Self::Finalize => "finalize",
        }
    }

    fn of(component: &str) -> Option<Self> {
        [Self::Prepare, Self::Generate, Self::Finalize]
            .into_iter()
            .find(|step| step.component() == component)
    }
}

/// A child Job with its pods.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    /// Its step.
    pub(crate) step: Step,
    /// Its attempt.
    pub(crate) attempt: i32,
    /// How often the step was begun before.
    pub(crate) run: i32,
    /// The Job.
    pub(crate) job: Arc<Job>,
    /// Its pods.
    pub(crate) pods: Vec<Arc<Pod>>,
}

/// Where a child Job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not started, or stopped: by the user, or by Kueue.
    Suspended,
    /// Pods run, or will.
    Active,
    /// All its pods did their work.
    Complete,
    /// It gave up.
    Failed {
        /// The Job controller's word, such as `PodFailurePolicy`.
        reason: String,
        /// Its sentence.
        message: String,
    },
    /// It is being deleted.
    Deleting,
}

/// A step's answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer<T> {
    /// It was read.
    Read(T),
    /// The Job is complete, and no pod of it can be read (any more): the step must run again.
    Unreadable,
}

impl Child {
    /// The child that a Job is; none if it is not controlled by this owner, or is no step.
    pub(crate) fn of(owner: &Owner, job: Arc<Job>, pods: &[Arc<Pod>]) -> Option<Self> {
        if !owner.controls(&job.metadata) {
            return None;
        }
        let number = |key: &str| job.annotations().get(key).and_then(|text| text.parse().ok());
        let step = Step::of(job.labels().get(labels::COMPONENT)?)?;
        let uid = job.uid()?;
        let owned = |pod: &Pod| pod.owner_references().iter().any(|owner| owner.uid == uid);
        Some(Self {
            step,
            attempt: number(ATTEMPT)?,
            run: number(RUN).unwrap_or(0),
            pods: pods.iter().filter(|pod| owned(pod)).cloned().collect(),
            job,
        })
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> State {
        if self.job.metadata.deletion_timestamp.is_some() {
            return State::Deleting;
        }
        if self.condition("Complete").is_some() {
            return State::Complete;
        }
        // `FailureTarget` comes first; `Failed` once the last pod has ended and can be read.
        if let Some(failed) = self.condition("Failed") {
            return State::Failed {
                reason: failed.reason.clone().unwrap_or_default(),
                message: failed.message.clone().unwrap_or_default(),
            };
        }
        let suspended = self.job.spec.as_ref().and_then(|spec| spec.suspend);
        if suspended == Some(true) { State::Suspended } else { State::Active }
    }

    /// Whether it can still do something.
    pub(crate) fn is_unfinished(&self) -> bool {
        matches!(self.state(), State::Active | State::Suspended)
    }

    /// The queue that admits it.
    pub(crate) fn queue(&self) -> Option<&str> {
        self.job.labels().get(QUEUE).map(String::as_str)
    }

    /// The number of shards, for a generate Job.
    pub(crate) fn completions(&self) -> i32 {
        self.job.spec.as_ref().and_then(|spec| spec.completions).unwrap_or(1)
    }

    /// Pods at once.
    pub(crate) fn parallelism(&self) -> i32 {
        self.job.spec.as_ref().and_then(|spec| spec.parallelism).unwrap_or(1)
    }

    /// What prepare answered, from which a generate Job was made.
    pub(crate) fn made_from(&self) -> Option<Prepared> {
        serde_json::from_str(self.job.annotations().get(PREPARED)?).ok()
    }

    /// The pods that have ended, the first one first.
    pub(crate) fn ends(&self) -> Vec<End> {
        let mut ends: Vec<End> = self.pods.iter().filter_map(|pod| pods::end(pod)).collect();
        ends.sort_by(|a, b| (a.time, &a.pod).cmp(&(b.time, &b.pod)));
        ends
    }

    /// The answer of a complete prepare Job.
    pub(crate) fn prepared(&self) -> Answer<Prepared> {
        self.answer(|answer| match answer {
            Termination::Prepared(prepared) => Some(prepared),
            _ => None,
        })
    }

    /// The answer of a complete finalize Job.
    pub(crate) fn finalized(&self) -> Answer<Finalized> {
        self.answer(|answer| match answer {
            Termination::Finalized(finalized) => Some(*finalized),
            _ => None,
        })
    }

    fn answer<T>(&self, read: impl Fn(Termination) -> Option<T>) -> Answer<T> {
        let ends = self.ends().into_iter().rev().filter(|end| end.exit_code == Some(0));
        match ends.filter_map(|end| end.answer).find_map(read) {
            Some(answer) => Answer::Read(answer),
            None => Answer::Unreadable,
        }
    }

    /// The pod that failed and says the most: one that cannot work (exit 2), else the last one that failed.
    pub(crate) fn failed_pod(&self) -> Option<End> {
        let mut failed: Vec<End> =
            self.ends().into_iter().filter(|end| !matches!(end.exit_code, Some(0 | 130))).collect();
        let hopeless = failed.iter().position(|end| end.exit_code == Some(2));
        match hopeless {
            Some(index) => Some(failed.swap_remove(index)),
            None => failed.pop(),
        }
    }

    /// Shards by state: succeeded, running, lost.
    pub(crate) fn shards(&self) -> (i32, i32, i32) {
        let status = self.job.status.clone().unwrap_or_default();
        let succeeded = status.completed_indexes.as_deref().map_or(0, count_indexes);
        let failed = status.failed_indexes.as_deref().map_or(0, count_indexes);
        (succeeded, status.active.unwrap_or(0), failed)
    }

    fn condition(&self, type_: &str) -> Option<&JobCondition> {
        let conditions = self.job.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True")
    }
}

/// The number of indexes in a list such as `0,2-5`.
pub(crate) fn count_indexes(list: &str) -> i32 {
    list.split(',').filter_map(range).map(|(first, last)| last - first + 1).sum()
}

fn range(part: &str) -> Option<(i32, i32)> {
    let (first, last) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && first >= 0).then_some((first, last))
}

/// The newest child of a step in an attempt.
pub(crate) fn newest(children: &[Child], step: Step, attempt: i32) -> Option<&Child> {
    children
        .iter()
        .filter(|child| child.step == step && child.attempt == attempt)
        .max_by_key(|child| child.run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_lists_are_counted() {
        let check = |list, count| assert_eq!(count_indexes(list), count, "{list}");
        check("", 0);
        check("3", 1);
        check("0,2-5,7", 6);
        check("5-2,x,-1", 0);
    }
}
