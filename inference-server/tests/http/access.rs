//! Who may call.

use std::path::Path;
use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use textnlp_inference_server::ServerConfig;

use crate::model::Kind;
use crate::server::{Server, config, greedy, json_of, ready, ready_with};

pub(crate) const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
pub(crate) const OTHER: &str = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";

pub(crate) fn write(directory: &Path, keys: &str) {
    // As a mounted Secret changes: all at once.
    let (new, path) = (directory.join("new"), directory.join("keys.yaml"));
    std::fs::write(&new, format!("keys:\n{keys}")).expect("a file");
    std::fs::rename(new, path).expect("a file");
}

pub(crate) async fn guarded(directory: &Path, keys: &str) -> Server {
    guarded_with(directory, keys, config()).await
}

pub(crate) async fn guarded_with(directory: &Path, keys: &str, mut config: ServerConfig) -> Server {
    write(directory, keys);
    config.keys = Some(directory.join("keys.yaml"));
    ready_with(config, Kind::Successor).await
}

pub(crate) async fn post(server: &Server, key: &str, body: &Value) -> Response {
    let request = server.client.post(format!("{}/v1/completions", server.url)).json(body);
    request.bearer_auth(key).send().await.expect("it answers")
}

#[tokio::test]
async fn every_route_but_health_needs_a_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = guarded(directory.path(), &format!("- {{name: team, sha256: {SECRET}}}\n")).await;
    for path in [
        "/v1/models",
        "/v1/models/fake",
        "/metrics",
        "/nothing",
        "/",
        "/v1/../metrics",
        "//healthz",
        "/healthz/",
    ] {
        let response = server.get(path).await;
        assert_eq!(response.headers()["www-authenticate"], "Bearer", "{path}");
        let body = json_of(response, StatusCode::UNAUTHORIZED).await;
        assert_eq!(body["error"]["code"], "invalid_api_key", "{path}");
    }
    for path in ["/v1/completions", "/v1/chat/completions"] {
        // A body that would be refused is not even looked at.
        let response = server.post(path, &json!({"model": 1})).await;
        json_of(response, StatusCode::UNAUTHORIZED).await;
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).await.status(), StatusCode::OK, "{path}");
    }
    let stranger = server.get("/v1/models").await;
    assert!(!stranger.headers().contains_key("x-textnlp-model-digest"), "nothing for strangers");
    let answer = json_of(post(&server, "secret", &greedy("a", 1)).await, StatusCode::OK).await;
    assert_eq!(answer["choices"][0]["text"], json!("b"));
    json_of(post(&server, "Secret", &greedy("a", 1)).await, StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_say_and_its_tokens_are_counted() {
    let directory = tempfile::tempdir().expect("a directory");
    let keys = format!(
        "- {{name: team, sha256: {SECRET}}}\n- {{name: scraper, sha256: {OTHER}, scopes: [metrics]}}\n"
    );
    let server = guarded(directory.path(), &keys).await;
    json_of(post(&server, "secret", &greedy("abc", 2)).await, StatusCode::OK).await;
    let body = json_of(post(&server, "other", &greedy("a", 1)).await, StatusCode::FORBIDDEN).await;
    assert_eq!(body["error"]["code"], "insufficient_scope");
    let metrics = |key: &'static str| {
        server.client.get(format!("{}/metrics", server.url)).bearer_auth(key).send()
    };
    assert_eq!(metrics("secret").await.expect("it answers").status(), StatusCode::FORBIDDEN);
    let text = metrics("other").await.expect("it answers").text().await.expect("text");
    for line in [
        "textnlp_key_requests_total{model_name=\"fake\",key=\"team\",status=\"200\"} 1",
        "textnlp_key_tokens_total{model_name=\"fake\",key=\"team\",kind=\"prompt\"} 3",
        "textnlp_key_tokens_total{model_name=\"fake\",key=\"team\",kind=\"completion\"} 2",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}

#[tokio::test]
async fn limits_are_each_keys_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let keys = format!(
        "- {{name: team, sha256: {SECRET}, requestsPerMinute: 1}}\n- {{name: guest, sha256: {OTHER}, tokensPerMinute: 3}}\n"
    );
    let server = guarded(directory.path(), &keys).await;
    for (key, allowed) in [("secret", 1), ("other", 1)] {
        for _ in 0..allowed {
            json_of(post(&server, key, &greedy("abc", 2)).await, StatusCode::OK).await;
        }
        let response = post(&server, key, &greedy("abc", 2)).await;
        let wait: u64 =
            response.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
        assert!((2..=60).contains(&wait), "{wait}");
        let body = json_of(response, StatusCode::TOO_MANY_REQUESTS).await;
        assert_eq!(body["error"]["code"], "rate_limit_exceeded");
    }
}

