//! How long to wait before a request is tried again. Pure; randomness is a parameter.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// The wait before round `round` (from 1), between half and all of a bound that doubles up to 5 s; `random` is in 0..1.
/// What the server asked for is waited for at least.
pub(super) fn delay(round: u32, random: f64, asked: Option<Duration>) -> Duration {
    let doublings = round.saturating_sub(1).min(16);
    let bound = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    let wait = bound.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
    match asked {
        // Not all at the same moment.
        Some(asked) => asked + wait.min(asked / 4),
        None => wait,
    }
}

/// A number in 0..1 that differs from call to call and from process to process.
pub(super) fn random() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(0) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_seconds_and_are_spread() {
        let check = |round, random, asked: Option<u64>, expect: u64| {
            let asked = asked.map(Duration::from_millis);
            assert_eq!(delay(round, random, asked), Duration::from_millis(expect), "{round}");
        };
        check(1, 1.0, None, 100);
        check(1, 0.0, None, 50);
        check(3, 1.0, None, 400);
        check(20, 1.0, None, 5000);
        check(u32::MAX, 0.0, None, 2500);
        check(1, 1.0, Some(2000), 2100);
        check(9, 1.0, Some(2000), 2500);
        check(9, 1.0, Some(0), 0);
    }

    #[test]
    fn random_numbers_differ() {
        assert_ne!(random(), random());
        assert!((0.0..1.0).contains(&random()));
    }
}
