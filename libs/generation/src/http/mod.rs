//! A model behind an HTTP API as a [`Completer`]: our own servers in a cluster, or any OpenAI-compatible one.
//!
//! A request is tried until it is answered or the run is asked to stop; only what would repeat fails its row. Requests to
//! our own servers go to the pod that rendezvous hashing gives the record, so that its samples share a prompt's KV cache.

mod backoff;
mod bearer;
mod limits;
mod pods;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::StreamExt;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use textnlp_crds::model::ExternalLimits;
use textnlp_crds::task::MODEL_DIGEST_HEADER;
use textnlp_dataset::net::{self, Access, AddressError};
use textnlp_telemetry::trace::Span;
use tokio::sync::watch;

use self::bearer::Bearer;
use self::limits::Limiter;
use self::pods::Pods;
use self::wire::{Answer, Dialect, Meaning};
use crate::completer::{Boxed, Completer, Completion, CompletionError, Prompt, Request};
use crate::error::Error;
use crate::metrics::RequestMetrics;
use crate::progress::Cancel;

/// How long an answer may take: it comes when its last token does, so the bound grows with the tokens asked for. A slow
/// processor makes a token a second; the rest is the wait for a turn.
const BASE_TIMEOUT: Duration = Duration::from_secs(300);
const TIMEOUT_PER_TOKEN: Duration = Duration::from_secs(1);

/// A peer that is gone without a word (its node was lost) is noticed after half a minute.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 4;
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest answer that is read.
const MAX_ANSWER: usize = 64 << 20;

/// Where a model answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Name of the ModelDeployment, for messages.
    pub name: String,
    /// The model's name at the server.
    pub model: String,
    /// Base address, before `/v1`.
    pub url: String,
    /// Whose server it is.
    pub server: Server,
}

/// Whose server a model is at.
#[derive(Debug, Clone, PartialEq)]
pub enum Server {
    /// Our own, in this cluster.
    Own {
        /// `host:port` of the headless Service with the ready pods.
        pods: Option<String>,
        /// Model digest that every answer must come from.
        digest: String,
        /// File with the token of this pod's account, where the servers let in only those that they know.
        token: Option<PathBuf>,
    },
    /// Somebody else's.
    External {
        /// File with the key.
        key: Option<PathBuf>,
        /// What it allows, over all workers.
        limits: ExternalLimits,
        /// Workers that run at once.
        workers: u32,
    },
}

/// Completes prompts at a server.
pub struct HttpCompleter {
    endpoint: Endpoint,
    client: net::Client,
    pods: Option<Pods>,
    bearer: Option<Bearer>,
    limiter: Option<Limiter>,
    metrics: RequestMetrics,
    cancel: Cancel,
}

/// How one try of a request went.
enum Try {
    Meaning(Meaning),
    /// No answer.
    Lost {
        why: String,
        connected: bool,
    },
}

impl HttpCompleter {
    /// Connects to a server. `access` is for addresses of external servers; `cancel` ends requests that wait.
    pub async fn connect(
        endpoint: Endpoint,
        access: Access,
        metrics: RequestMetrics,
        cancel: Cancel,
    ) -> Result<Self, Error> {
        // The address of an own server comes from the operator: it may be anywhere in the cluster.
        let access = match endpoint.server {
            Server::Own { .. } => Access { loopback: true },
            Server::External { .. } => access,
        };
        let located = |error: AddressError| {
            Error::ModelUnknown(format!("model {:?}: {error}", endpoint.name))
        };
        net::check(&endpoint.url, access).map_err(located)?;
        let client = net::Client::build(access, |builder| {
            builder
                .tcp_nodelay(true)
                .tcp_keepalive(KEEPALIVE)
                .tcp_keepalive_interval(KEEPALIVE_INTERVAL)
                .tcp_keepalive_retries(KEEPALIVE_PROBES)
                .tcp_user_timeout(USER_TIMEOUT)
        })
        .map_err(located)?;
        let (pods, bearer, limiter) = match &endpoint.server {
            Server::Own { pods, token, .. } => {
                let pods = match pods {
                    Some(service) => Some(Pods::follow(service).await),
                    None => None,
                };
                (pods, token.clone().map(Bearer::token), None)
            }
            Server::External { key, limits, workers } => {
                (None, key.clone().map(Bearer::key), Some(Limiter::share(limits, *workers)))
            }
        };
        Ok(Self { endpoint, client, pods, bearer, limiter, metrics, cancel })
    }

