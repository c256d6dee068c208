//! How fast a job is: the metrics of its workers, read every few seconds, and what they add up to. A worker that does not answer is left
//! out; nothing durable depends on it. I/O in [`Memory::look`] alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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
use crate::scrape::{Sample, Samples};

/// Workers that are asked at once, and the most time that asking all of them takes.
const SCRAPES_AT_ONCE: usize = 32;
const SCRAPE_LIMIT: Duration = Duration::from_secs(5);
/// Weight of the newest rate among those before.
const NEWEST: f64 = 0.4;
/// Models that are counted apart: as many as a job has columns. A pod with an image of the user's may name more.
const MODELS: usize = 32;

/// What the workers of a job say together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates {
    /// Finished rows of the shards that run.
    pub finished: i64,
    /// Those of them that failed.
    pub failed: i64,
    /// What was used, by all workers that were seen. It has no costs: a worker knows no prices.
    pub usage: Usage,
    /// Completion tokens per second, lately.
    pub tokens_per_second: Option<f64>,
    /// Rows per second, lately.
    pub rows_per_second: Option<f64>,
}

/// What one worker says: of its shard, and of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Finished rows of its shard, by this and earlier workers.
    pub shard_finished: f64,
    /// Rows that it finished.
    pub finished: f64,
    /// Those of them that failed.
    pub failed: f64,
    /// What it used of all models.
    pub used: Used,
    /// The same by model. A worker of an older version does not tell the models apart.
    pub models: BTreeMap<String, Used>,
}

/// What a worker used of models.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Used {
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
        let of_model = |model: &str| {
            let ours = |sample: &Sample| sample.label("model") == Some(model);
            (model.to_owned(), Used::read(|name| samples.sum_where(name, ours)))
        };
        Some(Self {
            shard_finished: finished + sum("textnlp_rows_kept_total"),
            finished,
            failed: sum("textnlp_rows_failed_total"),
            used: Used::read(|name| samples.sum(name)),
            models: samples.values_of("model").into_iter().take(MODELS).map(of_model).collect(),
        })
    }
}

impl Used {
    fn read(sum: impl Fn(&str) -> Option<f64>) -> Self {
        let sum = |name| sum(name).unwrap_or(0.0);
        Self {
            prompt_tokens: sum("textnlp_prompt_tokens_total"),
            completion_tokens: sum("textnlp_completion_tokens_total"),
            requests: sum("textnlp_requests_total"),
        }
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
        let rates = after.rates.clone();
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
        let grown = |field: &dyn Fn(&Figures) -> f64| {
            let gain = |(pod, now): (&String, &Figures)| {
                let before = self.by_pod.get(pod).map_or(0.0, field);
                (field(now) - before).max(0.0)
            };
            figures.iter().map(gain).sum::<f64>()
        };
        let add = |to: &mut i64, field: &dyn Fn(&Figures) -> f64| {
            *to = to.saturating_add(grown(field) as i64);
        };
        let mut usage = self.rates.usage.clone();
        add(&mut usage.prompt_tokens, &|f| f.used.prompt_tokens);
        add(&mut usage.completion_tokens, &|f| f.used.completion_tokens);
        add(&mut usage.requests, &|f| f.used.requests);
        let models: BTreeSet<&String> = figures.values().flat_map(|f| f.models.keys()).collect();
        for model in models {
            if usage.models.len() >= MODELS && !usage.models.iter().any(|m| m.name == *model) {
                continue;
            }
            let of = |f: &Figures| f.models.get(model).copied().unwrap_or_default();
            let part = usage.of_model(model);
            add(&mut part.prompt_tokens, &|f| of(f).prompt_tokens);
            add(&mut part.completion_tokens, &|f| of(f).completion_tokens);
            add(&mut part.requests, &|f| of(f).requests);
        }
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
            return Self { read: Some(now), by_pod: self.by_pod, rates };
        }
        let rates = Rates {
            finished: sum(|f| f.shard_finished) as i64,
            failed: sum(|f| f.failed) as i64,
            usage,
            tokens_per_second: rate(
                self.rates.tokens_per_second,
                grown(&|f| f.used.completion_tokens),
            ),
            rows_per_second: rate(self.rates.rows_per_second, grown(&|f| f.finished)),
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
        let used = Used { completion_tokens: tokens, ..Used::default() };
        Figures { shard_finished: finished, finished, used, ..Figures::default() }
    }

