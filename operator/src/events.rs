//! Kubernetes Events (`events.k8s.io/v1`) that say why an object changed: queued by reconciliations, published by one task,
//! repeated ones counted. I/O in [`publish`] alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::ObjectMeta;
use serde_json::json;
use tokio::sync::mpsc;

use crate::apply;
use crate::metrics::Metrics;
use crate::names;

/// Events that may wait; more are dropped (and counted): they inform, nothing depends on them.
const QUEUE: usize = 1024;
/// How long a repeated event is counted in the one before, and how often that is written at most.
const SERIES: Duration = Duration::from_secs(360);
const SERIES_WRITES: Duration = Duration::from_secs(60);
/// The API server's limits.
const NOTE_LIMIT: usize = 1024;
const NAME_LIMIT: usize = 180;

/// How serious an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// All is well.
    Normal,
    /// Someone may have to look.
    Warning,
}

/// What happened to an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The object.
    pub regarding: ObjectReference,
    /// How serious it is.
    pub severity: Severity,
    /// One word, as the condition's reason.
    pub reason: String,
    /// A sentence.
    pub note: String,
    /// What the operator was doing: one word.
    pub action: &'static str,
}

/// The queue of events.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<Notice>,
    metrics: Arc<Metrics>,
}

impl Events {
    /// A queue, and its other end for [`publish`].
    pub fn new(metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<Notice>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { sender, metrics }, receiver)
    }

    /// Queues an event; never waits.
    pub fn send(&self, notice: Notice) {
        if self.sender.try_send(notice).is_err() {
            self.metrics.events_dropped.inc();
        }
    }
}

/// Publishes queued events until the queue is closed.
pub async fn publish(client: Client, identity: String, mut queue: mpsc::Receiver<Notice>) {
    let mut series = Series::default();
    while let Some(notice) = queue.recv().await {
        let namespace = notice.regarding.namespace.clone().unwrap_or_default();
        let written = match series.next(&notice, Instant::now()) {
            Next::Create => {
                let event = event(&notice, &identity, Timestamp::now());
                let name = event.metadata.name.clone().unwrap_or_default();
                series.created(&notice, name);
                apply::create(&client, &event).await.map(|_| ())
            }
            Next::Count { name, count } => {
                let series = EventSeries { count, last_observed_time: MicroTime(Timestamp::now()) };
                apply::merge::<Event>(&client, &namespace, &name, &json!({"series": series}))
                    .await
                    .map(|_| ())
            }
            Next::Nothing => Ok(()),
        };
        if let Err(error) = written {
            tracing::debug!(%error, reason = notice.reason, "an event could not be published");
        }
    }
}

/// Events of the last minutes, so that a repeated one is counted instead of written again.
#[derive(Default)]
struct Series(HashMap<Key, Seen>);

/// Object, reason and note.
type Key = (Option<String>, String, String);

struct Seen {
    name: String,
    count: i32,
    written: Instant,
    last: Instant,
}

#[derive(Debug, PartialEq)]
enum Next {
    Create,
    Count { name: String, count: i32 },
    Nothing,
}

impl Series {
    fn next(&mut self, notice: &Notice, now: Instant) -> Next {
        self.0.retain(|_, seen| now.saturating_duration_since(seen.last) < SERIES);
        let Some(seen) = self.0.get_mut(&key(notice)) else {
            let seen = Seen { name: String::new(), count: 1, written: now, last: now };
            self.0.insert(key(notice), seen);
            return Next::Create;
        };
        seen.count += 1;
        seen.last = now;
        if now.saturating_duration_since(seen.written) < SERIES_WRITES {
            return Next::Nothing;
        }
        seen.written = now;
        Next::Count { name: seen.name.clone(), count: seen.count }
    }

    fn created(&mut self, notice: &Notice, name: String) {
        if let Some(seen) = self.0.get_mut(&key(notice)) {
            seen.name = name;
        }
    }
}

fn key(notice: &Notice) -> Key {
    (notice.regarding.uid.clone(), notice.reason.clone(), notice.note.clone())
}

/// The Event of a notice. Its name begins with the object's, cut where that is long.
fn event(notice: &Notice, identity: &str, now: Timestamp) -> Event {
    let object = notice.regarding.name.clone().unwrap_or_default();
    let stem: String = object.chars().take(NAME_LIMIT).collect();
    let uid = notice.regarding.uid.clone().unwrap_or_default();
    let salt = names::short_hash(format!("{uid}{}{}", notice.reason, notice.note).as_bytes());
    Event {
        metadata: ObjectMeta {
            name: Some(format!(
                "{}.{:x}{salt}",
                stem.trim_end_matches(['.', '-']),
                now.as_nanosecond()
            )),
            namespace: notice.regarding.namespace.clone(),
            ..ObjectMeta::default()
        },
        action: Some(notice.action.into()),
        reason: Some(notice.reason.clone()),
        note: Some(cut(&notice.note)),
        type_: Some(match notice.severity {
            Severity::Normal => "Normal".into(),
            Severity::Warning => "Warning".into(),
        }),
        event_time: Some(MicroTime(now)),
        regarding: Some(notice.regarding.clone()),
        reporting_controller: Some("textnlp.dev/operator".into()),
        reporting_instance: Some(identity.chars().take(128).collect()),
        ..Event::default()
    }
}

fn cut(note: &str) -> String {
    if note.len() <= NOTE_LIMIT {
        return note.into();
    }
    let mut end = NOTE_LIMIT - '…'.len_utf8();
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &note[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(name: &str, note: &str) -> Notice {
        Notice {
            regarding: ObjectReference {
                api_version: Some("textnlp.dev/v1alpha1".into()),
                kind: Some("GenerationJob".into()),
                name: Some(name.into()),
                namespace: Some("shop".into()),
                uid: Some("uid-1".into()),
                ..ObjectReference::default()
            },
            severity: Severity::Warning,
            reason: "ModelNotFound".into(),
            note: note.into(),
            action: "Reconcile",
        }
    }

    #[test]
    fn an_event_names_its_object_and_fits_the_limits() {
        let now = Timestamp::from_second(1).expect("a valid time");
        let long = notice(&"n".repeat(253), &"ä".repeat(2000));
        let event = event(&long, "operator-0", now);
        assert!(event.metadata.name.as_ref().is_some_and(|name| name.len() <= 253));
        assert!(
            event.note.as_ref().is_some_and(|note| note.len() <= NOTE_LIMIT && note.ends_with('…'))
        );
        assert_eq!(event.regarding, Some(long.regarding));
        assert_eq!(event.type_.as_deref(), Some("Warning"));
    }

    #[test]
    fn a_repeated_event_is_counted_now_and_then() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut series = Series::default();
        let first = notice("a", "missing");
        assert_eq!(series.next(&first, after(0)), Next::Create);
        series.created(&first, "a.1".into());
        assert_eq!(series.next(&first, after(1)), Next::Nothing);
        assert_eq!(series.next(&first, after(61)), Next::Count { name: "a.1".into(), count: 3 });
        assert_eq!(series.next(&notice("a", "other"), after(61)), Next::Create);
        assert_eq!(series.next(&first, after(1000)), Next::Create);
    }
}
