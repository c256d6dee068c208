//! `GET /metrics`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;

use super::AppState;
use crate::error::ApiError;

pub(super) async fn metrics(State(state): State<AppState>) -> Result<Response, ApiError> {
    let (content_type, text) = state.metrics.text().map_err(|_| ApiError::Internal)?;
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}
