//! Connections: accepted within limits, served, and closed once nothing is under way on them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::task::TaskTracker;
use tower::Layer;

use crate::config::ServerConfig;
use crate::stall::Stalling;
use crate::tls::Tls;

/// How long to wait after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection still takes requests once the server drains: one may be on its way, and would be lost.
const LINGER: Duration = Duration::from_secs(1);

/// One of the server's connections, until it is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Seat(#[allow(dead_code)] Arc<OwnedSemaphorePermit>);

/// The routes of one connection.
type Seated = <Extension<Seat> as Layer<Router>>::Service;

/// Accepts connections until it is dropped.
pub(crate) struct Acceptor {
    listener: TcpListener,
    places: Arc<Semaphore>,
    http: http1::Builder,
    router: Router,
    /// None: plain HTTP.
    tls: Option<Arc<Tls>>,
    handshake_timeout: Duration,
    answer_timeout: Duration,
}

impl Acceptor {
    pub(crate) fn new(
        listener: TcpListener,
        router: Router,
        tls: Option<Arc<Tls>>,
        config: &ServerConfig,
    ) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(config.header_timeout)
            .max_header_size(config.header_limit);
        let places = config.connections.clamp(1, Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(places));
        // Its first bytes come as late as a request's.
        let handshake_timeout = config.header_timeout;
        let answer_timeout = config.answer_timeout;
        Self { listener, places, http, router, tls, handshake_timeout, answer_timeout }
    }

    /// Never returns. Connections are tasks of `tracker`; each closes after its current request soon after
    /// `closing` is true.
    pub(crate) async fn run(&self, tracker: &TaskTracker, closing: &watch::Receiver<bool>) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let connection = self.serve(stream, place, closing.clone());
                    tracker.spawn(connection);
                }
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn serve(
        &self,
        stream: TcpStream,
        place: OwnedSemaphorePermit,
        closing: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + use<> {
        // Tokens are small and should not wait for each other.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("cannot set TCP_NODELAY: {error}");
        }
        let stream = Stalling::new(stream, self.answer_timeout);
        let (http, router) = (self.http.clone(), self.router.clone());
        let tls = self.tls.as_ref().map(|tls| tls.acceptor());
        let timeout = self.handshake_timeout;
        // Requests know of it: a socket has it longer than HTTP does.
        let seat = Seat(Arc::new(place));
        let router = Extension(seat.clone()).layer(router);
        async move {
            let _seat = seat;
            let Some(tls) = tls else { return answer(&http, stream, router, closing).await };
            let handshake = tokio::time::timeout(timeout, tls.accept(stream));
            let shaken = tokio::select! {
                shaken = handshake => shaken,
                () = closed(closing.clone()) => return,
            };
            match shaken {
                Ok(Ok(stream)) => answer(&http, stream, router, closing).await,
                Ok(Err(error)) => tracing::debug!("a TLS handshake failed: {error}"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        }
    }
}

/// Answers requests until the connection ends.
async fn answer<S>(http: &http1::Builder, stream: S, router: Seated, closing: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router);
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closed(closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended with: {error}");
    }
}

/// Ready when connections take no more requests.
async fn closed(mut closing: watch::Receiver<bool>) {
    // An error says that the server has ended.
    let _ = closing.wait_for(|closing| *closing).await;
    tokio::time::sleep(LINGER).await;
}

/// The client went before it was accepted.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}
