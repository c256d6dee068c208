//! The server as its clients know it. I/O.

use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::answers::{self, Asked};
use super::tally::Tally;
use super::wrong::{self, Wrong};
use crate::error::{Error, chain};

/// How long any answer may take: longer than all that a full queue can be.
const PATIENCE: Duration = Duration::from_secs(300);
/// Shorter than the server's own patience with an idle connection: a request would meet its end.
pub(crate) const IDLE: Duration = Duration::from_secs(10);
/// Requests whose answers are known.
const KNOWN: u64 = 12;
pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const COMPLETIONS: &str = "/v1/completions";

/// The server, and what is known of it.
#[derive(Debug)]
pub(crate) struct Ground {
    client: Client,
    url: String,
    /// Host and port.
    pub(crate) address: String,
    pub(crate) model: String,
    /// Completions that it takes.
    pub(crate) capacity: usize,
    /// Requests whose answers must be the same under any load.
    pub(crate) known: Vec<Known>,
    pub(crate) wrong: Vec<Wrong>,
    pub(crate) tally: Tally,
}

/// A request, and the answer that it got before there was any load.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) body: Value,
    pub(crate) max_tokens: u64,
    pub(crate) text: String,
}

impl Ground {
    /// Asks a quiet server for the answers that are compared later.
    pub(crate) async fn prepare(url: &str, model: &str, capacity: usize) -> Result<Self, Error> {
        let url = url.trim_end_matches('/').to_owned();
        let address = url.strip_prefix("http://").ok_or_else(|| {
            Error::Given(format!("{url} is no address of a server; give http://HOST:PORT"))
        })?;
        let client = Client::builder().timeout(PATIENCE).pool_idle_timeout(IDLE).build();
        let mut ground = Self {
            client: client.map_err(Error::http("a client"))?,
            address: address.to_owned(),
            url,
            model: model.to_owned(),
            capacity,
            known: Vec::new(),
            wrong: wrong::all(model),
            tally: Tally::new(),
        };
        for seed in 0..KNOWN {
            let known = ground.learn(seed).await.map_err(Error::Server)?;
            ground.known.push(known);
        }
        Ok(ground)
    }

    async fn learn(&self, seed: u64) -> Result<Known, String> {
        let max_tokens = 8 + 4 * seed;
        let prompt = format!("Tell me a story about the number {seed} and a traveller.");
        let body = json!({
            "model": self.model, "messages": [{"role": "user", "content": prompt}],
            "seed": seed, "temperature": 0.9, "max_tokens": max_tokens,
        });
        let response = self.accepted(CHAT, &body).await?.ok_or("a quiet server is full")?;
        let texts = answers::whole(response, Asked { choices: 1, max_tokens }).await?;
        Ok(Known { body, max_tokens, text: texts.concat() })
    }

    /// Posts JSON. No answer at all is a violation.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Response, String> {
        let request = self.client.post(self.at(path)).json(body);
        request.send().await.map_err(|error| chain(&error))
    }

    /// The answer to a request that is right; none if the server is full.
    pub(crate) async fn accepted(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<Option<Response>, String> {
        let response = self.post(path, body).await?;
        match response.status() {
            StatusCode::OK => Ok(Some(response)),
            StatusCode::TOO_MANY_REQUESTS => {
                refused(response, 429, "queue_full").await.map(|()| None)
            }
            status => Err(format!("{status} {}", response.text().await.unwrap_or_default())),
        }
    }

    /// A request of any kind.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.at(path))
    }

    /// The address of a path.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The text of `/metrics`.
    pub(crate) async fn metrics(&self) -> Result<String, String> {
        let response = self.request(Method::GET, "/metrics").send().await;
        let response = response.and_then(Response::error_for_status);
        let text = response.map_err(|error| chain(&error))?.text().await;
        text.map_err(|error| chain(&error))
    }
}

/// Checks a refusal: its status, an error in OpenAI's shape, and when to come again.
pub(crate) async fn refused(response: Response, status: u16, code: &str) -> Result<(), String> {
    let found = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").is_some();
    let text = response.text().await.map_err(|error| chain(&error))?;
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    let error = &body["error"];
    let has_shape = ["message", "type"].iter().all(|key| error[*key].is_string());
    if found != status || error["code"] != code || !has_shape {
        return Err(format!("{found} {text}, where {status} {code} was expected"));
    }
    match status {
        429 | 503 if !retry_after => Err(format!("{found} {text} without Retry-After")),
        _ => Ok(()),
    }
}
