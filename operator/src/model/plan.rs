//! What shall be there for a model. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, Pod, Service, ServiceAccount,
    VolumeResourceRequirements,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use textnlp_crds::output::AccessMode;
use textnlp_crds::task::Fetched;

use super::fetch::{self, Fetch};
use super::observe::Observed;
use super::scaling::{self, Decision, Why};
use super::validate::{Source, Validated};
use super::{fetch_job, network, server};
use crate::config::Config;
use crate::meta;

/// Space of the cache where the manifest names none.
const CACHE_SIZE: &str = "20Gi";
/// Component of the cache claim.
const CACHE: &str = "cache";

/// What shall become of a child.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish<T> {
    /// It shall be there, like this.
    Have(Box<T>),
    /// It stays as it is, if it is there.
    Keep,
    /// It shall not be there.
    Gone,
}

impl<T> From<Option<T>> for Wish<T> {
    fn from(wanted: Option<T>) -> Self {
        wanted.map_or(Self::Gone, |object| Self::Have(Box::new(object)))
    }
}

/// What shall become of the fetch Job.
#[derive(Clone, Debug, PartialEq)]
pub enum FetchStep {
    /// Nothing.
    Keep,
    /// It is created.
    Create(Box<Job>),
    /// The one that is there is deleted, and this one created.
    Replace(Box<Job>),
    /// Its answer is written down in it.
    Record {
        /// The annotation.
        key: &'static str,
        /// What it holds.
        value: String,
    },
    /// It shall not be there.
    Gone,
}

/// All children of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The account of the pods.
    pub service_account: Wish<ServiceAccount>,
    /// The cache.
    pub cache: Wish<PersistentVolumeClaim>,
    /// Who may talk to the servers.
    pub network_policy: Wish<NetworkPolicy>,
    /// The address that spreads requests.
    pub service: Wish<Service>,
    /// The name of the pods' addresses.
    pub headless_service: Wish<Service>,
    /// How many servers a drain may take.
    pub disruption_budget: Wish<PodDisruptionBudget>,
    /// The fetch Job of the present source. Those of other sources go.
    pub fetch: FetchStep,
    /// The servers.
    pub deployment: Wish<Deployment>,
    /// How many there shall be.
    pub decision: Decision,
}

/// Plans for `model`, whose fetch Job stands at `fetch`.
pub fn plan(
    model: &Validated,
    config: &Config,
    observed: &Observed,
    fetch: &Fetch,
    now: Timestamp,
) -> Plan {
    if matches!(model.source, Source::External(_)) {
        return nothing();
    }
    let job = observed.fetch_job(model).map(|job| &**job);
    let fetched = match fetch {
        Fetch::Done { fetched, .. } => Some(&**fetched),
        _ => None,
    };
    let operator_namespace = config.election.as_ref().map(|election| election.namespace.as_str());
    Plan {
        service_account: network::service_account(model).into(),
        cache: cache(model, fetched),
        network_policy: Wish::Have(Box::new(network::network_policy(
            model,
            operator_namespace,
            config.access.as_ref(),
            config.traces.as_ref(),
        ))),
        service: Wish::Have(Box::new(network::service(model))),
        headless_service: Wish::Have(Box::new(network::headless_service(model))),
        disruption_budget: Wish::Have(Box::new(network::disruption_budget(model))),
        fetch: fetch_step(
            meta::with_hash(fetch_job::fetch_job(model, config)),
            job,
            &observed.servers,
            fetch,
            now,
        ),
        // Servers of the source before go on until the new one can be served.
        deployment: match fetched {
            Some(fetched) => Wish::Have(Box::new(server::deployment(model, fetched, config))),
            None => Wish::Keep,
        },
        decision: decision(model, observed, now),
    }
}

/// How many servers there shall be: what `scaling` decides, or else what the spec says.
fn decision(model: &Validated, observed: &Observed, now: Timestamp) -> Decision {
    match &model.spec.scaling {
        Some(scaling) => {
            scaling::decide(scaling, &observed.demand, &observed.history, observed.replicas(), now)
        }
        None => Decision { replicas: model.spec.replicas, why: Why::Fixed },
    }
}

