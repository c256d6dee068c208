//! Leader election by a Lease, with the rules of client-go's: who sees a record unchanged for its whole duration, by the own
//! monotonic clock, may take it; clocks of different machines are never compared. I/O; the decision has none.
//!
//! The leader may start writes until [`RENEW_LIMIT`] after its last renewal began, and a call takes [`apply::CALL_LIMIT`] at
//! most: both together end before others may take the Lease.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::apply;
use crate::client::Validity;
use crate::config::Election;
use crate::controller::jittered;
use crate::error::Error;
use crate::meta::FIELD_MANAGER;

/// How long others wait after the last renewal that they saw.
const DURATION: Duration = Duration::from_secs(24);
/// How long the leader may start writes after a renewal.
const RENEW_LIMIT: Duration = Duration::from_secs(12);
/// Time between two tries.
const RETRY: Duration = Duration::from_secs(3);

/// One replica's part in the election.
pub struct Elector {
    client: Client,
    election: Election,
    identity: String,
    validity: Validity,
    seen: Option<Seen>,
}

/// A record, and when it was first seen so.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    version: Option<String>,
    since: Instant,
}

/// What to do with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// There is none: make it.
    Create,
    /// It is ours: renew it.
    Renew,
    /// Nobody holds it, or its holder did not renew it in time.
    Take,
    /// Another holds it.
    Wait,
}

impl Elector {
    /// A replica that is called `identity`.
    pub fn new(client: Client, election: Election, identity: String, validity: Validity) -> Self {
        Self { client, election, identity, validity, seen: None }
    }

    /// Takes part until `stop`, and tells whether this replica leads; then gives the Lease up, so that another need not wait.
    pub async fn run(mut self, leads: watch::Sender<bool>, stop: CancellationToken) {
        loop {
            let started = Instant::now();
            let attempt = tokio::time::timeout(RENEW_LIMIT / 2, self.attempt(started));
            match tokio::select! { () = stop.cancelled() => break, attempt = attempt => attempt } {
                Ok(Ok(true)) => self.validity.extend(started + RENEW_LIMIT),
                Ok(Ok(false)) => self.validity.end(),
                Ok(Err(error)) => tracing::warn!(%error, "the lease could not be renewed"),
                Err(_) => tracing::warn!("the lease could not be renewed in time"),
            }
            let holds = self.validity.holds(Instant::now());
            leads.send_if_modified(|leads| std::mem::replace(leads, holds) != holds);
            tokio::select! { () = stop.cancelled() => break, () = tokio::time::sleep(jittered(RETRY)) => {} }
        }
        let led = self.validity.holds(Instant::now());
        // First the controllers stop, then others may start.
        leads.send_replace(false);
        self.validity.end();
        if led
            && let Err(error) = tokio::time::timeout(RETRY, self.release()).await.unwrap_or(Ok(()))
        {
            tracing::warn!(%error, "the lease could not be given up");
        }
    }

    /// Tries to get or keep the Lease; whether it is ours now.
    async fn attempt(&mut self, now: Instant) -> Result<bool, Error> {
        let Election { lease: name, namespace } = &self.election;
        let lease: Option<Lease> = apply::get(&self.client, namespace, name).await?;
        self.look(lease.as_ref(), now);
        let decision = decide(lease.as_ref(), &self.identity, self.seen.as_ref(), now);
        let record =
            record(lease.as_ref(), &self.election, &self.identity, decision, Timestamp::now());
        let written = match decision {
            Decision::Wait => return Ok(false),
            Decision::Create => apply::create(&self.client, &record).await?,
            // An update, not a patch: its resource version makes it fail if another was faster.
            Decision::Renew | Decision::Take => match self.replace(&record).await {
                Ok(lease) => Some(lease),
                Err(error) if error.is_conflict() => None,
                Err(error) => return Err(error),
            },
        };
        self.look(written.as_ref(), now);
        Ok(written.is_some())
    }

