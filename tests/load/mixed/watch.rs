//! What is seen of the server beside its answers: its health, its memory, and what it says of itself when it has nothing to
//! do. I/O.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Client;
use textnlp_tests::metrics::{sum, total};
use textnlp_tests::process::{Usage, open_files};
use tokio::time::Instant;

use super::ground::{Ground, IDLE};
use super::tally::Outcome;
use crate::error::{Error, chain};
use crate::quantiles::Quantiles;

/// How often the server's health is asked for, and its memory looked at.
const HEALTH: Duration = Duration::from_millis(500);
const MEMORY: Duration = Duration::from_secs(10);
/// How long an answer about its health may take: a kubelet gives it less.
const HEALTH_PATIENCE: Duration = Duration::from_secs(30);
/// Until a server without clients has nothing to do.
const CALM: Duration = Duration::from_secs(60);
/// Looks at the memory that are not compared: a server takes what it needs when it first needs it.
const WARMING: usize = 12;
/// How many times the memory of the middle third of the time the last third may take. (In the first third a server takes what it needs
/// most at once, KV pages above all, and keeps it.)
const GROWTH: f64 = 1.1;
/// Connections of this program's that may be open at one time and not at the other.
const CONNECTIONS: usize = 2;

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    health: Vec<Duration>,
    /// Resident memory in MiB, and the most that there ever was.
    resident: Vec<f64>,
    peak: f64,
}

/// Looks at a server.
#[derive(Debug)]
pub(crate) struct Watch {
    ground: Arc<Ground>,
    pid: u32,
    files: usize,
    seen: Mutex<Seen>,
}

impl Watch {
    /// The server is quiet, and has answered before.
    pub(crate) async fn begin(ground: Arc<Ground>, pid: u32) -> Result<Self, Error> {
        let files = open_files(pid).map_err(Error::file(format!("/proc/{pid}")))?;
        let watch = Self { ground, pid, files, seen: Mutex::default() };
        watch.until_quiet().await.map_err(Error::Server)?;
        Ok(watch)
    }

    /// What was seen is whole whatever panicked beside it.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the server's health now and then, for ever.
    pub(crate) async fn health(&self) -> Infallible {
        let client = Client::builder().timeout(HEALTH_PATIENCE).build().unwrap_or_default();
        loop {
            let begun = Instant::now();
            let found = match client.get(self.ground.at("/healthz")).send().await {
                Ok(answer) if answer.status().is_success() => Ok(Outcome::Answered),
                Ok(answer) => Err(format!("/healthz answers {}", answer.status())),
                Err(error) => Err(chain(&error)),
            };
            self.seen().health.push(begun.elapsed());
            self.ground.tally.check("/healthz", found);
            tokio::time::sleep(HEALTH).await;
        }
    }

    /// Looks at its memory now and then, until there is no such process any more.
    pub(crate) async fn memory(&self) -> String {
        loop {
            match Usage::of(self.pid) {
                Ok(usage) => {
                    let mut seen = self.seen();
                    seen.resident.push(usage.resident);
                    seen.peak = usage.peak;
                }
                Err(error) => return format!("process {} has ended: {error}", self.pid),
            }
            tokio::time::sleep(MEMORY).await;
        }
    }