    /// The addresses of the ready pods as they change; none for a server that is not in this cluster.
    pub fn ready(&self) -> Option<watch::Receiver<Vec<SocketAddr>>> {
        self.pods.as_ref().map(Pods::changes)
    }

    fn dialect(&self) -> Dialect {
        match self.endpoint.server {
            Server::Own { .. } => Dialect::Textnlp,
            Server::External { .. } => Dialect::OpenAi,
        }
    }

    fn digest(&self) -> Option<&str> {
        match &self.endpoint.server {
            Server::Own { digest, .. } => Some(digest),
            Server::External { .. } => None,
        }
    }

    /// Tries a request until it is answered.
    async fn persist(&self, request: &Request) -> Result<Completion, CompletionError> {
        let body = wire::body(&self.endpoint.model, request, self.dialect()).to_string();
        let path = wire::path(&request.prompt);
        let timeout = timeout(request);
        let mut round: u32 = 0;
        let mut tries: i64 = 0;
        // Pods that were asked in this round.
        let mut asked: Vec<SocketAddr> = Vec::new();
        let mut doubted = false;
        loop {
            let pod = self.next_pod(request.record, &asked);
            let url = self.url(pod, path);
            let mut wait = None;
            let mut span = request.trace.request(format!("POST /{path}"));
            span.set("http.request.method", "POST");
            span.set("url.full", url.clone());
            if tries > 0 {
                span.set("http.request.resend_count", tries);
            }
            tries += 1;
            let tried = self.once(&url, body.clone(), timeout, &mut span).await;
            drop(span);
            match tried {
                Try::Meaning(Meaning::Done(done)) => return Ok(done),
                Try::Meaning(Meaning::Row(message)) => {
                    return Err(CompletionError::Request(message));
                }
                Try::Meaning(Meaning::End(error)) => {
                    let refused = matches!(error, CompletionError::Unauthorized(_));
                    let credential = self.bearer.as_ref().filter(|_| refused);
                    if doubted || (credential.is_none() && pod.is_none()) {
                        return Err(error);
                    }
                    doubted = true;
                    // The file may have changed since it was read, and a pod's address be another model's since the last
                    // lookup.
                    credential.inspect(|bearer| bearer.forget());
                    if let (Some(pods), Some(_)) = (&self.pods, pod) {
                        pods.refresh().await;
                    }
                    continue;
                }
                Try::Meaning(Meaning::Again(after)) => wait = after,
                Try::Lost { why, connected } => {
                    if round.is_power_of_two() {
                        tracing::warn!(model = self.endpoint.name, url, "{why}; trying again");
                    }
                    if let (Some(pods), Some(pod), false) = (&self.pods, pod, connected) {
                        pods.is_down(pod);
                    }
                }
            }
            asked.extend(pod);
            if self.next_pod(request.record, &asked).is_none() {
                round += 1;
                asked.clear();
                let delay = backoff::delay(round, backoff::random(), wait);
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = self.cancel.cancelled() => return Err(CompletionError::Interrupted),
                }
            } else if self.cancel.is_cancelled() {
                return Err(CompletionError::Interrupted);
            }
        }
    }

    /// The best pod for a record that was not asked yet.
    fn next_pod(&self, record: u64, asked: &[SocketAddr]) -> Option<SocketAddr> {
        self.pods.as_ref()?.ranked(record).into_iter().find(|pod| !asked.contains(pod))
    }

    fn url(&self, pod: Option<SocketAddr>, path: &str) -> String {
        match pod {
            Some(pod) => format!("http://{pod}/{path}"),
            // Without a pod that can be asked: the Service, which may know better by then.
            None => {
                // Many write OpenAI's own base address, which ends so.
                let base = self.endpoint.url.trim_end_matches('/');
                format!("{}/{path}", base.strip_suffix("/v1").unwrap_or(base))
            }
        }
    }

    /// Sends a request once.
    async fn once(&self, url: &str, body: String, timeout: Duration, span: &mut Span) -> Try {
        let request = match self.client.request(http::Method::POST, url) {
            Ok(request) => request.header(CONTENT_TYPE, "application/json").timeout(timeout),
            Err(error) => return Try::Meaning(Meaning::End(self.refused(&error))),
        };
        let request = match self.digest() {
            Some(digest) => request.header(MODEL_DIGEST_HEADER, digest),
            None => request,
        };
        let request = match self.bearer.as_ref().map(|bearer| bearer.header(Instant::now())) {
            Some(Ok(header)) => request.header(AUTHORIZATION, header),
            Some(Err(error)) => return Try::Meaning(Meaning::End(error)),
            None => request,
        };
        let mut traced = http::HeaderMap::new();
        span.context().write(&mut traced);
        let request = request.headers(traced);
        let _in_flight = self.metrics.begin();
        let response = match request.body(body).send().await {
            Ok(response) => response,
            Err(error) => {
                self.metrics.count(&self.endpoint.name, "error");
                span.failed(cause(&error));
                return match AddressError::of(&error).filter(|refusal| refusal.is_refusal()) {
                    Some(refusal) => Try::Meaning(Meaning::End(self.refused(refusal))),
                    None => Try::Lost { why: cause(&error), connected: !error.is_connect() },
                };
            }
        };
        self.metrics.count(&self.endpoint.name, response.status().as_str());
        span.set("http.response.status_code", i64::from(response.status().as_u16()));
        if !response.status().is_success() {
            span.failed(response.status().to_string());
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = match read(response).await {
            Ok(body) => body,
            Err(why) => {
                span.failed(why.clone());
                return Try::Lost { why, connected: true };
            }
        };
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let answer = Answer {
            status,
            retry_after: header(RETRY_AFTER.as_str()),
            location: header(LOCATION.as_str()),
            digest: header(MODEL_DIGEST_HEADER),
            body: &body,
        };
        Try::Meaning(wire::judge(&answer, &self.endpoint.model, self.digest()))
    }

    fn refused(&self, error: &AddressError) -> CompletionError {
        CompletionError::ModelUnknown(format!("model {:?}: {error}", self.endpoint.name))
    }

    /// Keeps an external server's limits around a request.
    async fn within_limits(
        &self,
        limiter: &Limiter,
        request: &Request,
    ) -> Result<Completion, CompletionError> {
        let reserved = estimate(request);
        let waiting = request.trace.child("rate limit");
        let _permit = tokio::select! {
            permit = limiter.acquire(reserved) => permit,
            () = self.cancel.cancelled() => return Err(CompletionError::Interrupted),
        };
        drop(waiting);
        let answer = self.persist(request).await;
        if let Ok(done) = &answer
            && done.prompt_tokens + done.completion_tokens > 0
        {
            limiter.used(reserved, done.prompt_tokens + done.completion_tokens);
        }
        answer
    }
}

