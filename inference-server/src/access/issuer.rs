//! The keys of an OIDC issuer: found by its discovery document, kept, and fetched again when a token names another. I/O.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::{Certificate, Method, StatusCode, Url};
use serde::Deserialize;
use textnlp_dataset::net::{self, Client};

use super::jwks::KeySet;
use crate::config::OidcConfig;

/// How long the issuer may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that are read of an answer.
const MAX_ANSWER: usize = 512 << 10;

/// Keys are fetched again so often also if no token names another, so that one that the issuer gave up opens nothing for long.
const PERIOD: Duration = Duration::from_secs(600);

/// While there are no keys at all, they are asked for so often.
const FIRST_PERIOD: Duration = Duration::from_secs(5);

/// An issuer, and its keys as they were last time.
#[derive(Debug)]
pub(super) struct Issuer {
    name: String,
    client: Client,
    /// They are not asked for more often than that.
    gap: Duration,
    keys: RwLock<Option<Arc<KeySet>>>,
    /// When they were last asked for; locked while they are.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

/// The issuer's keys are not known.
#[derive(Debug)]
pub(super) struct NoKeys;

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Issuer {
    /// An issuer that is not asked yet.
    ///
    /// # Errors
    /// What is wrong with its address or the file of its certificate authority.
    pub(super) fn new(config: &OidcConfig) -> Result<Self, String> {
        let name = config.issuer.clone();
        let wrong = |what: String| format!("the OIDC issuer {name:?} cannot be used: {what}");
        let url = check(&name).map_err(wrong)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it has a query or a fragment".to_owned()));
        }
        let roots = config.ca.as_deref().map(read_roots).transpose()?;
        // The operator of this server names it; its own machine is allowed, a cloud's metadata service is not.
        let client = Client::build(net::Access { loopback: true }, |builder| {
            let builder = builder.timeout(TIMEOUT);
            match roots {
                Some(roots) => builder.tls_certs_only(roots),
                None => builder,
            }
        });
        let client = client.map_err(|error| wrong(error.to_string()))?;
        let (keys, asked) = (RwLock::default(), tokio::sync::Mutex::default());
        Ok(Self { name, client, gap: config.refresh_gap, keys, asked })
    }

    /// Its name, as in the tokens.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The key of a token. If it is not known, the keys are fetched again, unless they just were.
    ///
    /// # Errors
    /// The issuer was never reached.
    pub(super) async fn key(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Option<Arc<DecodingKey>>, NoKeys> {
        if let Some(key) = self.known().and_then(|keys| keys.find(id, algorithm)) {
            return Ok(Some(key));
        }
        // On a task of its own: a client that goes must not end it, and spoil the turn for others.
        let issuer = Arc::clone(self);
        if let Err(error) = tokio::spawn(async move { issuer.refresh().await }).await {
            tracing::error!("fetching the keys of an issuer failed: {error}");
        }
        Ok(self.known().ok_or(NoKeys)?.find(id, algorithm))
    }

    /// Fetches the keys from time to time, for ever.
    pub(super) async fn keep_fresh(&self) {
        loop {
            self.refresh().await;
            let known = self.known().is_some();
            tokio::time::sleep(if known { PERIOD } else { FIRST_PERIOD }).await;
        }
    }

    fn known(&self) -> Option<Arc<KeySet>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches the keys, unless they just were. Those who come meanwhile wait for the same answer.
    async fn refresh(&self) {
        let mut asked = self.asked.lock().await;
        let known = self.known();
        let gap = if known.is_some() { self.gap } else { self.gap.min(FIRST_PERIOD) };
        if asked.is_some_and(|at| at.elapsed() < gap) {
            return;
        }
        *asked = Some(Instant::now());
        let issuer = &self.name;
        match self.fetch().await {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), "the keys of {issuer} are fetched");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
            }
            Err(error) if known.is_some() => {
                tracing::warn!("the keys of {issuer} cannot be fetched: {error}; the last stay");
            }
            Err(error) => tracing::warn!("the keys of {issuer} cannot be fetched: {error}"),
        }
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let url = format!("{}/.well-known/openid-configuration", self.name.trim_end_matches('/'));
        let document = self.get(&url).await?;
        let found: Discovery = serde_json::from_slice(&document)
            .map_err(|error| format!("{url} is no discovery document: {error}"))?;
        if found.issuer != self.name {
            return Err(format!("{url} is of another issuer, {:?}", short(&found.issuer)));
        }
        let url = found.jwks_uri;
        let wrong = |what: String| format!("its keys at {:?}: {what}", short(&url));
        check(&url).map_err(wrong)?;
        KeySet::parse(&self.get(&url).await?).map_err(wrong)
    }

    /// A document, up to a bound.
    async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let request = self.client.request(Method::GET, url).map_err(|error| error.to_string())?;
        let mut response = request.send().await.map_err(|error| cause(&error))?;
        if response.status() != StatusCode::OK {
            return Err(format!("{} answers {}", short(url), response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(format!("{} has more than {MAX_ANSWER} bytes", short(url)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// An address where keys may be fetched: what comes without TLS could be anybody's, unless it is of this machine.
fn check(url: &str) -> Result<Url, String> {
    let url = net::check(url, net::Access { loopback: true }).map_err(|error| error.to_string())?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let local = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if local => Ok(url),
        _ => Err("it must begin with https://, unless it is a loopback address".to_owned()),
    }
}

fn read_roots(path: &Path) -> Result<Vec<Certificate>, String> {
    let wrong = |what: String| format!("the certificates in {}: {what}", path.display());
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    match Certificate::from_pem_bundle(&text) {
        Ok(roots) if roots.is_empty() => Err(wrong("there is none; expected PEM".to_owned())),
        Ok(roots) => Ok(roots),
        Err(error) => Err(wrong(cause(&error))),
    }
}

/// The beginning of a text that an issuer sends.
fn short(text: &str) -> String {
    text.chars().take(200).collect()
}

/// The innermost reason of an error: the others repeat the address.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for url in ["https://a.example/realm", "http://127.0.0.1:80", "http://[::1]/x"] {
            assert!(check(url).is_ok(), "{url}");
        }
        for url in [
            "http://a.example",
            "http://localhost:80",
            "http://10.0.0.1",
            "https://169.254.169.254/latest",
            "https://me:secret@a.example",
            "file:///etc/passwd",
            "a.example",
            "",
        ] {
            assert!(check(url).is_err(), "{url}");
        }
    }
}