    /// Waits until nothing is computed, nothing waits and no page is held. `vllm:kv_cache_usage_perc` counts the pages that
    /// sequences hold, not those that are only kept for prompts to come: a single page that is lost shows.
    pub(crate) async fn until_quiet(&self) -> Result<Outcome, String> {
        let begun = Instant::now();
        loop {
            let text = self.ground.metrics().await?;
            let busy = ["num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"]
                .map(|name| (name, total(&text, &format!("vllm:{name}"))));
            if busy.iter().all(|(_, value)| *value == Some(0.0)) {
                return no_failures(&text);
            }
            if begun.elapsed() > CALM {
                return Err(format!("{} s after the last client: {busy:?}", CALM.as_secs()));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Checks what only a whole run tells: connections that stay open, and memory that grows.
    pub(crate) async fn end(&self) {
        // This program's own idle connections are looked at once in that time.
        tokio::time::sleep(IDLE * 2 + Duration::from_secs(2)).await;
        let tally = &self.ground.tally;
        match open_files(self.pid) {
            Ok(files) if files > self.files + CONNECTIONS => {
                let before = self.files;
                let error = format!("{files} files and connections are open, {before} were before");
                tally.violation("connections", &error);
            }
            Ok(_) => {}
            Err(error) => tally.violation("connections", &error.to_string()),
        }
        if let Some((middle, last)) = thirds(warm(&self.seen().resident))
            && last > middle * GROWTH
        {
            let error = format!("{middle:.0} MiB in the middle third, {last:.0} in the last");
            tally.violation("memory", &error);
        }
    }

    /// Tells how it goes.
    pub(crate) fn say(&self) {
        let tally = &self.ground.tally;
        let resident = self.seen().resident.last().copied().unwrap_or_default();
        let minutes = tally.seconds() / 60.0;
        eprintln!("{minutes:6.1} min, {resident:.0} MiB: {}", tally.line());
    }

    /// What was seen, for people.
    pub(crate) fn report(&self) -> String {
        let seen = self.seen();
        let health = Quantiles::of(seen.health.clone()).map_or_else(String::new, |health| {
            let Quantiles { p50, p99, max, .. } = health;
            format!(
                "health answered in {p50:.1} ms (p50), {p99:.1} ms (p99), {max:.1} ms (slowest)"
            )
        });
        let resident: Vec<String> = seen.resident.iter().map(|mib| format!("{mib:.0}")).collect();
        let thirds = thirds(warm(&seen.resident)).map_or_else(String::new, |(middle, last)| {
            format!("; without the first {WARMING}, mean of the middle third {middle:.1}, of the last {last:.1}")
        });
        format!(
            "{health}\nresident memory every {} s, MiB: {}{thirds}; peak {:.0}",
            MEMORY.as_secs(),
            resident.join(" "),
            seen.peak
        )
    }
}

/// What a server says of itself if nothing went wrong in it.
fn no_failures(text: &str) -> Result<Outcome, String> {
    let failed = sum(text, "vllm:request_success_total", "finished_reason", "error");
    let errors = ["500", "503"].map(|s| sum(text, "textnlp_http_responses_total", "status", s));
    match failed == 0.0 && errors == [0.0, 0.0] {
        true => Ok(Outcome::Answered),
        false => Err(format!("{failed} completions failed; {errors:?} answers with 500 and 503")),
    }
}

/// What is compared.
fn warm(samples: &[f64]) -> &[f64] {
    samples.get(WARMING..).unwrap_or_default()
}

/// Means of the middle and the last third; none of too few.
fn thirds(samples: &[f64]) -> Option<(f64, f64)> {
    let third = samples.len() / 3;
    let mean = |samples: &[f64]| samples.iter().sum::<f64>() / samples.len() as f64;
    let (before, last) = samples.split_at(samples.len() - third);
    let middle = before.get(before.len() - third..)?;
    (third > 1).then(|| (mean(middle), mean(last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_compared_by_thirds() {
        assert_eq!(thirds(&[1.0, 3.0, 9.0, 9.0, 4.0, 6.0]), Some((9.0, 5.0)));
        assert_eq!(thirds(&[1.0, 3.0, 9.0, 9.0, 9.0, 4.0, 6.0]), Some((9.0, 5.0)));
        assert_eq!(thirds(&[1.0; 5]), None);
        assert_eq!(thirds(&[]), None);
    }

    #[test]
    fn a_failure_that_no_client_saw_shows_in_the_metrics() {
        let text =
            |errors| format!("vllm:request_success_total{{finished_reason=\"error\"}} {errors}\n");
        assert_eq!(no_failures(&text(0)), Ok(Outcome::Answered));
        assert!(no_failures(&text(1)).is_err());
        assert!(no_failures("textnlp_http_responses_total{status=\"500\"} 2\n").is_err());
    }
}
