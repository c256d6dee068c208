//! Clients beside each other: nobody locks out or holds up the others.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use textnlp_engine::engine::EngineConfig;
use textnlp_inference_server::ServerConfig;

use crate::access::{OTHER, SECRET, guarded_with, post};
use crate::model::Kind;
use crate::server::{PATIENCE, Server, config, greedy, json_of, ready_engine, ready_with, with};

/// A line of so many, in front of an engine that has one at a time.
fn narrow(capacity: usize) -> ServerConfig {
    ServerConfig { capacity, sequences: 1, ..config() }
}

async fn two_teams(directory: &tempfile::TempDir, config: ServerConfig) -> Server {
    let keys = format!(
        "- {{name: greedy, sha256: {SECRET}}}\n- {{name: modest, sha256: {OTHER}, scopes: [inference, metrics]}}\n"
    );
    guarded_with(directory.path(), &keys, config).await
}

/// How many completions wait, for those who have a key.
async fn until_waiting(server: &Server, count: usize) {
    let line = format!("vllm:num_requests_waiting{{model_name=\"fake\"}} {count}");
    for _ in 0..1000 {
        let request = server.client.get(format!("{}/metrics", server.url)).bearer_auth("other");
        let text = request.send().await.expect("it answers").text().await.expect("text");
        if text.lines().any(|found| found == line) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never did {count} wait");
}

/// An answer that is waited for beside others.
fn asked(server: &Server, key: &'static str) -> tokio::task::JoinHandle<Response> {
    let request = server.client.post(format!("{}/v1/completions", server.url));
    let request = request.bearer_auth(key).json(&greedy("a", 1));
    tokio::spawn(async { request.send().await.expect("it answers") })
}

#[tokio::test]
async fn one_request_does_not_wait_behind_forty_of_another_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = two_teams(&directory, narrow(100)).await;
    server.gate.close();
    let many: Vec<_> = (0..40).map(|_| asked(&server, "secret")).collect();
    until_waiting(&server, 39).await;
    let one = asked(&server, "other");
    until_waiting(&server, 40).await;
    // One step for what the engine has already, one for the next.
    server.gate.allow(2);
    let answer = tokio::time::timeout(PATIENCE, one).await.expect("it is next").expect("no panic");
    json_of(answer, StatusCode::OK).await;
    assert!(many.iter().filter(|answer| answer.is_finished()).count() <= 1);
    server.gate.open();
    for answer in many {
        json_of(answer.await.expect("no panic"), StatusCode::OK).await;
    }
}

#[tokio::test]
async fn a_key_that_floods_the_server_leaves_room_for_another() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = two_teams(&directory, narrow(1 + 8)).await;
    server.gate.close();
    let mut flood: FuturesUnordered<_> = (0..40).map(|_| asked(&server, "secret")).collect();
    // All but one that runs and half of the line.
    for _ in 0..40 - 5 {
        let refused = flood.next().await.expect("it answers").expect("no panic");
        assert_eq!(refused.headers()["retry-after"], "1");
        let body = json_of(refused, StatusCode::TOO_MANY_REQUESTS).await;
        let error = &body["error"];
        assert_eq!(error["code"], "queue_share_full", "{error}");
        assert_eq!(error["type"], "rate_limit_error");
    }
    let other: Vec<_> = (0..2).map(|_| asked(&server, "other")).collect();
    until_waiting(&server, 4 + 2).await;
    server.gate.open();
    for answer in other.into_iter().chain(std::mem::take(&mut flood)) {
        json_of(answer.await.expect("no panic"), StatusCode::OK).await;
    }
    // More than it can ever have is no matter of time.
    let five = with(greedy("a", 1), json!({"n": 6}));
    let body = json_of(post(&server, "secret", &five).await, StatusCode::BAD_REQUEST).await;
    assert_eq!(body["error"]["param"], "n");
    json_of(post(&server, "secret", &with(five, json!({"n": 5}))).await, StatusCode::OK).await;
}

