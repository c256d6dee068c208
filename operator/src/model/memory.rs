//! What is remembered of a model between two reconciliations. It is lost when the operator starts again, and learnt anew:
//! nothing durable depends on it. No I/O.

use jiff::{SignedDuration, Timestamp};

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
}
