//! Quantiles of times. No I/O.

use std::time::Duration;

use serde::Serialize;

/// Milliseconds that half of all times, 95 % and 99 % of them do not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Quantiles {
    /// The quantiles of these times, each of them one of the times; none without any.
    pub(crate) fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let last = times.len().checked_sub(1)?;
        let at = |per_cent: usize| {
            let rank = (times.len() * per_cent).div_ceil(100);
            times.get(rank.saturating_sub(1).min(last)).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        Some(Self { p50: at(50), p95: at(95), p99: at(99), max: at(100) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_least_time_that_enough_others_do_not_exceed() {
        let times =
            |range: std::ops::RangeInclusive<u64>| range.map(Duration::from_millis).collect();
        let hundred = Quantiles { p50: 50.0, p95: 95.0, p99: 99.0, max: 100.0 };
        assert_eq!(Quantiles::of(times(1..=100)), Some(hundred));
        let three = Quantiles { p50: 2.0, p95: 3.0, p99: 3.0, max: 3.0 };
        assert_eq!(Quantiles::of(times(1..=3)), Some(three));
        assert_eq!(Quantiles::of(Vec::new()), None);
    }
}
