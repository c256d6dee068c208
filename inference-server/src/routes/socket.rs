//! `GET /generate` as a WebSocket (RFC 6455): the first message is the request, the server's messages are the events of its rows, and
//! then it closes. A client that closes earlier stops the work.

use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use super::AppState;
use super::complete::check_digest;
use super::cors::may_open;
use super::generate::next;
use crate::access::Caller;
use crate::api::generate::GenerateRequest;
use crate::body::parse_apart;
use crate::connection::Seat;
use crate::deadline::Deadline;
use crate::error::ApiError;
use crate::generation::Origin;
use crate::rows::{self, Held};
use crate::traced::Traced;
use crate::written::{Delivery, Finished};

/// How long a client gets to close from its side too.
const CLOSING: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

pub(super) async fn generate(
    State(state): State<AppState>,
    mut request: Request,
) -> Result<Response, ApiError> {
    let served = state.readiness.accept()?;
    let source = check_digest(served, request.headers())?;
    let key = handshake(request.method(), request.headers())?;
    if !may_open(request.headers(), &state.config.allowed_origins) {
        return Err(ApiError::ForeignOrigin);
    }
    let caller = request.extensions().get::<Caller>().cloned();
    let traced = Traced::of(&request);
    let seat = request.extensions().get::<Seat>().cloned();
    let arrived = Instant::now();
    let deadline = Deadline::of(request.headers(), state.config.request_limit, arrived)?;
    let upgrade = hyper::upgrade::on(&mut request);
    let origin = Origin { source, arrived, caller, deadline, traced };
    state.sockets.clone().spawn(serve(state, upgrade, origin, seat));
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    Ok(response)
}

/// The answer to a client's key.
fn handshake(method: &Method, headers: &HeaderMap) -> Result<HeaderValue, ApiError> {
    let has = |name: header::HeaderName, word: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let upgrades = has(header::CONNECTION, "upgrade") && has(header::UPGRADE, "websocket");
    let (Some(key), true, &Method::GET) = (key, upgrades, method) else {
        return Err(ApiError::UpgradeRequired);
    };
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(ApiError::UpgradeRequired);
    }
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| ApiError::UpgradeRequired)
}

async fn serve(state: AppState, upgrade: OnUpgrade, origin: Origin, seat: Option<Seat>) {
    // It is one of the server's connections until it has closed.
    let _seat = seat;
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!("a socket was not opened: {error}");
            return;
        }
    };
    let limit = Some(state.config.body_limit);
    let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
    let io = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let code = match answer(&state, &mut socket, origin).await {
        Ok(()) => CloseCode::Normal,
        Err(Ended::Told) => CloseCode::Policy,
        Err(Ended::Refused(error)) => {
            let _ = socket.send(Message::text(Finished::error(&error).json)).await;
            CloseCode::Policy
        }
        Err(Ended::Gone) => return,
    };
    let frame = CloseFrame { code, reason: Default::default() };
    let closed = async {
        let _ = socket.close(Some(frame)).await;
        // The client's own close, which ends the connection in order.
        while let Some(Ok(_)) = socket.next().await {}
    };
    let _ = tokio::time::timeout(CLOSING, closed).await;
}

/// Why there are no more rows.
enum Ended {
    /// The client knows already.
    Told,
    Refused(ApiError),
    Gone,
}

impl From<ApiError> for Ended {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

async fn answer(state: &AppState, socket: &mut Socket, origin: Origin) -> Result<(), Ended> {
    let limit = state.config.body_timeout;
    let first = tokio::time::timeout(limit, first(socket)).await;
    let text = first.map_err(|_| ApiError::BodyTimeout { seconds: limit.as_secs() })??;
    let mut bytes = state.admission.bytes();
    bytes.take(text.len())?;
    let request: GenerateRequest = parse_apart(text).await?;
    let turn = state.admission.queue(origin.caller.as_ref())?;
    let served = state.readiness.accept()?;
    let held = Held { turn, bytes };
    let mut events =
        Some(rows::begin(state, served, request, Delivery::Lines, origin, held).await?);
    while let Some(receiver) = events.take() {
        let (event, more) = tokio::select! {
            made = next(receiver) => made,
            // Dropping the receiver stops the work.
            ended = watched(socket) => return Err(ended),
        };
        events = more;
        socket.send(Message::text(event.json)).await.map_err(|_| Ended::Gone)?;
        if event.is_error {
            return Err(Ended::Told);
        }
    }
    Ok(())
}

/// The request.
async fn first(socket: &mut Socket) -> Result<Vec<u8>, Ended> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.as_bytes().to_vec()),
            Some(Ok(Message::Binary(bytes))) => return Ok(bytes.to_vec()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Ended::Gone),
            Some(Ok(_)) => {}
        }
    }
}

/// Waits for the client's end; pings are answered meanwhile.
async fn watched(socket: &mut Socket) -> Ended {
    loop {
        match socket.next().await {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Text(_) | Message::Binary(_))) => {
                let message = "a socket takes one request; open another one for the next";
                return Ended::Refused(ApiError::Parameter {
                    param: None,
                    message: message.to_owned(),
                    code: "second_request",
                });
            }
            _ => return Ended::Gone,
        }
    }
}
