//! `/healthz`: should this process live on? `/readyz`: should requests come here?

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::AppState;
use crate::api::health::Health;
use crate::readiness::Phase;

/// A server that loads or drains is alive; one whose engine has ended can only be started again.
pub(super) async fn live(State(state): State<AppState>) -> Response {
    let engine = state.readiness.served().and_then(|served| served.model.engine().stopped());
    let phase = state.readiness.phase();
    match engine {
        Some(cause) if phase != Phase::Draining => {
            let cause = cause.unwrap_or_else(|| "the engine was stopped".to_owned());
            let body = Health { status: "failed", phase: phase.as_str(), cause: Some(cause) };
            (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
        }
        _ => Json(Health { status: "ok", phase: phase.as_str(), cause: None }).into_response(),
    }
}

pub(super) async fn ready(State(state): State<AppState>) -> Response {
    let phase = state.readiness.phase();
    let (status, word) = match phase {
        Phase::Ready => (StatusCode::OK, "ready"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    (status, Json(Health { status: word, phase: phase.as_str(), cause: None })).into_response()
}
