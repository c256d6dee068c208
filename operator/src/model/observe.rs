//! What there is of a model: children from the caches, Events about pods that wait, and the servers' metrics. I/O: reads.

use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use textnlp_crds::model_status::{ColdStart, Load};
use textnlp_crds::task::{SERVER_PORT, labels};

use super::caches::Caches;
use super::demand::{Holds, holds};
use super::fetch::FETCH;
use super::load::{self, Sample};
use super::network::SERVER;
use super::scaling::{Demand, History};
use super::start::cold_start;
use super::trouble::Events;
use super::validate::Validated;
use crate::context::Context;
use crate::error::Error;
use crate::scrape::{Samples, Scraper};
use crate::{apply, names, pods};

/// Seconds between two looks at the servers of a model that neither scales nor works.
const QUIET_INTERVAL_SECONDS: f64 = 30.0;

/// What there is.
#[derive(Default)]
pub struct Observed {
    /// Children that there is one of, if this model controls them.
    pub deployment: Option<Arc<Deployment>>,
    /// The account.
    pub service_account: Option<Arc<ServiceAccount>>,
    /// The cache.
    pub cache: Option<Arc<PersistentVolumeClaim>>,
    /// The policy.
    pub network_policy: Option<Arc<NetworkPolicy>>,
    /// The Service.
    pub service: Option<Arc<Service>>,
    /// The headless Service.
    pub headless_service: Option<Arc<Service>>,
    /// The budget.
    pub disruption_budget: Option<Arc<PodDisruptionBudget>>,
    /// Fetch Jobs: of this source and of those before it.
    pub fetch_jobs: Vec<Arc<Job>>,
    /// The servers' pods.
    pub servers: Vec<Arc<Pod>>,
    /// The fetch Jobs' pods.
    pub fetchers: Vec<Arc<Pod>>,
    /// Events about pods and Jobs that wait, by their UID.
    pub events: Events,
    /// The jobs that hold the model.
    pub holds: Holds,
    /// What is asked of the model.
    pub demand: Demand,
    /// What was asked of it until now.
    pub history: History,
    /// What the servers do.
    pub load: Option<Load>,
    /// How the last start went.
    pub cold_start: Option<ColdStart>,
    /// Whether the demand has not been known for a while.
    pub blind: bool,
}

impl Observed {
    /// The fetch Job of the present source.
    pub fn fetch_job(&self, model: &Validated) -> Option<&Arc<Job>> {
        let name = model.fetch_name();
        self.fetch_jobs.iter().find(|job| job.metadata.name.as_ref() == Some(&name))
    }

    /// Replicas of the Deployment; none without one.
    pub fn replicas(&self) -> Option<i32> {
        Some(self.deployment.as_ref()?.spec.as_ref()?.replicas.unwrap_or(1))
    }
}

/// Looks at everything that there is of `model`.
pub async fn observe(
    context: &Context,
    caches: &Caches,
    model: &Validated,
    now: Timestamp,
) -> Result<Observed, Error> {
    let (namespace, uid) = (&*model.owner.namespace, model.owner.uid());
    let name = model.child_name();
    let fetch_jobs = caches.jobs.of(uid);
    let fetch_jobs: Vec<_> =
        fetch_jobs.into_iter().filter(|job| model.owner.controls(&job.metadata)).collect();
    let (servers, fetchers) = pods_of(caches, model);
    let events = events(context, model, servers.iter().chain(&fetchers), &fetch_jobs, now).await?;
    let deployment = caches.deployments.named(namespace, &name);
    let replicas =
        deployment.as_ref().map(|d| d.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1));
    let holds = holds_of(context, model);
    let ready: Vec<_> = servers.iter().filter(|pod| pods::is_ready(pod)).cloned().collect();
    scrape(context, caches, model, &ready, &holds, now).await;
    caches.memory(uid, |memory| {
        let external = memory.track.external();
        let demand = Demand { held: !holds.jobs.is_empty(), jobs: holds.requests, external };
        if let Some(scaling) = &model.spec.scaling {
            memory.history.record(scaling, &demand, replicas, now);
        }
        Ok(Observed {
            deployment,
            service_account: caches.service_accounts.named(namespace, &name),
            cache: caches.claims.named(namespace, &model.cache_name()),
            network_policy: caches.policies.named(namespace, &name),
            service: caches.services.named(namespace, &name),
            headless_service: caches
                .services
                .named(namespace, &names::model_pods(model.owner.name(), uid)),
            disruption_budget: caches.budgets.named(namespace, &name),
            fetch_jobs,
            load: memory.track.load(),
            cold_start: cold_start(servers.iter().map(|pod| &**pod), |uid| {
                memory.track.load_seconds(uid)
            }),
            blind: memory.is_blind(external.is_some() || ready.is_empty(), now),
            servers,
            fetchers,
            events,
            holds,
            demand,
            history: memory.history.clone(),
        })
    })
}

