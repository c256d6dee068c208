//! `/metrics`: vLLM's names, so that existing dashboards and the Gateway API inference extension work, and a few of our
//! own. Figures of the engine are read when they are scraped.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, prometheus_text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::inflight::{InflightClock, InflightGuard, Source};
use crate::readiness::Readiness;

/// Seconds to the first token, in vLLM's buckets.
const FIRST_TOKEN: [f64; 22] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
/// Seconds between tokens.
const BETWEEN_TOKENS: [f64; 19] = [
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
];
/// Seconds of a whole request.
const REQUEST: [f64; 21] = [
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];

type Labels = Vec<(&'static str, String)>;

/// Everything that is counted, by what it counts.
pub(crate) struct Metrics {
    registry: Registry,
    model_name: String,
    success: Family<Labels, Counter>,
    responses: Family<Labels, Counter>,
    load_seconds: Family<Labels, Gauge<f64, std::sync::atomic::AtomicU64>>,
    /// Seconds from a request's arrival to its first token.
    pub(crate) first_token: Histogram,
    /// Seconds between two tokens of a completion.
    pub(crate) between_tokens: Histogram,
    /// Seconds from a request's arrival to its last token.
    pub(crate) request: Histogram,
    job: Arc<InflightClock>,
    external: Arc<InflightClock>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("model_name", &self.model_name).finish_non_exhaustive()
    }
}

impl Metrics {
    /// Nothing has happened yet.
    pub(crate) fn new(model_name: &str, readiness: Arc<Readiness>, now: Instant) -> Self {
        let label = ("model_name".into(), model_name.to_owned().into());
        let mut registry = Registry::with_labels([label].into_iter());
        let metrics = Self {
            model_name: model_name.to_owned(),
            success: Family::default(),
            responses: Family::default(),
            load_seconds: Family::default(),
            first_token: Histogram::new(FIRST_TOKEN),
            between_tokens: Histogram::new(BETWEEN_TOKENS),
            request: Histogram::new(REQUEST),
            job: Arc::new(InflightClock::new(now)),
            external: Arc::new(InflightClock::new(now)),
            registry: Registry::default(),
        };
        // Counters get their `_total` from the encoder.
        let Self { success, responses, load_seconds, .. } = &metrics;
        registry.register("vllm:request_success", "Completions by why they ended", success.clone());
        registry.register(
            "vllm:time_to_first_token_seconds",
            "Time from a request's arrival to its first token",
            metrics.first_token.clone(),
        );
        registry.register(
            "vllm:inter_token_latency_seconds",
            "Time between two tokens of a completion",
            metrics.between_tokens.clone(),
        );
        registry.register(
            "vllm:time_per_output_token_seconds",
            "The older name of vllm:inter_token_latency_seconds",
            metrics.between_tokens.clone(),
        );
        registry.register(
            "vllm:e2e_request_latency_seconds",
            "Time from a request's arrival to its last token",
            metrics.request.clone(),
        );
        registry.register(
            "textnlp_http_responses",
            "Responses of the API by HTTP status",
            responses.clone(),
        );
        registry.register(
            "textnlp_model_load_seconds",
            "Time that the parts of loading took",
            load_seconds.clone(),
        );
        let clocks = [Source::Job, Source::External].map(|source| (source, metrics.clock(source)));
        registry.register_collector(Box::new(Scrape { readiness, clocks }));
        for reason in ["stop", "length", "abort", "error"] {
            // A series that is there from the start can be rated from the first event.
            drop(success.get_or_create(&vec![("finished_reason", reason.to_owned())]));
        }
        Self { registry, ..metrics }
    }

    /// The text that Prometheus reads, and its content type.
    pub(crate) fn text(&self) -> Result<(&'static str, String), fmt::Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry)?;
        Ok((prometheus_text::CONTENT_TYPE, text))
    }

    /// A part of loading is done.
    pub(crate) fn loaded(&self, phase: &'static str, time: Duration) {
        let labels = vec![("phase", phase.to_owned())];
        self.load_seconds.get_or_create(&labels).set(time.as_secs_f64());
    }

    /// A completion has ended.
    pub(crate) fn finished(&self, reason: &'static str) {
        self.success.get_or_create(&vec![("finished_reason", reason.to_owned())]).inc();
    }

    /// A response was sent.
    pub(crate) fn responded(&self, status: http::StatusCode) {
        self.responses.get_or_create(&vec![("status", status.as_str().to_owned())]).inc();
    }

