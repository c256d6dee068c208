//! Step 3: what to do next, and what the status will say once that is done. No I/O.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use textnlp_crds::conditions::Failure;
use textnlp_crds::output::AccessMode;
use textnlp_crds::task::{Finalized, JobTask, Prepared};

use crate::config::Config;
use crate::error::Error;
use crate::job::build::{self, Blueprint};
use crate::job::children::{Child, State, Step, VALIDATION};
use crate::job::clock;
use crate::job::observe::Observed;
use crate::job::position::{self, Position, Turn};
use crate::job::validate::{Obstacle, Validated, readiness};
use crate::job::{reasons, spec};
use crate::pods::Trouble;

/// Writes, in this order, and where the job stands after them.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The attempt that the job is in then.
    pub(crate) attempt: i32,
    /// The claim of the dataset.
    pub(crate) claim: Option<PersistentVolumeClaim>,
    /// The snapshot.
    pub(crate) task: Option<ConfigMap>,
    /// The claim's owner, where that was changed after it was made.
    pub(crate) claim_owner: Option<Patch>,
    /// Child Jobs that are not needed any more.
    pub(crate) delete: Vec<Arc<Job>>,
    /// Child Jobs that go on differently.
    pub(crate) patch: Vec<Patch>,
    /// The next child Job: last, since its pods need all of the above.
    pub(crate) create: Option<Job>,
    /// Where the job stands then.
    pub(crate) stand: Stand,
}

/// A change to a child.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Patch {
    /// Its name.
    pub(crate) name: String,
    /// The fields.
    pub(crate) fields: Value,
}

/// Where a job stands, for its status.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stand {
    /// Ended before; only what was asked for since is noted.
    Ended,
    /// The attempt may begin: the status must say so before anything is read from the spec.
    Begins,
    /// Something is missing.
    Obstructed(Obstacle),
    /// Paused by the user.
    Suspended(Step, Option<Prepared>),
    /// Kueue has not admitted the next step.
    Queued(Step, Option<Prepared>, String),
    /// The source is read.
    Preparing(Option<Trouble>),
    /// The model does not answer.
    WaitingForModel(Prepared, Obstacle),
    /// Rows are generated.
    Generating(Prepared, Option<Trouble>),
    /// The dataset is written; with the first cause if shards are lost.
    Finalizing(Prepared, Option<Failure>, Option<Trouble>),
    /// It cannot go on.
    Failed(Failure),
    /// The dataset is written; with the first cause if shards are lost.
    Done(Box<Finalized>, Option<Failure>),
}

/// Decides.
pub(crate) fn plan(
    observed: &Observed,
    validated: &Result<Validated, Obstacle>,
    config: &Config,
    now: Timestamp,
) -> Result<Plan, Error> {
    let job = &observed.job;
    let position = position::position(job, &observed.children, observed.attempt);
    let overdue = clock::is_overdue(job, observed.attempt, now);
    let planner = Planner { observed, config };
    let mut plan = match position {
        Position::Ended => planner.ended(now),
        Position::Failed(failure) => planner.nothing(Stand::Failed(failure)),
        Position::Done(finalized, lost) => planner.done(finalized, lost),
        Position::Prepare(_) | Position::Generate(..) | Position::Finalize(..) if overdue => {
            planner.overdue(now)
        }
        Position::Generate(..) if planner.model_changed().is_some() => {
            planner.stopped(planner.model_changed().unwrap_or_default())
        }
        Position::Prepare(turn) => planner.prepare(&turn, validated)?,
        Position::Generate(turn, prepared) => planner.generate(&turn, &prepared)?,
        Position::Finalize(turn, prepared, lost) => planner.finalize(&turn, &prepared, lost)?,
    };
    planner.outdated(&mut plan);
    Ok(plan)
}

struct Planner<'a> {
    observed: &'a Observed,
    config: &'a Config,
}

