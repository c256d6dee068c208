//! What makes the controller look at a job: its spec, its child Jobs, their pods, and the models that it uses. I/O (watches).

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::controller::{ReconcileRequest, trigger_self, trigger_with};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates};
use kube::{Resource, ResourceExt};
use textnlp_crds::conditions::types;
use textnlp_crds::task::labels;
use textnlp_crds::{GenerationJob, ModelDeployment};

use crate::conditions;
use crate::context::Context;
use crate::job::{CONTROLLER, position, spec};
use crate::watch;

type Triggers =
    SelectAll<BoxStream<'static, Result<ReconcileRequest<GenerationJob>, watcher::Error>>>;

/// All triggers; filling the caches on the way.
pub(crate) fn triggers(
    context: &Arc<Context>,
    jobs: Writer<GenerationJob>,
    children: Writer<Job>,
    pods: Writer<Pod>,
) -> Triggers {
    let mut triggers = SelectAll::new();
    let caught_up = context.clone();
    let own = watch::guarded::<GenerationJob>(context.clone(), CONTROLLER)
        .reflect(jobs)
        .inspect_ok(move |event| watch::caught_up(&caught_up.written_jobs, event))
        .inspect_ok(context.filling.follow())
        .applied_objects()
        // Statuses are the controller's own: they trigger nothing.
        .predicate_filter(
            predicates::generation.combine(predicates::finalizers),
            PredicateConfig::default(),
        );
    triggers.push(trigger_self(own, ()).boxed());

    let of_jobs = context.lists.children_of(labels::JOB_UID);
    let index = context.clone();
    let children = watcher(context.api::<Job>(), of_jobs.clone())
        .modify(watch::slim_job)
        .inspect_ok(move |event| index.job_children_index.follow(event))
        .reflect(children)
        .inspect_ok(context.filling.follow());
    triggers.push(trigger_with(watch::touched(children), |job| owner(&job)).boxed());
    let index = context.clone();
    let pods = watcher(context.api::<Pod>(), of_jobs)
        .modify(watch::slim_pod)
        .inspect_ok(move |event| index.job_pods_index.follow(event))
        .reflect(pods)
        .inspect_ok(context.filling.follow());
    triggers.push(trigger_with(watch::touched(pods), |pod| owner(&pod)).boxed());

    let store = context.jobs.clone();
    let models = watch::touched(watch::guarded::<ModelDeployment>(context.clone(), CONTROLLER))
        .predicate_filter(what_jobs_see, PredicateConfig::default());
    triggers.push(trigger_with(models, move |model| users(&store, &model)).boxed());
    triggers
}

/// The job that a child names as its owner. (Whether it is one is checked by its owner reference, when it is looked at.)
fn owner<K: Resource>(child: &K) -> Option<ObjectRef<GenerationJob>> {
    let name = child.annotations().get(labels::OWNER_NAME)?;
    Some(ObjectRef::new(name).within(&child.namespace()?))
}

/// The jobs that wait for a model or use it.
fn users(store: &Store<GenerationJob>, model: &ModelDeployment) -> Vec<ObjectRef<GenerationJob>> {
    let (name, namespace) = (model.name_any(), model.namespace());
    let uses = |job: &GenerationJob| {
        job.namespace() == namespace
            && !job.status.as_ref().is_some_and(position::has_ended)
            && spec::models(&job.spec).contains(&name)
    };
    store.state_filter(uses).iter().map(|job| ObjectRef::from_obj(&**job)).collect()
}

/// Hash of what a job sees of a model: load and replicas change all the time, and mean nothing to it.
fn what_jobs_see(model: &ModelDeployment) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    model.metadata.generation.hash(&mut hasher);
    model.metadata.deletion_timestamp.is_some().hash(&mut hasher);
    if let Some(status) = &model.status {
        for type_ in [types::READY, types::STALLED, types::MODEL_CACHED] {
            let condition = conditions::find(&status.conditions, type_);
            condition
                .map(|condition| (&condition.status, &condition.reason, &condition.message))
                .hash(&mut hasher);
        }
        (status.ready_replicas.unwrap_or(0) > 0).hash(&mut hasher);
        status.url.hash(&mut hasher);
        status
            .model
            .as_ref()
            .map(|model| (&model.digest, &model.numerics, model.chat_template))
            .hash(&mut hasher);
    }
    Some(hasher.finish())
}
