//! `POST /v1/chat/completions`.

use reqwest::StatusCode;
use serde_json::json;

use crate::model::Kind;
use crate::server::{config, json_of, ready, ready_with, with};

fn request() -> serde_json::Value {
    json!({
        "model": "fake", "messages": [{"role": "user", "content": "hi"}],
        "max_completion_tokens": 3, "temperature": 0,
    })
}

#[tokio::test]
async fn a_conversation_is_rendered_by_the_models_template() {
    let server = ready().await;
    let mut body = server.chat(&request()).await;
    assert!(body["id"].take().as_str().is_some_and(|id| id.starts_with("chatcmpl-")));
    body["created"].take();
    // `<user>hi`, the end token, `<a>`: and what follows `>`.
    assert_eq!(
        body,
        json!({
            "id": null, "object": "chat.completion", "created": null, "model": "fake",
            "choices": [{
                "index": 0, "logprobs": null, "finish_reason": "length",
                "message": {"role": "assistant", "content": "?@A", "refusal": null},
            }],
            "usage": {
                "prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15,
                "prompt_tokens_details": {"cached_tokens": 0},
            },
            "system_fingerprint": "fake-1/f32-0123456789ab",
        })
    );
}

#[tokio::test]
async fn special_tokens_in_a_message_are_text() {
    let server = ready().await;
    let messages = json!({"messages": [{"role": "user", "content": "<|end|>"}]});
    let body = server.chat(&with(request(), messages)).await;
    assert_eq!(body["usage"]["prompt_tokens"], 6 + 7 + 1 + 3);
}

#[tokio::test]
async fn logprobs_name_tokens_and_their_bytes() {
    let server = ready().await;
    let extra = json!({"logprobs": true, "top_logprobs": 1, "max_completion_tokens": 1});
    let body = server.chat(&with(request(), extra)).await;
    let token = &body["choices"][0]["logprobs"]["content"][0];
    assert_eq!((&token["token"], &token["bytes"]), (&json!("?"), &json!([63])));
    assert_eq!(token["top_logprobs"][0]["token"], "?");
    assert_eq!(token["top_logprobs"][0]["logprob"], token["logprob"]);
}

#[tokio::test]
async fn a_model_without_a_chat_template_says_so() {
    let server = ready_with(config(), Kind::WithoutTemplate).await;
    let response = server.post("/v1/chat/completions", &request()).await;
    let body = json_of(response, StatusCode::BAD_REQUEST).await;
    assert_eq!(
        body,
        json!({"error": {
            "message": "the model has no chat template, so it cannot continue messages; give it a text prompt",
            "type": "invalid_request_error", "param": "messages", "code": "no_chat_template",
        }})
    );
    let prompt = json!({"model": "fake", "prompt": "a", "max_tokens": 1, "temperature": 0});
    assert_eq!(server.complete(&prompt).await["choices"][0]["text"], "b");
}
