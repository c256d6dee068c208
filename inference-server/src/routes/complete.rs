//! `POST /v1/completions` and `POST /v1/chat/completions`.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;
use serde::de::DeserializeOwned;
use textnlp_crds::task::MODEL_DIGEST_HEADER;

use super::AppState;
use crate::access::Caller;
use crate::answer::{self, Chat, Envelope, Shape, Text};
use crate::api::chat::ChatRequest;
use crate::api::completions::CompletionRequest;
use crate::ask::Ask;
use crate::body::read_json;
use crate::deadline::{self, Deadline};
use crate::error::ApiError;
use crate::generation::{Generation, Origin};
use crate::inflight::Source;
use crate::refused::Checked;
use crate::served::Served;
use crate::traced::Traced;

pub(super) async fn chat(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, ApiError> {
    generate::<Checked<ChatRequest>, Chat>(&state, request, "chatcmpl").await
}

pub(super) async fn completions(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, ApiError> {
    generate::<Checked<CompletionRequest>, Text>(&state, request, "cmpl").await
}

async fn generate<Body, S>(
    state: &AppState,
    request: Request,
    id_prefix: &str,
) -> Result<Response, ApiError>
where
    Body: DeserializeOwned + Send + 'static,
    Ask: TryFrom<Body, Error = ApiError>,
    S: Shape,
{
    let arrived = Instant::now();
    let served = state.readiness.accept()?;
    let source = check_digest(served, request.headers())?;
    let caller = request.extensions().get::<Caller>().cloned();
    let traced = Traced::of(&request);
    let deadline = Deadline::of(request.headers(), state.config.request_limit, arrived)?;
    // Kept until the prompts are tokens.
    let mut bytes = state.admission.bytes();
    let body: Body = read_json(request, &state.config, &mut bytes).await?;
    let ask = Ask::try_from(body)?;
    if ask.model != served.name {
        return Err(ApiError::UnknownModel { found: ask.model, known: served.name.clone() });
    }
    let envelope = Envelope::new(served, id_prefix, ask.choices);
    let delivery = ask.delivery;
    let origin = Origin { source, arrived, caller, deadline, traced };
    let start = Generation::start(state, served, ask, origin);
    let generation = deadline::within(deadline, start).await?;
    drop(bytes);
    answer::answer::<S>(envelope, generation, delivery).await
}

/// A job pins the digest of its model: it must not get another one's answers.
pub(super) fn check_digest(served: &Served, headers: &HeaderMap) -> Result<Source, ApiError> {
    match headers.get(MODEL_DIGEST_HEADER) {
        None => Ok(Source::External),
        Some(wanted) if *wanted == served.digest => Ok(Source::Job),
        Some(wanted) => Err(ApiError::ModelChanged {
            wanted: String::from_utf8_lossy(wanted.as_bytes()).into_owned(),
            found: served.model.info().digest.clone(),
        }),
    }
}
