//! The key of an external server: a file of a mounted Secret, read again when it may have changed.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;

use crate::completer::CompletionError;

/// How long a key is taken for the one in the file. Kubernetes brings a changed Secret within about a minute.
const FRESH: Duration = Duration::from_secs(10);

/// A bearer token in a file. It is never shown: the header is marked as sensitive, and errors name the file.
#[derive(Debug)]
pub(super) struct ApiKey {
    path: PathBuf,
    read: Mutex<Option<(Instant, HeaderValue)>>,
}

impl ApiKey {
    /// The key in this file.
    pub(super) fn in_file(path: PathBuf) -> Self {
        Self { path, read: Mutex::new(None) }
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
            CompletionError::Unauthorized(format!("the key of the external server, {path}, {why}"))
        };
        let text = std::fs::read_to_string(&self.path)
            .map_err(|error| failed(&format!("cannot be read: {error}")))?;
        let key = text.trim();
        if key.is_empty() {
            return Err(failed("is empty; put it into the Secret's key apiKey"));
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
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
        let key = ApiKey::in_file(path.clone());
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
