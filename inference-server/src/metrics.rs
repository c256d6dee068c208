//! `/metrics`: vLLM's names, so that existing dashboards and the Gateway API inference extension work, and a few of our
//! own. Figures of the engine are read when they are scraped.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::inflight::{InflightClock, InflightGuard, Source};
use crate::line::Line;
use crate::readiness::Readiness;
use crate::served::Served;

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
/// Type of the labels of an exemplar, of which there is none.
type NoLabels = [(&'static str, &'static str); 0];

/// Everything that is counted, by what it counts.
pub(crate) struct Metrics {
    registry: Registry,
    success: Family<Labels, Counter>,
    responses: Family<Labels, Counter>,
    key_requests: Family<Labels, Counter>,
    key_tokens: Family<Labels, Counter>,
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
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Nothing has happened yet.
    pub(crate) fn new(
        model_name: &str,
        readiness: Arc<Readiness>,
        line: Arc<Line>,
        now: Instant,
    ) -> Self {
        let label = ("model_name".into(), model_name.to_owned().into());
        let mut metrics = Self {
            registry: Registry::with_labels([label].into_iter()),
            success: Family::default(),
            responses: Family::default(),
            key_requests: Family::default(),
            key_tokens: Family::default(),
            load_seconds: Family::default(),
            first_token: Histogram::new(FIRST_TOKEN),
            between_tokens: Histogram::new(BETWEEN_TOKENS),
            request: Histogram::new(REQUEST),
            job: Arc::new(InflightClock::new(now)),
            external: Arc::new(InflightClock::new(now)),
        };
        for reason in ["stop", "length", "abort", "error"] {
            // A series that is there from the start can be rated from the first event.
            drop(metrics.success.get_or_create(&vec![("finished_reason", reason.to_owned())]));
        }
        // Without the first of them in it, an error rate misses the first errors.
        for status in ["200", "429", "500", "503", "504"] {
            drop(metrics.responses.get_or_create(&vec![("status", status.to_owned())]));
        }
        metrics.register();
        let clocks = [Source::Job, Source::External].map(|source| (source, metrics.clock(source)));
        metrics.registry.register_collector(Box::new(Scrape { readiness, line, clocks }));
        metrics
    }

