//! Answers as server-sent events.

use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;

use crate::model::{ERROR_BYTE, Kind};
use crate::server::{Server, config, events, greedy, ready, ready_with, with};

/// All chunks of a streamed answer but `[DONE]`, which must be the last.
async fn chunks(server: &Server, path: &str, body: &Value) -> Vec<Value> {
    let streamed = with(body.clone(), json!({"stream": true}));
    let mut events = events(server.post(path, &streamed).await).await;
    assert_eq!(events.pop().as_deref(), Some("[DONE]"));
    events.iter().map(|event| serde_json::from_str(event).expect("JSON")).collect()
}

/// The text of a choice, put together, and why it ended.
fn text_of(chunks: &[Value], index: u64, text: impl Fn(&Value) -> &Value) -> (String, Value) {
    let mut whole = String::new();
    let mut reason = Value::Null;
    let choices = chunks.iter().flat_map(|chunk| chunk["choices"].as_array().expect("choices"));
    for choice in choices.filter(|choice| choice["index"] == index) {
        assert!(reason.is_null(), "nothing follows the end");
        whole.push_str(text(choice).as_str().unwrap_or_default());
        reason = choice["finish_reason"].clone();
    }
    (whole, reason)
}

#[tokio::test]
async fn a_streamed_completion_is_the_same_as_a_whole_one() {
    let server = ready_with(config(), Kind::Noise).await;
    let body = json!({
        "model": "fake", "prompt": "a", "max_tokens": 60, "n": 8, "seed": 3,
        "stop": ["q", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"],
    });
    let whole = server.complete(&body).await;
    let streamed = chunks(&server, "/v1/completions", &body).await;
    for (index, choice) in (0..).zip(whole["choices"].as_array().expect("choices")) {
        let (text, reason) = text_of(&streamed, index, |choice| &choice["text"]);
        assert_eq!((&json!(text), &reason), (&choice["text"], &choice["finish_reason"]));
    }
    let reasons = whole["choices"].as_array().expect("choices").iter();
    let stopped = reasons.filter(|choice| choice["finish_reason"] == "stop").count();
    assert!(stopped > 0, "some texts are cut at a stop text");
    assert!(streamed.iter().all(|chunk| chunk.get("usage").is_none()));
    assert!(streamed.iter().all(|chunk| chunk["id"] == streamed[0]["id"]));
}

#[tokio::test]
async fn a_streamed_chat_begins_with_the_role_and_ends_with_the_usage() {
    let server = ready().await;
    let body = json!({
        "model": "fake", "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 3, "temperature": 0, "stream_options": {"include_usage": true},
        "stream": true,
    });
    let streamed = chunks(&server, "/v1/chat/completions", &body).await;
    let deltas: Vec<Value> = streamed
        .iter()
        .flat_map(|chunk| chunk["choices"].as_array().expect("choices").clone())
        .map(|choice| json!([choice["delta"], choice["finish_reason"]]))
        .collect();
    assert_eq!(
        json!(deltas),
        json!([
            [{"role": "assistant", "content": ""}, null],
            [{"content": "?"}, null],
            [{"content": "@"}, null],
            [{"content": "A"}, null],
            [{}, "length"],
        ])
    );
    let (last, others) = streamed.split_last().expect("chunks");
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["total_tokens"], 15);
    assert!(others.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)));
    assert!(others.iter().all(|chunk| chunk["object"] == "chat.completion.chunk"));
}

#[tokio::test]
async fn streamed_logprobs_are_those_of_a_whole_answer() {
    let server = ready().await;
    let body = with(greedy("a", 4), json!({"logprobs": 1}));
    let whole = server.complete(&body).await;
    let streamed = chunks(&server, "/v1/completions", &body).await;
    let lists = |name: &str| -> Vec<Value> {
        let logprobs = streamed.iter().map(|chunk| &chunk["choices"][0]["logprobs"]);
        let lists = logprobs.filter_map(|logprobs| logprobs[name].as_array());
        lists.flatten().cloned().collect()
    };
    for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        assert_eq!(json!(lists(name)), whole["choices"][0]["logprobs"][name], "{name}");
    }
}

#[tokio::test]
async fn a_failure_in_a_stream_is_an_event_and_the_stream_is_not_done() {
    let server = ready().await;
    let body = with(greedy(json!([ERROR_BYTE]), 2), json!({"stream": true}));
    let events = events(server.post("/v1/completions", &body).await).await;
    let error: Value = serde_json::from_str(&events[0]).expect("JSON");
    assert_eq!((error["error"]["code"].as_str(), events.len()), (Some("model_failed"), 1));
}

/// Lets the model make steps until so many completions were given up and nothing is left; the number of its tokens.
async fn until_idle(server: &Server, completions: f64, limit: u64) -> f64 {
    for _ in 0..limit {
        server.gate.allow(1);
        tokio::time::sleep(Duration::from_millis(5)).await;
        let running = server.metric("vllm:num_requests_running{model_name=\"fake\"}").await;
        let waiting = server.metric("vllm:num_requests_waiting{model_name=\"fake\"}").await;
        let aborted = "vllm:request_success_total{model_name=\"fake\",finished_reason=\"abort\"}";
        if running + waiting == 0.0 && server.metric(aborted).await == completions {
            return server.metric("vllm:generation_tokens_total{model_name=\"fake\"}").await;
        }
    }
    panic!("the model still works after {limit} steps for nobody");
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_stops_its_generation() {
    let server = ready().await;
    server.gate.close();
    server.gate.allow(2);
    let body = with(greedy("a", 400), json!({"stream": true}));
    let mut response = server.post("/v1/completions", &body).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.chunk().await.expect("it streams").expect("a first token");
    drop(response);
    assert!(until_idle(&server, 1.0, 300).await < 400.0);
}

#[tokio::test]
async fn a_client_that_does_not_wait_for_a_whole_answer_stops_its_generation() {
    let server = ready().await;
    server.gate.close();
    let request = server.client.post(format!("{}/v1/completions", server.url));
    let request = request.json(&with(greedy("a", 400), json!({"n": 3})));
    let waiting = tokio::spawn(request.send());
    let inflight =
        "textnlp_request_inflight_seconds_total{model_name=\"fake\",source=\"external\"}";
    for _ in 0..1000 {
        if server.metric(inflight).await > 0.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    waiting.abort();
    assert!(until_idle(&server, 3.0, 300).await < 1200.0);
    let before = server.metric(inflight).await;
    assert_eq!(server.metric(inflight).await, before, "nothing is in flight any more");
}
