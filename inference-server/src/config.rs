//! Limits of the server. No I/O.

use std::path::PathBuf;
use std::time::Duration;

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
    /// The file of keys; none: everybody may call.
    pub keys: Option<PathBuf>,
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
            keys: None,
        }
    }
}
