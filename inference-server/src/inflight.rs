//! How much is in flight, integrated over time: its rate is the mean concurrency, however short the requests are.
//! Pure: time is a parameter.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A job's worker: it pins the model's digest.
    Job,
    /// Anybody else.
    External,
}

impl Source {
    /// As a metric's label.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Source::Job => "job",
            Source::External => "external",
        }
    }
}

/// Seconds that completions were in flight, summed over all of them, those that still are included.
#[derive(Debug)]
pub(crate) struct InflightClock {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    count: u32,
    /// When `count` last changed.
    since: Instant,
    /// The integral up to then.
    seconds: f64,
}

impl State {
    fn advance(&mut self, now: Instant) {
        // Threads may come here out of order; time does not go back.
        let elapsed = now.saturating_duration_since(self.since);
        self.seconds += f64::from(self.count) * elapsed.as_secs_f64();
        self.since += elapsed;
    }
}

impl InflightClock {
    /// Nothing is in flight.
    pub(crate) fn new(now: Instant) -> Self {
        Self { state: Mutex::new(State { count: 0, since: now, seconds: 0.0 }) }
    }

    /// Counts one until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>, now: Instant) -> InflightGuard {
        self.change(now, |count| count.saturating_add(1));
        InflightGuard(Arc::clone(self))
    }

    /// The integral up to now.
    pub(crate) fn seconds(&self, now: Instant) -> f64 {
        self.change(now, |count| count)
    }

    fn change(&self, now: Instant, change: impl FnOnce(u32) -> u32) -> f64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.advance(now);
        state.count = change(state.count);
        state.seconds
    }
}

/// One completion in flight.
#[derive(Debug)]
pub(crate) struct InflightGuard(Arc<InflightClock>);

impl Drop for InflightGuard {
    fn drop(&mut self) {
        self.0.change(Instant::now(), |count| count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_in_flight_counts_by_the_second() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let clock = Arc::new(InflightClock::new(start));
        assert_eq!(clock.seconds(after(3)), 0.0);
        let first = clock.enter(after(3));
        assert_eq!(clock.seconds(after(5)), 2.0);
        let _second = clock.enter(after(5));
        assert_eq!(clock.seconds(after(8)), 8.0);
        assert_eq!(clock.seconds(after(7)), 8.0, "time does not go back");
        std::mem::forget(first);
    }

    #[test]
    fn a_dropped_guard_counts_no_more() {
        let start = Instant::now();
        let clock = Arc::new(InflightClock::new(start));
        drop(clock.enter(start));
        let seconds = clock.seconds(Instant::now());
        let later = Instant::now() + Duration::from_secs(1000);
        assert_eq!(clock.seconds(later), seconds);
    }
}
