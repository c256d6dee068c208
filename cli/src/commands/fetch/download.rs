//! Files over HTTP: tried again where they broke off, and checked before they are believed.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use reqwest::header::{AUTHORIZATION, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode};
use sha2::{Digest, Sha256};
use textnlp_dataset::digest::hex;
use textnlp_dataset::net::{Access, AddressError, Client};

use super::error::FetchError;

/// How often in a row a file may break off without a byte more.
const TRIES: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// Longest document that is read into memory: the list of a repository's files.
const MAX_DOCUMENT: usize = 16 << 20;

/// What is known of a file before it is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    pub(super) bytes: Option<u64>,
    /// 64 lower-case hexadecimal digits.
    pub(super) sha256: Option<String>,
}

/// Brings files. Credentials go to the host that is asked, and not where it redirects to.
pub(super) struct Downloader {
    client: Client,
}

/// A file that is partly there.
struct Partial {
    file: File,
    hasher: Sha256,
    bytes: u64,
}

/// How one try ended.
enum Try {
    Whole,
    BrokeOff(String),
}

impl Downloader {
    pub(super) fn new(access: Access) -> Result<Self, FetchError> {
        Ok(Self { client: Client::new(access)? })
    }

    /// Reads a JSON document.
    pub(super) async fn document<T: serde::de::DeserializeOwned>(
        &self,
        url: &str,
        bearer: Option<&HeaderValue>,
    ) -> Result<T, FetchError> {
        let mut failures = 0;
        loop {
            let why = match self.ask(url, bearer, 0).await? {
                Ok(response) => match read(response).await {
                    Ok(body) => {
                        return serde_json::from_slice(&body).map_err(|error| {
                            FetchError::Failed(format!("{url} answers no such document: {error}"))
                        });
                    }
                    Err(why) => why,
                },
                Err(why) => why,
            };
            failures += 1;
            wait(url, failures, &why).await?;
        }
    }

    /// Brings a file and checks it.
    pub(super) async fn download(
        &self,
        url: &str,
        bearer: Option<&HeaderValue>,
        to: &Path,
        expected: &Expected,
    ) -> Result<(), FetchError> {
        let file = OpenOptions::new().write(true).create_new(true).open(to);
        let file = file.map_err(|error| FetchError::io("write", to, error))?;
        let mut partial = Partial { file, hasher: Sha256::new(), bytes: 0 };
        let mut failures = 0;
        tracing::info!(url = shown(url), "fetching");
        loop {
            let before = partial.bytes;
            match self.resume(url, bearer, &mut partial, to).await? {
                Try::Whole => break,
                Try::BrokeOff(why) => {
                    failures = if partial.bytes > before { 1 } else { failures + 1 };
                    wait(url, failures, &why).await?;
                }
            }
        }
        check(url, partial, expected)
    }

    /// Asks for what is missing of a file, and takes what comes.
    async fn resume(
        &self,
        url: &str,
        bearer: Option<&HeaderValue>,
        partial: &mut Partial,
        to: &Path,
    ) -> Result<Try, FetchError> {
        let failed = |error| FetchError::io("write", to, error);
        let response = match self.ask(url, bearer, partial.bytes).await? {
            Ok(response) => response,
            Err(why) => return Ok(Try::BrokeOff(why)),
        };
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            // The file is shorter than what is here.
            partial.restart().map_err(failed)?;
            return Ok(Try::BrokeOff("it has no such bytes".to_owned()));
        }
        if !continues(response.status(), response.headers(), partial.bytes) {
            partial.restart().map_err(failed)?;
        }
        let length = response.content_length().map(|more| partial.bytes + more);
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok(chunk) => partial.add(&chunk).map_err(failed)?,
                Err(error) => return Ok(Try::BrokeOff(cause(&error))),
            }
        }
        Ok(match length {
            Some(length) if length != partial.bytes => Try::BrokeOff("it broke off".to_owned()),
            _ => Try::Whole,
        })
    }

    /// Sends a request. An answer that will not change is an error; one that may, a reason to try again.
    async fn ask(
        &self,
        url: &str,
        bearer: Option<&HeaderValue>,
        from: u64,
    ) -> Result<Result<Response, String>, FetchError> {
        let mut request = self.client.request(Method::GET, url)?;
        if let Some(bearer) = bearer {
            request = request.header(AUTHORIZATION, bearer);
        }
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                return match AddressError::of(&error)
                    .filter(|e| !matches!(e, AddressError::Unresolved { .. }))
                {
                    Some(refusal) => Err(refusal.clone().into()),
                    None => Ok(Err(cause(&error))),
                };
            }
        };
        let (status, url) = (response.status(), shown(url));
        match status.as_u16() {
            200 | 206 | 416 => Ok(Ok(response)),
            401 | 403 => Err(FetchError::Unauthorized(format!(
                "{url} may not be read ({}): it is private, gated, or not there; give a Secret with its token in spec.source, and see that the token opens it",
                status.as_u16()
            ))),
            404 | 410 => Err(FetchError::NotFound(format!(
                "there is nothing at {url} ({})",
                status.as_u16()
            ))),
            408 | 425 | 429 | 500.. => Ok(Err(format!("it answers {status}"))),
            _ => Err(FetchError::Failed(format!("{url} answers {status}"))),
        }
    }
}

impl Partial {
    fn add(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.file.write_all(chunk)?;
        self.hasher.update(chunk);
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        (self.hasher, self.bytes) = (Sha256::new(), 0);
        Ok(())
    }
}

/// Whether an answer goes on where the file ends.
fn continues(status: StatusCode, headers: &HeaderMap, from: u64) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or("");
    from == 0
        || (status == StatusCode::PARTIAL_CONTENT && range.starts_with(&format!("bytes {from}-")))
}

fn check(url: &str, partial: Partial, expected: &Expected) -> Result<(), FetchError> {
    let url = shown(url);
    if let Some(bytes) = expected.bytes.filter(|bytes| *bytes != partial.bytes) {
        let found = partial.bytes;
        return Err(FetchError::Digest(format!("{url} has {found} bytes, not {bytes}")));
    }
    let found = hex(&partial.hasher.finalize());
    match &expected.sha256 {
        Some(sha256) if *sha256 != found => Err(FetchError::Digest(format!(
            "{url} has the SHA-256 {found}, not {sha256}; it is another file than the one that was asked for"
        ))),
        _ => Ok(()),
    }
}

async fn read(response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk.map_err(|error| cause(&error))?);
        if body.len() > MAX_DOCUMENT {
            return Err("the answer is too large".to_owned());
        }
    }
    Ok(body)
}

/// Waits before the next try, or gives up.
async fn wait(url: &str, failures: u32, why: &str) -> Result<(), FetchError> {
    let url = shown(url);
    if failures >= TRIES {
        return Err(FetchError::Failed(format!("{url} cannot be fetched: {why}")));
    }
    tracing::warn!(url, "{why}; trying again");
    let delay = FIRST_WAIT.saturating_mul(1 << failures.min(8)).min(LONGEST_WAIT);
    tokio::time::sleep(delay).await;
    Ok(())
}

/// An address as messages have it: its query may be a signature.
fn shown(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

/// The innermost reason of an error: the others repeat the address.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
