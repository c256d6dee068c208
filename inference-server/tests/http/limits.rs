//! Sizes and times of requests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use crate::model::Kind;
use crate::server::{Server, config, greedy, json_of, ready, ready_with};

/// Everything that the server sends before it closes the connection.
pub(crate) async fn raw(server: &Server, request: impl Into<Vec<u8>>) -> String {
    let (address, request) = (server.address, request.into());
    let exchange = move || {
        let mut stream = TcpStream::connect(address).expect("it accepts");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        stream.write_all(&request).expect("it reads");
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the server does not close the connection: {error}"),
        }
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::task::spawn_blocking(exchange).await.expect("no panic")
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let mut small = config();
    small.body_limit = 1024;
    let server = ready_with(small, Kind::Successor).await;
    for bytes in [1100, 3_000_000] {
        let response = server.post("/v1/completions", &greedy("x".repeat(bytes), 1)).await;
        let body = json_of(response, StatusCode::PAYLOAD_TOO_LARGE).await;
        assert_eq!(body["error"]["code"], "body_too_large");
        assert_eq!(
            body["error"]["message"],
            "the body has more than 1024 bytes, which is the limit"
        );
    }
    assert_eq!(server.complete(&greedy("a", 1)).await["choices"][0]["text"], json!("b"));
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused() {
    let server = ready().await;
    let request =
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-long: {}\r\n", "x".repeat(40_000));
    let answer = raw(&server, request).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    json_of(server.get("/healthz").await, StatusCode::OK).await;
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_is_cut_off() {
    let mut impatient = config();
    impatient.header_timeout = Duration::from_millis(100);
    let server = ready_with(impatient, Kind::Successor).await;
    let answer = raw(&server, *b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n").await;
    assert!(!answer.contains("200"), "{answer}");
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_refused() {
    let mut impatient = config();
    impatient.body_timeout = Duration::from_millis(100);
    let server = ready_with(impatient, Kind::Successor).await;
    let request =
        *b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{";
    let answer = raw(&server, request).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("body_timeout"), "{answer}");
}
