//! Limits of requests and tokens by key. Pure: time is a parameter.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a key may use in a minute; none: as much as it likes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) requests: Option<u32>,
    pub(super) tokens: Option<u32>,
}

/// What the keys have used, as buckets that fill evenly and hold a minute's worth.
#[derive(Debug, Default)]
pub(super) struct Limits(Mutex<HashMap<Arc<str>, Used>>);

#[derive(Debug)]
struct Used {
    /// Missing from a full bucket; below zero never.
    requests: f64,
    tokens: f64,
    at: Instant,
    /// As of the last request.
    limit: Limit,
}

const MINUTE: f64 = 60.0;

impl Used {
    /// The buckets fill.
    fn advance(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        let refilled =
            |limit: Option<u32>| limit.map_or(f64::INFINITY, f64::from) * seconds / MINUTE;
        self.requests = (self.requests - refilled(self.limit.requests)).max(0.0);
        self.tokens = (self.tokens - refilled(self.limit.tokens)).max(0.0);
        self.at += Duration::from_secs_f64(seconds);
    }
}

/// Seconds until there is room for one more.
fn wait(limit: Option<u32>, missing: f64) -> f64 {
    let limit = f64::from(limit.unwrap_or(u32::MAX));
    ((missing + 1.0 - limit) * MINUTE / limit).max(0.0)
}

/// An error with whole seconds, if there is anything to wait for.
fn ready(seconds: f64) -> Result<(), u64> {
    match seconds > 0.0 {
        true => Err((seconds.ceil() as u64).max(1)),
        false => Ok(()),
    }
}

impl Limits {
    /// Counts a request, or says after how many seconds it could be.
    pub(super) fn enter(&self, name: &Arc<str>, limit: Limit, now: Instant) -> Result<(), u64> {
        if limit == Limit::default() {
            return Ok(());
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = all.entry(Arc::clone(name)).or_insert(Used {
            requests: 0.0,
            tokens: 0.0,
            at: now,
            limit,
        });
        used.limit = limit;
        used.advance(now);
        // A request needs a whole place; tokens are known later, so that any left will do.
        ready(wait(limit.requests, used.requests).max(wait(limit.tokens, used.tokens)))?;
        used.requests += 1.0;
        Ok(())
    }

    /// Whether there are tokens left, for more of a request that was let in; else after how many seconds.
    pub(super) fn room(&self, name: &Arc<str>, now: Instant) -> Result<(), u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(used) = all.get_mut(name) else { return Ok(()) };
        used.advance(now);
        ready(wait(used.limit.tokens, used.tokens))
    }

    /// Counts tokens.
    pub(super) fn used(&self, name: &Arc<str>, tokens: u64, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = all.get_mut(name).filter(|used| used.limit.tokens.is_some()) {
            used.advance(now);
            used.tokens += tokens as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_fill_up_evenly() {
        let (limits, name, start) = (Limits::default(), Arc::from("a"), Instant::now());
        let limit = Limit { requests: Some(60), tokens: None };
        let enter = |seconds| limits.enter(&name, limit, start + Duration::from_secs(seconds));
        assert!((0..60).all(|_| enter(0).is_ok()));
        assert_eq!(enter(0), Err(1));
        assert_eq!(enter(1), Ok(()));
        assert_eq!(enter(1), Err(1));
        assert!((0..60).all(|_| enter(3_600).is_ok()));
        assert_eq!(enter(3_600), Err(1));
        assert_eq!(limits.enter(&Arc::from("b"), limit, start), Ok(()), "each key has its own");
    }

    #[test]
    fn tokens_may_be_overdrawn_once_and_are_waited_for() {
        let (limits, name, start) = (Limits::default(), Arc::from("a"), Instant::now());
        let limit = Limit { requests: None, tokens: Some(600) };
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(limits.enter(&name, limit, start), Ok(()));
        limits.used(&name, 1_000, start);
        // 401 tokens at 10 a second.
        assert_eq!(limits.enter(&name, limit, start), Err(41));
        assert_eq!(limits.room(&name, start), Err(41), "also within a request");
        assert_eq!(limits.room(&Arc::from("b"), start), Ok(()));
        assert_eq!(limits.enter(&name, limit, after(40)), Err(1));
        assert_eq!(limits.enter(&name, limit, after(41)), Ok(()));
    }

    #[test]
    fn a_key_without_limits_is_not_counted() {
        let (limits, name, now) = (Limits::default(), Arc::from("a"), Instant::now());
        assert!((0..1_000).all(|_| limits.enter(&name, Limit::default(), now).is_ok()));
        limits.used(&name, u64::MAX, now);
        assert!(limits.enter(&name, Limit::default(), now).is_ok());
    }
}
