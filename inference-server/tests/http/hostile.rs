//! What a client could send to get in, to get more than its part, or to learn something.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::access::{SECRET, guarded, guarded_with, post};
use crate::limits::raw;
use crate::model::{CONTEXT, ERROR_BYTE, Kind, PANIC_BYTE};
use crate::server::{Server, config, greedy, json_of, ready, ready_with, with};

fn team() -> String {
    format!("- {{name: team, sha256: {SECRET}}}\n")
}

/// All paths of the router, as its source has them.
fn routes() -> Vec<String> {
    let source = include_str!("../../src/routes/mod.rs");
    let paths = source.split(".route(").skip(1).filter_map(|rest| rest.trim().split('"').nth(1));
    let paths: Vec<String> = paths.map(|path| path.replace("{*id}", "a/b")).collect();
    assert!(paths.len() >= 9 && paths.iter().all(|path| path.starts_with('/')), "{paths:?}");
    paths
}

#[tokio::test]
async fn with_keys_no_method_of_any_path_answers_a_stranger() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = guarded(directory.path(), &team()).await;
    let unknown = ["/", "/v1", "/admin", "/healthz/", "/readyz/x", "/metrics/", "/%68ealthz"];
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"];
    for path in routes().iter().map(String::as_str).chain(unknown) {
        for method in methods {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let request = server.client.request(method.clone(), format!("{}{path}", server.url));
            let status = request.send().await.expect("it answers").status();
            match path {
                "/healthz" | "/readyz" => assert_ne!(status, StatusCode::UNAUTHORIZED, "{path}"),
                _ => assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}"),
            }
        }
    }
}

#[tokio::test]
async fn no_way_of_writing_a_path_leads_around_the_keys() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = guarded(directory.path(), &team()).await;
    for target in [
        "//healthz",
        "/healthz/../v1/models",
        "/healthz%2f..%2fv1/models",
        "/healthz;/v1/models",
        "/./v1/models",
        "/v1/models?x=/healthz",
        "/v1/models#/healthz",
        "http://127.0.0.1/v1/models",
        "http://healthz/v1/models",
        "http://x/metrics?/readyz",
        "/HEALTHZ",
    ] {
        let request =
            format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = raw(&server, request).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{target}: {answer}");
    }
    for line in ["OPTIONS *", "CONNECT 127.0.0.1:80", "CONNECT /metrics"] {
        let request = format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = raw(&server, request).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{line}: {answer}");
    }
}

