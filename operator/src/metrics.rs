//! What `/metrics` of the operator shows of the operator itself, and all of it as text. Labels are words of fixed sets, never text of
//! errors. No I/O.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::resource_metrics::Resources;

/// Bytes by which a text may be longer than the one before without being copied.
const ROOM: usize = 16 << 10;

/// Which controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ControllerLabels {
    controller: &'static str,
}

/// Which controller, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ErrorLabels {
    controller: &'static str,
    reason: &'static str,
}

/// Which call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WriteLabels {
    verb: &'static str,
}

/// All metrics.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<ControllerLabels, Counter>,
    durations: Family<ControllerLabels, Histogram>,
    errors: Family<ErrorLabels, Counter>,
    running: Family<ControllerLabels, Gauge>,
    objects: Family<ControllerLabels, Gauge>,
    invalid: Family<ControllerLabels, Counter>,
    writes: Family<WriteLabels, Counter>,
    /// Writes that were refused since the lease could have been another's.
    pub writes_refused: Counter,
    /// Events that were dropped since the queue was full.
    pub events_dropped: Counter,
    /// Writes of progress that were put off since the budget was spent.
    pub progress_deferred: Counter,
    /// 1 while this replica leads.
    pub is_leader: Gauge,
    /// The jobs and models that are shown.
    pub resources: Resources,
    /// Length of the last text.
    length: AtomicUsize,
}

impl Default for Metrics {
    fn default() -> Self {
        let buckets = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let mut metrics = Self {
            registry: Registry::default(),
            reconciles: Family::default(),
            durations: Family::new_with_constructor(buckets),
            errors: Family::default(),
            running: Family::default(),
            objects: Family::default(),
            invalid: Family::default(),
            writes: Family::default(),
            writes_refused: Counter::default(),
            events_dropped: Counter::default(),
            progress_deferred: Counter::default(),
            is_leader: Gauge::default(),
            resources: Resources::default(),
            length: AtomicUsize::default(),
        };
        // Series that are there from the start can be rated from the first event: these are what alerts ask for.
        for controller in [crate::job::CONTROLLER, crate::model::CONTROLLER] {
            drop(metrics.invalid.get_or_create(&ControllerLabels { controller }));
            let labels = ErrorLabels { controller, reason: "Panicked" };
            drop(metrics.errors.get_or_create(&labels));
        }
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        // These are not about the operator: their names have no prefix.
        self.registry.register_collector(Box::new(self.resources.clone()));
        let registry = self.registry.sub_registry_with_prefix("textnlp_operator");
        registry.register("reconciles", "Reconciliations", self.reconciles.clone());
        registry.register(
            "reconcile_duration_seconds",
            "Time of a reconciliation",
            self.durations.clone(),
        );
        registry.register(
            "reconcile_errors",
            "Reconciliations that failed, by reason",
            self.errors.clone(),
        );
        registry.register("reconciles_running", "Reconciliations under way", self.running.clone());
        registry.register("objects", "Objects in the controller's cache", self.objects.clone());
        registry.register(
            "invalid_objects",
            "Objects that could not be read",
            self.invalid.clone(),
        );
        registry.register("api_writes", "Calls that write, by verb", self.writes.clone());
        registry.register(
            "api_writes_refused",
            "Writes refused for want of a valid lease",
            self.writes_refused.clone(),
        );
        registry.register(
            "events_dropped",
            "Events dropped from a full queue",
            self.events_dropped.clone(),
        );
        registry.register(
            "progress_deferred",
            "Progress writes put off by the budget",
            self.progress_deferred.clone(),
        );
        registry.register("is_leader", "Whether this replica leads", self.is_leader.clone());
    }

    /// Counts a reconciliation from now until the guard is dropped.
    pub fn reconcile(&self, controller: &'static str) -> Reconcile {
        let labels = ControllerLabels { controller };
        self.reconciles.get_or_create(&labels).inc();
        let running = self.running.get_or_create(&labels).clone();
        running.inc();
        let duration = self.durations.get_or_create(&labels).clone();
        Reconcile { running, duration, started: std::time::Instant::now() }
    }

    /// Counts a failed reconciliation.
    pub fn error(&self, controller: &'static str, reason: &'static str) {
        self.errors.get_or_create(&ErrorLabels { controller, reason }).inc();
    }

    /// Counts an object that could not be read.
    pub fn invalid(&self, controller: &'static str) {
        self.invalid.get_or_create(&ControllerLabels { controller }).inc();
    }

    /// The number of objects in a cache.
    pub fn objects(&self, controller: &'static str, number: usize) {
        self.objects
            .get_or_create(&ControllerLabels { controller })
            .set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// Counts a call that writes.
    pub fn write(&self, verb: &'static str) {
        self.writes.get_or_create(&WriteLabels { verb }).inc();
    }

    /// The text of `/metrics`, in the OpenMetrics format.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let length = self.length.load(Ordering::Relaxed);
        let mut text = String::with_capacity(length.saturating_add(ROOM));
        text::encode(&mut text, &self.registry)?;
        self.length.store(text.len(), Ordering::Relaxed);
        Ok(text)
    }
}

/// A reconciliation under way.
#[must_use = "the reconciliation is over when this is dropped"]
pub struct Reconcile {
    running: Gauge,
    duration: Histogram,
    started: std::time::Instant,
}

impl Reconcile {
    /// How long it has taken.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Reconcile {
    fn drop(&mut self) {
        self.running.dec();
        self.duration.observe(self.started.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reconciliation_is_counted_and_timed() {
        let metrics = Metrics::default();
        drop(metrics.reconcile("generationjob"));
        metrics.error("generationjob", "Conflict");
        metrics.write("patch");
        metrics.is_leader.set(1);
        let text = metrics.text().expect("text");
        for line in [
            r#"textnlp_operator_reconciles_total{controller="generationjob"} 1"#,
            r#"textnlp_operator_reconcile_duration_seconds_count{controller="generationjob"} 1"#,
            r#"textnlp_operator_reconcile_errors_total{controller="generationjob",reason="Conflict"} 1"#,
            r#"textnlp_operator_reconciles_running{controller="generationjob"} 0"#,
            r#"textnlp_operator_api_writes_total{verb="patch"} 1"#,
            "textnlp_operator_is_leader 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
