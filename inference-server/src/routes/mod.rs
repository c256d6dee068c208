//! The routes, and what happens to every request: a panic is answered, responses carry the model's digest.

mod complete;
mod cors;
mod description;
mod format;
mod generate;
mod health;
mod models;
mod scrape;
mod socket;
mod validate;

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderValue, Method, StatusCode, header};
use textnlp_crds::task::MODEL_DIGEST_HEADER;
use textnlp_telemetry::trace::TraceContext;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;

use crate::access::{Access, Caller, Scope};
use crate::admission::Admission;
use crate::config::ServerConfig;
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::rows::RowThreads;
use crate::traced::traced;
use crate::well_formed::well_formed;

/// What every handler may use.
#[derive(Debug, Clone)]
pub(crate) struct AppState {
    /// Limits.
    pub(crate) config: Arc<ServerConfig>,
    /// The server's phase, and the model.
    pub(crate) readiness: Arc<Readiness>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Places for completions.
    pub(crate) admission: Arc<Admission>,
    /// Who may call.
    pub(crate) access: Arc<Access>,
    /// Connections that have become sockets, which a server that ends waits for.
    pub(crate) sockets: TaskTracker,
    /// Only programs of this machine reach it.
    pub(crate) is_local: bool,
    /// Where rows of requests are made.
    pub(crate) rows: Arc<RowThreads>,
}

/// All routes.
pub(crate) fn router(state: AppState) -> Router {
    let origins = &state.config.allowed_origins;
    let router = Router::new()
        .route("/v1/completions", post(complete::completions))
        .route("/v1/chat/completions", post(complete::chat))
        .route("/generate", post(generate::generate).get(socket::generate))
        .route("/validate", post(validate::validate))
        .route("/format", post(format::format))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(scrape::metrics))
        .route("/openapi.json", get(description::openapi))
        .route("/docs", get(description::docs))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(well_formed))
        .layer(middleware::from_fn(traced))
        // Around all routes, those that there are not among them: what nobody thought of is closed.
        .layer(middleware::from_fn_with_state(state.clone(), authorize))
        .layer(middleware::from_fn_with_state(state.clone(), every_response))
        .layer(CatchPanicLayer::custom(panicked));
    // A browser asks first, without a key.
    let router = if origins.is_empty() { router } else { router.layer(cors::layer(origins)) };
    router.with_state(state)
}

/// Of an answer to somebody who may be anybody.
#[derive(Debug, Clone, Copy)]
struct ToStranger;

/// Lets in whom `access` lets in, and writes down every call; never what was asked or answered.
async fn authorize(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let scope = match request.uri().path() {
        "/healthz" | "/readyz" => return next.run(request).await,
        "/metrics" => Scope::Metrics,
        _ => Scope::Inference,
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let checked = state.access.check(request.headers(), scope).await;
    let (caller, response) = match checked {
        Ok(None) if is_foreign(&state, &request) => return ApiError::ForeignOrigin.into_response(),
        Ok(None) => return next.run(request).await,
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller.clone());
            (Some(caller), next.run(request).await)
        }
        Err(error) => {
            let is_stranger = matches!(error, ApiError::Unauthorized | ApiError::AccessUnavailable);
            let mut response = error.into_response();
            if is_stranger {
                response.extensions_mut().insert(ToStranger);
            }
            (None, response)
        }
    };
    let status = response.status();
    if let Some(caller) = &caller {
        state.metrics.called(caller.label(), status);
    }
    let name = caller.as_ref().map_or("", Caller::name);
    let trace = response.extensions().get::<TraceContext>().map(TraceContext::log);
    let _in_trace = trace.as_ref().map(tracing::Span::enter);
    tracing::info!(target: "audit", key = name, %method, path, status = status.as_u16(), "call");
    response
}

/// Whether a page of another site sends this, on its own, to a server that asks nobody for a key: it could not read the answer, but
/// would have the work done.
fn is_foreign(state: &AppState, request: &Request) -> bool {
    let (origins, headers) = (&state.config.allowed_origins, request.headers());
    let is_foreign = request.method() == Method::POST && !cors::may_open(headers, origins);
    is_foreign || (state.is_local && !cors::is_meant(headers, origins))
}

/// Whether a path, or a route, is of work that is asked for, rather than of what the server tells of itself.
pub(crate) fn is_api(path: &str) -> bool {
    path.starts_with("/v1/") || ["/generate", "/validate", "/format"].contains(&path)
}

async fn every_response(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let is_api = is_api(request.uri().path());
    let mut response = next.run(request).await;
    let is_stranger = response.extensions().get::<ToStranger>().is_some();
    let opens_socket = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    if let Some(served) = state.readiness.served().filter(|_| !is_stranger) {
        headers.insert(MODEL_DIGEST_HEADER, served.digest.clone());
    }
    // Answers are their asker's, and no page's to be shown as something else.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A socket's connection is not one of requests any more.
    if state.readiness.is_leaving() && !opens_socket {
        // The next request of this client should find another server.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if is_api {
        state.metrics.responded(response.status());
    }
    response
}

async fn not_found(request: Request) -> ApiError {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    ApiError::NotFound { method, path }
}

async fn method_not_allowed(request: Request) -> ApiError {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    ApiError::MethodNotAllowed { method, path }
}

/// The panic itself went to stderr, with its place.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request's handler panicked");
    ApiError::Internal.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_handler_that_panics_answers_with_500_in_openais_shape() {
        async fn handler() {
            panic!("a fault of ours")
        }
        let router =
            Router::new().route("/", get(handler)).layer(CatchPanicLayer::custom(panicked));
        let request = Request::new(Body::empty());
        let response = router.oneshot(request).await.expect("it is infallible");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 1 << 10).await.expect("a body");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["error"]["code"], "internal_error");
    }
}