#[tokio::test]
async fn keys_that_change_count_without_a_restart_and_a_broken_file_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = guarded(directory.path(), &format!("- {{name: team, sha256: {SECRET}}}\n")).await;
    let status = async |key| post(&server, key, &greedy("a", 1)).await.status();
    let until = async |key, expected| {
        for _ in 0..600 {
            if status(key).await == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the change never counted");
    };
    assert_eq!(status("other").await, StatusCode::UNAUTHORIZED);
    // Both, then only the new one.
    let both = format!("- {{name: team, sha256: {SECRET}}}\n- {{name: team, sha256: {OTHER}}}\n");
    write(directory.path(), &both);
    until("other", StatusCode::OK).await;
    assert_eq!(status("secret").await, StatusCode::OK);
    write(directory.path(), "- {name: team, sha256: nothing}\n");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(status("secret").await, StatusCode::OK);
    write(directory.path(), &format!("- {{name: team, sha256: {OTHER}}}\n"));
    until("secret", StatusCode::UNAUTHORIZED).await;
    assert_eq!(status("other").await, StatusCode::OK);
}

#[tokio::test]
async fn no_page_of_another_site_may_read_an_answer_or_a_cache_keep_it() {
    let server = ready().await;
    let url = format!("{}/v1/models", server.url);
    for method in [reqwest::Method::GET, reqwest::Method::OPTIONS] {
        let request = server.client.request(method, &url).header("origin", "https://evil.example");
        let request = request.header("access-control-request-method", "POST");
        let headers = request.send().await.expect("it answers").headers().clone();
        assert!(
            !headers.keys().any(|name| name.as_str().starts_with("access-control-")),
            "{headers:?}"
        );
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn without_keys_everybody_may_call() {
    let server = ready().await;
    assert_eq!(server.get("/v1/models").await.status(), StatusCode::OK);
    assert_eq!(post(&server, "anything", &greedy("a", 1)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn only_pages_of_named_origins_may_read_answers() {
    let mut config = config();
    config.allowed_origins = vec!["https://chat.example".parse().expect("a value")];
    for (server, named) in
        [(ready_with(config, Kind::Successor).await, true), (ready().await, false)]
    {
        for (origin, allowed) in
            [("https://chat.example", named), ("https://elsewhere.example", false)]
        {
            let models = server.client.get(format!("{}/v1/models", server.url));
            let answer = models.header("origin", origin).send().await.expect("it answers");
            let found = answer.headers().get("access-control-allow-origin");
            assert_eq!(found.is_some(), allowed, "{origin}");
            assert!(answer.headers().get("access-control-allow-credentials").is_none());
            let url = format!("{}/v1/chat/completions", server.url);
            let asked = server.client.request(reqwest::Method::OPTIONS, url);
            let asked =
                asked.header("origin", origin).header("access-control-request-method", "POST");
            let asked =
                asked.header("access-control-request-headers", "authorization,content-type");
            let answer = asked.send().await.expect("it answers");
            let found = answer.headers().get("access-control-allow-origin");
            assert_eq!(found.is_some(), allowed, "{origin}");
        }
    }
}
