//! Reads `/metrics` of the operator's own pods, for progress and scaling. A failed scrape is an answer of its own: nothing durable depends
//! on one. I/O; the parser has none.

mod parse;

use std::time::Duration;

use futures::StreamExt;

pub use parse::{Sample, Samples, parse};

/// Bytes of an answer at most.
const BODY_LIMIT: usize = 4 << 20;
/// The most time that a scrape may take.
const SCRAPE_LIMIT: Duration = Duration::from_secs(3);

/// Reads `/metrics` of pods.
#[derive(Clone, Debug)]
pub struct Scraper {
    http: reqwest::Client,
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
    /// An answer that is longer than any of ours.
    #[error("{url} answered with more than {BODY_LIMIT} bytes")]
    TooLong {
        /// The address.
        url: String,
    },
}

impl Scraper {
    /// A scraper, with connections that are kept for the next time.
    pub fn new() -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(SCRAPE_LIMIT)
            .connect_timeout(Duration::from_secs(1))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { http })
    }

    /// Reads `http://<ip>:<port>/metrics`.
    pub async fn scrape(&self, ip: &str, port: u16) -> Result<Samples, Error> {
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
        let url = format!("http://{host}:{port}/metrics");
        let unreachable = |source| Error::Unreachable { url: url.clone(), source };
        let response = self.http.get(&url).send().await.map_err(unreachable)?;
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
