//! Requests that nobody waits for any more.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use textnlp_inference_server::ServerConfig;

use crate::model::Kind;
use crate::server::{Server, config, events, greedy, json_of, ready, ready_with, with};

async fn within(server: &Server, seconds: &str, body: &Value) -> Response {
    let request = server.client.post(format!("{}/v1/completions", server.url));
    request.header("x-request-timeout", seconds).json(body).send().await.expect("it answers")
}

#[tokio::test]
async fn a_request_that_waits_too_long_is_refused_and_its_place_is_free_again() {
    let config = ServerConfig { capacity: 2, sequences: 1, ..config() };
    let server = ready_with(config, Kind::Successor).await;
    server.gate.close();
    let asked = |seconds: &'static str| {
        let request = server.client.post(format!("{}/v1/completions", server.url));
        let request = request.header("x-request-timeout", seconds).json(&greedy("a", 1));
        tokio::spawn(async { request.send().await.expect("it answers") })
    };
    let running = asked("600");
    server.until_taken().await;
    let late = within(&server, "0.2", &greedy("a", 1)).await;
    // A client that sent it again would do so for nobody.
    assert_eq!(late.headers()["x-should-retry"], "false");
    assert!(!late.headers().contains_key("retry-after"));
    let body = json_of(late, StatusCode::GATEWAY_TIMEOUT).await;
    assert_eq!(
        body["error"],
        json!({
            "message": "the completion was not done within 0.2 s, which is the request's limit",
            "type": "server_error", "param": null, "code": "deadline_exceeded",
        })
    );
    let next = asked("600");
    server.until_waiting(1).await;
    server.gate.open();
    for answer in [running, next] {
        json_of(answer.await.expect("no panic"), StatusCode::OK).await;
    }
}

#[tokio::test]
async fn a_stream_that_takes_too_long_ends_with_an_error_and_its_generation_stops() {
    let server = ready().await;
    server.gate.slow(Duration::from_millis(20));
    let stream = with(greedy("a", 400), json!({"stream": true}));
    let mut events = events(within(&server, "0.5", &stream).await).await;
    let last: Value = serde_json::from_str(&events.pop().expect("events")).expect("JSON");
    assert_eq!(last["error"]["code"], "deadline_exceeded");
    assert!(events.len() < 400 && events.iter().all(|event| event != "[DONE]"));
    let aborted = "vllm:request_success_total{model_name=\"fake\",finished_reason=\"abort\"}";
    for _ in 0..600 {
        if server.metric(aborted).await == 1.0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the model still works for nobody");
}

#[tokio::test]
async fn the_servers_limit_holds_for_everybody_and_the_headers_may_be_shorter() {
    let mut limited = config();
    limited.request_limit = Some(Duration::from_millis(200));
    let server = ready_with(limited, Kind::Successor).await;
    json_of(server.post("/v1/completions", &greedy("a", 1)).await, StatusCode::OK).await;
    server.gate.close();
    for seconds in ["600", "0.1"] {
        let body =
            json_of(within(&server, seconds, &greedy("a", 1)).await, StatusCode::GATEWAY_TIMEOUT);
        let message = body.await["error"]["message"].take();
        let part = if seconds == "600" { "0.2 s" } else { "0.1 s" };
        assert!(message.as_str().is_some_and(|message| message.contains(part)), "{message}");
    }
    server.gate.open();
    for wrong in ["soon", "-1", "0", "inf"] {
        let body = json_of(within(&server, wrong, &greedy("a", 1)).await, StatusCode::BAD_REQUEST);
        assert_eq!(body.await["error"]["param"], "x-request-timeout", "{wrong}");
    }
}
