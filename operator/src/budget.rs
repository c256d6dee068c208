//! One budget of writes for all objects that only want to show how far they are: a token bucket. No I/O.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A token bucket: so many writes a second, and as many at once after a quiet second.
#[derive(Debug)]
pub struct Budget {
    per_second: f64,
    state: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Option<Instant>,
}

impl Budget {
    /// A full bucket.
    pub fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self { per_second, state: Mutex::new(Bucket { tokens: per_second, filled: None }) }
    }

    /// Takes one write out of the budget; false if there is none left at the moment.
    pub fn take(&self, now: Instant) -> bool {
        let mut bucket = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filled) = bucket.filled {
            let elapsed = now.saturating_duration_since(filled).as_secs_f64();
            bucket.tokens = (bucket.tokens + elapsed * self.per_second).min(self.per_second);
        }
        bucket.filled = Some(now);
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_budget_refills_with_time_and_never_overflows() {
        let start = Instant::now();
        let budget = Budget::new(2);
        let taken = |seconds: f64, times: usize| {
            (0..times).filter(|_| budget.take(start + Duration::from_secs_f64(seconds))).count()
        };
        assert_eq!(taken(0.0, 5), 2);
        assert_eq!(taken(0.25, 5), 0);
        assert_eq!(taken(0.5, 5), 1);
        assert_eq!(taken(60.0, 5), 2);
    }
}