    /// A completion is in flight until the guard is dropped.
    pub(crate) fn enter(&self, source: Source, now: Instant) -> InflightGuard {
        self.clock(source).enter(now)
    }

    fn clock(&self, source: Source) -> Arc<InflightClock> {
        Arc::clone(match source {
            Source::Job => &self.job,
            Source::External => &self.external,
        })
    }
}

/// What is read at each scrape.
#[derive(Debug)]
struct Scrape {
    readiness: Arc<Readiness>,
    clocks: [(Source, Arc<InflightClock>); 2],
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let served = self.readiness.served();
        let stats = served.map(|served| served.stats()).unwrap_or_default();
        let kv_usage = match stats.kv_limit_bytes {
            0 => 0.0,
            limit => stats.kv_used_bytes as f64 / limit as f64,
        };
        gauge(
            &mut encoder,
            "vllm:num_requests_running",
            "Completions being computed",
            stats.running,
        )?;
        gauge(&mut encoder, "vllm:num_requests_waiting", "Completions that wait", stats.waiting)?;
        gauge(
            &mut encoder,
            "vllm:kv_cache_usage_perc",
            "Share of the KV memory in use, 0 to 1",
            kv_usage,
        )?;
        counter(&mut encoder, "vllm:prompt_tokens", "Tokens of prompts", stats.prompt_tokens)?;
        counter(
            &mut encoder,
            "vllm:generation_tokens",
            "Tokens generated",
            stats.generated_tokens,
        )?;
        counter(
            &mut encoder,
            "vllm:prefix_cache_queries",
            "Tokens of prompts that were looked up in the KV cache",
            stats.prompt_tokens,
        )?;
        counter(
            &mut encoder,
            "vllm:prefix_cache_hits",
            "Tokens of prompts whose keys and values were there already",
            stats.cached_tokens,
        )?;
        counter(
            &mut encoder,
            "vllm:num_preemptions",
            "Times that a completion had to give its KV memory to others",
            stats.preemptions,
        )?;
        self.encode_inflight(&mut encoder)?;
        let Some(served) = served else { return Ok(()) };
        let info = served.model.info();
        let dtype = info.numerics.rsplit('/').next().unwrap_or_default();
        let labels = [
            ("digest", info.digest.as_str()),
            ("numerics", &info.numerics),
            ("architecture", &info.architecture),
            ("dtype", dtype),
        ];
        let help = "The model that is served";
        let mut family =
            encoder.encode_descriptor("textnlp_model_info", help, None, MetricType::Gauge)?;
        family.encode_family(&labels)?.encode_gauge(&1u64)
    }
}

impl Scrape {
    fn encode_inflight(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "textnlp_request_inflight_seconds",
            "Seconds that completions were in flight, summed over them: its rate is their mean number",
            None,
            MetricType::Counter,
        )?;
        let now = Instant::now();
        for (source, clock) in &self.clocks {
            let labels = [("source", source.as_str())];
            let mut series = family.encode_family(&labels)?;
            series.encode_counter::<Vec<(&str, &str)>, f64, u64>(&clock.seconds(now), None)?;
        }
        Ok(())
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl EncodeGaugeValue,
) -> Result<(), fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl EncodeCounterValue,
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    metric.encode_counter::<Vec<(&str, &str)>, _, u64>(&value, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_colon_and_one_suffix() {
        let metrics = Metrics::new("m", Arc::default(), Instant::now());
        metrics.finished("stop");
        metrics.loaded("open", Duration::from_millis(500));
        metrics.responded(http::StatusCode::OK);
        let (_, text) = metrics.text().expect("it can be written");
        for line in [
            "# TYPE vllm:num_requests_running gauge",
            "vllm:num_requests_running{model_name=\"m\"} 0",
            "# TYPE vllm:prompt_tokens_total counter",
            "vllm:prompt_tokens_total{model_name=\"m\"} 0",
            "vllm:request_success_total{model_name=\"m\",finished_reason=\"stop\"} 1",
            "vllm:request_success_total{model_name=\"m\",finished_reason=\"abort\"} 0",
            "textnlp_model_load_seconds{model_name=\"m\",phase=\"open\"} 0.5",
            "textnlp_http_responses_total{model_name=\"m\",status=\"200\"} 1",
            "textnlp_request_inflight_seconds_total{model_name=\"m\",source=\"job\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
        assert!(!text.contains("_total_total"));
    }
}
