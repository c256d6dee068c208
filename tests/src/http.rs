//! The smallest HTTP client: one request on one connection, from the machine that the cluster runs on.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Posts a JSON document; gives the status and the body, or why there was no answer.
pub fn post(address: &str, path: &str, body: &str) -> Result<(u16, String), String> {
    request("POST", address, path, None, body)
}

/// The same with a bearer token, if there is one.
pub fn post_as(
    token: Option<&str>,
    address: &str,
    path: &str,
    body: &str,
) -> Result<(u16, String), String> {
    request("POST", address, path, token, body)
}

/// Gets a document; gives the status and the body, or why there was no answer.
pub fn get(address: &str, path: &str) -> Result<(u16, String), String> {
    request("GET", address, path, None, "")
}

/// The same with a bearer token, if there is one.
pub fn get_as(token: Option<&str>, address: &str, path: &str) -> Result<(u16, String), String> {
    request("GET", address, path, token, "")
}

fn request(
    method: &str,
    address: &str,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> Result<(u16, String), String> {
    let failed = |error: std::io::Error| format!("{method} http://{address}{path}: {error}");
    let target = address
        .to_socket_addrs()
        .map_err(failed)?
        .next()
        .ok_or_else(|| format!("{address} has no address"))?;
    let mut stream =
        TcpStream::connect_timeout(&target, Duration::from_secs(10)).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(120))).map_err(failed)?;
    let bearer = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n{}\
         content-length: {}\r\nconnection: close\r\n\r\n",
        bearer.unwrap_or_default(),
        body.len()
    );
    stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body.as_bytes()))
        .map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| format!("no HTTP answer, but {answer:?}"))?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Ok((status, body))
}