#[tokio::test]
async fn a_header_of_a_gibibyte_is_refused_after_a_few_pages() {
    let server = ready().await;
    let address = server.address;
    let send = move || {
        let mut stream = TcpStream::connect(address).expect("it accepts");
        stream.set_write_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let chunk = [b'x'; 64 << 10];
        let (mut written, mut part) =
            (0usize, &b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-long: "[..]);
        let stopped = loop {
            match stream.write(part) {
                Ok(count) => written += count,
                Err(error) => break error,
            }
            assert!(written < 1 << 30, "it takes everything");
            part = &chunk;
        };
        let mut answer = Vec::new();
        // What was answered may be lost with the connection.
        let _ = stream.read_to_end(&mut answer);
        (written, stopped.kind(), String::from_utf8_lossy(&answer).into_owned())
    };
    let (written, stopped, answer) = tokio::task::spawn_blocking(send).await.expect("no panic");
    // What the sockets' buffers hold, not what the server keeps.
    assert!(written < 64 << 20, "{written} bytes until {stopped:?}");
    assert_ne!(stopped, std::io::ErrorKind::WouldBlock, "it is closed, not left alone");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many =
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x:1\r\n".repeat(1000));
    let answer = raw(&server, many).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    json_of(server.get("/healthz").await, StatusCode::OK).await;
}

fn chat() -> Value {
    json!({"model": "fake", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1})
}

#[track_caller]
fn refusal(body: &Value, param: &str, code: &str) {
    let error = &body["error"];
    assert_eq!((&error["param"], &error["code"]), (&json!(param), &json!(code)), "{body}");
}

#[tokio::test]
async fn tensors_and_templates_in_a_request_are_refused_by_name_and_never_decoded() {
    let server = ready().await;
    // The beginning of a pickle, in base64.
    let tensor = "gAJjcG9zaXgKc3lzdGVtCg==";
    for (path, base) in [("/v1/completions", greedy("a", 1)), ("/v1/chat/completions", chat())] {
        for (name, value) in [
            ("prompt_embeds", json!(tensor)),
            ("prompt_embeds", json!([tensor])),
            ("mm_processor_kwargs", json!({"num_crops": 4})),
            ("chat_template", json!("{{ messages }}")),
            ("chat_template_kwargs", json!({"enable_thinking": true})),
            ("add_generation_prompt", json!(false)),
            ("continue_final_message", json!(true)),
            ("guided_regex", json!("(a+)+$")),
            ("logits_processors", json!(["os.system"])),
            ("structured_outputs", json!({"json": {}})),
        ] {
            let response = server.post(path, &with(base.clone(), json!({name: value}))).await;
            let body = json_of(response, StatusCode::BAD_REQUEST).await;
            refusal(&body, name, "unsupported_parameter");
        }
        let harmless = json!({
            "prompt_embeds": null, "add_generation_prompt": true, "continue_final_message": false,
            "chat_template_kwargs": {}, "tensor": tensor, "user": "u",
        });
        json_of(server.post(path, &with(base, harmless)).await, StatusCode::OK).await;
    }
    let part = json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{tensor}")}});
    let image = json!({"messages": [{"role": "user", "content": [part]}]});
    let response = server.post("/v1/chat/completions", &with(chat(), image)).await;
    let body = json_of(response, StatusCode::BAD_REQUEST).await;
    refusal(&body, "messages[0].content[0]", "invalid_value");
}

#[tokio::test]
async fn numbers_and_lists_beyond_their_limits_are_refused_by_name() {
    let server = ready().await;
    let many: serde_json::Map<String, Value> =
        (0..2000).map(|token| (token.to_string(), json!(1))).collect();
    for (path, base, extra, param) in [
        ("/v1/completions", greedy("a", 1), json!({"n": 16_384}), "n"),
        ("/v1/completions", greedy("a", 1), json!({"n": i64::MAX}), "n"),
        ("/v1/completions", greedy("a", 1), json!({"n": -1}), "n"),
        ("/v1/completions", greedy("a", 1), json!({"best_of": 16_384}), "best_of"),
        ("/v1/completions", greedy("a", 1), json!({"stop": vec!["x"; 17]}), "stop"),
        ("/v1/completions", greedy("a", 1), json!({"stop": "x".repeat(257)}), "stop"),
        ("/v1/completions", greedy("a", 1), json!({"max_tokens": CONTEXT + 1}), "max_tokens"),
        ("/v1/completions", greedy("a", 1), json!({"max_tokens": i64::MAX}), "max_tokens"),
        ("/v1/completions", greedy("a", 1), json!({"prompt": vec!["a"; 33]}), "prompt"),
        ("/v1/completions", greedy("a", 1), json!({"prompt": vec![[1]; 33]}), "prompt"),
        ("/v1/completions", greedy("a", 1), json!({"logit_bias": {"1": 1e9}}), "logit_bias"),
        ("/v1/completions", greedy("a", 1), json!({"logit_bias": many}), "logit_bias"),
        ("/v1/completions", greedy("a", 1), json!({"logprobs": 21}), "logprobs"),
        ("/v1/completions", greedy("a", 1), json!({"seed": i64::MAX}), "seed"),
        ("/v1/completions", greedy("a", 1), json!({"top_k": i64::MAX}), "top_k"),
        (
            "/v1/chat/completions",
            chat(),
            json!({"logprobs": true, "top_logprobs": 21}),
            "top_logprobs",
        ),
        ("/v1/chat/completions", chat(), json!({"n": 16_384}), "n"),
    ] {
        let response = server.post(path, &with(base, extra)).await;
        let body = json_of(response, StatusCode::BAD_REQUEST).await;
        refusal(&body, param, code_of(param));
    }
}

/// `best_of` is another server's.
fn code_of(param: &str) -> &'static str {
    if param == "best_of" { "unsupported_parameter" } else { "invalid_value" }
}

#[tokio::test]
async fn a_body_of_brackets_overflows_no_stack() {
    let server = ready().await;
    let nested =
        |before: &str, bracket: &str, times: usize| format!("{before}{}", bracket.repeat(times));
    for (path, body) in [
        ("/v1/completions", nested("", "[", 4 << 20)),
        ("/v1/completions", nested("{\"prompt\":", "[", 4_000_000)),
        ("/v1/completions", nested("{\"unknown\":", "[", 4_000_000)),
        ("/v1/completions", nested("{\"prompt_embeds\":", "[", 4_000_000)),
        ("/v1/chat/completions", nested("{\"messages\":", "[{\"content\":", 300_000)),
        ("/v1/chat/completions", nested("{\"tools\":", "{\"a\":", 700_000)),
        ("/format", nested("{\"format\":\"JSONL\",\"rows\":", "[{\"a\":", 500_000)),
        ("/validate", nested("{\"validation\":", "{\"a\":", 700_000)),
    ] {
        let request = server.client.post(format!("{}{path}", server.url)).body(body);
        let response = request.send().await.expect("it answers");
        let body = json_of(response, StatusCode::BAD_REQUEST).await;
        let message = body["error"]["message"].as_str().expect("a message");
        assert!(message.len() < 1000, "{path}: {message}");
    }
    assert_eq!(server.complete(&greedy("a", 1)).await["choices"][0]["text"], "b");
}

