//! How fast a job is: the metrics of its workers, read every few seconds, and what they add up to. A worker that does not answer is left
//! out; nothing durable depends on it. I/O in [`Memory::look`] alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use textnlp_crds::job_status::Usage;
use textnlp_crds::task::WORKER_METRICS_PORT;

use crate::context::Shared;
use crate::job::children::Child;
use crate::pods;
use crate::scrape::Samples;

/// Workers that are asked at once, and the most time that asking all of them takes.
const SCRAPES_AT_ONCE: usize = 32;
const SCRAPE_LIMIT: Duration = Duration::from_secs(5);
/// Weight of the newest rate among those before.
const NEWEST: f64 = 0.4;

/// What the workers of a job say together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Finished rows of the shards that run.
    pub finished: i64,
    /// Those of them that failed.
    pub failed: i64,
    /// What was used, by all workers that were seen.
    pub usage: Usage,
    /// Completion tokens per second, lately.
    pub tokens_per_second: Option<f64>,
    /// Rows per second, lately.
    pub rows_per_second: Option<f64>,
}

/// What one worker says: of its shard, and of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Finished rows of its shard, by this and earlier workers.
    pub shard_finished: f64,
    /// Rows that it finished.
    pub finished: f64,
    /// Those of them that failed.
    pub failed: f64,
    /// Tokens of prompts.
    pub prompt_tokens: f64,
    /// Tokens of completions.
    pub completion_tokens: f64,
    /// Answered requests.
    pub requests: f64,
}

impl Figures {
    /// Reads a worker's answer; none if it is not one.
    pub fn read(samples: &Samples) -> Option<Self> {
        let sum = |name| samples.sum(name).unwrap_or(0.0);
        let finished = samples.sum("textnlp_rows_finished_total")?;
        Some(Self {
            shard_finished: finished + sum("textnlp_rows_kept_total"),
            finished,
            failed: sum("textnlp_rows_failed_total"),
            prompt_tokens: sum("textnlp_prompt_tokens_total"),
            completion_tokens: sum("textnlp_completion_tokens_total"),
            requests: sum("textnlp_requests_total"),
        })
    }
}

/// What was read before, by the job's UID.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<String, Arc<Mutex<Workers>>>>);

/// The workers of a job, as they were read last.
#[derive(Clone, Debug, Default)]
pub struct Workers {
    read: Option<Instant>,
    by_pod: HashMap<String, Figures>,
    rates: Rates,
}

impl Memory {
    /// What the workers say; asks them if the last time is longer ago than the interval of progress.
    pub(crate) async fn look(&self, shared: &Shared, job: &str, child: &Child) -> Option<Rates> {
        let workers = self.workers(job);
        let before = lock(&workers).clone();
        let now = Instant::now();
        let fresh = before.read.is_some_and(|read| {
            now.saturating_duration_since(read) < shared.config.progress_interval
        });
        if fresh {
            return Some(before.rates);
        }
        let figures = ask(shared, &child.pods).await;
        let after = before.next(figures, now);
        let rates = after.rates;
        *lock(&workers) = after;
        Some(rates)
    }

    /// The job's workers are gone.
    pub(crate) fn forget(&self, job: &str) {
        lock(&self.0).remove(job);
    }