/// The pods of the servers and of the fetch Jobs.
fn pods_of(caches: &Caches, model: &Validated) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
    let pods = caches.pods.of(model.owner.uid());
    let is = |pod: &Arc<Pod>, component: &str| {
        let found = pod.labels().get(labels::COMPONENT);
        found.is_some_and(|found| found == component)
            && pod.metadata.namespace.as_ref() == Some(&model.owner.namespace)
    };
    let all = |component| pods.iter().filter(|pod| is(pod, component)).cloned().collect();
    (all(SERVER), all(FETCH))
}

fn holds_of(context: &Context, model: &Validated) -> Holds {
    let namespace = Some(&model.owner.namespace);
    let jobs = context.jobs.state_filter(|job| job.metadata.namespace.as_ref() == namespace);
    holds(model.owner.name(), jobs.iter().map(|job| &**job))
}

/// Events about what waits and says nothing itself: pods, and a Job that has none.
async fn events(
    context: &Context,
    model: &Validated,
    pods: impl Iterator<Item = &Arc<Pod>>,
    jobs: &[Arc<Job>],
    now: Timestamp,
) -> Result<Events, Error> {
    let silent_pods = pods.filter(|pod| pods::needs_events(pod, now)).filter_map(|pod| pod.uid());
    let silent_jobs =
        jobs.iter().filter(|job| is_without_pods(job, now)).filter_map(|job| job.uid());
    let mut events = Events::new();
    // A few are enough to say what all of them wait for.
    for uid in silent_pods.take(4).chain(silent_jobs.take(1)) {
        let about = apply::events_about(context.client(), &model.owner.namespace, &uid).await?;
        events.insert(uid, about);
    }
    Ok(events)
}

/// A Job that should have a pod, and has had none for a while: something refuses it.
fn is_without_pods(job: &Job, now: Timestamp) -> bool {
    let status = job.status.clone().unwrap_or_default();
    let made = job.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    let waited = now.duration_since(made).unsigned_abs() >= pods::PATIENCE;
    waited
        && status.active.unwrap_or(0) == 0
        && status.conditions.is_none_or(|conditions| conditions.is_empty())
}

/// Asks the ready servers for their metrics, when it is time.
async fn scrape(
    context: &Context,
    caches: &Caches,
    model: &Validated,
    ready: &[Arc<Pod>],
    holds: &Holds,
    now: Timestamp,
) {
    let due = caches.memory(model.owner.uid(), |memory| {
        let interval = interval(context, model, holds, memory.is_lively());
        let elapsed = memory.scraped.map(|at| now.duration_since(at).as_secs_f64());
        // A little early is on time: what is asked for after five seconds may come after 4.99.
        elapsed.is_none_or(|elapsed| elapsed >= interval * 0.9)
            || !memory.track.knows(ready.iter().filter_map(|pod| pod.uid()))
    });
    if !due {
        return;
    }
    let scraper = &context.shared.scraper;
    let asked =
        ready.iter().filter_map(|pod| Some((pod.uid()?, pod.status.as_ref()?.pod_ip.clone()?)));
    let answers =
        join_all(asked.map(|(uid, ip)| async move { (uid, sample(scraper, &ip, now).await) }))
            .await;
    caches.memory(model.owner.uid(), |memory| {
        memory.scraped = Some(now);
        memory.track.record(answers);
    });
}

/// Seconds between two looks at the servers; `lively` is [`Memory::is_lively`](super::memory::Memory::is_lively).
pub fn interval(context: &Context, model: &Validated, holds: &Holds, lively: bool) -> f64 {
    if lively || model.spec.scaling.is_some() || !holds.jobs.is_empty() {
        context.config().progress_interval.as_secs_f64()
    } else {
        QUIET_INTERVAL_SECONDS
    }
}

async fn sample(scraper: &Scraper, ip: &str, now: Timestamp) -> Option<Sample> {
    match scraper.scrape_server(ip, SERVER_PORT).await {
        Ok(samples) => Some(read(&samples, now)),
        // A server that is starting or ending is no news; one that does not let the operator in does not mend itself.
        Err(error) if error.is_refusal() => {
            tracing::warn!(%error, "a server does not show its metrics");
            None
        }
        Err(error) => {
            tracing::debug!(%error, "a server's metrics cannot be read");
            None
        }
    }
}

fn read(samples: &Samples, at: Timestamp) -> Sample {
    let external = |sample: &crate::scrape::Sample| sample.label("source") == Some("external");
    let total = |sample: &crate::scrape::Sample| sample.label("phase") == Some("total");
    Sample {
        at,
        external_seconds: samples.sum_where(load::INFLIGHT_SECONDS, external).unwrap_or(0.0),
        tokens: samples.sum(load::GENERATION_TOKENS).unwrap_or(0.0),
        running: samples.sum(load::RUNNING).unwrap_or(0.0),
        waiting: samples.sum(load::WAITING).unwrap_or(0.0),
        load_seconds: samples.sum_where(load::LOAD_SECONDS, total),
    }
}
