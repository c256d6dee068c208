//! What a server knows us by: a key of its own, or the token of this pod's account. A mounted file, read again when it may have changed.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;

use crate::completer::CompletionError;

/// How long what was read is taken for what is in the file. Kubernetes brings a changed Secret within about a minute, and a new token
/// while the old one is good for minutes.
const FRESH: Duration = Duration::from_secs(10);

/// A bearer token in a file. It is never shown: the header is marked as sensitive, and errors name the file.
#[derive(Debug)]
pub(super) struct Bearer {
    path: PathBuf,
    /// What it is, for messages.
    name: &'static str,
    read: Mutex<Option<(Instant, HeaderValue)>>,
}

impl Bearer {
    /// The key of an external server: `apiKey` of a Secret.
    pub(super) fn key(path: PathBuf) -> Self {
        Self {
            path,
            name: "key of the external server (apiKey in its Secret)",
            read: Mutex::new(None),
        }
    }

    /// The token of this pod's account, for our own servers.
    pub(super) fn token(path: PathBuf) -> Self {
        Self { path, name: "token for the model's servers", read: Mutex::new(None) }
    }

    /// Value of the header `Authorization`.
    pub(super) fn header(&self, now: Instant) -> Result<HeaderValue, CompletionError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, value)) = &*read
            && now.saturating_duration_since(*at) < FRESH
        {
            return Ok(value.clone());
        }
        let value = self.load()?;
        *read = Some((now, value.clone()));
        Ok(value)
    }

    /// Reads the file again at the next request.
    pub(super) fn forget(&self) {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn load(&self) -> Result<HeaderValue, CompletionError> {
        let failed = |why: &str| {
            let path = self.path.display();
            CompletionError::Unauthorized(format!("the {}, {path}, {why}", self.name))
        };
        let text = std::fs::read_to_string(&self.path)
            .map_err(|error| failed(&format!("cannot be read: {error}")))?;
        let secret = text.trim();
        if secret.is_empty() {
            return Err(failed("is empty"));
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {secret}"))
            .map_err(|_| failed("holds characters that no header can have"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_again_after_a_while_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("apiKey");
        let key = Bearer::key(path.clone());
        let begun = Instant::now();
        assert!(key.header(begun).unwrap_err().to_string().contains("apiKey, cannot be read"));
        std::fs::write(&path, "first\n").unwrap();
        assert_eq!(key.header(begun).unwrap(), "Bearer first");
        std::fs::write(&path, "second").unwrap();
        assert_eq!(key.header(begun + FRESH / 2).unwrap(), "Bearer first");
        assert_eq!(key.header(begun + FRESH).unwrap(), "Bearer second");
        assert!(!format!("{key:?}").contains("second"));
        std::fs::write(&path, "third").unwrap();
        key.forget();
        assert_eq!(key.header(begun + FRESH).unwrap(), "Bearer third");
        for (text, expect) in [(" \n", "is empty"), ("a\u{7}b", "no header can have")] {
            std::fs::write(&path, text).unwrap();
            key.forget();
            let message = key.header(begun).unwrap_err().to_string();
            assert!(message.contains(expect) && !message.contains("a\u{7}b"), "{message}");
        }
    }
}