    /// Gives everything its name; counters get their `_total` from the encoder.
    fn register(&mut self) {
        let registry = &mut self.registry;
        let help = "Completions by why they ended";
        registry.register("vllm:request_success", help, self.success.clone());
        let help = "Time from a request's arrival to its first token";
        registry.register("vllm:time_to_first_token_seconds", help, self.first_token.clone());
        let help = "Time between two tokens of a completion";
        registry.register("vllm:inter_token_latency_seconds", help, self.between_tokens.clone());
        let help = "The older name of vllm:inter_token_latency_seconds";
        registry.register("vllm:time_per_output_token_seconds", help, self.between_tokens.clone());
        let help = "Time from a request's arrival to its last token";
        registry.register("vllm:e2e_request_latency_seconds", help, self.request.clone());
        let help = "Responses of the API by HTTP status";
        registry.register("textnlp_http_responses", help, self.responses.clone());
        let help = "Calls by key and HTTP status";
        registry.register("textnlp_key_requests", help, self.key_requests.clone());
        let help = "Tokens by key: of prompts, and generated";
        registry.register("textnlp_key_tokens", help, self.key_tokens.clone());
        let help = "Time that the parts of loading took";
        registry.register("textnlp_model_load_seconds", help, self.load_seconds.clone());
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

    /// A call with a key was answered.
    pub(crate) fn called(&self, key: &str, status: http::StatusCode) {
        let labels = vec![("key", key.to_owned()), ("status", status.as_str().to_owned())];
        self.key_requests.get_or_create(&labels).inc();
    }

    /// A key's completion has ended.
    pub(crate) fn used(&self, key: &str, prompt: u64, completion: u64) {
        for (kind, tokens) in [("prompt", prompt), ("completion", completion)] {
            let labels = vec![("key", key.to_owned()), ("kind", kind.to_owned())];
            self.key_tokens.get_or_create(&labels).inc_by(tokens);
        }
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
    line: Arc<Line>,
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
        let waiting = stats.waiting + self.line.waiting();
        for (name, help, value) in [
            ("vllm:num_requests_running", "Completions being computed", stats.running as u64),
            ("vllm:num_requests_waiting", "Completions that wait", waiting as u64),
        ] {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
        }
        let (name, help) = ("vllm:kv_cache_usage_perc", "Share of the KV memory in use, 0 to 1");
        encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&kv_usage)?;
        for (name, help, value) in [
            ("vllm:prompt_tokens", "Tokens of prompts", stats.prompt_tokens),
            ("vllm:generation_tokens", "Tokens generated", stats.generated_tokens),
            (
                "vllm:prefix_cache_queries",
                "Tokens of prompts that were looked up in the KV cache",
                stats.prompt_tokens,
            ),
            (
                "vllm:prefix_cache_hits",
                "Tokens of prompts whose keys and values were there already",
                stats.cached_tokens,
            ),
            (
                "vllm:num_preemptions",
                "Times that a completion had to give its KV memory to others",
                stats.preemptions,
            ),
            (
                "vllm:spec_decode_num_draft_tokens",
                "Tokens computed ahead of being drawn",
                stats.proposed_tokens,
            ),
            (
                "vllm:spec_decode_num_accepted_tokens",
                "Tokens computed ahead that were drawn then",
                stats.accepted_tokens,
            ),
        ] {
            let mut counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            counter.encode_counter::<NoLabels, u64, u64>(&value, None)?;
        }
        self.encode_inflight(&mut encoder)?;
        served.map_or(Ok(()), |served| encode_info(&mut encoder, served))
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
            series.encode_counter::<NoLabels, f64, u64>(&clock.seconds(now), None)?;
        }
        Ok(())
    }
}

fn encode_info(encoder: &mut DescriptorEncoder<'_>, served: &Served) -> Result<(), fmt::Error> {
    let info = served.model.info();
    let dtype = info.numerics.rsplit('/').next().unwrap_or_default();
    let labels = [
        ("digest", info.digest.as_str()),
        ("numerics", &info.numerics),
        ("architecture", &info.architecture),
        ("dtype", dtype),
    ];
    let help = "The model that is served";
    let mut info =
        encoder.encode_descriptor("textnlp_model_info", help, None, MetricType::Gauge)?;
    info.encode_family(&labels)?.encode_gauge(&1u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_colon_and_one_suffix() {
        let line = Arc::new(Line::new(1, 1));
        let metrics = Metrics::new("m", Arc::default(), line, Instant::now());
        metrics.finished("stop");
        metrics.loaded("open", Duration::from_millis(500));
        metrics.responded(http::StatusCode::OK);
        let (_, text) = metrics.text().expect("it can be written");
        for line in [
            "# TYPE vllm:num_requests_running gauge",
            "vllm:num_requests_running{model_name=\"m\"} 0",
            "# TYPE vllm:prompt_tokens_total counter",
            "vllm:prompt_tokens_total{model_name=\"m\"} 0",
            "vllm:spec_decode_num_accepted_tokens_total{model_name=\"m\"} 0",
            "vllm:request_success_total{model_name=\"m\",finished_reason=\"stop\"} 1",
            "vllm:request_success_total{model_name=\"m\",finished_reason=\"abort\"} 0",
            "textnlp_model_load_seconds{model_name=\"m\",phase=\"open\"} 0.5",
            "textnlp_http_responses_total{model_name=\"m\",status=\"200\"} 1",
            "textnlp_request_inflight_seconds_total{model_name=\"m\",source=\"job\"} 0.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
        assert!(!text.contains("_total_total"));
    }
}
