//! Reads what an explanation is made from: the children of a job and its models by their labels, and what is beside them in the
//! namespace. What may not be read is left out, and said. I/O.

use futures::join;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, ResourceExt};
use textnlp_crds::task::labels;
use textnlp_crds::{GenerationJob, ModelDeployment};

use super::super::cluster::Cluster;
use super::super::error::Error;
use super::super::target::Found;
use super::world::World;

/// Kueue's versions, the newest first.
const KUEUE_VERSIONS: [&str; 2] = ["v1beta2", "v1beta1"];

/// The world around a job or a model.
pub(crate) async fn world(cluster: &Cluster, subject: &Found) -> Result<World, Error> {
    let mut world = World { namespace: cluster.namespace.clone(), ..World::default() };
    let models = cluster.list("").await;
    world.models = kept(models, &mut world.unread);
    let selectors = selectors(subject, &world);
    let (claims, quotas, events) = join!(cluster.list(""), cluster.list(""), cluster.list(""));
    world.claims = kept(claims, &mut world.unread);
    world.quotas = kept(quotas, &mut world.unread);
    world.events = kept(events, &mut world.unread);
    for selector in &selectors {
        let (jobs, deployments, pods) =
            join!(cluster.list(selector), cluster.list(selector), cluster.list(selector));
        world.jobs.extend(kept(jobs, &mut world.unread));
        world.deployments.extend(kept(deployments, &mut world.unread));
        world.pods.extend(kept(pods, &mut world.unread));
    }
    if world.pods.iter().any(waits_for_a_node) {
        let nodes =
            cluster.pages(Api::<Node>::all(cluster.client.clone()), ListParams::default()).await;
        world.nodes = kept(nodes, &mut world.unread);
    }
    let queued = matches!(subject, Found::Job(job) if job.spec.execution.queue_name.is_some());
    if queued {
        let workloads = workloads(cluster).await;
        let workloads = kept(workloads, &mut world.unread);
        world.workloads =
            workloads.iter().filter_map(|found| serde_json::to_value(found).ok()).collect();
    }
    world.unread.sort();
    world.unread.dedup();
    Ok(world)
}

/// What was read; otherwise the reason why not is noted.
fn kept<T>(read: Result<Vec<T>, Error>, unread: &mut Vec<String>) -> Vec<T> {
    read.unwrap_or_else(|error| {
        unread.push(error.to_string());
        Vec::new()
    })
}

/// The labels of the children of everything in play.
fn selectors(subject: &Found, world: &World) -> Vec<String> {
    let of_model =
        |model: &ModelDeployment| Some(format!("{}={}", labels::MODEL_UID, model.uid()?));
    match subject {
        Found::Model(model) => of_model(model).into_iter().collect(),
        Found::Job(job) => {
            let own = job.uid().map(|uid| format!("{}={uid}", labels::JOB_UID));
            let names = model_names(job);
            let used = world.models.iter().filter(|model| names.contains(&model.name_any()));
            own.into_iter().chain(used.filter_map(of_model)).collect()
        }
    }
}

/// The models that a job calls, each once, in the order of its columns.
pub(super) fn model_names(job: &GenerationJob) -> Vec<String> {
    let mut names = Vec::new();
    for column in &job.spec.columns {
        if let Some(model) = job.spec.model_of(column)
            && !names.contains(&model.name)
        {
            names.push(model.name.clone());
        }
    }
    names
}

fn waits_for_a_node(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "PodScheduled" && c.status == "False")
}

async fn workloads(cluster: &Cluster) -> Result<Vec<DynamicObject>, Error> {
    let mut last = Ok(Vec::new());
    for version in KUEUE_VERSIONS {
        let kind = GroupVersionKind::gvk("kueue.x-k8s.io", version, "Workload");
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> =
            Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource);
        let all = ListParams::default();
        match cluster.call("list", "workloads.kueue.x-k8s.io", "", api.list(&all)).await {
            Ok(found) => return Ok(found.items),
            Err(error) => last = Err(error),
        }
    }
    last
}
