//! `POST /generate`: rows from records and columns, as `textnlp run` makes them. Whole, or as lines of JSON while they are made.

use std::convert::Infallible;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::stream;
use http::{HeaderMap, HeaderValue, header};
use tokio::sync::mpsc::Receiver;

use super::AppState;
use super::complete::check_digest;
use crate::access::Caller;
use crate::api::generate::GenerateRequest;
use crate::body::read_json;
use crate::deadline::Deadline;
use crate::error::ApiError;
use crate::generation::Origin;
use crate::rows::{self, Held, Next};
use crate::traced::Traced;
use crate::written::{Delivery, Finished};

/// How the lines of an answer are called.
const LINES: &str = "application/x-ndjson";

pub(super) async fn generate(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, ApiError> {
    let arrived = Instant::now();
    let served = state.readiness.accept()?;
    let source = check_digest(served, request.headers())?;
    let accepts_lines = accepts_lines(request.headers());
    let caller = request.extensions().get::<Caller>().cloned();
    let traced = Traced::of(&request);
    let deadline = Deadline::of(request.headers(), state.config.request_limit, arrived)?;
    let mut bytes = state.admission.bytes();
    let body: GenerateRequest = read_json(request, &state.config, &mut bytes).await?;
    let turn = state.admission.queue(caller.as_ref())?;
    let delivery = match body.stream.unwrap_or(accepts_lines) {
        true => Delivery::Lines,
        false => Delivery::Whole,
    };
    let origin = Origin { source, arrived, caller, deadline, traced };
    let held = Held { turn, bytes };
    let mut events = rows::begin(&state, served, body, delivery, origin, held).await?;
    match delivery {
        Delivery::Lines => Ok(lines(events)),
        Delivery::Whole => {
            let whole = events.recv().await.unwrap_or(Err(ApiError::Internal))?;
            let json = HeaderValue::from_static("application/json");
            Ok(([(header::CONTENT_TYPE, json)], whole.json).into_response())
        }
    }
}

fn accepts_lines(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains(LINES))
}

fn lines(events: Receiver<Next>) -> Response {
    let lines = stream::unfold(Some(events), |events| async move {
        let (event, more) = next(events?).await;
        let mut line = event.json.into_bytes();
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
pub(super) async fn next(mut events: Receiver<Next>) -> (Finished, Option<Receiver<Next>>) {
    // No more of them without a last one: the client took none for too long, or the rows' thread has ended in their midst.
    let event = events.recv().await.unwrap_or(Err(ApiError::Internal));
    let event = event.unwrap_or_else(|error| Finished::error(&error));
    let more = (!event.is_last).then_some(events);
    (event, more)
}
