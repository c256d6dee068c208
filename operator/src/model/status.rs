//! The status of a model, from what was observed and applied. Pure: the time is a parameter.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use textnlp_crds::conditions::{Failure, types};
use textnlp_crds::model::External;
use textnlp_crds::model_status::{ColdStart, Load, ModelDeploymentStatus, ModelInfo};
use textnlp_crds::task::SERVER_PORT;

use super::fetch::Fetch;
use super::network::selector;
use super::scale::Scaled;
use super::scaling::{Decision, Why};
use super::trouble::Trouble;
use super::validate::{self, Source, Validated};
use crate::conditions::{Conditions, State};

/// Digest and numerics of a model that runs elsewhere.
const EXTERNAL: &str = "external";

/// What is known of a model after its plan was applied.
pub struct Facts<'a> {
    /// The model.
    pub model: &'a Validated,
    /// Where its fetch Job stands.
    pub fetch: &'a Fetch,
    /// The Deployment.
    pub deployment: Option<&'a Deployment>,
    /// How many servers there shall be.
    pub decision: Decision,
    /// What became of that.
    pub scaled: Option<&'a Scaled>,
    /// Whether the demand has not been known for a while.
    pub blind: bool,
    /// Why it does not go on.
    pub trouble: Option<Trouble>,
    /// What the servers do.
    pub load: Option<Load>,
    /// How the last start went.
    pub cold_start: Option<ColdStart>,
}

/// Servers by number.
#[derive(Clone, Copy, Debug, Default)]
struct Servers {
    /// That there shall be.
    wanted: i32,
    /// That there are.
    there: i32,
    /// That answer.
    ready: i32,
    /// That are of the newest template.
    updated: i32,
    /// Whether the Deployment's controller has seen its newest spec.
    seen: bool,
}

/// How a model stands, in one word and one sentence.
struct Standing {
    ready: bool,
    /// Whether it is on its way, or stuck: neither when it is where it should be.
    progress: Progress,
    reason: String,
    message: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Done,
    Reconciling,
    Stalled,
}

/// The status of a model with servers.
pub fn status(
    before: &ModelDeploymentStatus,
    generation: Option<i64>,
    facts: &Facts<'_>,
    now: Timestamp,
) -> ModelDeploymentStatus {
    let servers = servers(facts);
    let standing = standing(facts, servers);
    let mut conditions = Conditions::new(&before.conditions, generation, now);
    set_standing(&mut conditions, &standing);
    let (state, reason, message) = cached(facts);
    conditions.set(types::MODEL_CACHED, state, reason, message);
    let (state, reason, message) = loaded(&standing, servers);
    conditions.set(types::MODEL_LOADED, state, &reason, message);
    let (state, reason, message) = scaled(facts);
    conditions.set(types::SCALED, state, reason, message);
    let model = facts.model;
    let labels: Vec<String> = selector(model).iter().map(|(key, value)| format!("{key}={value}")).collect();
    ModelDeploymentStatus {
        observed_generation: generation,
        conditions: conditions.finish(),
        replicas: Some(servers.there),
        ready_replicas: Some(servers.ready),
        desired_replicas: Some(facts.decision.replicas),
        ready_summary: Some(format!("{}/{}", servers.ready, servers.wanted)),
        selector: Some(labels.join(",")),
        url: Some(format!("http://{}.{}.svc:{SERVER_PORT}", model.child_name(), model.owner.namespace)),
        model: match facts.fetch {
            Fetch::Done { fetched, .. } => Some(fetched.model.clone()),
            _ => before.model.clone(),
        },
        load: if servers.ready > 0 { facts.load.clone().or_else(|| before.load.clone()) } else { None },
        cold_start: facts.cold_start.clone().or_else(|| before.cold_start.clone()),
        failure: failure(before, facts.trouble.as_ref().filter(|_| standing.progress != Progress::Done), now),
    }
}

