//! What makes the controller look at a model: its spec, its children, and the jobs that call it. I/O: watches.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use kube::ResourceExt;
use kube::runtime::controller::{ReconcileRequest, trigger_self, trigger_with};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates};
use textnlp_crds::{GenerationJob, ModelDeployment};

use super::demand::{called, hold};
use super::{CONTROLLER, caches::Caches};
use crate::context::Context;
use crate::watch;

/// Models to look at.
pub type Triggers = BoxStream<'static, Result<ReconcileRequest<ModelDeployment>, watcher::Error>>;

/// All triggers, and the caches that they fill on the way.
pub fn triggers(
    context: &Arc<Context>,
    models: Writer<ModelDeployment>,
) -> (Arc<Caches>, Triggers) {
    let (caches, children) = Caches::new(context);
    let caches = Arc::new(caches);
    let (caught_up, remembering) = (context.clone(), caches.clone());
    let own = watch::guarded::<ModelDeployment>(context.clone(), CONTROLLER)
        .default_backoff()
        .reflect(models)
        .inspect_ok(move |event| {
            watch::caught_up(&caught_up.written_models, event);
            if let Event::Delete(model) = event {
                remembering.forget(&model.uid().unwrap_or_default());
            }
        })
        .inspect_ok(context.filling.follow());
    let own = watch::touched(own)
        // Statuses are the controller's own: they trigger nothing.
        .predicate_filter(
            predicates::generation.combine(predicates::finalizers),
            PredicateConfig::default(),
        );
    let jobs = watch::touched(
        watch::guarded::<GenerationJob>(context.clone(), CONTROLLER).default_backoff(),
    )
    .predicate_filter(what_models_see, PredicateConfig::default());
    let all = [
        trigger_self(own, ()).boxed(),
        trigger_with(jobs, |job| models_of(&job)).boxed(),
        children,
    ];
    (caches, stream::select_all(all).boxed())
}

/// The models that a job's columns call.
fn models_of(job: &GenerationJob) -> Vec<ObjectRef<ModelDeployment>> {
    let namespace = job.namespace().unwrap_or_default();
    called(job).into_iter().map(|name| ObjectRef::new(name).within(&namespace)).collect()
}

/// Hash of what models see of a job: its spec, and whether it holds them. A model with servers looks at its
/// jobs every few seconds anyway; what counts here is what wakes one.
fn what_models_see(job: &GenerationJob) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    job.metadata.generation.hash(&mut hasher);
    hold(job).is_some().hash(&mut hasher);
    Some(hasher.finish())
}
