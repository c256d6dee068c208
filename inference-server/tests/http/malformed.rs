//! Requests that two servers in a row could read differently, or that are none.

use reqwest::StatusCode;
use serde_json::json;

use crate::access::{SECRET, guarded};
use crate::limits::raw;
use crate::server::{greedy, json_of, ready};

#[tokio::test]
async fn what_is_no_request_is_refused_and_the_connection_closed() {
    let server = ready().await;
    let get = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n";
    let post = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n";
    for request in [
        format!("{post}content-length: 5\r\ncontent-length: 6\r\n\r\n{{}}    "),
        format!("{post}content-length: +5\r\n\r\n{{}}   "),
        format!("{post}content-length: -1\r\n\r\n"),
        format!("{post}content-length: 5, 6\r\n\r\n{{}}    "),
        format!("{post}content-length: 18446744073709551616\r\n\r\n"),
        format!("{post}transfer-encoding: gzip\r\n\r\n"),
        format!("{post}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        "POST /v1/completions HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding: chunked\r\n\r\n-1\r\n{{}}\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{{}}"),
        format!("{post}transfer-encoding: chunked\r\n\r\n2\r\n{{}}xx0\r\n\r\n"),
        format!("{get}x-nul: a\0b\r\n\r\n"),
        format!("{get}x-folded: a\r\n b\r\n\r\n"),
        format!("{get}x-space : a\r\n\r\n"),
        format!("{get}no colon\r\n\r\n"),
        format!("{get}x\u{e9}: a\r\n\r\n"),
        "GET /health\0z HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        "GET /health z HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        "GET healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(),
        "GET /healthz HTTP/9.9\r\nhost: localhost\r\n\r\n".to_owned(),
        "G\u{fc}T /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\0\u{5}hello, this is TLS\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(),
        format!("{get}host: y\r\nconnection: close\r\n\r\n"),
    ] {
        let answer = raw(&server, request.clone()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{request:?}: {answer}");
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{request:?}: {answer}");
    }
    let answer = raw(&server, *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!(!answer.contains(" 200 "), "{answer}");
    assert_eq!(server.complete(&greedy("a", 1)).await["choices"][0]["text"], "b");
}

#[tokio::test]
async fn a_request_hidden_in_another_ones_body_is_never_answered() {
    let server = ready().await;
    let hidden = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for lengths in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 400\r\n",
    ] {
        let post = format!("POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n{lengths}\r\n");
        let answer = raw(&server, format!("{post}0\r\n\r\n{hidden}")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on_and_a_stranger_is_not() {
    let server = ready().await;
    let body = greedy("a", 1).to_string();
    let request = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = raw(&server, request.clone()).await;
    assert!(answer.starts_with("HTTP/1.1 100 ") && answer.contains("HTTP/1.1 200 "), "{answer}");
    let directory = tempfile::tempdir().expect("a directory");
    let keys = format!("- {{name: team, sha256: {SECRET}}}\n");
    let guarded = guarded(directory.path(), &keys).await;
    let answer = raw(&guarded, request).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[tokio::test]
async fn a_proxys_form_of_an_address_is_read_and_old_clients_are_served() {
    let server = ready().await;
    for request in [
        "GET http://model.example/healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        "GET /healthz HTTP/1.0\r\n\r\n",
        "\r\n\r\nGET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    ] {
        let answer = raw(&server, request).await;
        assert!(answer.contains(" 200 ") && answer.ends_with('}'), "{answer}");
    }
    let body = json_of(server.get("/v1/models").await, StatusCode::OK).await;
    assert_eq!(body["data"][0]["id"], json!("fake"));
}
