//! Figures of a worker, in the text format that Prometheus reads.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use textnlp_dataset::Tokens;

use crate::progress::Progress;

/// Media type of [`WorkerMetrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// HTTP status and model.
type Answered = [(&'static str, String); 2];
/// What a series counts of a model's tokens.
type Kind = fn(&Tokens) -> u64;

/// What a worker tells of itself.
#[derive(Debug)]
pub struct WorkerMetrics {
    registry: Registry,
    requests: RequestMetrics,
}

impl WorkerMetrics {
    /// The figures of a run, and of the requests that it sends.
    pub fn new(progress: Arc<Progress>) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Rows(progress)));
        let requests = RequestMetrics::default();
        registry.register(
            "textnlp_requests",
            "Requests to models that were answered, by model and HTTP status; `error` where there was no answer",
            requests.codes.clone(),
        );
        registry.register(
            "textnlp_requests_in_flight",
            "Requests to models that are not answered yet",
            requests.in_flight.clone(),
        );
        Self { registry, requests }
    }

    /// Counts requests.
    pub fn requests(&self) -> RequestMetrics {
        self.requests.clone()
    }

    /// All figures of this moment.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Counts of requests to models.
#[derive(Debug, Clone, Default)]
pub struct RequestMetrics {
    codes: Family<Answered, Counter>,
    in_flight: Gauge,
}

/// A request that is under way.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl RequestMetrics {
    /// Counts a request as under way until the result is dropped.
    pub fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Counts an answer for a model.
    pub fn count(&self, model: &str, code: &str) {
        let labels = [("code", code.to_owned()), ("model", model.to_owned())];
        self.codes.get_or_create(&labels).inc();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The counts that the run keeps itself.
#[derive(Debug)]
struct Rows(Arc<Progress>);

impl Collector for Rows {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let progress = &self.0;
        let rows =
            ConstGauge::new(i64::try_from(Progress::get(&progress.rows)).unwrap_or(i64::MAX));
        let help = "Rows of this shard that were missing when it was planned";
        rows.encode(encoder.encode_descriptor(
            "textnlp_shard_rows",
            help,
            None,
            rows.metric_type(),
        )?)?;
        for (name, help, counter) in [
            ("textnlp_rows_kept", "Rows of this shard that an earlier pod made", &progress.kept),
            ("textnlp_rows_finished", "Rows that this pod finished", &progress.finished),
            ("textnlp_rows_failed", "Finished rows that failed", &progress.failed),
        ] {
            let counter = ConstCounter::new(Progress::get(counter));
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        let models = progress.by_model();
        let kinds: [(&str, &str, Kind); 2] = [
            ("textnlp_prompt_tokens", "Prompt tokens of completions, by model", |t| t.prompt),
            ("textnlp_completion_tokens", "Tokens generated, by model", |t| t.completion),
        ];
        for (name, help, kind) in kinds {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (model, tokens) in &models {
                let counter = ConstCounter::new(kind(tokens));
                counter.encode(family.encode_family(&[("model", model.as_str())])?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_have_the_names_that_the_operator_reads() {
        let progress = Arc::new(Progress::default());
        Progress::add(&progress.rows, 20);
        Progress::add(&progress.kept, 4);
        Progress::add(&progress.finished, 3);
        progress.expect(["smollm2", "a \"judge\""]);
        progress.used("smollm2", Tokens { prompt: 30, completion: 50 });
        progress.used("smollm2", Tokens { prompt: 1, completion: 20 });
        let metrics = WorkerMetrics::new(progress);
        let requests = metrics.requests();
        requests.count("smollm2", "200");
        requests.count("smollm2", "200");
        requests.count("judge", "error");
        let _under_way = requests.begin();
        drop(requests.begin());
        let text = metrics.render().unwrap();
        for line in [
            "textnlp_shard_rows 20",
            "textnlp_rows_kept_total 4",
            "textnlp_rows_finished_total 3",
            "textnlp_rows_failed_total 0",
            "textnlp_prompt_tokens_total{model=\"smollm2\"} 31",
            "textnlp_completion_tokens_total{model=\"smollm2\"} 70",
            "textnlp_completion_tokens_total{model=\"a \\\"judge\\\"\"} 0",
            "textnlp_requests_total{code=\"200\",model=\"smollm2\"} 2",
            "textnlp_requests_total{code=\"error\",model=\"judge\"} 1",
            "textnlp_requests_in_flight 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} not in:\n{text}");
        }
    }
}
