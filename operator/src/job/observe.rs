//! Step 1: what there is. Caches first; the API server only for what the job's position asks for. I/O.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Event, PersistentVolumeClaim};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use textnlp_crds::task::{JobTask, labels};
use textnlp_crds::{GenerationJob, ModelDeployment};

use crate::apply;
use crate::context::Context;
use crate::error::Error;
use crate::job::children::{Child, State};
use crate::job::position::{self, Position, Turn};
use crate::job::progress::Rates;
use crate::job::{build, spec};
use crate::meta::Owner;
use crate::pods::{self, Trouble};

/// What there is, at one moment.
pub(crate) struct Observed {
    /// The job, in its newest version.
    pub(crate) job: Arc<GenerationJob>,
    /// The job as an owner.
    pub(crate) owner: Owner,
    /// The models that its columns call; none where there is no such object.
    pub(crate) models: BTreeMap<String, Option<Arc<ModelDeployment>>>,
    /// Its child Jobs with their pods, in all attempts.
    pub(crate) children: Vec<Child>,
    /// The attempt that it is in, or should begin.
    pub(crate) attempt: i32,
    /// The snapshot of the attempt, where it was asked for and is there.
    pub(crate) snapshot: Option<JobTask>,
    /// The ConfigMap and claims that a step to begin needs.
    pub(crate) needs: Needs,
    /// The claim that the operator made, where the spec was changed since the last look.
    pub(crate) owned_claim: Option<PersistentVolumeClaim>,
    /// Why a pod of the current step is stuck, or why there is none.
    pub(crate) trouble: Option<Trouble>,
    /// What Kueue says of a Job that it has not admitted.
    pub(crate) queue_message: Option<String>,
    /// What the workers' metrics say, if they were read lately.
    pub(crate) rates: Option<Rates>,
}

/// What a step to begin needs, as it was found. None where the step needs none of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Needs {
    /// The ConfigMap of the source.
    pub(crate) config_map: Option<ConfigMapFound>,
    /// The claim of the source, if the user's own.
    pub(crate) source_claim: Option<Option<PersistentVolumeClaim>>,
    /// The claim of the output: the user's own, or the operator's.
    pub(crate) output_claim: Option<Option<PersistentVolumeClaim>>,
}

/// The ConfigMap of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConfigMapFound {
    /// It has the key.
    Key,
    /// It does not have the key.
    NoKey,
    /// There is none.
    Missing,
}

/// Looks at everything that the job's position asks for.
pub(crate) async fn observe(
    job: Arc<GenerationJob>,
    context: &Context,
    now: Timestamp,
) -> Result<Observed, Error> {
    let owner = Owner::of(&*job, labels::JOB_UID).ok_or(Error::Incomplete("UID"))?;
    let children = children(&owner, context);
    let namespace = &owner.namespace;
    let last = job.status.as_ref().and_then(|status| status.attempt).unwrap_or(0);
    let mut snapshot = None;
    if position::needs_snapshot(&job) {
        snapshot = read_snapshot(context, &owner, last).await?;
    }
    let attempt = position::attempt(&job, snapshot.as_ref());
    let position = position::position(&job, &children, attempt);
    let mut needs = Needs::default();
    let mut current = None;
    match &position {
        Position::Prepare(turn) if turn.child.is_none() => {
            needs = needs_of(context, namespace, &owner, &job).await?;
            snapshot = read_snapshot(context, &owner, attempt).await?;
        }
        Position::Prepare(turn) => current = turn.child,
        Position::Generate(turn, _) | Position::Finalize(turn, ..) => {
            current = turn.child;
            if current.is_none() {
                snapshot = read_snapshot(context, &owner, attempt).await?;
                let claim = snapshot.as_ref().and_then(|task| task.claim.clone());
                needs.output_claim = Some(optional(context, namespace, claim.as_deref()).await?);
            }
        }
        Position::Done(..) => snapshot = read_snapshot(context, &owner, attempt).await?,
        Position::Ended | Position::Failed(_) => {}
    }
    let (trouble, queue_message) = match current {
        Some(child) => (trouble(context, child, now).await?, queue_message(context, child).await?),
        None => (None, None),
    };
    let changed = position::is_changed(&job)
        && spec::owned_claim(&job.spec).is_some()
        && attempt_is_known(&job);
    let owned_claim = match changed {
        true => optional(context, namespace, Some(&spec::claim_name(&owner))).await?,
        false => None,
    };
    let models = spec::models(&job.spec).into_iter();
    let models = models.map(|name| {
        let reference = ObjectRef::<ModelDeployment>::new(&name).within(namespace);
        (name, context.models.get(&reference))
    });
    let models = models.collect();
    let rates = match &position {
        Position::Generate(Turn { child: Some(child), .. }, _) => {
            context.job_progress.look(&context.shared, owner.uid(), child).await
        }
        _ => {
            context.job_progress.forget(owner.uid());
            None
        }
    };
    Ok(Observed {
        owner,
        models,
        attempt,
        snapshot,
        needs,
        owned_claim,
        trouble,
        queue_message,
        rates,
        children,
        job,
    })
}

