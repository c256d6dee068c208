//! What is refused, and how.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::model::{CONTEXT, DIGEST, ERROR_BYTE, NAN_BYTE, PANIC_BYTE};
use crate::server::{Server, greedy, json_of, ready, with};

/// The error of a completion request.
async fn error(server: &Server, body: &Value, status: u16) -> Value {
    let status = StatusCode::from_u16(status).expect("a status");
    json_of(server.post("/v1/completions", body).await, status).await["error"].take()
}

#[tokio::test]
async fn what_is_out_of_range_is_refused_with_the_parameter() {
    let server = ready().await;
    for (extra, param) in [
        (json!({"temperature": 2.1}), "temperature"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"top_p": 0}), "top_p"),
        (json!({"min_p": -0.1}), "min_p"),
        (json!({"repetition_penalty": 0}), "repetition_penalty"),
        (json!({"n": 9}), "n"),
        (json!({"max_tokens": CONTEXT + 1}), "max_tokens"),
        (json!({"stop": vec!["x"; 17]}), "stop"),
        (json!({"stop": ""}), "stop"),
        (json!({"logit_bias": {"300": 1}}), "logit_bias"),
        (json!({"seed": -1}), "seed"),
        (json!({"best_of": 2}), "best_of"),
        (json!({"prompt": [[1], "a"]}), "prompt"),
        (json!({"prompt": ""}), "prompt"),
        (json!({"prompt": [999]}), "prompt"),
    ] {
        let error = error(&server, &with(greedy("a", 1), extra), 400).await;
        assert_eq!(
            (&error["param"], &error["type"]),
            (&json!(param), &json!("invalid_request_error"))
        );
    }
    let refused = server.metric("textnlp_http_responses_total{model_name=\"fake\",status=\"400\"}");
    assert_eq!(refused.await, 15.0);
}

#[tokio::test]
async fn a_prompt_longer_than_the_context_has_openais_code() {
    let server = ready().await;
    let body = greedy("x".repeat(CONTEXT), 1);
    let expect = json!({
        "message": "the prompt has 512 tokens; the model's context of 512 leaves room for 511 at most",
        "type": "invalid_request_error", "param": "prompt", "code": "context_length_exceeded",
    });
    assert_eq!(error(&server, &body, 400).await, expect);
    let streamed = with(body, json!({"stream": true}));
    assert_eq!(error(&server, &streamed, 400).await, expect);
}

#[tokio::test]
async fn a_model_that_is_not_here_is_not_found() {
    let server = ready().await;
    let error = error(&server, &with(greedy("a", 1), json!({"model": "gpt-4"})), 404).await;
    assert_eq!(error["code"], "model_not_found");
    assert_eq!(error["message"], "the model \"gpt-4\" does not exist; this server has \"fake\"");
}

#[tokio::test]
async fn malformed_json_is_refused_with_line_and_column() {
    let server = ready().await;
    let send = async |content_type: &str, body: &'static str| {
        let request = server.client.post(format!("{}/v1/completions", server.url));
        request.header("content-type", content_type).body(body).send().await.expect("it answers")
    };
    let body =
        json_of(send("application/json", "{\n  \"model\":").await, StatusCode::BAD_REQUEST).await;
    assert_eq!(
        body,
        json!({"error": {
            "message": "the body is not valid JSON: EOF while parsing a value at line 2 column 10",
            "type": "invalid_request_error", "param": null, "code": "invalid_json",
        }})
    );
    let form = send("application/x-www-form-urlencoded", "{}").await;
    let body = json_of(form, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
    assert_eq!(body["error"]["code"], "unsupported_media_type");
}

#[tokio::test]
async fn a_path_or_method_that_is_not_there_has_the_same_shape() {
    let server = ready().await;
    let body = json_of(server.get("/v1/embeddings").await, StatusCode::NOT_FOUND).await;
    assert_eq!(body["error"]["message"], "there is no GET /v1/embeddings here");
    let body = json_of(server.get("/v1/completions").await, StatusCode::METHOD_NOT_ALLOWED).await;
    assert_eq!(body["error"]["code"], "method_not_allowed");
}

#[tokio::test]
async fn a_request_for_another_digest_is_refused_with_both() {
    let server = ready().await;
    let send = async |digest: &str| {
        let request = server.client.post(format!("{}/v1/completions", server.url));
        let request = request.header("x-textnlp-model-digest", digest).json(&greedy("a", 1));
        request.send().await.expect("it answers")
    };
    let body = json_of(send("sha256:ff").await, StatusCode::PRECONDITION_FAILED).await;
    assert_eq!(body["error"]["code"], "model_changed");
    let message = body["error"]["message"].as_str().expect("a text");
    assert!(message.contains("sha256:ff") && message.contains(DIGEST), "{message}");
    json_of(send(DIGEST).await, StatusCode::OK).await;
    let series = "textnlp_request_inflight_seconds_total{model_name=\"fake\",source=\"job\"}";
    assert!(server.metric(series).await > 0.0);
}

#[tokio::test]
async fn a_failure_of_the_model_is_told_apart_from_a_fault_of_the_request() {
    let server = ready().await;
    let byte = |byte: u8| greedy(json!([byte]), 2);
    assert_eq!(error(&server, &byte(ERROR_BYTE), 500).await["code"], "model_failed");
    assert_eq!(error(&server, &byte(NAN_BYTE), 400).await["param"], "prompt");
    assert_eq!(server.complete(&greedy("a", 1)).await["choices"][0]["text"], "b");
    let series = "vllm:request_success_total{model_name=\"fake\",finished_reason=\"error\"}";
    assert_eq!(server.metric(series).await, 2.0);
}

#[tokio::test]
async fn an_engine_that_ended_fails_the_health_check() {
    let server = ready().await;
    let body = greedy(json!([PANIC_BYTE]), 2);
    for _ in 0..3 {
        assert_eq!(error(&server, &body, 500).await["code"], "model_failed");
    }
    assert_eq!(error(&server, &greedy("a", 1), 503).await["code"], "engine_stopped");
    let health = json_of(server.get("/healthz").await, StatusCode::INTERNAL_SERVER_ERROR).await;
    assert!(
        health["cause"].as_str().is_some_and(|cause| cause.contains("a panic in its arithmetic")),
        "{health}"
    );
    assert_eq!(server.phase().await, "failed");
}
