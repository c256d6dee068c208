//! Limits of the server, and who may call. No I/O.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;

use crate::access::TokenAlgorithm;

/// What a server is told beside its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// The name by which requests ask for the model.
    pub model_name: String,
    /// Most completions that are computed or wait at once; further requests get 429.
    pub capacity: usize,
    /// Those of them that the engine has at once. It must have room for them.
    pub sequences: usize,
    /// Most bytes of a request's body.
    pub body_limit: usize,
    /// Most bytes of a request's head.
    pub header_limit: usize,
    /// How long a connection may take to send a request's head, idle time before it included.
    pub header_timeout: Duration,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// How long an answer may wait for its reader to take a part of it.
    pub answer_timeout: Duration,
    /// How long a request may take, from its coming to its last token; none: as long as it takes.
    pub request_limit: Option<Duration>,
    /// Most connections at once; further ones wait to be accepted.
    pub connections: usize,
    /// How long running requests may take to finish once new ones are refused.
    pub drain_limit: Duration,
    /// Origins (`https://host:port`) whose pages may read answers; none: no page of another site.
    pub allowed_origins: Vec<HeaderValue>,
    /// The file of keys. Without it and the next two, everybody may call.
    pub keys: Option<PathBuf>,
    /// The issuer of tokens.
    pub oidc: Option<OidcConfig>,
    /// The cluster whose tokens count.
    pub kubernetes: Option<KubernetesConfig>,
    /// Certificate and key; none: plain HTTP.
    pub tls: Option<TlsConfig>,
}

/// An OIDC issuer, and what its tokens must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// Its URL, exactly as in its tokens.
    pub issuer: String,
    /// The audience that they must have.
    pub audience: String,
    /// How they may be signed.
    pub algorithms: Vec<TokenAlgorithm>,
    /// What stands before the names of our scopes in theirs.
    pub scope_prefix: String,
    /// PEM of the certificate authorities of the issuer's own server; none: the system's.
    pub ca: Option<PathBuf>,
    /// A key that is not known makes its keys be fetched again, but not more often than that.
    pub refresh_gap: Duration,
}

/// A cluster that is asked who may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// Namespace of the ModelDeployment that is served.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The audience that tokens must have.
    pub audience: String,
    /// Another API server than the pod's own, over HTTP without a credential: for tests.
    pub api_server: Option<String>,
}

/// Files of the server's certificate, both PEM. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl ServerConfig {
    /// The defaults, for a model of that name.
    pub fn new(model_name: impl Into<String>) -> Self {
        Self {
            model_name: model_name.into(),
            capacity: 1024,
            sequences: 64,
            body_limit: 4 << 20,
            header_limit: 32 << 10,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(30),
            request_limit: None,
            connections: 4096,
            drain_limit: Duration::from_secs(60),
            allowed_origins: Vec::new(),
            keys: None,
            oidc: None,
            kubernetes: None,
            tls: None,
        }
    }
}

impl OidcConfig {
    /// The defaults, for tokens of that issuer for that audience.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            algorithms: TokenAlgorithm::DEFAULT.to_vec(),
            scope_prefix: String::new(),
            ca: None,
            refresh_gap: Duration::from_secs(60),
        }
    }
}
