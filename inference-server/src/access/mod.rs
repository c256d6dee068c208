//! Who may call: API keys from a file. Without one, everybody may; with one, nobody but for the health checks who has no key.
//!
//! A key is looked up by its SHA-256, so that neither the file nor the time of an answer tells anything of it: two keys that share a
//! beginning have unrelated hashes. The file is read again when it changes; one that cannot be read changes nothing.

mod keys;
mod limits;
mod reload;
#[cfg(test)]
mod timing;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};

pub use self::keys::is_key_name;
pub(crate) use self::keys::{Keys, Scope};
use self::limits::Limits;
pub(crate) use self::reload::reload;
use crate::error::ApiError;

/// The header of some clients, beside `Authorization: Bearer`.
const API_KEY: &str = "x-api-key";

/// Bytes of a key that is looked at.
const MAX_KEY: usize = 512;

/// The keys as they are now, and what was used of their limits.
#[derive(Debug)]
pub(crate) struct Access {
    /// None: there is no file, and everybody may call.
    keys: RwLock<Option<Arc<Keys>>>,
    limits: Limits,
}

/// Who called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller(Arc<str>);

impl Caller {
    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Self {
        Self(name.into())
    }

    /// The name of the key.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

impl Access {
    pub(crate) fn new(keys: Option<Keys>) -> Self {
        Self { keys: RwLock::new(keys.map(Arc::new)), limits: Limits::default() }
    }

    /// Other keys from now on. Requests that run are not touched.
    pub(crate) fn replace(&self, keys: Keys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
    }

    fn keys(&self) -> Option<Arc<Keys>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a request with these headers may use `scope`; who it is from, if callers have names.
    ///
    /// # Errors
    /// [`ApiError::Unauthorized`], [`ApiError::Forbidden`], or [`ApiError::RateLimited`].
    pub(crate) fn check(
        &self,
        headers: &HeaderMap,
        scope: Scope,
    ) -> Result<Option<Caller>, ApiError> {
        let Some(keys) = self.keys() else { return Ok(None) };
        let presented = presented(headers).ok_or(ApiError::Unauthorized)?;
        let hash: [u8; 32] = Sha256::digest(presented).into();
        let key = keys.find(&hash, SystemTime::now()).ok_or(ApiError::Unauthorized)?;
        if !key.scopes.contains(&scope) {
            return Err(ApiError::Forbidden { scope: scope.as_str() });
        }
        if scope == Scope::Inference {
            self.limits
                .enter(&key.name, key.limits(), Instant::now())
                .map_err(|seconds| ApiError::RateLimited { seconds })?;
        }
        Ok(Some(Caller(Arc::clone(&key.name))))
    }

    /// Counts tokens against a caller's limit. They are known at a completion's end, so that a limit may be overdrawn once, and is
    /// then waited for.
    pub(crate) fn used(&self, caller: &Caller, tokens: u64) {
        self.limits.used(&caller.0, tokens, Instant::now());
    }
}

/// The key in the headers.
fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(key)
    });
    let key = bearer.or_else(|| headers.get(API_KEY).map(http::HeaderValue::as_bytes))?;
    let key = key.trim_ascii();
    (1..=MAX_KEY).contains(&key.len()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    /// SHA-256 of "secret" and of "other".
    const KEYS: &str = "keys:\n- {name: team, sha256: 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b, requestsPerMinute: 2}\n- {name: scraper, sha256: d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa, scopes: [metrics]}\n";

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            http::HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn a_key_is_taken_from_either_header_and_no_other_passes() {
        let access = Access::new(Some(Keys::parse(KEYS).unwrap()));
        for (name, value) in [
            ("authorization", "Bearer secret"),
            ("authorization", "bearer  secret "),
            ("x-api-key", "other"),
        ] {
            let scope = if value == "other" { Scope::Metrics } else { Scope::Inference };
            assert!(access.check(&headers(name, value), scope).is_ok(), "{name}: {value}");
        }
        for (name, value) in [
            ("authorization", "Bearer secre"),
            ("authorization", "Bearer "),
            ("authorization", "Basic secret"),
            ("authorization", "secret"),
            ("x-api-key", ""),
            ("cookie", "secret"),
        ] {
            let found = access.check(&headers(name, value), Scope::Inference);
            assert_eq!(found, Err(ApiError::Unauthorized), "{name}: {value}");
        }
        let found = access.check(&headers("x-api-key", "other"), Scope::Inference);
        assert_eq!(found, Err(ApiError::Forbidden { scope: "inference" }));
    }

    #[test]
    fn without_a_file_everybody_may_call_and_a_new_file_counts_at_once() {
        let access = Access::new(None);
        assert_eq!(access.check(&HeaderMap::new(), Scope::Inference), Ok(None));
        access.replace(Keys::parse(KEYS).unwrap());
        let found = access.check(&HeaderMap::new(), Scope::Inference);
        assert_eq!(found, Err(ApiError::Unauthorized));
    }

    #[test]
    fn a_limit_of_requests_holds_for_the_key() {
        let access = Access::new(Some(Keys::parse(KEYS).unwrap()));
        let team = headers("authorization", "Bearer secret");
        for _ in 0..2 {
            assert!(access.check(&team, Scope::Inference).is_ok());
        }
        match access.check(&team, Scope::Inference) {
            Err(ApiError::RateLimited { seconds }) => assert!((1..=30).contains(&seconds)),
            other => panic!("{other:?}"),
        }
    }
}
