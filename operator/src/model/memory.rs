//! What is remembered of a model between two reconciliations. It is lost when the operator starts again, and learnt anew:
//! nothing durable depends on it. No I/O.

use jiff::{SignedDuration, Timestamp};
use textnlp_crds::model_status::Load;

use super::load::Track;
use super::scaling::History;

/// How long a scrape may have failed before the condition `Scaled` says so.
const UNKNOWN_PATIENCE: SignedDuration = SignedDuration::from_secs(30);
/// Time between two writes of status that show nothing but another load.
const LOAD_PAUSE: SignedDuration = SignedDuration::from_secs(15);

/// What is remembered of one model.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The demand until now.
    pub history: History,
    /// What the servers said.
    pub track: Track,
    /// When they were asked last.
    pub scraped: Option<Timestamp>,
    /// Since when the demand is not known.
    unknown: Option<Timestamp>,
    /// When a load was written last.
    written: Option<Timestamp>,
    /// Whether the status shows work, or not what the servers said last.
    unsettled: bool,
}

impl Memory {
    /// Whether the demand has not been known for so long that someone should be told.
    pub fn is_blind(&mut self, known: bool, now: Timestamp) -> bool {
        if known {
            self.unknown = None;
            return false;
        }
        now.duration_since(*self.unknown.get_or_insert(now)) >= UNKNOWN_PATIENCE
    }

    /// Whether another load may be written already.
    pub fn may_write_load(&self, now: Timestamp) -> bool {
        self.written.is_none_or(|written| now.duration_since(written) >= LOAD_PAUSE)
    }

    /// A load has been written.
    pub fn load_was_written(&mut self, now: Timestamp) {
        self.written = Some(now);
    }

    /// What the status shows now, and whether the servers' load had to wait for its turn to be written.
    pub fn shows(&mut self, load: Option<&Load>, deferred: bool) {
        self.unsettled = deferred || load.is_some_and(shows_work);
    }

    /// Whether the servers should be asked soon: they work, or the status does not show yet that they have stopped.
    pub fn is_lively(&self) -> bool {
        self.unsettled || self.track.is_busy()
    }
}

fn shows_work(load: &Load) -> bool {
    load.running_requests > Some(0)
        || load.queued_requests > Some(0)
        || load.tokens_per_second > Some(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn a_demand_that_was_unknown_for_a_moment_is_nothing_to_tell() {
        let mut memory = Memory::default();
        assert!(!memory.is_blind(false, at(0)));
        assert!(!memory.is_blind(false, at(29)));
        assert!(memory.is_blind(false, at(30)));
        assert!(!memory.is_blind(true, at(31)));
        assert!(!memory.is_blind(false, at(60)));
    }

    #[test]
    fn the_load_is_written_now_and_then() {
        let mut memory = Memory::default();
        assert!(memory.may_write_load(at(0)));
        memory.load_was_written(at(0));
        assert!(!memory.may_write_load(at(14)));
        assert!(memory.may_write_load(at(15)));
    }

    #[test]
    fn a_status_that_shows_work_is_looked_after_until_it_shows_none() {
        let load = |running, rate| Load {
            running_requests: Some(running),
            queued_requests: Some(0),
            tokens_per_second: Some(rate),
        };
        let mut memory = Memory::default();
        let mut check = |load: Option<Load>, deferred: bool, lively: bool| {
            memory.shows(load.as_ref(), deferred);
            assert_eq!(memory.is_lively(), lively, "{load:?} {deferred}");
        };
        check(None, false, false);
        check(Some(load(1, 0.0)), false, true);
        check(Some(load(0, 0.7)), false, true);
        check(Some(load(0, 0.0)), true, true);
        check(Some(load(0, 0.0)), false, false);
    }
}
