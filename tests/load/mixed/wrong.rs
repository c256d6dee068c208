//! Requests that are wrong, and how they must be refused. I/O; the list of them has none.

use futures::stream;
use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};

use super::ground::{CHAT, COMPLETIONS, Ground, refused};
use super::tally::Outcome;
use crate::dice::Dice;
use crate::error::chain;

/// More bytes than the server takes by default.
const TOO_LARGE: usize = 5 << 20;
/// Bytes that are sent at a time where a body's length is not told.
const PART: usize = 64 << 10;

/// A request that is wrong.
#[derive(Debug)]
pub(crate) struct Wrong {
    method: Method,
    path: &'static str,
    header: Option<(&'static str, &'static str)>,
    body: Vec<u8>,
    /// Whether the body's length is not told.
    chunked: bool,
    status: u16,
    code: &'static str,
}

impl Wrong {
    fn post(path: &'static str, body: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Self {
        let (method, body) = (Method::POST, body.into());
        Self { method, path, header: None, body, chunked: false, status, code }
    }

    fn without_body(method: Method, path: &'static str, status: u16, code: &'static str) -> Self {
        Self { method, ..Self::post(path, "", status, code) }
    }
}

/// One of them, and its name.
pub(crate) async fn any(
    ground: &Ground,
    dice: &mut Dice,
) -> (&'static str, Result<Outcome, String>) {
    let wrong = dice.pick(&ground.wrong);
    let name = match wrong.status {
        404 | 405 => "wrong path, method or model",
        413 => "body too large",
        _ => "wrong request",
    };
    (name, send(ground, wrong).await)
}

async fn send(ground: &Ground, wrong: &Wrong) -> Result<Outcome, String> {
    let (key, value) = wrong.header.unwrap_or(("content-type", "application/json"));
    let body = match wrong.chunked {
        false => Body::from(wrong.body.clone()),
        true => {
            let parts = wrong.body.chunks(PART).map(|part| Ok::<_, std::io::Error>(part.to_vec()));
            Body::wrap_stream(stream::iter(parts.collect::<Vec<_>>()))
        }
    };
    let request = ground.request(wrong.method.clone(), wrong.path).header(key, value).body(body);
    let response = request.send().await;
    let response = response.map_err(|error| format!("{}: {}", wrong.name(), chain(&error)))?;
    if response.status() == StatusCode::TOO_MANY_REQUESTS && wrong.status != 429 {
        refused(response, 429, "queue_full").await?;
        return Ok(Outcome::Full);
    }
    let checked = refused(response, wrong.status, wrong.code).await;
    checked.map(|()| Outcome::Refused).map_err(|error| format!("{}: {error}", wrong.name()))
}

impl Wrong {
    /// What it is, for people.
    fn name(&self) -> String {
        let begin = &self.body[..self.body.len().min(200)];
        format!("{} {} {}", self.method, self.path, String::from_utf8_lossy(begin))
    }
}

/// All of them, for a server with that model.
pub(crate) fn all(model: &str) -> Vec<Wrong> {
    let with = |base: &Value, changes: &Value| {
        let mut body = base.clone();
        if let (Some(body), Some(changes)) = (body.as_object_mut(), changes.as_object()) {
            body.extend(changes.clone());
        }
        body.to_string()
    };
    let chat = json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]});
    let completion = json!({"model": model, "prompt": "Hi", "max_tokens": 4});
    let chats = chats()
        .into_iter()
        .map(|(changes, status, code)| Wrong::post(CHAT, with(&chat, &changes), status, code));
    let completions = completions().into_iter().map(|(changes, status, code)| {
        Wrong::post(COMPLETIONS, with(&completion, &changes), status, code)
    });
    let large = json!({"model": model, "prompt": "x".repeat(TOO_LARGE)}).to_string();
    let large = || Wrong::post(COMPLETIONS, large.clone(), 413, "body_too_large");
    let pinned = ("x-textnlp-model-digest", "sha256:00");
    let others = [
        large(),
        Wrong { chunked: true, ..large() },
        Wrong {
            header: Some(("content-type", "text/plain")),
            ..Wrong::post(CHAT, chat.to_string(), 415, "unsupported_media_type")
        },
        Wrong { header: Some(pinned), ..Wrong::post(CHAT, chat.to_string(), 412, "model_changed") },
    ];
    chats.chain(completions).chain(others).chain(broken()).chain(paths()).chain(tables()).collect()
}