#[tokio::test]
async fn a_client_that_goes_while_it_waits_frees_its_place_at_once() {
    let server = ready_with(narrow(2), Kind::Successor).await;
    server.gate.close();
    let first = asked(&server, "");
    server.until_taken().await;
    let second = asked(&server, "");
    server.until_waiting(1).await;
    let full = server.post("/v1/completions", &greedy("a", 1)).await;
    let body = json_of(full, StatusCode::TOO_MANY_REQUESTS).await;
    assert_eq!(body["error"]["code"], "queue_full");
    second.abort();
    // Not a step is made meanwhile.
    server.until_waiting(0).await;
    let third = asked(&server, "");
    server.until_waiting(1).await;
    server.gate.open();
    for answer in [first, third] {
        json_of(answer.await.expect("no panic"), StatusCode::OK).await;
    }
    let aborted = "vllm:request_success_total{model_name=\"fake\",finished_reason=\"abort\"}";
    assert_eq!(server.metric(aborted).await, 1.0);
}

#[tokio::test]
async fn more_than_the_engine_has_at_once_waits_and_gets_the_same_text() {
    // Not the tokens at which the model fails.
    let bias = json!({"1": -100, "2": -100, "3": -100});
    let body = json!({
        "model": "fake", "prompt": ["a", "b", "c"], "max_tokens": 20, "n": 8, "seed": 5, "logit_bias": bias,
    });
    let choices = async |sequences: usize| {
        let config = ServerConfig { sequences, ..config() };
        let server = ready_with(config, Kind::Noise).await;
        server.complete(&body).await["choices"].take()
    };
    assert_eq!(choices(1).await, choices(64).await);
}

/// The text of the events of a stream until it has so many bytes.
async fn read(response: &mut Response, bytes: usize) -> String {
    let (mut text, mut rest) = (String::new(), String::new());
    while text.len() < bytes {
        let chunk = tokio::time::timeout(PATIENCE, response.chunk()).await.expect("it goes on");
        let chunk = chunk.expect("it streams").expect("it has not ended");
        rest.push_str(std::str::from_utf8(&chunk).expect("text"));
        while let Some((event, after)) = rest.split_once("\n\n") {
            let chunk = event.strip_prefix("data: ").expect("an event");
            if chunk == "[DONE]" {
                return text;
            }
            let chunk: Value = serde_json::from_str(chunk).expect("JSON");
            text.push_str(chunk["choices"][0]["text"].as_str().expect("a text"));
            rest = after.to_owned();
        }
    }
    text
}

#[tokio::test]
async fn a_long_prompt_does_not_hold_up_the_stream_of_another_client() {
    let engine =
        EngineConfig { max_batch_tokens: Some(16), speculation: false, ..EngineConfig::default() };
    let server = ready_engine(config(), Kind::Successor, engine).await;
    server.gate.close();
    server.gate.allow(1);
    let stream = with(greedy("!", 80), json!({"stream": true}));
    let mut stream = server.post("/v1/completions", &stream).await;
    assert_eq!(read(&mut stream, 1).await, "\"");
    // At least 30 steps, of 15 tokens beside the stream's.
    let long = server.client.post(format!("{}/v1/completions", server.url));
    let long = long.json(&greedy("x".repeat(450), 1));
    let long = tokio::spawn(async { long.send().await.expect("it answers") });
    // It has come before the engine's next step but one.
    server.until_waiting(1).await;
    // A token of the stream with each of them.
    server.gate.allow(20);
    assert_eq!(read(&mut stream, 20).await.len(), 20);
    assert!(!long.is_finished());
    server.gate.open();
    json_of(long.await.expect("no panic"), StatusCode::OK).await;
    assert_eq!(read(&mut stream, 59).await.len(), 59);
}

#[tokio::test]
async fn probes_are_answered_while_everything_is_busy() {
    let server = ready_with(narrow(3), Kind::Successor).await;
    server.gate.close();
    let busy: Vec<_> = (0..3).map(|_| asked(&server, "")).collect();
    server.until_waiting(2).await;
    let full = server.post("/v1/completions", &greedy("a", 1)).await;
    json_of(full, StatusCode::TOO_MANY_REQUESTS).await;
    for path in ["/healthz", "/readyz", "/v1/models"] {
        json_of(server.get(path).await, StatusCode::OK).await;
    }
    server.gate.open();
    for answer in busy {
        json_of(answer.await.expect("no panic"), StatusCode::OK).await;
    }
}
