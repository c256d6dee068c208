//! The parrot behind HTTP, with the faults of real servers: refusals that pass, connections that break.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use textnlp_generation::completer::CompletionError;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::say;

/// Digest of the parrot.
pub(crate) const DIGEST: &str = "sha256:00";

/// What the server does.
#[derive(Debug, Default)]
pub(crate) struct Behaviour {
    /// Every so many requests one is refused with 429 or 503; 0: none.
    pub(crate) refuses_every: u64,
    /// Answers everything so.
    pub(crate) always: Option<(u16, Value)>,
    /// Wants this key.
    pub(crate) key: Option<String>,
    /// Leaves out `usage`.
    pub(crate) silent: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Parrots {
    pub(crate) behaviour: Behaviour,
    /// Requests that came.
    pub(crate) asked: AtomicU64,
    /// Completions that were answered.
    pub(crate) answered: AtomicU64,
    /// Bodies of the requests.
    pub(crate) bodies: Mutex<Vec<Value>>,
    /// Headers of the last request.
    pub(crate) headers: Mutex<HeaderMap>,
}

/// A server; it stops when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) parrots: Arc<Parrots>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        Self::start_at(TcpListener::bind("127.0.0.1:0").await.expect("a port"), behaviour)
    }

    pub(crate) fn start_at(listener: TcpListener, behaviour: Behaviour) -> Self {
        let address = listener.local_addr().expect("an address");
        let parrots = Arc::new(Parrots { behaviour, ..Parrots::default() });
        let app = Router::new()
            .route("/v1/chat/completions", post(complete))
            .route("/v1/completions", post(complete))
            .with_state(parrots.clone());
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("the server runs");
        });
        Self { address, parrots, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn refusal(status: u16, message: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, Json(json!({"error": {"message": message}}))).into_response()
}

async fn complete(
    State(parrots): State<Arc<Parrots>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let number = parrots.asked.fetch_add(1, Ordering::Relaxed) + 1;
    *parrots.headers.lock().expect("no panic") = headers.clone();
    let behaviour = &parrots.behaviour;
    if let Some((status, body)) = &behaviour.always {
        return (StatusCode::from_u16(*status).expect("a status"), Json(body.clone()))
            .into_response();
    }
    if behaviour.refuses_every > 0 && number.is_multiple_of(behaviour.refuses_every) {
        let mut response = refusal(if number.is_multiple_of(2) { 429 } else { 503 }, "busy");
        response.headers_mut().insert("retry-after", "0".parse().expect("a header"));
        return response;
    }
    match (&behaviour.key, headers.get("authorization")) {
        (Some(key), Some(found)) if *found == format!("Bearer {key}") => {}
        (Some(_), _) => return refusal(401, "wrong key"),
        (None, _) => {}
    }
    if headers.get("x-textnlp-model-digest").is_some_and(|digest| digest != DIGEST) {
        return refusal(412, "another model");
    }
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return refusal(400, "no JSON");
    };
    parrots.bodies.lock().expect("no panic").push(request.clone());
    let prompt = request.get("messages").or(request.get("prompt")).cloned().unwrap_or_default();
    match say(&prompt, request["seed"].as_u64().unwrap_or_default()) {
        Ok(done) => {
            parrots.answered.fetch_add(1, Ordering::Relaxed);
            let mut answer = json!({
                "choices": [{
                    "message": {"role": "assistant", "content": done.text},
                    "text": done.text,
                    "finish_reason": done.finish_reason,
                }],
            });
            if !behaviour.silent {
                answer["usage"] = json!({
                    "prompt_tokens": done.prompt_tokens,
                    "completion_tokens": done.completion_tokens,
                });
            }
            Json(answer).into_response()
        }
        Err(CompletionError::Request(message)) => refusal(400, &message),
        Err(error) => refusal(500, &error.to_string()),
    }
}
