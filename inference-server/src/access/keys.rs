//! The file of keys. Pure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::Deserialize;

use super::limits::Limit;

/// Keys that a file may hold.
const MAX_KEYS: usize = 10_000;

/// What a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// Completions, and the list of models.
    Inference,
    /// `/metrics`.
    Metrics,
}

impl Scope {
    /// The name in the file.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Metrics => "metrics",
        }
    }
}

/// What is wrong with a file of keys. It never quotes a hash, nor what may be a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct KeyFileError(String);

/// The keys of a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys {
    by_hash: HashMap<[u8; 32], Key>,
}

/// One key; several may have a name, which is how one is replaced by another.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: Arc<str>,
    pub(super) scopes: Vec<Scope>,
    expires: Option<SystemTime>,
    requests_per_minute: Option<u32>,
    tokens_per_minute: Option<u32>,
}

impl Key {
    pub(super) fn limits(&self) -> Limit {
        Limit { requests: self.requests_per_minute, tokens: self.tokens_per_minute }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    keys: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    name: String,
    sha256: String,
    #[serde(default = "inference")]
    scopes: Vec<Scope>,
    expires: Option<String>,
    requests_per_minute: Option<u32>,
    tokens_per_minute: Option<u32>,
}

fn inference() -> Vec<Scope> {
    vec![Scope::Inference]
}

impl Keys {
    /// Reads a file's text: YAML or JSON, `keys: [{name, sha256, scopes, expires, requestsPerMinute, tokensPerMinute}]`.
    ///
    /// # Errors
    /// [`KeyFileError`] with the entry.
    pub(crate) fn parse(text: &str) -> Result<Self, KeyFileError> {
        let file: File = serde_saphyr::from_str(text).map_err(|error| {
            // The parser's message may quote the file; of its text only the place is told.
            let place = error.location().map(|at| format!(" at line {}, column {}", at.line(), at.column()));
            KeyFileError(format!(
                "the file of keys is not as expected{}; expected `keys:` and a list of {{name, sha256, scopes, expires, requestsPerMinute, tokensPerMinute}}",
                place.unwrap_or_default()
            ))
        })?;
        if file.keys.len() > MAX_KEYS {
            return Err(KeyFileError(format!("more than {MAX_KEYS} keys")));
        }
        let mut by_hash = HashMap::new();
        for (index, entry) in file.keys.into_iter().enumerate() {
            let wrong = |what: &str| KeyFileError(format!("keys[{index}]{what}"));
            let (hash, key) = read(entry).map_err(|what| wrong(&what))?;
            if by_hash.insert(hash, key).is_some() {
                return Err(wrong(".sha256: another entry has the same"));
            }
        }
        Ok(Self { by_hash })
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// The key with this hash, unless it has expired.
    pub(super) fn find(&self, hash: &[u8; 32], now: SystemTime) -> Option<&Key> {
        self.by_hash.get(hash).filter(|key| key.expires.is_none_or(|end| now < end))
    }
}

/// Whether a key may have this name: 1 to 63 letters, digits, `-`, `_` and `.`.
pub fn is_key_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    (1..=63).contains(&name.len()) && name.chars().all(allowed)
}

fn read(entry: Entry) -> Result<([u8; 32], Key), String> {
    if !is_key_name(&entry.name) {
        return Err(".name: expected 1 to 63 letters, digits, `-`, `_` and `.`".to_owned());
    }
    let hash = hash(&entry.sha256).ok_or_else(|| {
        ".sha256: expected the 64 hexadecimal digits that `textnlp key` prints, or `printf %s KEY | sha256sum`".to_owned()
    })?;
    if entry.scopes.is_empty() {
        return Err(".scopes: expected inference, metrics, or both".to_owned());
    }
    for (field, limit) in [
        ("requestsPerMinute", entry.requests_per_minute),
        ("tokensPerMinute", entry.tokens_per_minute),
    ] {
        if limit == Some(0) {
            return Err(format!(".{field}: expected 1 or more; leave it out for no limit"));
        }
    }
    let expires = match &entry.expires {
        None => None,
        Some(text) => {
            let at: Timestamp = text
                .parse()
                .map_err(|_| ".expires: expected a time such as 2027-01-31T00:00:00Z".to_owned())?;
            let seconds = u64::try_from(at.as_second()).unwrap_or(0);
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
        }
    };
    let key = Key {
        name: entry.name.into(),
        scopes: entry.scopes,
        expires,
        requests_per_minute: entry.requests_per_minute,
        tokens_per_minute: entry.tokens_per_minute,
    };
    Ok((hash, key))
}

fn hash(digits: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let mut hash = [0; 32];
    if pairs.len() != hash.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = (high? * 16 + low?) as u8;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    fn error(text: &str) -> String {
        Keys::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_mistake_is_named_by_its_place_and_no_secret_is_repeated() {
        let entry = |fields: &str| format!("keys:\n- {{{fields}}}\n");
        for (text, part) in [
            ("keys: secret".to_owned(), "line 1"),
            (entry("name: a, sha256: secret"), "keys[0].sha256"),
            (entry(&format!("name: 'a b', sha256: {HASH}")), "keys[0].name"),
            (entry(&format!("name: a, sha256: {HASH}, scopes: []")), "keys[0].scopes"),
            (entry(&format!("name: a, sha256: {HASH}, scopes: [secret]")), "line 2"),
            (entry(&format!("name: a, sha256: {HASH}, key: secret")), "line 2"),
            (entry(&format!("name: a, sha256: {HASH}, expires: soon")), "keys[0].expires"),
            (entry(&format!("name: a, sha256: {HASH}, tokensPerMinute: 0")), "tokensPerMinute"),
            (
                format!("keys:\n- {{name: a, sha256: {HASH}}}\n- {{name: b, sha256: {HASH}}}"),
                "keys[1]",
            ),
        ] {
            let found = error(&text);
            assert!(found.contains(part) && !found.contains("secret"), "{text}: {found}");
        }
    }

    #[test]
    fn an_expired_key_is_none_and_an_old_and_a_new_one_may_share_a_name() {
        let other = HASH.replace('2', "3");
        let text = format!(
            "keys:\n- {{name: a, sha256: {HASH}, expires: 2001-09-09T01:46:40Z}}\n- {{name: a, sha256: {other}}}"
        );
        let keys = Keys::parse(&text).unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let old = hash(HASH).unwrap();
        assert!(keys.find(&old, at(999_999_999)).is_some());
        assert!(keys.find(&old, at(1_000_000_000)).is_none());
        assert!(keys.find(&hash(&other).unwrap(), at(2_000_000_000)).is_some());
    }
}
