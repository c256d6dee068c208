//! How a model stands, in one word and one sentence: on its way, stuck, or where it should be. Pure.

use textnlp_crds::conditions::types;

use super::fetch::Fetch;
use super::scale::Scaled;
use super::status::Facts;
use crate::conditions::{Conditions, State};

/// Servers by number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Servers {
    /// That there shall be.
    pub wanted: i32,
    /// That there are.
    pub there: i32,
    /// That answer.
    pub ready: i32,
    /// That are of the newest template.
    updated: i32,
    /// Whether the Deployment's controller has seen its newest spec.
    seen: bool,
}

/// How a model stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Whether it serves, or is at zero by policy.
    pub ready: bool,
    /// Whether it is on its way, or stuck: neither when it is where it should be.
    pub progress: Progress,
    /// One word.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// The side of kstatus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Where it should be.
    Done,
    /// On its way, or waiting for what can be mended.
    Reconciling,
    /// Nothing more happens until the spec, or what it names, changes.
    Stalled,
}

impl Servers {
    /// Counts the servers of the Deployment.
    pub fn of(facts: &Facts<'_>) -> Self {
        let Some(deployment) = facts.deployment else {
            return Self { wanted: facts.decision.replicas, ..Self::default() };
        };
        let status = deployment.status.clone().unwrap_or_default();
        Self {
            wanted: match facts.scaled {
                // Somebody else decides: then that is what is waited for.
                Some(Scaled::OwnedBy(_)) => {
                    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
                }
                _ => facts.decision.replicas,
            },
            there: status.replicas.unwrap_or(0),
            ready: status.ready_replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            seen: status.observed_generation >= deployment.metadata.generation,
        }
    }

    fn are_as_wanted(self) -> bool {
        let Self { wanted, there, ready, updated, seen } = self;
        seen && there == wanted && ready >= wanted && updated >= wanted
    }

    fn answer(self) -> String {
        format!("{} of {} servers answer", self.ready, self.wanted)
    }
}

impl Standing {
    /// How the model stands.
    pub fn of(facts: &Facts<'_>, servers: Servers) -> Self {
        let on_its_way = |reason: &str, message: String| Self {
            ready: servers.ready > 0,
            progress: Progress::Reconciling,
            reason: reason.into(),
            message,
        };
        let is_fetched = matches!(facts.fetch, Fetch::Done { .. });
        // One pod that does not run is no trouble when there are servers enough.
        let covered = is_fetched && facts.deployment.is_some() && servers.are_as_wanted();
        if let Some(trouble) = &facts.trouble
            && (trouble.stalled || trouble.pod.is_none() || !covered)
        {
            let progress = if trouble.stalled { Progress::Stalled } else { Progress::Reconciling };
            return Self { progress, ..on_its_way(&trouble.reason, trouble.message.clone()) };
        }
        if !is_fetched {
            return on_its_way("Fetching", "the model is being fetched and looked at".into());
        }
        if facts.deployment.is_none() {
            return on_its_way("Starting", "the servers are being created".into());
        }
        if servers.wanted == 0 {
            return Self {
                ready: true,
                progress: Progress::Done,
                reason: "ScaledToZero".into(),
                message: "no server is wanted; a job that needs the model wakes one, if spec.scaling is set".into(),
            };
        }
        if servers.are_as_wanted() {
            let serving = on_its_way("Serving", servers.answer());
            return Self { progress: Progress::Done, ..serving };
        }
        let is_replacing = servers.updated < servers.wanted && servers.there >= servers.wanted;
        let reason = match (servers.ready, is_replacing) {
            (0, _) => "Starting",
            (_, true) => "RollingOut",
            (_, false) => "ScalingUp",
        };
        on_its_way(reason, servers.answer())
    }

    /// Sets `Ready`, `Reconciling` and `Stalled`. What is ready and still on its way serves.
    pub fn set(&self, conditions: &mut Conditions, servers: Servers) {
        let Self { ready, progress, reason, message } = self;
        match *ready && *progress != Progress::Done {
            true => conditions.set(types::READY, State::True, "Serving", servers.answer()),
            false => conditions.set(types::READY, State::from(*ready), reason, message.as_str()),
        }
        for (type_, holds) in [
            (types::RECONCILING, *progress == Progress::Reconciling),
            (types::STALLED, *progress == Progress::Stalled),
        ] {
            let message = if holds { message.as_str() } else { "" };
            conditions.set(type_, State::from(holds), reason, message);
        }
    }
}
