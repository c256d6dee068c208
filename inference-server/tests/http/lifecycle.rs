//! Start, overload, and end.

use std::sync::mpsc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use reqwest::StatusCode;
use serde_json::{Value, json};
use textnlp_engine::engine::EngineConfig;
use textnlp_inference_server::{LoadError, LoadPhase, ServeError};

use crate::model::{Gate, Kind, fake};
use crate::server::{config, events, greedy, json_of, ready, ready_with, start, with};

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn probes_answer_while_the_model_loads() {
    let gate = Gate::default();
    let model_gate = gate.clone();
    let (go, wait) = mpsc::channel::<()>();
    let server = start(config(), gate, move |loading| {
        loading.phase(LoadPhase::Weights, || wait.recv()).expect("the test goes on");
        Ok(fake(&model_gate, Kind::Successor, EngineConfig::default()))
    })
    .await;
    server.until_phase("weights").await;
    let health = json_of(server.get("/healthz").await, StatusCode::OK).await;
    assert_eq!(health, json!({"status": "ok", "phase": "weights"}));
    json_of(server.get("/readyz").await, StatusCode::SERVICE_UNAVAILABLE).await;
    let response = server.post("/v1/completions", &greedy("a", 1)).await;
    assert_eq!(response.headers()["retry-after"], "1");
    let body = json_of(response, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(body["error"]["code"], "model_loading");
    assert_eq!(server.metric("vllm:num_requests_running{model_name=\"fake\"}").await, 0.0);
    go.send(()).expect("it waits");
    server.until_ready().await;
    let ready = json_of(server.get("/readyz").await, StatusCode::OK).await;
    assert_eq!(ready, json!({"status": "ready", "phase": "ready"}));
    for phase in ["weights", "warmup", "total"] {
        let series = format!("textnlp_model_load_seconds{{model_name=\"fake\",phase=\"{phase}\"}}");
        assert!(server.metric(&series).await > 0.0, "{phase}");
    }
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_ends_the_server_with_the_reason() {
    let mut server = start(config(), Gate::default(), |_| {
        Err(LoadError::Digest {
            path: "m.gguf".into(),
            expected: "sha256:00".into(),
            found: "sha256:01".into(),
        })
    })
    .await;
    let Err(ServeError::Load(error)) = server.ended().await else { panic!("it serves") };
    assert_eq!((error.reason(), error.is_permanent()), ("ModelChanged", true));
    let mut server = start(config(), Gate::default(), |_| panic!("a fault of the loader")).await;
    assert!(matches!(server.ended().await, Err(ServeError::Load(LoadError::Thread))));
}

#[tokio::test]
async fn a_stop_while_the_model_loads_ends_the_server_at_once() {
    let (_go, wait) = mpsc::channel::<()>();
    let mut server = start(config(), Gate::default(), move |_| {
        let _ = wait.recv();
        Err(LoadError::Thread)
    })
    .await;
    assert_eq!(server.phase().await, "open");
    server.stop(LONG);
    assert_eq!(server.ended().await.expect("it drains").cut, 0);
}

#[tokio::test]
async fn a_full_server_refuses_at_once_and_takes_requests_again_later() {
    let mut limited = config();
    limited.capacity = 2;
    let server = ready_with(limited, Kind::Successor).await;
    server.gate.close();
    let (first, second, third) = (greedy("a", 2), greedy("b", 2), greedy("c", 2));
    let mut pending: FuturesUnordered<_> = [&first, &second, &third]
        .map(|body| server.post("/v1/completions", body))
        .into_iter()
        .collect();
    let refused = pending.next().await.expect("one is refused, the others wait");
    assert_eq!(refused.headers()["retry-after"], "1");
    let body = json_of(refused, StatusCode::TOO_MANY_REQUESTS).await;
    assert_eq!(
        body["error"],
        json!({
            "message": "2 completions are running or waiting, which is the limit; try again later",
            "type": "rate_limit_error", "param": null, "code": "queue_full",
        })
    );
    server.gate.open();
    while let Some(response) = pending.next().await {
        json_of(response, StatusCode::OK).await;
    }
    server.complete(&first).await;
    let never = with(first.clone(), json!({"n": 3}));
    let body = json_of(server.post("/v1/completions", &never).await, StatusCode::BAD_REQUEST).await;
    assert_eq!(body["error"]["param"], "n");
}

#[tokio::test]
async fn a_server_that_will_leave_is_not_ready_but_still_serves() {
    let mut server = ready().await;
    server.stop(LONG);
    server.until_phase("leaving").await;
    json_of(server.get("/readyz").await, StatusCode::SERVICE_UNAVAILABLE).await;
    let response = server.post("/v1/completions", &greedy("a", 2)).await;
    assert_eq!(response.headers()["connection"], "close");
    let body = json_of(response, StatusCode::OK).await;
    assert_eq!(body["choices"][0]["text"], "bc");
    json_of(server.get("/healthz").await, StatusCode::OK).await;
}

#[tokio::test]
async fn a_draining_server_finishes_what_runs_and_refuses_the_rest() {
    let mut server = ready().await;
    server.gate.close();
    server.gate.allow(1);
    let body = with(greedy("a", 3), json!({"stream": true}));
    let running = server.post("/v1/completions", &body).await;
    server.stop(Duration::ZERO);
    server.until_phase("draining").await;
    let refused = server.post("/v1/completions", &greedy("a", 1)).await;
    assert_eq!(refused.headers()["retry-after"], "1");
    let body = json_of(refused, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(body["error"]["code"], "server_draining");
    server.gate.open();
    let events = events(running).await;
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    let text: String = events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .filter_map(|chunk| chunk["choices"][0]["text"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(text, "bcd");
    assert_eq!(server.ended().await.expect("it drains").cut, 0);
}

#[tokio::test]
async fn what_takes_longer_than_the_limit_is_cut() {
    let mut impatient = config();
    impatient.drain_limit = Duration::ZERO;
    let mut server = ready_with(impatient, Kind::Successor).await;
    server.gate.slow(Duration::from_millis(50));
    let body = with(greedy("a", 400), json!({"stream": true}));
    let running = server.post("/v1/completions", &body).await;
    server.stop(Duration::ZERO);
    assert!(server.ended().await.expect("it drains").cut >= 1);
    let text = running.text().await.unwrap_or_default();
    assert!(!text.contains("[DONE]"), "{text}");
}
