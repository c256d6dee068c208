//! An HTTP proxy in front of a server under test: it passes requests on, and remembers what they were like.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// A request that came through.
#[derive(Debug, Clone)]
pub struct Request {
    /// Such as `POST /v1/completions HTTP/1.1`.
    pub line: String,
    /// The headers, as lines in lower case.
    pub headers: Vec<String>,
    /// The body; null where it is no JSON.
    pub body: Value,
}

impl Request {
    /// A header's value, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    }
}

#[derive(Debug, Default)]
struct Seen {
    requests: Vec<Request>,
    under_way: usize,
    most_under_way: usize,
}

/// The proxy. It answers until the process ends.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// `host:port`, where it listens.
    pub address: String,
    seen: Arc<Mutex<Seen>>,
}

impl Proxy {
    /// Listens on a free port of `host` and passes on to `server`.
    #[track_caller]
    pub fn start(host: &str, server: SocketAddr) -> Self {
        let listener = TcpListener::bind((host, 0))
            .unwrap_or_else(|error| panic!("{host} cannot be listened on: {error}"));
        let address = listener.local_addr().expect("a bound address").to_string();
        let proxy = Self { address, seen: Arc::default() };
        let accepting = proxy.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let proxy = accepting.clone();
                // A peer that goes away is the server's and the client's matter.
                std::thread::spawn(move || proxy.pass(client, server).ok());
            }
        });
        proxy
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.seen().requests.clone()
    }

    /// The most requests that were ever under way at once.
    pub fn most_under_way(&self) -> usize {
        self.seen().most_under_way
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request on one connection: both sides are told that it is the last.
    fn pass(&self, mut client: TcpStream, server: SocketAddr) -> std::io::Result<()> {
        let Some((request, head, body)) = read(&mut client)? else { return Ok(()) };
        {
            let mut seen = self.seen();
            seen.requests.push(request);
            seen.under_way += 1;
            seen.most_under_way = seen.most_under_way.max(seen.under_way);
        }
        let answer = (|| {
            let mut server = TcpStream::connect(server)?;
            server.write_all(head.as_bytes())?;
            server.write_all(&body)?;
            let mut answer = Vec::new();
            server.read_to_end(&mut answer)?;
            Ok::<_, std::io::Error>(answer)
        })();
        // Before the client can send the next one.
        self.seen().under_way -= 1;
        client.write_all(&closing(answer?))
    }
}

/// Reads a request: what is remembered of it, its head as it is passed on, and its body.
fn read(client: &mut TcpStream) -> std::io::Result<Option<(Request, String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        match client.read(&mut buffer)? {
            0 => return Ok(None),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let line = lines.next().unwrap_or_default().to_owned();
    let headers: Vec<String> = lines.map(str::to_ascii_lowercase).collect();
    let mut request = Request { line, headers, body: Value::Null };
    let length: u64 =
        request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(end + 4);
    let missing = length.saturating_sub(body.len() as u64);
    client.take(missing).read_to_end(&mut body)?;
    request.body = serde_json::from_slice(&body).unwrap_or_default();
    Ok(Some((
        request,
        String::from_utf8_lossy(&closing(head.into_bytes())).into_owned() + "\r\n\r\n",
        body,
    )))
}

/// A message whose head says that the connection is closed after it.
fn closing(message: Vec<u8>) -> Vec<u8> {
    let end = message.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(message.len());
    let head = String::from_utf8_lossy(&message[..end]).into_owned();
    let kept =
        head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut closing = kept.collect::<Vec<_>>().join("\r\n").into_bytes();
    closing.extend_from_slice(b"\r\nconnection: close");
    closing.extend_from_slice(&message[end..]);
    closing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    #[test]
    fn requests_are_passed_on_and_remembered() {
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = server.local_addr().expect("an address");
        std::thread::spawn(move || {
            for mut client in server.incoming().flatten() {
                let (request, ..) = read(&mut client).expect("a request").expect("a whole one");
                let body = request.body["prompt"].as_str().unwrap_or_default().to_owned();
                let answer =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                client.write_all(answer.as_bytes()).expect("a listener");
            }
        });
        let proxy = Proxy::start("127.0.0.1", address);
        let answer = http::post(&proxy.address, "/v1/completions", r#"{"prompt":"hello"}"#);
        assert_eq!(answer, Ok((200, "hello".to_owned())));
        assert_eq!(proxy.most_under_way(), 1);
        let requests = proxy.requests();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].line, "POST /v1/completions HTTP/1.1");
        assert_eq!(requests[0].header("content-type"), Some("application/json"));
        assert_eq!(requests[0].header("authorization"), None);
        assert_eq!(requests[0].body["prompt"], "hello");
    }
}
