//! Reads `/metrics` of the operator's own pods, for progress and scaling. A failed scrape is an answer of its own: nothing durable depends
//! on one. I/O; the parser has none.

mod parse;

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use http::StatusCode;

pub use parse::{Sample, Samples, parse};

/// Bytes of an answer at most.
const BODY_LIMIT: usize = 4 << 20;
/// The most time that a scrape may take.
const SCRAPE_LIMIT: Duration = Duration::from_secs(3);

/// Reads `/metrics` of pods.
#[derive(Clone, Debug)]
pub struct Scraper {
    http: reqwest::Client,
    /// File with the token that servers ask for; the kubelet renews it.
    token: Option<PathBuf>,
}

/// Why a pod's metrics are not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or no answer in time.
    #[error("{url} did not answer: {source}")]
    Unreachable {
        /// The address.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The operator's own token is not there.
    #[error("the token for the servers' metrics, {}, cannot be read: {source}", path.display())]
    NoToken {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An answer that is longer than any of ours.
    #[error("{url} answered with more than {BODY_LIMIT} bytes")]
    TooLong {
        /// The address.
        url: String,
    },
}

impl Error {
    /// Whether the operator is not let in.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::NoToken { .. } => true,
            Self::Unreachable { source, .. } => {
                matches!(source.status(), Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))
            }
            Self::TooLong { .. } => false,
        }
    }
}

impl Scraper {
    /// A scraper, with connections that are kept for the next time. `token` is the file with what servers know the operator by.
    pub fn new(token: Option<PathBuf>) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(SCRAPE_LIMIT)
            .connect_timeout(Duration::from_secs(1))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { http, token })
    }

    /// Reads `/metrics` of a worker, which shows them to everybody.
    pub async fn scrape(&self, ip: &str, port: u16) -> Result<Samples, Error> {
        self.read(ip, port, None).await
    }

    /// Reads `/metrics` of a server, which may ask who reads them.
    pub async fn scrape_server(&self, ip: &str, port: u16) -> Result<Samples, Error> {
        let token = match &self.token {
            Some(path) => {
                let read = tokio::fs::read_to_string(path).await;
                Some(read.map_err(|source| Error::NoToken { path: path.clone(), source })?)
            }
            None => None,
        };
        self.read(ip, port, token.as_deref()).await
    }

    async fn read(&self, ip: &str, port: u16, token: Option<&str>) -> Result<Samples, Error> {
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
        let url = format!("http://{host}:{port}/metrics");
        let unreachable = |source| Error::Unreachable { url: url.clone(), source };
        let request = self.http.get(&url);
        let request = match token {
            Some(token) => request.bearer_auth(token.trim()),
            None => request,
        };
        let response = request.send().await.map_err(unreachable)?;
        let response = response.error_for_status().map_err(unreachable)?;
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk.map_err(unreachable)?);
            if body.len() > BODY_LIMIT {
                return Err(Error::TooLong { url });
            }
        }
        Ok(parse(&String::from_utf8_lossy(&body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::{HeaderMap, header};
    use axum::routing::get;

    /// Shows its metrics to who comes with `Bearer new`; the address of its port.
    async fn server() -> u16 {
        let metrics = |headers: HeaderMap| async move {
            match headers.get(header::AUTHORIZATION) {
                Some(value) if value == "Bearer new" => Ok("a 1\n"),
                _ => Err(StatusCode::UNAUTHORIZED),
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let app = Router::new().route("/metrics", get(metrics));
        tokio::spawn(async move { axum::serve(listener, app).await });
        port
    }

    #[tokio::test]
    async fn servers_get_the_token_that_is_in_the_file_now_and_workers_get_none() {
        let port = server().await;
        let folder = tempfile::tempdir().expect("a folder");
        let token = folder.path().join("token");
        let scraper = Scraper::new(Some(token.clone())).expect("a client");
        let refusal = async || {
            let answer = scraper.scrape_server("127.0.0.1", port).await;
            answer.err().filter(Error::is_refusal).map(|error| error.to_string())
        };
        assert!(refusal().await.is_some_and(|error| error.contains("token, cannot be read")));
        std::fs::write(&token, "old\n").expect("a file");
        assert!(refusal().await.is_some_and(|error| error.contains("/metrics")));
        std::fs::write(&token, "new\n").expect("a file");
        let answer = scraper.scrape_server("127.0.0.1", port).await.expect("an answer");
        assert_eq!(answer.sum("a"), Some(1.0));
        assert!(scraper.scrape("127.0.0.1", port).await.is_err_and(|error| error.is_refusal()));
    }
}
