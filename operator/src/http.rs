//! The operator's own HTTP: `/healthz`, `/readyz`, `/metrics`. I/O.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Content type of the OpenMetrics text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the endpoints answer from.
#[derive(Clone)]
pub struct Health {
    metrics: Arc<Metrics>,
    ready: Arc<AtomicBool>,
    /// Held by the one for whom the metrics are written.
    turn: Arc<Mutex<()>>,
}

impl Health {
    /// Alive, not ready yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, ready: Arc::default(), turn: Arc::default() }
    }

    /// A standby replica is ready too: it can take over.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }
}

/// The endpoints.
pub fn router(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health)
}

/// Answers until `stop`.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    stop: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(health)).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    if health.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting: the API server has not answered yet\n")
    }
}

async fn metrics(State(health): State<Health>) -> Response {
    // Thousands of jobs are megabytes of text: probes need not wait for it, and many who ask wait for one another.
    let turn = health.turn.clone().lock_owned().await;
    let write = move || {
        let _turn = turn;
        health.metrics.text()
    };
    match tokio::task::spawn_blocking(write).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readiness_follows_the_process_and_metrics_are_open_metrics() {
        let health = Health::new(Arc::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, health.clone(), stop.clone()));
        let get = |path: &str| reqwest::get(format!("http://{address}{path}"));
        assert_eq!(get("/healthz").await.expect("an answer").status(), 200);
        assert_eq!(get("/readyz").await.expect("an answer").status(), 503);
        health.set_ready(true);
        assert_eq!(get("/readyz").await.expect("an answer").status(), 200);
        let metrics = get("/metrics").await.expect("an answer");
        assert_eq!(metrics.headers()["content-type"], OPEN_METRICS);
        assert!(metrics.text().await.expect("text").ends_with("# EOF\n"));
        stop.cancel();
        server.await.expect("no panic").expect("a clean end");
    }
}