    fn workers(&self, job: &str) -> Arc<Mutex<Workers>> {
        lock(&self.0).entry(job.to_owned()).or_default().clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workers {
    /// What follows from the figures of now. Workers that did not answer keep what they said last, but for their shard, which another
    /// may have by now.
    pub fn next(mut self, figures: HashMap<String, Figures>, now: Instant) -> Self {
        let seconds = self.read.map(|read| now.saturating_duration_since(read).as_secs_f64());
        let sum = |field: fn(&Figures) -> f64| figures.values().map(field).sum::<f64>();
        let grown = |field: fn(&Figures) -> f64| {
            let gain = |(pod, now): (&String, &Figures)| {
                let before = self.by_pod.get(pod).map_or(0.0, field);
                (field(now) - before).max(0.0)
            };
            figures.iter().map(gain).sum::<f64>()
        };
        let usage = Usage {
            prompt_tokens: self
                .rates
                .usage
                .prompt_tokens
                .saturating_add(grown(|f| f.prompt_tokens) as i64),
            completion_tokens: self
                .rates
                .usage
                .completion_tokens
                .saturating_add(grown(|f| f.completion_tokens) as i64),
            requests: self.rates.usage.requests.saturating_add(grown(|f| f.requests) as i64),
        };
        let rate = |before: Option<f64>, gain: f64| match (
            seconds.filter(|seconds| *seconds > 0.0),
            before,
        ) {
            (None, _) => None,
            (Some(seconds), None) => Some(gain / seconds),
            (Some(seconds), Some(before)) => Some(before + NEWEST * (gain / seconds - before)),
        };
        // Nobody answered: that is not the same as standing still.
        if figures.is_empty() {
            let rates = Rates { finished: 0, failed: 0, ..self.rates };
            return Self { read: Some(now), rates, ..self };
        }
        let rates = Rates {
            finished: sum(|f| f.shard_finished) as i64,
            failed: sum(|f| f.failed) as i64,
            usage,
            tokens_per_second: rate(self.rates.tokens_per_second, grown(|f| f.completion_tokens)),
            rows_per_second: rate(self.rates.rows_per_second, grown(|f| f.finished)),
        };
        self.by_pod.extend(figures);
        Self { read: Some(now), by_pod: self.by_pod, rates }
    }
}

/// Asks all workers that run.
async fn ask(shared: &Shared, pods: &[Arc<Pod>]) -> HashMap<String, Figures> {
    let running = pods.iter().filter(|pod| !pods::has_ended(pod)).filter_map(|pod| {
        let ip = pod.status.as_ref()?.pod_ip.clone()?;
        Some((pod.uid()?, ip))
    });
    let asked = stream::iter(running.collect::<Vec<_>>())
        .map(|(uid, ip)| async move {
            let samples = shared.scraper.scrape(&ip, WORKER_METRICS_PORT).await;
            let samples = samples
                .inspect_err(|error| tracing::debug!(%error, "a worker did not answer"))
                .ok()?;
            Some((uid, Figures::read(&samples)?))
        })
        .buffer_unordered(SCRAPES_AT_ONCE)
        .take_until(tokio::time::sleep(SCRAPE_LIMIT));
    asked.filter_map(std::future::ready).collect().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrape::parse;

    fn figures(finished: f64, tokens: f64) -> Figures {
        Figures {
            shard_finished: finished,
            finished,
            completion_tokens: tokens,
            ..Figures::default()
        }
    }

    #[test]
    fn a_worker_s_metrics_are_read() {
        let text = "textnlp_shard_rows 20\ntextnlp_rows_kept_total 4\ntextnlp_rows_finished_total 3\n\
            textnlp_completion_tokens_total 70\ntextnlp_requests_total{code=\"200\"} 2\ntextnlp_requests_total{code=\"503\"} 1\n";
        let read = Figures::read(&parse(text)).expect("a worker");
        assert_eq!(
            (read.shard_finished, read.finished, read.completion_tokens, read.requests),
            (7.0, 3.0, 70.0, 3.0)
        );
        assert_eq!(Figures::read(&parse("up 1\n")), None);
    }

    #[test]
    fn rates_come_of_two_looks_and_totals_never_shrink() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let map = |pods: &[(&str, Figures)]| {
            pods.iter().map(|(pod, f)| ((*pod).to_owned(), *f)).collect()
        };
        let first = Workers::default().next(map(&[("a", figures(10.0, 100.0))]), at(0));
        assert_eq!((first.rates.finished, first.rates.tokens_per_second), (10, None));
        let second =
            first.next(map(&[("a", figures(20.0, 300.0)), ("b", figures(1.0, 50.0))]), at(10));
        assert_eq!(second.rates.tokens_per_second, Some(25.0));
        assert_eq!(second.rates.rows_per_second, Some(1.1));
        // Pod a is gone; what it used stays counted.
        let third = second.next(map(&[("b", figures(2.0, 60.0))]), at(20));
        assert_eq!((third.rates.finished, third.rates.usage.completion_tokens), (2, 360));
    }
}