/// What is wrong with chats: changes to one that is right.
fn chats() -> Vec<(Value, u16, &'static str)> {
    let long = json!([{"role": "user", "content": "word ".repeat(9000)}]);
    vec![
        (json!({"temperature": "hot"}), 400, "invalid_type"),
        (json!({"messages": "Hi"}), 400, "invalid_type"),
        (json!({"messages": [{"role": "user", "content": 3}]}), 400, "invalid_type"),
        (json!({"seed": 1.5}), 400, "invalid_type"),
        (json!({"temperature": 9}), 400, "invalid_value"),
        (json!({"top_p": 0}), 400, "invalid_value"),
        (json!({"n": 0}), 400, "invalid_value"),
        (json!({"n": 9}), 400, "invalid_value"),
        (json!({"seed": -1}), 400, "invalid_value"),
        (json!({"max_tokens": 0}), 400, "invalid_value"),
        (json!({"max_tokens": 1_000_000}), 400, "invalid_value"),
        (json!({"messages": []}), 400, "invalid_value"),
        (json!({"messages": [{"role": "wizard", "content": "Hi"}]}), 400, "invalid_value"),
        (json!({"stop": vec!["x"; 17]}), 400, "invalid_value"),
        (json!({"logit_bias": {"x": 1}}), 400, "invalid_value"),
        (json!({"logit_bias": {"999999": 1}}), 400, "invalid_value"),
        (json!({"stream_options": {}}), 400, "invalid_value"),
        (json!({"model": null}), 400, "invalid_value"),
        (json!({"tools": []}), 400, "unsupported_parameter"),
        (json!({"presence_penalty": 1}), 400, "unsupported_parameter"),
        (json!({"response_format": {"type": "json_object"}}), 400, "unsupported_parameter"),
        (json!({"model": "another"}), 404, "model_not_found"),
        (json!({"messages": long}), 400, "context_length_exceeded"),
        (json!({"messages": long, "stream": true}), 400, "context_length_exceeded"),
    ]
}

/// What is wrong with completions.
fn completions() -> Vec<(Value, u16, &'static str)> {
    vec![
        (json!({"prompt": [[1], "a"]}), 400, "invalid_type"),
        (json!({"prompt": ""}), 400, "invalid_value"),
        (json!({"prompt": []}), 400, "invalid_value"),
        (json!({"prompt": [999_999_999]}), 400, "invalid_value"),
        (json!({"prompt": vec!["a"; 33]}), 400, "invalid_value"),
        (json!({"logprobs": 99}), 400, "invalid_value"),
        (json!({"best_of": 3}), 400, "unsupported_parameter"),
        (json!({"echo": true}), 400, "unsupported_parameter"),
        (json!({"prompt": vec![1; 9000]}), 400, "context_length_exceeded"),
    ]
}

/// What is no JSON at all.
fn broken() -> Vec<Wrong> {
    let deep = format!("{{\"rows\": [{{\"a\": {}", "[".repeat(100_000));
    let wrong = |path, body: &[u8]| Wrong::post(path, body, 400, "invalid_json");
    vec![
        wrong(CHAT, b""),
        wrong(CHAT, b"{\"model\": "),
        wrong(CHAT, b"{} {}"),
        wrong(CHAT, b"\xff\xfe\x00"),
        wrong(COMPLETIONS, b"hello"),
        wrong("/validate", deep.as_bytes()),
        wrong("/format", deep.as_bytes()),
    ]
}

fn paths() -> Vec<Wrong> {
    vec![
        Wrong::without_body(Method::GET, "/v1/embeddings", 404, "not_found"),
        Wrong::without_body(Method::GET, "/v1/models/another", 404, "model_not_found"),
        Wrong::without_body(Method::GET, "/favicon.ico", 404, "not_found"),
        Wrong::without_body(Method::PUT, "/v1/chat/completions/", 404, "not_found"),
        Wrong::post("/v1/embeddings", "{}", 404, "not_found"),
        Wrong::without_body(Method::GET, CHAT, 405, "method_not_allowed"),
        Wrong::without_body(Method::DELETE, "/healthz", 405, "method_not_allowed"),
        Wrong::without_body(Method::GET, "/validate", 405, "method_not_allowed"),
    ]
}

/// What is wrong with `/validate` and `/format`.
fn tables() -> Vec<Wrong> {
    let wrong = |path, body: Value, code| Wrong::post(path, body.to_string(), 400, code);
    let metric = json!({"metrics": [{"metric": "rouge", "column": "text"}]});
    let rows = json!([{"text": "a"}]);
    vec![
        wrong("/validate", json!({"rows": [], "validation": {}}), "invalid_value"),
        wrong("/validate", json!({"rows": rows, "validation": metric}), "invalid_value"),
        wrong("/validate", json!({"rows": ["text"], "validation": {}}), "invalid_type"),
        wrong("/format", json!({"rows": [], "format": "CSV"}), "invalid_value"),
        wrong("/format", json!({"rows": rows, "format": "XML"}), "invalid_type"),
        wrong("/format", json!({"rows": rows, "format": "CSV", "fields": ["b"]}), "invalid_value"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_wrong_in_one_way_only() {
        let all = all("m");
        let found = all.iter().find(|wrong| wrong.body.starts_with(b"{\"model\":\"m\""));
        let body: Value = serde_json::from_slice(&found.expect("a chat").body).expect("JSON");
        assert_eq!(body["messages"][0]["content"], "Hi");
        assert_eq!(body["temperature"], "hot");
        assert!(all.iter().filter(|wrong| wrong.status == 413).any(|wrong| wrong.chunked));
    }
}
