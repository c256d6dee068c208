//! A server for one test.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use textnlp_engine::engine::EngineConfig;
use textnlp_inference_server::{Drained, LoadError, Loading, ServeError, ServerConfig, Stop, run};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::model::{Gate, Kind, fake};

/// How long a test waits for something that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) gate: Gate,
    pub(crate) client: reqwest::Client,
    stop: Option<oneshot::Sender<Stop>>,
    task: JoinHandle<Result<Drained, ServeError>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // The engine's thread is waited for.
        self.gate.open();
    }
}

/// What a test changes of the defaults.
pub(crate) fn config() -> ServerConfig {
    ServerConfig::new("fake")
}

/// A server with a chat model, once it is ready.
pub(crate) async fn ready() -> Server {
    ready_with(config(), Kind::Successor).await
}

pub(crate) async fn ready_with(config: ServerConfig, kind: Kind) -> Server {
    ready_engine(config, kind, EngineConfig::default()).await
}

/// The engine's queue and sequences are as the server's.
pub(crate) async fn ready_engine(config: ServerConfig, kind: Kind, engine: EngineConfig) -> Server {
    let gate = Gate::default();
    let model_gate = gate.clone();
    let (queue, max_sequences) = (config.capacity, config.sequences);
    let engine = EngineConfig { queue, max_sequences, ..engine };
    let server = start(config, gate, move |_| Ok(fake(&model_gate, kind, engine))).await;
    server.until_ready().await;
    server
}

/// A server that loads its model in that way.
pub(crate) async fn start<L>(config: ServerConfig, gate: Gate, load: L) -> Server
where
    L: FnOnce(&Loading) -> Result<textnlp_engine::engine::LanguageModel, LoadError>
        + Send
        + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        match stopped.await {
            Ok(stop) => stop,
            Err(_) => std::future::pending().await,
        }
    };
    let tls = config.tls.is_some();
    let task = tokio::spawn(run(listener, config, load, shutdown));
    // A connection for each request: an idle one may be closed while the next request is on its way.
    let client = reqwest::Client::builder().timeout(PATIENCE).pool_max_idle_per_host(0);
    // Tests of certificates have clients of their own.
    let client = client.tls_danger_accept_invalid_certs(tls).build().expect("a client");
    let scheme = if tls { "https" } else { "http" };
    Server { url: format!("{scheme}://{address}"), address, gate, client, stop: Some(stop), task }
}

impl Server {
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.expect("it answers")
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        let request = self.client.post(format!("{}{path}", self.url)).json(body);
        request.send().await.expect("it answers")
    }

    /// A completion that is made.
    pub(crate) async fn complete(&self, body: &Value) -> Value {
        json_of(self.post("/v1/completions", body).await, StatusCode::OK).await
    }

    /// A chat completion that is made.
    pub(crate) async fn chat(&self, body: &Value) -> Value {
        json_of(self.post("/v1/chat/completions", body).await, StatusCode::OK).await
    }

    /// The value of a series in `/metrics`.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").await.text().await.expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        let line = line.unwrap_or_else(|| panic!("{series} is not in:\n{text}"));
        line.trim().parse().expect("a number")
    }

    /// Waits until so many completions wait.
    pub(crate) async fn until_waiting(&self, count: usize) {
        let series = "vllm:num_requests_waiting{model_name=\"fake\"}";
        for _ in 0..1000 {
            if self.metric(series).await == count as f64 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never did {count} wait; it is {}", self.metric(series).await);
    }

    /// Waits until a completion is in flight.
    pub(crate) async fn until_taken(&self) {
        let series =
            "textnlp_request_inflight_seconds_total{model_name=\"fake\",source=\"external\"}";
        for _ in 0..1000 {
            if self.metric(series).await > 0.0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("nothing is in flight");
    }

    pub(crate) async fn phase(&self) -> String {
        let body: Value = self.get("/readyz").await.json().await.expect("JSON");
        body["phase"].as_str().expect("a phase").to_owned()
    }

    pub(crate) async fn until_ready(&self) {
        self.until_phase("ready").await;
    }

    pub(crate) async fn until_phase(&self, phase: &str) {
        for _ in 0..1000 {
            if self.phase().await == phase {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the server never came to {phase}; it is {}", self.phase().await);
    }

    /// Asks the server to stop.
    pub(crate) fn stop(&mut self, grace: Duration) {
        let stop = self.stop.take().expect("it was not asked before");
        stop.send(Stop { grace }).expect("it runs");
    }

    /// How it ended.
    pub(crate) async fn ended(&mut self) -> Result<Drained, ServeError> {
        let ended = tokio::time::timeout(PATIENCE, &mut self.task).await;
        ended.expect("it ends").expect("it does not panic")
    }
}

/// A response's body, which must have that status.
pub(crate) async fn json_of(response: Response, status: StatusCode) -> Value {
    let found = response.status();
    let text = response.text().await.expect("text");
    assert_eq!(found, status, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

/// A greedy completion request.
pub(crate) fn greedy(prompt: impl Into<Value>, max_tokens: u32) -> Value {
    json!({"model": "fake", "prompt": prompt.into(), "max_tokens": max_tokens, "temperature": 0})
}

/// A request with further parameters.
pub(crate) fn with(mut body: Value, extra: Value) -> Value {
    let object = body.as_object_mut().expect("an object");
    object.extend(extra.as_object().expect("an object").clone());
    body
}

/// The data of all server-sent events of a response.
pub(crate) async fn events(response: Response) -> Vec<String> {
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.expect("text");
    let data = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    data.map(str::to_owned).collect()
}
