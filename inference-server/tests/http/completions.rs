//! `POST /v1/completions`, and the models.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::model::{CONTEXT, DIGEST, Kind};
use crate::server::{config, greedy, json_of, ready, ready_with, with};

#[tokio::test]
async fn a_completion_has_openais_shape() {
    let server = ready().await;
    let response = server.post("/v1/completions", &greedy("a", 4)).await;
    assert_eq!(response.headers()["x-textnlp-model-digest"], DIGEST);
    let mut body = json_of(response, StatusCode::OK).await;
    assert!(body["id"].take().as_str().is_some_and(|id| id.starts_with("cmpl-")));
    assert!(body["created"].take().as_u64().is_some_and(|created| created > 1_700_000_000));
    assert_eq!(
        body,
        json!({
            "id": null, "object": "text_completion", "created": null, "model": "fake",
            "choices": [
                {"index": 0, "text": "bcde", "logprobs": null, "finish_reason": "length"},
            ],
            "usage": {
                "prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 0},
            },
            "system_fingerprint": "fake-1/f32-0123456789ab",
        })
    );
}

#[tokio::test]
async fn a_stop_text_ends_a_completion_and_is_not_part_of_it() {
    let server = ready().await;
    for stop in [json!("ef"), json!(["zz", "ef"])] {
        let body = server.complete(&with(greedy("a", 50), json!({"stop": stop}))).await;
        let choice = &body["choices"][0];
        assert_eq!((&choice["text"], &choice["finish_reason"]), (&json!("bcd"), &json!("stop")));
    }
}

#[tokio::test]
async fn a_completion_ends_with_the_context() {
    let server = ready().await;
    let prompt = "a".repeat(CONTEXT - 3);
    let body = server.complete(&greedy(prompt, 100)).await;
    assert_eq!(body["choices"][0]["text"], "bcd");
    assert_eq!(body["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_choices_and_they_differ_from_each_other() {
    let server = ready_with(config(), Kind::Noise).await;
    let body = json!({"model": "fake", "prompt": "a", "max_tokens": 12, "n": 3, "seed": 7});
    let texts = |body: &Value| -> Vec<String> {
        let choices = body["choices"].as_array().expect("choices");
        choices.iter().map(|choice| choice["text"].to_string()).collect()
    };
    let first = texts(&server.complete(&body).await);
    assert_eq!(first.len(), 3);
    assert!(first[0] != first[1] && first[1] != first[2] && first[0] != first[2], "{first:?}");
    assert_eq!(texts(&server.complete(&body).await), first);
    let alone = texts(&server.complete(&with(body.clone(), json!({"n": 1}))).await);
    assert_eq!(alone[0], first[0], "choice 0 does not depend on the others");
    let other = texts(&server.complete(&with(body, json!({"seed": 8}))).await);
    assert_ne!(other, first);
}

#[tokio::test]
async fn choices_share_their_prompt() {
    let server = ready().await;
    let prompt = "x".repeat(100);
    let body = server.complete(&with(greedy(prompt, 2), json!({"n": 8}))).await;
    let usage = &body["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(100), &json!(16)));
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 0);
    let hits = server.metric("vllm:prefix_cache_hits_total{model_name=\"fake\"}").await;
    assert!(hits >= 7.0 * 90.0, "{hits}");
}

#[tokio::test]
async fn several_prompts_have_their_choices_one_after_the_other() {
    let server = ready().await;
    let body = server.complete(&with(greedy(json!(["a", "k"]), 2), json!({"n": 2}))).await;
    let found: Vec<_> = body["choices"]
        .as_array()
        .expect("choices")
        .iter()
        .map(|choice| (choice["index"].as_u64(), choice["text"].as_str()))
        .collect();
    let expect = ["bc", "bc", "lm", "lm"];
    let expect: Vec<_> = (0..).zip(expect).map(|(index, text)| (Some(index), Some(text))).collect();
    assert_eq!(found, expect);
    assert_eq!(body["usage"]["prompt_tokens"], 2);
    let tokens = server.complete(&greedy(json!([97]), 2)).await;
    assert_eq!(tokens["choices"][0]["text"], "bc");
}

#[tokio::test]
async fn logprobs_are_parallel_lists() {
    let server = ready().await;
    let body = server.complete(&with(greedy("a", 2), json!({"logprobs": 2}))).await;
    let logprobs = &body["choices"][0]["logprobs"];
    assert_eq!(logprobs["tokens"], json!(["b", "c"]));
    assert_eq!(logprobs["text_offset"], json!([0, 1]));
    for (list, token) in ["b", "c"].into_iter().enumerate() {
        let top = logprobs["top_logprobs"][list].as_object().expect("alternatives");
        assert_eq!(top.len(), 2);
        assert_eq!(top[token], logprobs["token_logprobs"][list]);
    }
}

#[tokio::test]
async fn the_model_is_listed_and_found_by_its_name() {
    let server = ready().await;
    let mut list = json_of(server.get("/v1/models").await, StatusCode::OK).await;
    list["data"][0]["created"].take();
    let model = json!({
        "id": "fake", "object": "model", "created": null, "owned_by": "textnlp",
        "max_model_len": CONTEXT,
    });
    assert_eq!(list, json!({"object": "list", "data": [model]}));
    let one = json_of(server.get("/v1/models/fake").await, StatusCode::OK).await;
    assert_eq!(one["id"], "fake");
    let error = json_of(server.get("/v1/models/a/b").await, StatusCode::NOT_FOUND).await;
    assert_eq!(error["error"]["code"], "model_not_found");
}
