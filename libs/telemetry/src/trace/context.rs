//! Where in a trace something happens: what a span's children, logs and requests must know of it.

use std::borrow::Cow;
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::Span as _;
use opentelemetry::trace::{
    SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SamplingDecision, ShouldSample};
use sha2::{Digest, Sha256};

use super::span::Span;
use super::{TRACER, ids};

/// A place in a trace. The default is in none.
#[derive(Debug, Clone)]
pub struct TraceContext(SpanContext);

impl Default for TraceContext {
    fn default() -> Self {
        Self(SpanContext::NONE)
    }
}

impl TraceContext {
    pub(super) fn new(context: SpanContext) -> Self {
        Self(context)
    }

    /// What a request's headers say (W3C Trace Context); in no trace where they are not there or wrong.
    pub fn of_headers(headers: &HeaderMap) -> Self {
        let context = TraceContextPropagator::new()
            .extract_with_context(&Context::new(), &HeaderExtractor(headers));
        Self(context.span().span_context().clone())
    }

    /// What the environment says (`TRACEPARENT`, `TRACESTATE`), as those do who start programs as parts of their traces.
    pub fn of_environment() -> Self {
        let mut headers = HeaderMap::new();
        for (name, variable) in [("traceparent", "TRACEPARENT"), ("tracestate", "TRACESTATE")] {
            if let Some(value) = std::env::var(variable).ok().and_then(|value| value.parse().ok()) {
                headers.insert(name, value);
            }
        }
        Self::of_headers(&headers)
    }

    /// Writes it into a request's headers, if it is in a trace.
    pub fn write(&self, headers: &mut HeaderMap) {
        if self.is_valid() {
            let context = self.as_parent();
            TraceContextPropagator::new().inject_context(&context, &mut HeaderInjector(headers));
            // The library writes one without contents, which the W3C advises against.
            if headers.get("tracestate").is_some_and(HeaderValue::is_empty) {
                headers.remove("tracestate");
            }
        }
    }

    /// Whether it is in a trace.
    pub fn is_valid(&self) -> bool {
        self.0.is_valid()
    }

    /// Whether that trace is sent.
    pub fn is_sampled(&self) -> bool {
        self.is_valid() && self.0.is_sampled()
    }

    /// The same place, of which nothing is sent: whoever is called from there begins no trace of its own either.
    pub fn unsampled(&self) -> Self {
        let Self(context) = self;
        Self(SpanContext::new(
            context.trace_id(),
            context.span_id(),
            TraceFlags::default(),
            context.is_remote(),
            TraceState::default(),
        ))
    }

    /// 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        self.0.trace_id().to_string()
    }

    /// 16 hexadecimal digits.
    pub fn span_id(&self) -> String {
        self.0.span_id().to_string()
    }

    /// A span of the program's own inside this one; none where this one is not sent.
    pub fn child(&self, name: impl Into<Cow<'static, str>>) -> Span {
        Span::inside(name.into(), SpanKind::Internal, self)
    }

    /// A call of another program inside this one.
    pub fn request(&self, name: impl Into<Cow<'static, str>>) -> Span {
        Span::inside(name.into(), SpanKind::Client, self)
    }

    /// A span of the log with these ids, so that lines can be found by them; disabled outside of traces.
    pub fn log(&self) -> tracing::Span {
        if !self.is_valid() {
            return tracing::Span::none();
        }
        // Of the highest level, or a filter would take the ids from lines that it lets through.
        tracing::error_span!("trace", trace_id = self.trace_id(), span_id = self.span_id())
    }

    /// Something inside this one that is over.
    pub(super) fn past(
        &self,
        name: &'static str,
        (start, end): (SystemTime, SystemTime),
        attributes: impl IntoIterator<Item = KeyValue>,
        failure: Option<String>,
    ) {
        let Some(traced) = TRACER.get().filter(|_| self.is_sampled()) else { return };
        let builder =
            SpanBuilder::from_name(name).with_start_time(start).with_attributes(attributes);
        let mut span = traced.tracer.build_with_context(builder, &self.as_parent());
        if let Some(failure) = failure {
            span.set_status(Status::error(failure));
        }
        span.end_with_timestamp(end);
    }

    /// As the library wants it. A parent that is none would count as one that is not sampled.
    pub(super) fn as_parent(&self) -> Context {
        if !self.is_valid() {
            return Context::new();
        }
        Context::new().with_remote_span_context(self.0.clone())
    }
}

/// The trace of a GenerationJob, and its root span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobTrace {
    trace: TraceId,
    root: SpanId,
}

impl JobTrace {
    /// That of the job with this UID.
    pub fn new(uid: &str) -> Self {
        // Not the UID itself: six of its bits are always the same, and samplers need random ones.
        let hash: [u8; 32] = Sha256::digest(format!("GenerationJob {uid}").as_bytes()).into();
        let part = |from: usize| -> [u8; 8] { std::array::from_fn(|i| hash[from + i]) };
        let trace: [u8; 16] = std::array::from_fn(|i| hash[i]);
        Self { trace: TraceId::from_bytes(trace), root: SpanId::from_bytes(part(16)) }
    }

    /// The root span as a parent; in no trace while traces are off.
    pub fn context(self) -> TraceContext {
        let Some(traced) = TRACER.get() else { return TraceContext::default() };
        // Every pod comes to the same decision: it follows from the trace's id.
        let sampled = traced.sampler.should_sample(
            None,
            self.trace,
            "GenerationJob",
            &SpanKind::Internal,
            &[],
            &[],
        );
        let flags = match sampled.decision {
            SamplingDecision::RecordAndSample => TraceFlags::SAMPLED,
            _ => TraceFlags::default(),
        };
        TraceContext(SpanContext::new(self.trace, self.root, flags, true, TraceState::default()))
    }

    /// Writes the root span, once the job is over. Written twice, it is the same span.
    pub fn finish(
        self,
        name: impl Into<Cow<'static, str>>,
        start: SystemTime,
        end: SystemTime,
        attributes: impl IntoIterator<Item = (&'static str, impl Into<opentelemetry::Value>)>,
        failure: Option<String>,
    ) {
        let Some(traced) = TRACER.get() else { return };
        let attributes = attributes.into_iter().map(|(name, value)| KeyValue::new(name, value));
        let builder =
            SpanBuilder::from_name(name).with_start_time(start).with_attributes(attributes);
        let mut span = ids::with((self.trace, self.root), || {
            traced.tracer.build_with_context(builder, &Context::new())
        });
        if let Some(failure) = failure {
            span.set_status(Status::error(failure));
        }
        span.end_with_timestamp(end);
    }
}