impl Planner<'_> {
    fn prepare(
        &self,
        turn: &Turn<'_>,
        validated: &Result<Validated, Obstacle>,
    ) -> Result<Plan, Error> {
        if let Some(child) = turn.child {
            let trouble = self.observed.trouble.clone();
            return Ok(self.running(child, Step::Prepare, None, Stand::Preparing(trouble)));
        }
        if self.is_suspended() {
            return Ok(self.nothing(Stand::Suspended(Step::Prepare, None)));
        }
        let validated = match validated {
            Ok(validated) => validated,
            Err(obstacle) => return Ok(self.nothing(Stand::Obstructed(obstacle.clone()))),
        };
        if !self.has_begun() {
            return Ok(self.nothing(Stand::Begins));
        }
        let owner = &self.observed.owner;
        let name = build::task_name(owner, turn.attempt);
        // An attempt that was begun keeps what it pinned.
        let task = self.observed.snapshot.clone().unwrap_or_else(|| {
            build::task(owner, &self.observed.job.spec, turn.attempt, validated.models.clone())
        });
        let blueprint = self.blueprint(&task, name.clone());
        let map = build::task_map(owner, &name, &task)?;
        Ok(Plan {
            claim: spec::owned_claim(&task.spec).map(|wanted| build::claim(owner, &wanted)),
            task: self.observed.snapshot.is_none().then_some(map),
            create: Some(build::prepare(&blueprint, turn)),
            ..self.nothing(self.created(Step::Prepare, None, Stand::Preparing(None)))
        })
    }

    fn generate(&self, turn: &Turn<'_>, prepared: &Prepared) -> Result<Plan, Error> {
        let ready = readiness(self.observed);
        let stand = match &ready {
            Ok(()) => Stand::Generating(prepared.clone(), self.observed.trouble.clone()),
            // Workers that run wait for the model themselves.
            Err(obstacle) => Stand::WaitingForModel(prepared.clone(), obstacle.clone()),
        };
        if let Some(child) = turn.child {
            return Ok(self.running(child, Step::Generate, Some(prepared), stand));
        }
        if self.is_suspended() {
            return Ok(self.nothing(Stand::Suspended(Step::Generate, Some(prepared.clone()))));
        }
        // With a queue the model is woken after admission, and so the Job comes first.
        if ready.is_err() && self.queue().is_none() {
            return Ok(self.nothing(stand));
        }
        let Some(task) = self.observed.snapshot.clone() else {
            return Ok(self.snapshot_lost(turn));
        };
        let name = build::task_name(&self.observed.owner, turn.attempt);
        let blueprint = self.blueprint(&task, name);
        Ok(Plan {
            create: Some(build::generate(&blueprint, turn, prepared)),
            ..self.nothing(self.created(Step::Generate, Some(prepared), stand))
        })
    }

    fn finalize(
        &self,
        turn: &Turn<'_>,
        prepared: &Prepared,
        lost: Option<Failure>,
    ) -> Result<Plan, Error> {
        let stand =
            Stand::Finalizing(prepared.clone(), lost.clone(), self.observed.trouble.clone());
        if let Some(child) = turn.child {
            let hash = position::validation_hash(&self.observed.job.spec);
            let mut plan = self.running(child, Step::Finalize, Some(prepared), stand);
            // It judges by rules that were changed meanwhile.
            if child.job.annotations().get(VALIDATION) != Some(&hash)
                && child.state() != State::Deleting
            {
                plan.delete.push(child.job.clone());
            }
            return Ok(plan);
        }
        if self.is_suspended() {
            return Ok(self.nothing(Stand::Suspended(Step::Finalize, Some(prepared.clone()))));
        }
        let Some(snapshot) = &self.observed.snapshot else { return Ok(self.snapshot_lost(turn)) };
        let task = build::rejudged(snapshot, &self.observed.job.spec);
        let owner = &self.observed.owner;
        let mut map = None;
        let mut name = build::task_name(owner, turn.attempt);
        if task != *snapshot {
            name = build::finalize_task_name(owner, turn.attempt, turn.run);
            map = Some(build::task_map(owner, &name, &task)?);
        }
        let blueprint = self.blueprint(&task, name);
        Ok(Plan {
            task: map,
            create: Some(build::finalize(&blueprint, turn, lost.is_some())),
            ..self.nothing(self.created(Step::Finalize, Some(prepared), stand))
        })
    }

    fn nothing(&self, stand: Stand) -> Plan {
        Plan {
            attempt: self.observed.attempt,
            claim: None,
            claim_owner: self.claim_owner(),
            task: None,
            delete: Vec::new(),
            patch: Vec::new(),
            create: None,
            stand,
        }
    }

    /// A child Job that exists: suspended or resumed as the user wants, with as many workers; or waited for.
    fn running(
        &self,
        child: &Child,
        step: Step,
        prepared: Option<&Prepared>,
        stand: Stand,
    ) -> Plan {
        let suspended = self.is_suspended();
        let prepared = prepared.cloned();
        let stand = match child.state() {
            _ if suspended => Stand::Suspended(step, prepared),
            State::Suspended if child.queue().is_some() => {
                let message = self.observed.queue_message.clone();
                Stand::Queued(step, prepared, message.unwrap_or_else(|| waiting_in(child)))
            }
            _ => stand,
        };
        let mut plan = self.nothing(stand);
        if !child.is_unfinished() {
            return plan;
        }
        if suspended && child.queue().is_some() {
            plan.delete.push(child.job.clone());
            return plan;
        }
        if self.observed.trouble.is_some() && self.is_made_otherwise(child) {
            // Its pods are stuck, and the user changed what pods look like: a Job's template cannot be changed.
            plan.delete.push(child.job.clone());
            return plan;
        }
        let mut fields = serde_json::Map::new();
        if child.queue().is_none() && suspended != (child.state() == State::Suspended) {
            fields.insert("suspend".into(), suspended.into());
        }
        let parallelism = self.observed.job.spec.execution.parallelism.min(child.completions());
        if step == Step::Generate && child.parallelism() != parallelism {
            fields.insert("parallelism".into(), parallelism.into());
        }
        if !fields.is_empty() {
            plan.patch.push(Patch { name: child.job.name_any(), fields: json!({"spec": fields}) });
        }
        plan
    }

    /// After the last step: extended meanwhile, or done.
    fn done(&self, finalized: Box<Finalized>, lost: Option<Failure>) -> Plan {
        let spec = &self.observed.job.spec;
        let snapshot = self.observed.snapshot.as_ref();
        if lost.is_none() && snapshot.is_some_and(|snapshot| position::is_extended(spec, snapshot))
        {
            return Plan { attempt: self.observed.attempt + 1, ..self.nothing(Stand::Begins) };
        }
        self.nothing(Stand::Done(finalized, lost))
    }

    /// After the end: the children go when their time is over.
    fn ended(&self, now: Timestamp) -> Plan {
        let mut plan = self.nothing(Stand::Ended);
        if clock::is_expired(&self.observed.job, now) {
            plan.delete = self.deletable(|_| true);
        }
        plan
    }

    fn overdue(&self, now: Timestamp) -> Plan {
        let seconds = self.observed.job.spec.execution.active_deadline_seconds.unwrap_or_default();
        self.stopped(Failure {
            reason: Some(reasons::DEADLINE_EXCEEDED.into()),
            message: Some(format!(
                "the job was active for spec.execution.activeDeadlineSeconds ({seconds} s); rows that are finished are kept: raise it, then suspend and resume the job to go on"
            )),
            time: Some(Time(now)),
            ..Failure::default()
        })
    }

    /// The job fails while a child runs.
    fn stopped(&self, failure: Failure) -> Plan {
        let mut plan = self.nothing(Stand::Failed(failure));
        plan.delete = self.deletable(Child::is_unfinished);
        plan
    }

    /// The model has another digest than the one that the attempt pinned.
    fn model_changed(&self) -> Option<Failure> {
        let pinned = self.observed.job.status.as_ref()?.model.clone()?;
        let name = pinned.name?;
        let model = self.observed.models.get(&name)?.as_ref()?;
        let digest = model.status.as_ref()?.model.as_ref()?.digest.clone()?;
        let pinned = pinned.digest.filter(|pinned| *pinned != digest)?;
        Some(Failure {
            reason: Some(reasons::MODEL_CHANGED.into()),
            message: Some(format!(
                "model {name} has the digest {digest}, and the job was begun with {pinned}: bring the model back, or make a new job"
            )),
            ..Failure::default()
        })
    }

    /// Children of earlier attempts go when a new one has begun.
    fn outdated(&self, plan: &mut Plan) {
        if plan.create.is_some() {
            plan.delete.extend(self.deletable(|child| child.attempt < self.observed.attempt));
        }
    }

    fn deletable(&self, wanted: impl Fn(&Child) -> bool) -> Vec<Arc<Job>> {
        let children =
            self.observed.children.iter().filter(|child| child.state() != State::Deleting);
        children.filter(|child| wanted(child)).map(|child| child.job.clone()).collect()
    }

    /// Where the job stands once a step's Job is created: with a queue, it waits.
    fn created(&self, step: Step, prepared: Option<&Prepared>, stand: Stand) -> Stand {
        match self.queue() {
            Some(queue) => Stand::Queued(
                step,
                prepared.cloned(),
                format!("waiting to be admitted by LocalQueue {queue:?}"),
            ),
            None => stand,
        }
    }

    fn is_suspended(&self) -> bool {
        self.observed.job.spec.execution.suspend
    }

    fn queue(&self) -> Option<&str> {
        self.observed.job.spec.execution.queue_name.as_deref()
    }

    /// Whether the status already says that this attempt has begun, so that the spec is frozen.
    fn has_begun(&self) -> bool {
        self.observed.job.status.as_ref().is_some_and(|status| {
            status.start_time.is_some()
                && status.attempt == Some(self.observed.attempt)
                && !position::has_ended(status)
        })
    }

    fn is_made_otherwise(&self, child: &Child) -> bool {
        let hash = Blueprint::pod_hash(&self.observed.job.spec.execution, self.config);
        child.job.annotations().get(build::POD_HASH) != Some(&hash)
    }

    /// Somebody removed what the attempt was begun with.
    fn snapshot_lost(&self, turn: &Turn<'_>) -> Plan {
        let name = build::task_name(&self.observed.owner, turn.attempt);
        self.stopped(Failure {
            reason: Some(reasons::SNAPSHOT_LOST.into()),
            message: Some(format!("ConfigMap {name:?} is gone, which the attempt needs: suspend and resume the job to begin another")),
            ..Failure::default()
        })
    }

    fn blueprint<'a>(&'a self, task: &'a JobTask, task_name: String) -> Blueprint<'a> {
        let execution = &self.observed.job.spec.execution;
        Blueprint {
            owner: &self.observed.owner,
            one_node: self.is_one_node(task),
            model_secrets: self.model_secrets(),
            task,
            task_name,
            execution,
            config: self.config,
        }
    }

    fn model_secrets(&self) -> BTreeMap<String, String> {
        let models = self.observed.models.iter().filter_map(|(name, model)| {
            let external = model.as_ref()?.spec.source.external.as_ref()?;
            Some((name.clone(), external.secret_ref.as_ref()?.name.clone()))
        });
        models.collect()
    }

    /// Whether the claim can be mounted by the pods of one node only: as it was found, or as it will be made. (Whatever the
    /// parallelism is now: it may be raised.)
    fn is_one_node(&self, task: &JobTask) -> bool {
        let found = self.observed.needs.output_claim.as_ref().and_then(Option::as_ref);
        let modes = found.and_then(|claim| claim.spec.as_ref()?.access_modes.clone());
        match (modes, &task.claim, spec::owned_claim(&task.spec)) {
            (_, None, _) => false,
            (Some(modes), ..) => !modes.iter().any(|mode| mode == "ReadWriteMany"),
            (None, _, Some(owned)) => owned.access_mode == AccessMode::ReadWriteOnce,
            (None, _, None) => false,
        }
    }

    /// What `whenDeleted` says now, of a claim that was made when it said something else.
    fn claim_owner(&self) -> Option<Patch> {
        let claim = self.observed.owned_claim.as_ref()?;
        let wanted = spec::owned_claim(&self.observed.job.spec)?;
        let name = claim.name_any();
        let wanted = build::claim(&self.observed.owner, &wanted).metadata.owner_references;
        let owned = self.observed.owner.controls(&claim.metadata);
        let fields = json!({"metadata": {"ownerReferences": &wanted}});
        (owned != wanted.is_some()).then_some(Patch { name, fields })
    }
}

fn waiting_in(child: &Child) -> String {
    format!("waiting to be admitted by LocalQueue {:?}", child.queue().unwrap_or_default())
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
