//! Traces: OpenTelemetry's, sent as OTLP over HTTP, configured by its own environment variables. Off without an endpoint.
//!
//! A job's trace and root span are named by its UID, so that pods that never speak with each other write one trace, and a step that is
//! run again writes the same one. `docs/traces.md` shows a trace.

mod context;
mod ids;
mod settings;
mod span;
mod stages;

use std::sync::OnceLock;
use std::time::Duration;

pub use opentelemetry::Value;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, TracerProviderBuilder};

pub use self::context::{JobTrace, TraceContext};
pub use self::settings::{DEFAULT_ROWS, Rows, Settings, SettingsError};
pub use self::span::Span;
pub use self::stages::{Ended, Stages};

/// How long the last spans may take to be sent when a program ends.
const LAST: Duration = Duration::from_secs(5);

/// Makes the spans of this process; not there while traces are off.
static TRACER: OnceLock<Traced> = OnceLock::new();

#[derive(Debug)]
struct Traced {
    tracer: SdkTracer,
    sampler: Sampler,
    rows: u64,
}

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The environment says what cannot be.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The exporter does not start.
    #[error("traces cannot be sent: {0} (see OTEL_EXPORTER_OTLP_ENDPOINT)")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Sends spans until it is dropped, and then the last of them. Not to be dropped by a task of an asynchronous runtime: it waits.
#[derive(Debug)]
#[must_use = "the last spans are sent when this is dropped"]
pub struct Tracing(Option<SdkTracerProvider>);

/// Starts to send spans, if the environment has an endpoint; `service` is what this program calls itself there.
///
/// # Errors
/// The environment is wrong: nothing should start that would silently not be traced.
pub fn start(service: &'static str) -> Result<Tracing, TraceError> {
    let Some(settings) = Settings::of(|name| std::env::var(name).ok())? else {
        return Ok(Tracing(None));
    };
    let exporter = SpanExporter::builder().with_http().build()?;
    let builder = SdkTracerProvider::builder().with_batch_exporter(exporter);
    Ok(Tracing(Some(install(builder, settings, service))))
}

fn install(
    builder: TracerProviderBuilder,
    settings: Settings,
    service: &'static str,
) -> SdkTracerProvider {
    let provider = builder
        .with_sampler(settings.sampler.clone())
        .with_id_generator(ids::Ids::default())
        .with_resource(resource(service))
        .build();
    let tracer = provider.tracer("textnlp");
    // A second start, of a test, changes nothing.
    let _ = TRACER.set(Traced { tracer, sampler: settings.sampler, rows: settings.rows });
    provider
}

/// Who sends; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` are read by the library.
fn resource(service: &'static str) -> Resource {
    let own = |name: &str, value: String| opentelemetry::KeyValue::new(name.to_owned(), value);
    let mut builder = Resource::builder()
        .with_attribute(own("service.version", env!("CARGO_PKG_VERSION").into()));
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        builder = builder.with_service_name(service);
    }
    if let Ok(instance) = std::env::var("HOSTNAME") {
        builder = builder.with_attribute(own("service.instance.id", instance));
    }
    builder.build()
}

impl Drop for Tracing {
    fn drop(&mut self) {
        let Some(provider) = self.0.take() else { return };
        if let Err(error) = provider.shutdown_with_timeout(LAST) {
            tracing::warn!("the last spans were not sent: {error}");
        }
    }
}