    #[test]
    fn a_worker_s_metrics_are_read() {
        let text = "textnlp_shard_rows 20\ntextnlp_rows_kept_total 4\ntextnlp_rows_finished_total 3\n\
            textnlp_prompt_tokens_total{model=\"a\"} 9\ntextnlp_prompt_tokens_total{model=\"b \\\"x\\\"\"} 0\n\
            textnlp_completion_tokens_total{model=\"a\"} 70\ntextnlp_completion_tokens_total{model=\"b \\\"x\\\"\"} 1\n\
            textnlp_requests_total{code=\"200\",model=\"a\"} 2\ntextnlp_requests_total{code=\"503\",model=\"a\"} 1\n";
        let read = Figures::read(&parse(text)).expect("a worker");
        assert_eq!((read.shard_finished, read.finished), (7.0, 3.0));
        let used = |prompt_tokens, completion_tokens, requests| Used {
            prompt_tokens,
            completion_tokens,
            requests,
        };
        assert_eq!(read.used, used(9.0, 71.0, 3.0));
        let models = [("a", used(9.0, 70.0, 3.0)), ("b \"x\"", used(0.0, 1.0, 0.0))];
        let models = BTreeMap::from(models.map(|(name, used)| (name.to_owned(), used)));
        assert_eq!(read.models, models);
        assert_eq!(Figures::read(&parse("up 1\n")), None);
    }

    #[test]
    fn a_worker_of_before_does_not_tell_models_apart() {
        let text = "textnlp_rows_finished_total 3\ntextnlp_completion_tokens_total 70\n\
            textnlp_requests_total{code=\"200\"} 2\n";
        let read = Figures::read(&parse(text)).expect("a worker");
        assert_eq!((read.used.completion_tokens, read.used.requests), (70.0, 2.0));
        assert!(read.models.is_empty());
    }

    #[test]
    fn a_pod_that_makes_up_models_fills_no_memory() {
        let page = |first: usize| {
            let line = |n: usize| format!("textnlp_prompt_tokens_total{{model=\"m{n:05}\"}} 1\n");
            let lines: String = (first..first + 1000).map(line).collect();
            Figures::read(&parse(&format!("textnlp_rows_finished_total 1\n{lines}")))
        };
        let figures =
            |first: usize| HashMap::from([("one".to_owned(), page(first).expect("a worker"))]);
        let start = Instant::now();
        let workers = Workers::default().next(figures(0), start).next(figures(5000), start);
        assert_eq!(workers.by_pod["one"].models.len(), MODELS);
        assert_eq!(workers.rates.usage.models.len(), MODELS);
    }

    #[test]
    fn models_are_counted_apart_over_workers_that_come_and_go() {
        let figures = |models: &[(&str, f64)]| {
            let used = |tokens| Used { prompt_tokens: tokens, ..Used::default() };
            let models: BTreeMap<_, _> =
                models.iter().map(|(name, tokens)| ((*name).to_owned(), used(*tokens))).collect();
            let total = models.values().map(|used| used.prompt_tokens).sum::<f64>();
            Figures { used: used(total), models, ..Figures::default() }
        };
        let map =
            |pod: &str, models: &[(&str, f64)]| HashMap::from([(pod.to_owned(), figures(models))]);
        let start = Instant::now();
        let workers = Workers::default()
            .next(map("one", &[("writer", 10.0), ("judge", 1.0)]), start)
            .next(map("one", &[("writer", 30.0), ("judge", 2.0)]), start)
            .next(map("two", &[("writer", 5.0)]), start)
            .next(HashMap::new(), start);
        let usage = workers.rates.usage;
        let models: Vec<(&str, i64)> =
            usage.models.iter().map(|part| (part.name.as_str(), part.prompt_tokens)).collect();
        assert_eq!(models, [("judge", 2), ("writer", 35)]);
        assert_eq!(usage.prompt_tokens, 37);
    }

    #[test]
    fn rates_come_of_two_looks_and_totals_never_shrink() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let map = |pods: &[(&str, Figures)]| {
            pods.iter().map(|(pod, f)| ((*pod).to_owned(), f.clone())).collect()
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
