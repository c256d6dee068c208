//! Who may call: those with an API key of a file, a token of an OIDC issuer, or one that the cluster's API server knows. Without any of
//! these, everybody may; with one, nobody but for the health checks who shows nothing.
//!
//! A key is looked up by its SHA-256, so that neither the file nor the time of an answer tells anything of it: two keys that share a
//! beginning have unrelated hashes. The file is read again when it changes; one that cannot be read changes nothing.

mod cache;
mod caller;
mod credential;
mod issuer;
mod jwks;
mod keys;
mod kubernetes;
mod limits;
mod oidc;
mod reload;
#[cfg(test)]
mod timing;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use http::HeaderMap;

pub(crate) use self::caller::Caller;
use self::credential::{Credential, Token};
pub use self::jwks::TokenAlgorithm;
use self::keys::Key;
pub use self::keys::is_key_name;
pub(crate) use self::keys::{Keys, Scope};
pub(crate) use self::kubernetes::Kubernetes;
use self::limits::Limits;
pub(crate) use self::oidc::Oidc;
pub(crate) use self::reload::reload;
use crate::error::ApiError;

/// Who is let in as it is now, and what was used of the keys' limits.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// None: there is no file.
    keys: RwLock<Option<Arc<Keys>>>,
    oidc: Option<Oidc>,
    kubernetes: Option<Kubernetes>,
    limits: Limits,
}

impl Access {
    pub(crate) fn new(
        keys: Option<Keys>,
        oidc: Option<Oidc>,
        kubernetes: Option<Kubernetes>,
    ) -> Self {
        let keys = RwLock::new(keys.map(Arc::new));
        Self { keys, oidc, kubernetes, limits: Limits::default() }
    }

    /// Other keys from now on. Requests that run are not touched.
    pub(crate) fn replace(&self, keys: Keys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
    }

    /// Fetches an issuer's keys from time to time, for ever.
    pub(crate) async fn keep_fresh(self: Arc<Self>) {
        match &self.oidc {
            Some(oidc) => oidc.keep_fresh().await,
            None => std::future::pending().await,
        }
    }

    fn keys(&self) -> Option<Arc<Keys>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a request with these headers may use `scope`; who it is from, if callers have names.
    ///
    /// # Errors
    /// [`ApiError::Unauthorized`], [`ApiError::Forbidden`], [`ApiError::RateLimited`], or [`ApiError::AccessUnavailable`].
    pub(crate) async fn check(
        &self,
        headers: &HeaderMap,
        scope: Scope,
    ) -> Result<Option<Caller>, ApiError> {
        let keys = self.keys();
        if keys.is_none() && self.oidc.is_none() && self.kubernetes.is_none() {
            return Ok(None);
        }
        let credential = Credential::of(headers).ok_or(ApiError::Unauthorized)?;
        let now = SystemTime::now();
        if let Some(key) = keys.as_ref().and_then(|keys| keys.find(&credential.hash(), now)) {
            return self.enter(key, scope).map(Some);
        }
        if self.oidc.is_none() && self.kubernetes.is_none() {
            return Err(ApiError::Unauthorized);
        }
        let token = credential.token().ok_or(ApiError::Unauthorized)?;
        self.check_token(&token, scope).await.map(Some)
    }

    fn enter(&self, key: &Key, scope: Scope) -> Result<Caller, ApiError> {
        if !key.scopes.contains(&scope) {
            return Err(ApiError::Forbidden { scope: scope.as_str() });
        }
        if scope == Scope::Inference {
            self.limits
                .enter(&key.name, key.limits(), Instant::now())
                .map_err(|seconds| ApiError::RateLimited { seconds })?;
        }
        Ok(Caller::of_key(&key.name))
    }

    async fn check_token(&self, token: &Token<'_>, scope: Scope) -> Result<Caller, ApiError> {
        match (&self.oidc, &self.kubernetes) {
            (Some(oidc), _) if oidc.is_concerned(token) => oidc.check(token, scope).await,
            (_, Some(kubernetes)) => kubernetes.check(token, scope).await,
            _ => Err(ApiError::Unauthorized),
        }
    }

    /// Whether the caller has tokens left; else after how many seconds it will.
    pub(crate) fn room(&self, caller: &Caller) -> Result<(), u64> {
        self.limits.room(caller.shared_name(), Instant::now())
    }

    /// Counts tokens against a caller's limit. They are known at a completion's end, so that a limit may be overdrawn once, and is
    /// then waited for.
    pub(crate) fn used(&self, caller: &Caller, tokens: u64) {
        self.limits.used(caller.shared_name(), tokens, Instant::now());
    }
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

    #[tokio::test]
    async fn a_key_is_taken_from_either_header_and_no_other_passes() {
        let access = Access::new(Some(Keys::parse(KEYS).unwrap()), None, None);
        for (name, value) in [
            ("authorization", "Bearer secret"),
            ("authorization", "bearer  secret "),
            ("x-api-key", "other"),
        ] {
            let scope = if value == "other" { Scope::Metrics } else { Scope::Inference };
            assert!(access.check(&headers(name, value), scope).await.is_ok(), "{name}: {value}");
        }
        for (name, value) in [
            ("authorization", "Bearer secre"),
            ("authorization", "Bearer "),
            ("authorization", "Basic secret"),
            ("authorization", "secret"),
            ("x-api-key", ""),
            ("cookie", "secret"),
        ] {
            let found = access.check(&headers(name, value), Scope::Inference).await;
            assert_eq!(found, Err(ApiError::Unauthorized), "{name}: {value}");
        }
        let found = access.check(&headers("x-api-key", "other"), Scope::Inference).await;
        assert_eq!(found, Err(ApiError::Forbidden { scope: "inference" }));
    }

    #[tokio::test]
    async fn without_a_file_everybody_may_call_and_a_new_file_counts_at_once() {
        let access = Access::default();
        assert_eq!(access.check(&HeaderMap::new(), Scope::Inference).await, Ok(None));
        access.replace(Keys::parse(KEYS).unwrap());
        let found = access.check(&HeaderMap::new(), Scope::Inference).await;
        assert_eq!(found, Err(ApiError::Unauthorized));
    }

    #[tokio::test]
    async fn a_limit_of_requests_holds_for_the_key() {
        let access = Access::new(Some(Keys::parse(KEYS).unwrap()), None, None);
        let team = headers("authorization", "Bearer secret");
        for _ in 0..2 {
            assert!(access.check(&team, Scope::Inference).await.is_ok());
        }
        match access.check(&team, Scope::Inference).await {
            Err(ApiError::RateLimited { seconds }) => assert!((1..=30).contains(&seconds)),
            other => panic!("{other:?}"),
        }
    }
}