fn attempt_is_known(job: &GenerationJob) -> bool {
    job.status.as_ref().is_some_and(|status| status.attempt.is_some())
}

fn children(owner: &Owner, context: &Context) -> Vec<Child> {
    let pods = context.job_pods_index.children(owner.uid(), &context.job_pods);
    let jobs = context.job_children_index.children(owner.uid(), &context.job_children);
    jobs.into_iter().filter_map(|job| Child::of(owner, job, &pods)).collect()
}

/// The snapshot that an attempt was begun with.
async fn read_snapshot(
    context: &Context,
    owner: &Owner,
    attempt: i32,
) -> Result<Option<JobTask>, Error> {
    let name = build::task_name(owner, attempt);
    let map: Option<ConfigMap> = apply::get(context.client(), &owner.namespace, &name).await?;
    Ok(map.filter(|map| owner.controls(&map.metadata)).and_then(|map| build::read_task(&map)))
}

/// What prepare needs.
async fn needs_of(
    context: &Context,
    namespace: &str,
    owner: &Owner,
    job: &GenerationJob,
) -> Result<Needs, Error> {
    let mut needs = Needs::default();
    if let Some(source) = &job.spec.source.config_map {
        let map: Option<ConfigMap> = apply::get(context.client(), namespace, &source.name).await?;
        needs.config_map = Some(match map {
            None => ConfigMapFound::Missing,
            Some(map) => {
                let text = map.data.is_some_and(|data| data.contains_key(&source.key));
                let bytes = map.binary_data.is_some_and(|data| data.contains_key(&source.key));
                if text || bytes { ConfigMapFound::Key } else { ConfigMapFound::NoKey }
            }
        });
    }
    if let Some(claim) = &job.spec.source.persistent_volume_claim {
        needs.source_claim = Some(optional(context, namespace, Some(&claim.claim_name)).await?);
    }
    if let Some(claim) = spec::output_claim(&job.spec, owner) {
        needs.output_claim = Some(optional(context, namespace, Some(&claim)).await?);
    }
    Ok(needs)
}

async fn optional(
    context: &Context,
    namespace: &str,
    name: Option<&str>,
) -> Result<Option<PersistentVolumeClaim>, Error> {
    match name {
        Some(name) => apply::get(context.client(), namespace, name).await,
        None => Ok(None),
    }
}

/// Why the child's pods do not run, or why it has none.
async fn trouble(
    context: &Context,
    child: &Child,
    now: Timestamp,
) -> Result<Option<Trouble>, Error> {
    if child.state() != State::Active {
        return Ok(None);
    }
    let namespace = child.job.namespace().unwrap_or_default();
    let mut events: HashMap<String, Vec<Event>> = HashMap::new();
    // One pod explains its like: a thousand workers wait for the same claim.
    if let Some(pod) = child.pods.iter().find(|pod| pods::needs_events(pod, now)) {
        let uid = pod.uid().unwrap_or_default();
        events.insert(uid.clone(), apply::events_about(context.client(), &namespace, &uid).await?);
    }
    let explained = child.pods.iter().find_map(|pod| {
        let about = pod.uid().and_then(|uid| events.get(&uid)).map_or(&[][..], Vec::as_slice);
        pods::why(pod, about, now)
    });
    let has_pods = child.pods.iter().any(|pod| !pods::has_ended(pod));
    let created = child.job.creation_timestamp().map(|time| time.0);
    let is_old = created.is_some_and(|created| pods::since(created, now) >= pods::PATIENCE);
    if explained.is_some() || has_pods || !is_old {
        return Ok(explained);
    }
    let uid = child.job.uid().unwrap_or_default();
    let events = apply::events_about(context.client(), &namespace, &uid).await?;
    Ok(pods::not_created(&events, &child.job.name_any()))
}

/// What Kueue says, of a Job that waits for it: its Workload's events name the missing quota.
async fn queue_message(context: &Context, child: &Child) -> Result<Option<String>, Error> {
    if child.queue().is_none() || child.state() != State::Suspended {
        return Ok(None);
    }
    let namespace = child.job.namespace().unwrap_or_default();
    let events = apply::events_of_kind(context.client(), &namespace, "Workload").await?;
    let prefix = format!("job-{}-", child.job.name_any());
    let newest = events
        .iter()
        .filter(|event| {
            event.involved_object.name.as_deref().is_some_and(|name| name.starts_with(&prefix))
        })
        .filter(|event| event.message.as_ref().is_some_and(|message| !message.is_empty()))
        .max_by_key(|event| pods::event_time(event));
    Ok(newest.and_then(|event| event.message.clone()))
}