/// How long an answer may take.
fn timeout(request: &Request) -> Duration {
    let tokens = request.sampling.max_tokens.unsigned_abs();
    BASE_TIMEOUT.saturating_add(TIMEOUT_PER_TOKEN.saturating_mul(tokens))
}

/// About how many tokens a request takes: four bytes of text make one, and all that are allowed are generated.
fn estimate(request: &Request) -> u64 {
    let bytes: usize = request.prompt.texts().map(str::len).sum();
    bytes as u64 / 4 + u64::from(request.sampling.max_tokens.unsigned_abs())
}

/// Reads an answer's body, up to a bound.
async fn read(response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| cause(&error))?;
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(format!("the answer is larger than {MAX_ANSWER} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The innermost reason of an error: the others repeat the address.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

impl Completer for HttpCompleter {
    fn complete(&self, request: Request) -> Boxed<'_, Result<Completion, CompletionError>> {
        Box::pin(async move {
            match &self.limiter {
                Some(limiter) => self.within_limits(limiter, &request).await,
                None => self.persist(&request).await,
            }
        })
    }

    fn count(&self, _: &Prompt) -> Result<u64, CompletionError> {
        Err(CompletionError::Request(format!(
            "model {:?}: tokens are counted by its server, which has no call for that",
            self.endpoint.name
        )))
    }
}