/// An external model has no children; those of a source before it go.
fn nothing() -> Plan {
    Plan {
        service_account: Wish::Gone,
        cache: Wish::Gone,
        network_policy: Wish::Gone,
        service: Wish::Gone,
        headless_service: Wish::Gone,
        disruption_budget: Wish::Gone,
        fetch: FetchStep::Gone,
        deployment: Wish::Gone,
        decision: Decision { replicas: 0, why: Why::Fixed },
    }
}

/// The cache claim. That of a source before stays until the servers no longer need it.
fn cache(model: &Validated, fetched: Option<&Fetched>) -> Wish<PersistentVolumeClaim> {
    match (&model.source, fetched) {
        (Source::Remote { .. }, _) => Wish::Have(Box::new(cache_claim(model))),
        (_, Some(_)) => Wish::Gone,
        (_, None) => Wish::Keep,
    }
}

/// The claim that the fetch Job fills and the servers read.
fn cache_claim(model: &Validated) -> PersistentVolumeClaim {
    let cache = model.spec.cache.clone().unwrap_or_default();
    let mode = match cache.access_mode {
        AccessMode::ReadWriteOnce => "ReadWriteOnce",
        AccessMode::ReadWriteMany => "ReadWriteMany",
    };
    let size = cache.size.unwrap_or_else(|| Quantity(CACHE_SIZE.into()));
    PersistentVolumeClaim {
        metadata: model.owner.object_meta(&model.cache_name(), CACHE),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec![mode.into()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".into(), size)].into()),
                limits: None,
            }),
            storage_class_name: cache.storage_class_name,
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

fn fetch_step(
    wanted: Job,
    job: Option<&Job>,
    servers: &[Arc<Pod>],
    fetch: &Fetch,
    now: Timestamp,
) -> FetchStep {
    let Some(job) = job else { return FetchStep::Create(Box::new(wanted)) };
    let current = fetch::is_current(job, &wanted);
    match fetch {
        Fetch::Missing => FetchStep::Create(Box::new(wanted)),
        Fetch::Leaving => FetchStep::Keep,
        Fetch::Done { fetched, record: true } => record(fetch::FETCHED, fetched),
        Fetch::Done { record: false, .. } if fetch::is_outdated(job, servers) => {
            FetchStep::Replace(Box::new(wanted))
        }
        // Else a model that is there stays, whatever fetched it.
        Fetch::Done { record: false, .. } => FetchStep::Keep,
        Fetch::Lost => FetchStep::Replace(Box::new(wanted)),
        Fetch::Running { .. } if current => FetchStep::Keep,
        Fetch::Running { .. } => FetchStep::Replace(Box::new(wanted)),
        Fetch::Failed { .. } if !current => FetchStep::Replace(Box::new(wanted)),
        Fetch::Failed { failure, again, .. } if *again <= now => {
            let next = fetch::after(wanted, fetch::attempt(job).saturating_add(1), failure);
            FetchStep::Replace(Box::new(next))
        }
        Fetch::Failed { failure, record: true, .. } => record(fetch::FAILURE, failure),
        Fetch::Failed { .. } => FetchStep::Keep,
    }
}

fn record(key: &'static str, answer: &impl serde::Serialize) -> FetchStep {
    FetchStep::Record { key, value: serde_json::to_string(answer).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::super::fetch::FetchFailure;
    use super::super::fixture::{NAME, config, fetched, in_claim, metadata, model};
    use super::*;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn done(record: bool) -> Fetch {
        Fetch::Done { fetched: Box::new(fetched()), record }
    }

    fn failed(again: i64) -> Fetch {
        let failure =
            FetchFailure { reason: "X".into(), message: "y".into(), ..FetchFailure::default() };
        Fetch::Failed { failure, record: false, again: at(again) }
    }

    fn wanted() -> Job {
        meta::with_hash(fetch_job::fetch_job(&in_claim(), &config()))
    }

    fn step(job: Option<&Job>, fetch: &Fetch) -> FetchStep {
        let observed = Observed {
            fetch_jobs: job.cloned().map(Arc::new).into_iter().collect(),
            ..Observed::default()
        };
        plan(&in_claim(), &config(), &observed, fetch, at(0)).fetch
    }

    #[test]
    fn a_model_is_served_once_it_was_looked_at() {
        let before = plan(&in_claim(), &config(), &Observed::default(), &Fetch::Missing, at(0));
        assert_eq!(before.fetch, FetchStep::Create(Box::new(wanted())));
        assert_eq!((before.deployment, before.cache), (Wish::Keep, Wish::Keep));
        assert!(matches!(before.service, Wish::Have(_)));

        let after = plan(&in_claim(), &config(), &Observed::default(), &done(false), at(0));
        let servers = server::deployment(&in_claim(), &fetched(), &config());
        assert_eq!(after.deployment, Wish::Have(Box::new(servers)));
        assert_eq!(after.cache, Wish::Gone);
        assert_eq!(after.decision, Decision { replicas: 1, why: Why::Fixed });
    }

    #[test]
    fn the_cache_claim_has_what_the_manifest_asks_for() {
        let claim = |spec: serde_json::Value, expect: serde_json::Value| {
            let wish =
                plan(&model(spec), &config(), &Observed::default(), &Fetch::Missing, at(0)).cache;
            let Wish::Have(claim) = wish else { panic!("{wish:?}") };
            let whole = json!({
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": metadata(&format!("{NAME}-cache"), "cache"),
                "spec": expect,
            });
            assert_eq!(serde_json::to_value(claim).expect("JSON"), whole);
        };
        let source = json!({"huggingFace": {"repo": "a/b"}});
        claim(
            json!({"source": source.clone()}),
            json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20Gi"}}}),
        );
        let cache =
            json!({"size": "5Gi", "storageClassName": "nfs", "accessMode": "ReadWriteMany"});
        claim(
            json!({"source": source, "cache": cache}),
            json!({"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "5Gi"}}, "storageClassName": "nfs"}),
        );
    }

    #[test]
    fn an_external_model_has_no_children() {
        let external =
            model(json!({"source": {"external": {"endpoint": "http://a", "model": "b"}}}));
        assert_eq!(
            plan(&external, &config(), &Observed::default(), &Fetch::Missing, at(0)),
            nothing()
        );
    }

    #[test]
    fn a_fetch_job_is_created_recorded_and_made_again() {
        let job = wanted();
        assert_eq!(step(Some(&job), &Fetch::Running { failure: None }), FetchStep::Keep);
        assert_eq!(step(Some(&job), &Fetch::Leaving), FetchStep::Keep);
        assert_eq!(step(Some(&job), &done(false)), FetchStep::Keep);
        let value = serde_json::to_string(&fetched()).expect("JSON");
        assert_eq!(step(Some(&job), &done(true)), FetchStep::Record { key: fetch::FETCHED, value });
        assert_eq!(step(Some(&job), &Fetch::Lost), FetchStep::Replace(Box::new(job.clone())));
        assert_eq!(step(Some(&job), &failed(1)), FetchStep::Keep);
        let FetchStep::Replace(next) = step(Some(&job), &failed(0)) else {
            panic!("it was to be made again")
        };
        assert_eq!(fetch::attempt(&next), 1);
    }

    #[test]
    fn a_fetch_job_that_waits_for_what_the_spec_no_longer_names_is_replaced() {
        let mut stale = wanted();
        stale
            .metadata
            .annotations
            .get_or_insert_default()
            .insert(meta::DESIRED_HASH.into(), "other".into());
        let replaced = FetchStep::Replace(Box::new(wanted()));
        assert_eq!(step(Some(&stale), &Fetch::Running { failure: None }), replaced);
        assert_eq!(step(Some(&stale), &failed(1000)), replaced);
        assert_eq!(step(Some(&stale), &done(false)), FetchStep::Keep);
    }

    #[test]
    fn scaling_goes_before_the_replicas_of_the_spec() {
        let mut spec = json!({"source": {"huggingFace": {"repo": "a/b"}}, "replicas": 3});
        let decided = |spec: &serde_json::Value| {
            plan(&model(spec.clone()), &config(), &Observed::default(), &Fetch::Missing, at(0))
                .decision
        };
        assert_eq!(decided(&spec), Decision { replicas: 3, why: Why::Fixed });
        spec["scaling"] = json!({"maxReplicas": 8, "initialReplicas": 2});
        assert_eq!(decided(&spec), Decision { replicas: 2, why: Why::Initial });
    }
}