/// The status of a model that runs elsewhere: it counts as ready, and its workers find out.
pub fn external(
    before: &ModelDeploymentStatus,
    generation: Option<i64>,
    external: &External,
    now: Timestamp,
) -> ModelDeploymentStatus {
    let mut conditions = Conditions::new(&before.conditions, generation, now);
    set_standing(&mut conditions, &Standing {
        ready: true,
        progress: Progress::Done,
        reason: "External".into(),
        message: format!("{} answers for the model {:?}", external.endpoint, external.model),
    });
    ModelDeploymentStatus {
        observed_generation: generation,
        conditions: conditions.finish(),
        url: Some(external.endpoint.clone()),
        model: Some(ModelInfo {
            digest: Some(EXTERNAL.into()),
            numerics: Some(EXTERNAL.into()),
            ..ModelInfo::default()
        }),
        ..ModelDeploymentStatus::default()
    }
}

/// The status of a model whose spec can never work. Servers of the spec before go on, and the fields about them stay.
pub fn invalid(
    before: &ModelDeploymentStatus,
    generation: Option<i64>,
    error: &validate::Error,
    now: Timestamp,
) -> ModelDeploymentStatus {
    let mut conditions = Conditions::new(&before.conditions, generation, now);
    let trouble = Trouble {
        reason: error.reason().into(),
        message: error.to_string(),
        pod: None,
        exit_code: None,
        stalled: true,
    };
    set_standing(&mut conditions, &Standing {
        ready: false,
        progress: Progress::Stalled,
        reason: trouble.reason.clone(),
        message: trouble.message.clone(),
    });
    for kept in [types::MODEL_CACHED, types::MODEL_LOADED, types::SCALED] {
        conditions.keep(kept);
    }
    ModelDeploymentStatus {
        observed_generation: generation,
        conditions: conditions.finish(),
        failure: failure(before, Some(&trouble), now),
        ..before.clone()
    }
}

fn set_standing(conditions: &mut Conditions, standing: &Standing) {
    let Standing { ready, progress, reason, message } = standing;
    let servers = if *ready && *progress != Progress::Done { "Serving" } else { reason };
    conditions.set(types::READY, State::from(*ready), servers, message.as_str());
    for (type_, holds) in [
        (types::RECONCILING, *progress == Progress::Reconciling),
        (types::STALLED, *progress == Progress::Stalled),
    ] {
        conditions.set(type_, State::from(holds), reason, if holds { message.as_str() } else { "" });
    }
}

fn servers(facts: &Facts<'_>) -> Servers {
    let Some(deployment) = facts.deployment else { return Servers::default() };
    let status = deployment.status.clone().unwrap_or_default();
    Servers {
        wanted: match facts.scaled {
            // Somebody else decides: then that is what is waited for.
            Some(Scaled::OwnedBy(_)) => deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
            _ => facts.decision.replicas,
        },
        there: status.replicas.unwrap_or(0),
        ready: status.ready_replicas.unwrap_or(0),
        updated: status.updated_replicas.unwrap_or(0),
        seen: status.observed_generation >= deployment.metadata.generation,
    }
}

fn standing(facts: &Facts<'_>, servers: Servers) -> Standing {
    let Servers { wanted, there, ready, updated, seen } = servers;
    let standing = |progress: Progress, reason: &str, message: String| Standing {
        ready: ready > 0,
        progress,
        reason: reason.into(),
        message,
    };
    let blocked = |trouble: &Trouble| {
        let progress = if trouble.stalled { Progress::Stalled } else { Progress::Reconciling };
        standing(progress, &trouble.reason, trouble.message.clone())
    };
    let is_fetched = matches!(facts.fetch, Fetch::Done { .. });
    if let Some(trouble) = facts.trouble.as_ref().filter(|trouble| trouble.stalled || !is_fetched) {
        return blocked(trouble);
    }
    if !is_fetched {
        return standing(Progress::Reconciling, "Fetching", "the model is being fetched and looked at".into());
    }
    if facts.deployment.is_none() {
        return match &facts.trouble {
            Some(trouble) => blocked(trouble),
            None => standing(Progress::Reconciling, "Starting", "the servers are being created".into()),
        };
    }
    if wanted == 0 {
        let message = "no server is wanted: spec.replicas or spec.scaling says so; a job that needs the model wakes one";
        return Standing { ready: true, ..standing(Progress::Done, "ScaledToZero", message.into()) };
    }
    if seen && ready >= wanted && updated >= wanted && there == wanted {
        return standing(Progress::Done, "Serving", format!("{ready} of {wanted} servers answer"));
    }
    if let Some(trouble) = &facts.trouble {
        return blocked(trouble);
    }
    let reason = match (ready, updated < wanted && there >= wanted) {
        (0, _) => "Starting",
        (_, true) => "RollingOut",
        (_, false) => "ScalingUp",
    };
    standing(Progress::Reconciling, reason, format!("{ready} of {wanted} servers answer"))
}