#[tokio::test]
async fn a_body_in_chunks_of_one_byte_is_read_or_refused_like_another() {
    let mut small = config();
    small.body_limit = 64 << 10;
    let server = ready_with(small, Kind::Successor).await;
    let chunked = |body: &[u8]| {
        let head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut request = head.to_vec();
        for byte in body {
            request.extend_from_slice(&[b'1', b'\r', b'\n', *byte, b'\r', b'\n']);
        }
        request.extend_from_slice(b"0\r\n\r\n");
        request
    };
    let answer = raw(&server, chunked(greedy("a", 1).to_string().as_bytes())).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"text\":\"b\""), "{answer}");
    let answer = raw(&server, chunked(&vec![b' '; (64 << 10) + 1])).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("body_too_large"), "{answer}");
}

#[track_caller]
fn tells_nothing(text: &str) {
    for part in [
        "secret",
        "sk-wrong",
        ".rs",
        "src/",
        "0x",
        "/root",
        "/home",
        "/tmp",
        "panicked",
        "backtrace",
        "thread '",
        "RUST_",
        "127.0.0.1",
    ] {
        assert!(!text.contains(part), "{part} is in {text}");
    }
}

#[tokio::test]
async fn an_error_tells_nothing_of_the_machine_or_the_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut small = config();
    small.body_limit = 1024;
    let server = guarded_with(directory.path(), &team(), small).await;
    let at = |method: Method, path: &str| {
        let request = server.client.request(method, format!("{}{path}", server.url));
        request.bearer_auth("secret").header("x-api-key", "secret")
    };
    let completion = |body: Value| at(Method::POST, "/v1/completions").json(&body);
    let form = at(Method::POST, "/v1/completions").header("content-type", "text/plain");
    let stranger = server.client.get(format!("{}/v1/models?key=secret", server.url));
    for (request, status) in [
        (completion(json!({"model": 1})), 400),
        (completion(greedy(json!([ERROR_BYTE]), 1)), 500),
        (completion(with(greedy("a", 1), json!({"model": "other"}))), 404),
        (completion(greedy("a".repeat(2000), 1)), 413),
        (completion(greedy("a", 1)).header("x-textnlp-model-digest", "sha256:00"), 412),
        (at(Method::GET, "/nothing?key=secret"), 404),
        (at(Method::DELETE, "/v1/models"), 405),
        (at(Method::GET, "/metrics"), 403),
        (form.body("secret"), 415),
        (stranger.bearer_auth("sk-wrong-4711"), 401),
    ] {
        let response = request.send().await.expect("it answers");
        let headers = format!("{:?}", response.headers());
        assert_eq!(response.status().as_u16(), status);
        tells_nothing(&headers);
        tells_nothing(&response.text().await.expect("text"));
    }
    // Panics of the model, until the engine gives up.
    let mut statuses = Vec::new();
    while statuses.last() != Some(&503) {
        let response = post(&server, "secret", &greedy(json!([PANIC_BYTE]), 2)).await;
        statuses.push(response.status().as_u16());
        assert!(statuses.len() < 6, "{statuses:?}");
        tells_nothing(&response.text().await.expect("text"));
    }
    assert_eq!(statuses[0], 500);
    let health = server.get("/healthz").await;
    assert_eq!(health.status(), StatusCode::INTERNAL_SERVER_ERROR);
    tells_nothing(&health.text().await.expect("text"));
}

/// One conversation is answered, another makes the template work without end.
const LOOPS: &str = "{% if messages[0].content == 'loop' %}{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}{% elif messages[0].content == 'grow' %}{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{% endif %}{{ messages[0].content }}";

async fn say(server: &Server, content: &str, status: StatusCode) -> Value {
    let messages = json!({"messages": [{"role": "user", "content": content}]});
    json_of(server.post("/v1/chat/completions", &with(chat(), messages)).await, status).await
}

#[tokio::test]
async fn a_template_that_works_without_end_fails_that_request_alone() {
    let server = ready_with(config(), Kind::Template(LOOPS)).await;
    for content in ["loop", "grow"] {
        let body = say(&server, content, StatusCode::BAD_REQUEST).await;
        refusal(&body, "messages", "invalid_value");
        say(&server, "hi", StatusCode::OK).await;
    }
}

#[tokio::test]
async fn a_template_of_fifty_thousand_conditions_is_refused_and_texts_are_still_completed() {
    let deep: &'static str = "{% if x %}".repeat(50_000).leak();
    let server = ready_with(config(), Kind::Template(deep)).await;
    let body = say(&server, "hi", StatusCode::BAD_REQUEST).await;
    refusal(&body, "messages", "no_chat_template");
    let message = body["error"]["message"].as_str().expect("a message");
    assert!(message.contains("500000") && message.len() < 500, "{message}");
    assert_eq!(server.complete(&greedy("a", 1)).await["choices"][0]["text"], "b");
}