/// Which rows of a job with so many are traced.
pub fn rows(total: u64) -> Rows {
    Rows::new(TRACER.get().map_or(0, |traced| traced.rows), total)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::{Instant, SystemTime};

    use opentelemetry::trace::{SpanKind, Status};
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SpanData, SpanExporter};

    use super::*;

    /// Keeps all spans. The library's own would bring features of tokio that only tests have, and with them a second build of everything.
    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().expect("no test panics with it").extend(batch);
            Ok(())
        }
    }

    /// Spans of this process's tests, by their trace.
    fn spans(of: &TraceContext) -> Vec<SpanData> {
        let all = kept().0.lock().expect("no test panics with it");
        let is_of = |span: &&SpanData| span.span_context.trace_id().to_string() == of.trace_id();
        all.iter().filter(is_of).cloned().collect()
    }

    /// Turns traces on.
    fn kept() -> &'static Kept {
        static KEPT: OnceLock<Kept> = OnceLock::new();
        KEPT.get_or_init(|| {
            let kept = Kept::default();
            let builder = SdkTracerProvider::builder().with_simple_exporter(kept.clone());
            let sampler = Sampler::ParentBased(Box::new(Sampler::AlwaysOn));
            // It ends with the process.
            std::mem::forget(install(builder, Settings { sampler, rows: 10 }, "test"));
            kept
        })
    }

    #[test]
    fn pods_of_one_job_write_one_trace_without_having_met() {
        kept();
        let job = JobTrace::new("3f0a9c1e-uid-1");
        let context = job.context();
        // Two pods.
        drop(context.child("prepare"));
        drop(JobTrace::new("3f0a9c1e-uid-1").context().child("shard"));
        // The operator, last of all.
        let (start, end) = (SystemTime::UNIX_EPOCH, SystemTime::now());
        job.finish("GenerationJob a/b", start, end, [("textnlp.phase", "Succeeded")], None);
        let spans = spans(&context);
        let names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
        assert_eq!(names, ["prepare", "shard", "GenerationJob a/b"]);
        let root = &spans[2];
        assert!(spans[..2].iter().all(|span| span.parent_span_id == root.span_context.span_id()));
        assert_eq!(root.start_time, start);
        assert_eq!(root.parent_span_id, opentelemetry::trace::SpanId::INVALID);
        assert_ne!(JobTrace::new("uid-2").context().trace_id(), context.trace_id());
    }

    #[test]
    fn a_context_goes_through_headers_as_the_w3c_writes_it() {
        kept();
        let span = JobTrace::new("uid-headers").context().request("POST");
        let mut headers = http::HeaderMap::new();
        span.context().write(&mut headers);
        let header = headers["traceparent"].to_str().expect("ASCII");
        let context = span.context();
        assert_eq!(header, format!("00-{}-{}-01", context.trace_id(), context.span_id()));
        let read = TraceContext::of_headers(&headers);
        assert_eq!((read.trace_id(), read.is_sampled()), (context.trace_id(), true));
        let mut server = Span::serve("POST /v1/completions", &read);
        server.failed("it failed");
        drop(server);
        let spans = spans(context);
        assert_eq!(spans[0].parent_span_id.to_string(), context.span_id());
        assert_eq!(spans[0].span_kind, SpanKind::Server);
        assert_eq!(spans[0].status, Status::error("it failed"));
    }

    #[test]
    fn what_is_no_context_begins_a_trace_and_one_that_is_not_sampled_stays_so() {
        kept();
        for header in
            ["", "00-0-0-01", "hello", "00-00000000000000000000000000000000-0000000000000000-01"]
        {
            let mut headers = http::HeaderMap::new();
            headers.insert("traceparent", header.parse().expect("a header"));
            assert!(!TraceContext::of_headers(&headers).is_valid(), "{header}");
            assert!(Span::serve("x", &TraceContext::of_headers(&headers)).context().is_sampled());
        }
        let mut headers = http::HeaderMap::new();
        let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        headers.insert("traceparent", unsampled.parse().expect("a header"));
        let context = TraceContext::of_headers(&headers);
        assert!(context.is_valid() && !context.is_sampled());
        let span = Span::serve("x", &context);
        assert!(!span.context().is_sampled());
        // Its log lines belong to the caller's trace all the same.
        assert_eq!(span.context().trace_id(), context.trace_id());
        assert_eq!(context.child("y").context().span_id(), context.span_id());
        assert!(!TraceContext::default().child("y").context().is_valid());
    }

    #[test]
    fn a_completion_has_its_three_stages_and_one_that_is_given_up_says_where() {
        kept();
        let parent = JobTrace::new("uid-stages").context();
        let at = Instant::now();
        let after = |ms| at + Duration::from_millis(ms);
        let mut stages = Stages::new(parent.clone(), at);
        stages.begun(after(10), 3);
        stages.token(after(30));
        stages.token(after(40));
        stages.end(after(70), Ended { prompt_tokens: 12, completion_tokens: 3, reason: "stop" });
        drop(stages);
        let mut given_up = Stages::new(parent.clone(), at);
        given_up.begun(after(5), 0);
        drop(given_up);
        let spans = spans(&parent);
        let milliseconds = |span: &SpanData| {
            span.end_time.duration_since(span.start_time).expect("in order").as_millis()
        };
        let found: Vec<_> = spans.iter().map(|span| (&*span.name, milliseconds(span))).collect();
        assert_eq!(found[..3], [("queue", 10), ("prefill", 20), ("decode", 40)]);
        assert_eq!((found[3], found[4].0, found.len()), (("queue", 5), "prefill", 5));
        assert_eq!(spans[4].status, Status::error("cancelled"));
        let attribute = |span: &SpanData, name: &str| {
            let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name);
            found.map(|attribute| attribute.value.to_string())
        };
        assert_eq!(attribute(&spans[1], "gen_ai.usage.input_tokens").as_deref(), Some("12"));
        assert_eq!(attribute(&spans[1], "textnlp.cached_tokens").as_deref(), Some("3"));
        assert_eq!(attribute(&spans[2], "gen_ai.usage.output_tokens").as_deref(), Some("3"));
    }

    #[test]
    fn the_traced_rows_are_spread_over_the_job() {
        kept();
        let chosen =
            |total| (0..total).filter(|&row| rows(total).includes(row)).collect::<Vec<_>>();
        assert_eq!(chosen(5), [0, 1, 2, 3, 4]);
        assert_eq!(chosen(95), [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
        assert_eq!(chosen(100).len(), 10);
        assert!((0..10).all(|row| !Rows::new(0, 10).includes(row)));
    }
}