fn cached(facts: &Facts<'_>) -> (State, &'static str, String) {
    match (facts.fetch, &facts.model.source) {
        (Fetch::Done { fetched, .. }, Source::Claim { name, .. }) => {
            (State::True, "InClaim", format!("the claim {name} has the model: {} bytes", fetched.bytes))
        }
        (Fetch::Done { fetched, .. }, _) => {
            (State::True, "Fetched", format!("the cache has the model: {} bytes", fetched.bytes))
        }
        (Fetch::Failed { failure, .. } | Fetch::Running { failure: Some(failure) }, _) => {
            (State::False, "FetchFailed", failure.message.clone())
        }
        _ => (State::False, "Fetching", "the model is being fetched and looked at".into()),
    }
}

fn loaded(standing: &Standing, servers: Servers) -> (State, String, String) {
    match servers.ready > 0 {
        true => (State::True, "Loaded".into(), "a server has loaded the model".into()),
        false => (State::False, standing.reason.clone(), standing.message.clone()),
    }
}

fn scaled(facts: &Facts<'_>) -> (State, &'static str, String) {
    let Decision { replicas, why } = facts.decision;
    let spec = facts.model.spec.replicas;
    if let Some(Scaled::OwnedBy(owner)) = facts.scaled {
        let message = format!(
            "{replicas} servers are wanted, but spec.replicas of the Deployment {} belongs to {owner}: take it away there, then delete the Deployment with --cascade=orphan, and it is made again around its pods",
            facts.model.child_name()
        );
        return (State::False, "ReplicasOwnedByOther", message);
    }
    let ignored = match spec {
        1 => String::new(),
        spec => format!("; spec.replicas ({spec}) is ignored beside spec.scaling"),
    };
    match why {
        Why::Fixed => (State::True, "FixedReplicas", format!("spec.replicas asks for {spec}")),
        _ if facts.blind => (
            State::Unknown,
            "DemandUnknown",
            format!("the servers' metrics cannot be read: {replicas} servers are kept until they can{ignored}"),
        ),
        Why::Idle => (State::True, "Idle", format!("nobody asks for the model{ignored}")),
        Why::Initial | Why::Demand | Why::Held | Why::Stabilizing | Why::IdleSoon | Why::Unknown => {
            (State::True, "FollowsDemand", format!("the number of servers follows jobs and requests{ignored}"))
        }
    }
}

/// The first cause: it keeps its pod and time while the reason stays the same, and goes when the trouble is over.
fn failure(before: &ModelDeploymentStatus, trouble: Option<&Trouble>, now: Timestamp) -> Option<Failure> {
    let trouble = trouble?;
    if let Some(failure) = before.failure.as_ref().filter(|f| f.reason.as_ref() == Some(&trouble.reason)) {
        return Some(failure.clone());
    }
    Some(Failure {
        reason: Some(trouble.reason.clone()),
        message: Some(trouble.message.clone()),
        pod: trouble.pod.clone(),
        exit_code: trouble.exit_code,
        time: Some(Time(now)),
    })
}
