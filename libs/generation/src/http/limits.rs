//! What an external server allows, kept on our side: token buckets, and the share of each worker. Pure but for
//! [`Limiter`], which waits.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use textnlp_crds::model::ExternalLimits;
use tokio::sync::{Semaphore, SemaphorePermit};

/// A bucket that gives out at most so much in any minute.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    capacity: f64,
    per_second: f64,
    level: f64,
    /// When the level was right.
    at: Duration,
}

impl Bucket {
    /// For a limit in a minute. A tenth of it may come at once, and the rest over the minute: together no more than the
    /// limit in any 60 seconds. A limit below 2 gives one at a time, so many minutes apart.
    pub(super) fn per_minute(limit: f64) -> Self {
        let capacity = (limit / 10.0).max(1.0);
        let per_minute = if limit < 2.0 { limit.min(1.0) } else { limit - capacity };
        Self { capacity, per_second: per_minute / 60.0, level: capacity, at: Duration::ZERO }
    }

    /// Takes so much, or says how long to wait. What is more than the bucket holds is given out when it is full, and
    /// leaves a debt that is paid before the next.
    pub(super) fn take(&mut self, now: Duration, amount: f64) -> Result<(), Duration> {
        self.fill(now);
        let needed = amount.min(self.capacity);
        // A billionth less is enough: levels are sums of many small numbers.
        if self.level + 1e-9 >= needed {
            self.level -= amount;
            return Ok(());
        }
        let seconds = (needed - self.level) / self.per_second;
        Err(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }

    /// Corrects what was taken when it is known better: `used` in place of `taken`.
    pub(super) fn correct(&mut self, now: Duration, taken: f64, used: f64) {
        self.fill(now);
        self.level = (self.level + taken - used).min(self.capacity);
    }

    fn fill(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.at).as_secs_f64();
        self.level = (self.level + seconds * self.per_second).min(self.capacity);
        self.at = self.at.max(now);
    }
}

/// The limits of one worker.
#[derive(Debug)]
pub(super) struct Limiter {
    concurrent: Semaphore,
    buckets: Mutex<Buckets>,
    begun: Instant,
}

#[derive(Debug)]
struct Buckets {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
}

/// A request that may be sent; its place among those in flight is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    _place: SemaphorePermit<'a>,
}

impl Limiter {
    /// A worker's share of what a server allows over all workers that run at once.
    pub(super) fn share(limits: &ExternalLimits, workers: u32) -> Self {
        let workers = f64::from(workers.max(1));
        let concurrent = limits
            .concurrency
            .map_or(Semaphore::MAX_PERMITS, |all| ((f64::from(all) / workers) as usize).max(1));
        let requests =
            limits.requests_per_minute.map(|all| Bucket::per_minute(f64::from(all) / workers));
        let tokens = limits.tokens_per_minute.map(|all| Bucket::per_minute(all as f64 / workers));
        Self {
            concurrent: Semaphore::new(concurrent),
            buckets: Mutex::new(Buckets { requests, tokens }),
            begun: Instant::now(),
        }
    }

    /// Waits until a request of about so many tokens may be sent. Dropping the future gives up the place.
    pub(super) async fn acquire(&self, tokens: u64) -> Option<Permit<'_>> {
        let place = self.concurrent.acquire().await.ok()?;
        loop {
            let wait = self.take(tokens as f64);
            match wait {
                Ok(()) => return Some(Permit { _place: place }),
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    fn take(&self, tokens: f64) -> Result<(), Duration> {
        let now = self.begun.elapsed();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        // Tokens first: a request that waits for them has not used up a request.
        if let Some(bucket) = &mut buckets.tokens {
            bucket.take(now, tokens)?;
        }
        let requests = buckets.requests.as_mut().map_or(Ok(()), |bucket| bucket.take(now, 1.0));
        if requests.is_err()
            && let Some(bucket) = &mut buckets.tokens
        {
            bucket.correct(now, tokens, 0.0);
        }
        requests
    }

    /// Tells how many tokens a request really took.
    pub(super) fn used(&self, reserved: u64, used: u64) {
        let now = self.begun.elapsed();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = &mut buckets.tokens {
            bucket.correct(now, reserved as f64, used as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// The moments at which a client that asks as often as it may gets one.
    fn granted(bucket: &mut Bucket, waits: &[u64]) -> Vec<Duration> {
        let mut now = Duration::ZERO;
        let mut moments = Vec::new();
        for wait in waits {
            now += Duration::from_millis(*wait);
            while let Err(more) = bucket.take(now, 1.0) {
                // At least a step, so that a rounding never loops.
                now += more.max(Duration::from_micros(1));
            }
            moments.push(now);
        }
        moments
    }

    proptest! {
        #[test]
        fn no_minute_has_more_than_the_limit(
            limit in 1u32..200,
            waits in proptest::collection::vec(prop_oneof![4 => Just(0u64), 1 => 0u64..20_000], 1..600),
        ) {
            let moments = granted(&mut Bucket::per_minute(f64::from(limit)), &waits);
            for (index, begin) in moments.iter().enumerate() {
                let inside = moments[index..].iter().filter(|m| **m < *begin + MINUTE - Duration::from_millis(1)).count();
                prop_assert!(inside <= limit as usize, "{inside} from {begin:?} on, {limit} allowed");
            }
        }

        #[test]
        fn a_waiting_client_gets_most_of_what_is_allowed(limit in 20u32..200) {
            let moments = granted(&mut Bucket::per_minute(f64::from(limit)), &vec![0; limit as usize * 3]);
            let minutes = moments.last().unwrap().as_secs_f64() / 60.0;
            prop_assert!(minutes < 3.0 / 0.85, "{minutes}");
        }
    }

    #[test]
    fn less_than_one_a_minute_is_one_in_several() {
        let mut bucket = Bucket::per_minute(0.25);
        assert_eq!(bucket.take(Duration::ZERO, 1.0), Ok(()));
        assert_eq!(bucket.take(MINUTE, 1.0), Err(3 * MINUTE));
        assert_eq!(bucket.take(4 * MINUTE, 1.0), Ok(()));
    }

    #[test]
    fn a_request_larger_than_the_bucket_waits_until_it_is_full_and_leaves_a_debt() {
        let mut bucket = Bucket::per_minute(600.0); // 60 at once, 9 a second
        assert_eq!(bucket.take(Duration::ZERO, 240.0), Ok(()));
        // 180 of debt and 60 to fill.
        assert!(bucket.take(Duration::from_secs(1), 240.0).unwrap_err() > Duration::from_secs(25));
        // It took only 60: what was reserved comes back.
        bucket.correct(Duration::from_secs(1), 240.0, 60.0);
        assert_eq!(bucket.take(Duration::from_secs(1), 9.0), Ok(()));
    }
}
