//! `POST /generate`: rows from records and columns, as `textnlp run` makes them. Whole, or as lines of JSON while they are made.

use std::convert::Infallible;
use std::time::Instant;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::stream;
use http::{HeaderMap, HeaderValue, header};
use tokio::sync::mpsc::Receiver;

use super::AppState;
use super::complete::check_digest;
use crate::access::Caller;
use crate::api::generate::{GenerateEvent, GenerateRequest, GenerateResponse};
use crate::body::read_json;
use crate::deadline::Deadline;
use crate::error::ApiError;
use crate::generation::Origin;
use crate::rows::{self, Held, Next};

/// How the lines of an answer are called.
const LINES: &str = "application/x-ndjson";

pub(super) async fn generate(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, ApiError> {
    let arrived = Instant::now();
    let served = state.readiness.accept()?;
    let source = check_digest(served, request.headers())?;
    let turn = state.admission.queue()?;
    let accepts_lines = accepts_lines(request.headers());
    let caller = request.extensions().get::<Caller>().cloned();
    let deadline = Deadline::of(request.headers(), state.config.request_limit, arrived)?;
    let mut bytes = state.admission.bytes();
    let body: GenerateRequest = read_json(request, &state.config, &mut bytes).await?;
    let streamed = body.stream.unwrap_or(accepts_lines);
    let origin = Origin { source, arrived, caller, deadline };
    let held = Held { turn, bytes };
    let events = rows::begin(&state, served, body, streamed, origin, held).await?;
    match streamed {
        true => Ok(lines(events)),
        false => Ok(Json(whole(events).await?).into_response()),
    }
}

fn accepts_lines(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains(LINES))
}

async fn whole(mut events: Receiver<Next>) -> Result<GenerateResponse, ApiError> {
    let (mut rows, mut rejected, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(event) = events.recv().await {
        match event? {
            GenerateEvent::Row(row) => rows.push(row),
            GenerateEvent::Rejected(row) => rejected.push(row),
            GenerateEvent::Failed(row) => failed.push(row),
            GenerateEvent::Error(_) => break,
            GenerateEvent::Summary(summary) => {
                return Ok(GenerateResponse { rows, rejected, failed, summary: *summary });
            }
        }
    }
    Err(ApiError::Internal)
}

fn lines(events: Receiver<Next>) -> Response {
    let lines = stream::unfold(Some(events), |events| async move {
        let (event, more) = next(events?).await;
        let mut line = serde_json::to_vec(&event).unwrap_or_default();
        line.push(b'\n');
        Some((Ok::<_, Infallible>(Bytes::from(line)), more))
    });
    let mut response = Body::from_stream(lines).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(LINES));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The next event, and where further ones come from, unless it is the last.
pub(super) async fn next(mut events: Receiver<Next>) -> (GenerateEvent, Option<Receiver<Next>>) {
    match events.recv().await {
        Some(Ok(event @ GenerateEvent::Summary(_))) => (event, None),
        Some(Ok(event)) => (event, Some(events)),
        Some(Err(error)) => (GenerateEvent::Error(error.body().error), None),
        // The rows' thread has ended in the midst of them.
        None => (GenerateEvent::Error(ApiError::Internal.body().error), None),
    }
}
