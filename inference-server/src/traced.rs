//! The span of a request: part of its caller's trace, or a trace of its own. It ends with the last that works for the request.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::Method;
use textnlp_telemetry::trace::{Span, TraceContext};
use tracing::Instrument;

use crate::routes::is_api;

/// A request's span, and where in it something happens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traced {
    context: TraceContext,
    span: Arc<Mutex<Span>>,
}

impl Traced {
    fn new(span: Span) -> Self {
        Self { context: span.context().clone(), span: Arc::new(Mutex::new(span)) }
    }

    /// That of a request; nowhere if it has none.
    pub(crate) fn of(request: &Request) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }

    /// Where it is.
    pub(crate) fn context(&self) -> &TraceContext {
        &self.context
    }

    /// A part of the same request.
    pub(crate) fn within(&self, context: TraceContext) -> Self {
        Self { context, span: Arc::clone(&self.span) }
    }

    fn tell(&self, told: impl FnOnce(&mut Span)) {
        told(&mut self.span.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Gives the request a span, and its log lines the span's ids. Of callers that were let in only: strangers could fill the collector.
pub(crate) async fn traced(mut request: Request, next: Next) -> Response {
    let method = known(request.method());
    // With the parameters' names, not their values: there must not be a name for each model that somebody asks for.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = match route {
        // Probes and scrapes come every few seconds, and say nothing that a trace could show.
        Some(route) if is_api(&route) => route,
        _ => return next.run(request).await,
    };
    let caller = TraceContext::of_headers(request.headers());
    let mut span = Span::serve(format!("{} {route}", method.unwrap_or("HTTP")), &caller);
    span.set("http.request.method", method.unwrap_or("_OTHER"));
    span.set("http.route", route);
    let traced = Traced::new(span);
    let context = traced.context().clone();
    request.extensions_mut().insert(traced.clone());
    let mut response = next.run(request).instrument(context.log()).await;
    let status = response.status();
    traced.tell(|span| {
        span.set("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            span.failed(status.to_string());
        }
    });
    response.extensions_mut().insert(context);
    response
}

/// The method, if it is one that everybody knows: there must not be a name for each word that somebody sends.
fn known(method: &Method) -> Option<&'static str> {
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
        .into_iter()
        .find(|known| method.as_str() == *known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_nobody_knows_has_no_name() {
        assert_eq!(known(&Method::POST), Some("POST"));
        assert_eq!(known(&Method::from_bytes(b"BREW").expect("a word")), None);
    }
}
