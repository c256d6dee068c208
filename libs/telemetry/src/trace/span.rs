//! A span under way.

use std::borrow::Cow;

use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Status, Tracer};
use opentelemetry::{Key, Value};
use opentelemetry_sdk::trace::Span as SdkSpan;

use super::{TRACER, TraceContext};

/// Something under way that is part of a trace, or of none; it ends when it is dropped.
#[derive(Debug, Default)]
pub struct Span {
    /// None where nothing is recorded.
    inner: Option<SdkSpan>,
    /// Where it is; the caller's where nothing is recorded.
    context: TraceContext,
}

impl Span {
    /// Work for a caller, whose trace it is part of; or a trace of its own, if the sampler wants it.
    pub fn serve(name: impl Into<Cow<'static, str>>, caller: &TraceContext) -> Self {
        Self::build(name.into(), SpanKind::Server, caller)
    }

    /// A whole run of this program, inside what has started it or as a trace of its own.
    pub fn run(name: impl Into<Cow<'static, str>>, starter: &TraceContext) -> Self {
        Self::build(name.into(), SpanKind::Internal, starter)
    }

    pub(super) fn inside(name: Cow<'static, str>, kind: SpanKind, parent: &TraceContext) -> Self {
        if !parent.is_sampled() {
            // Who is called next should know that this trace is not sent, rather than begin one of its own.
            return Self { inner: None, context: parent.clone() };
        }
        Self::build(name, kind, parent)
    }

    fn build(name: Cow<'static, str>, kind: SpanKind, parent: &TraceContext) -> Self {
        let Some(traced) = TRACER.get() else {
            return Self { inner: None, context: parent.clone() };
        };
        let builder = SpanBuilder::from_name(name).with_kind(kind);
        let span = traced.tracer.build_with_context(builder, &parent.as_parent());
        let context = TraceContext::new(span.span_context().clone());
        Self { inner: span.is_recording().then_some(span), context }
    }

    /// Where its children belong.
    pub fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Says something of it.
    pub fn set(&mut self, name: impl Into<Key>, value: impl Into<Value>) {
        if let Some(span) = &mut self.inner {
            span.set_attribute(opentelemetry::KeyValue::new(name, value));
        }
    }

    /// It does not come to what it was to come to.
    pub fn failed(&mut self, why: impl Into<Cow<'static, str>>) {
        if let Some(span) = &mut self.inner {
            span.set_status(Status::error(why));
        }
    }
}