    /// Remembers since when the record looks as it does.
    fn look(&mut self, lease: Option<&Lease>, now: Instant) {
        let version = lease.and_then(|lease| lease.metadata.resource_version.clone());
        if self.seen.as_ref().is_none_or(|seen| seen.version != version) {
            self.seen = Some(Seen { version, since: now });
        }
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, Error> {
        let api = Api::<Lease>::namespaced(self.client.clone(), &self.election.namespace);
        let params =
            PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let what = || format!("update Lease {}/{}", self.election.namespace, self.election.lease);
        apply::call(what, api.replace(&self.election.lease, &params, lease)).await
    }

    async fn release(&self) -> Result<(), Error> {
        let Election { lease: name, namespace } = &self.election;
        let Some(mut lease) = apply::get::<Lease>(&self.client, namespace, name).await? else {
            return Ok(());
        };
        let Some(spec) = lease
            .spec
            .as_mut()
            .filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity))
        else {
            return Ok(());
        };
        spec.holder_identity = None;
        self.replace(&lease).await.map(|_| ())
    }
}

fn decide(lease: Option<&Lease>, identity: &str, seen: Option<&Seen>, now: Instant) -> Decision {
    let Some(lease) = lease else { return Decision::Create };
    let spec = lease.spec.as_ref();
    let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
    if holder == identity {
        return Decision::Renew;
    }
    let seconds = spec
        .and_then(|spec| spec.lease_duration_seconds)
        .and_then(|seconds| u64::try_from(seconds).ok());
    let duration = seconds.map_or(DURATION, Duration::from_secs);
    let unchanged = seen.is_some_and(|seen| now.saturating_duration_since(seen.since) > duration);
    if holder.is_empty() || unchanged { Decision::Take } else { Decision::Wait }
}

/// The record as it is written.
fn record(
    lease: Option<&Lease>,
    election: &Election,
    identity: &str,
    decision: Decision,
    now: Timestamp,
) -> Lease {
    let before = lease.and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let acquired = match decision {
        Decision::Renew => before.acquire_time.unwrap_or(MicroTime(now)),
        _ => MicroTime(now),
    };
    let transitions = before.lease_transitions.unwrap_or(0);
    let metadata = lease.map(|lease| lease.metadata.clone()).unwrap_or_else(|| ObjectMeta {
        name: Some(election.lease.clone()),
        namespace: Some(election.namespace.clone()),
        ..ObjectMeta::default()
    });
    Lease {
        metadata,
        spec: Some(LeaseSpec {
            holder_identity: Some(identity.into()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(acquired),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(if decision == Decision::Take {
                transitions + 1
            } else {
                transitions
            }),
            ..before
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, version: &str) -> Lease {
        Lease {
            metadata: ObjectMeta {
                resource_version: Some(version.into()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.into()),
                lease_duration_seconds: Some(30),
                lease_transitions: Some(4),
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn a_lease_is_taken_only_when_it_stood_still_for_its_duration() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let seen = Seen { version: Some("7".into()), since: start };
        let decide_at =
            |holder, seconds| decide(Some(&lease(holder, "7")), "me", Some(&seen), after(seconds));
        assert_eq!(decide(None, "me", None, start), Decision::Create);
        assert_eq!(decide_at("me", 0), Decision::Renew);
        assert_eq!(decide_at("other", 30), Decision::Wait);
        assert_eq!(decide_at("other", 31), Decision::Take);
        assert_eq!(decide_at("", 0), Decision::Take);
        assert_eq!(decide(Some(&lease("other", "7")), "me", None, after(100)), Decision::Wait);
    }

    #[test]
    fn a_new_holder_counts_a_transition_and_a_renewal_does_not() {
        let election = Election { lease: "x".into(), namespace: "n".into() };
        let now = Timestamp::from_second(1).expect("a valid time");
        let write = |decision| record(Some(&lease("other", "7")), &election, "me", decision, now);
        let taken = write(Decision::Take);
        assert_eq!(taken.metadata.resource_version.as_deref(), Some("7"));
        let spec = taken.spec.expect("a spec");
        assert_eq!(
            (spec.holder_identity.as_deref(), spec.lease_transitions),
            (Some("me"), Some(5))
        );
        assert_eq!(write(Decision::Renew).spec.expect("a spec").lease_transitions, Some(4));
    }

    #[test]
    fn writes_end_before_others_may_take_the_lease() {
        assert!(RENEW_LIMIT + apply::CALL_LIMIT < DURATION);
        assert!(RENEW_LIMIT / 2 + RETRY < RENEW_LIMIT);
    }
}
