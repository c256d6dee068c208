//! Who may call: those with a token of an OIDC issuer.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;

use super::caller::{Caller, Kind};
use super::credential::Token;
use super::issuer::Issuer;
use super::keys::Scope;
use crate::config::OidcConfig;
use crate::error::ApiError;

/// How far clocks may be apart.
const LEEWAY_SECONDS: u64 = 60;

/// An issuer, and what its tokens must be like.
#[derive(Debug)]
pub(crate) struct Oidc {
    issuer: Arc<Issuer>,
    audience: String,
    algorithms: Vec<Algorithm>,
    scope_prefix: String,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    scope: Option<Value>,
    scp: Option<Value>,
}

impl Oidc {
    /// # Errors
    /// What is wrong with the configuration.
    pub(crate) fn new(config: &OidcConfig) -> Result<Self, String> {
        Ok(Self {
            issuer: Arc::new(Issuer::new(config)?),
            audience: config.audience.clone(),
            algorithms: config.algorithms.iter().map(|algorithm| algorithm.get()).collect(),
            scope_prefix: config.scope_prefix.clone(),
        })
    }

    /// Whether a token says that it is the issuer's.
    pub(super) fn is_concerned(&self, token: &Token<'_>) -> bool {
        token.issuer.as_deref() == Some(self.issuer.name())
    }

    /// Fetches the issuer's keys from time to time, for ever.
    pub(super) async fn keep_fresh(&self) {
        self.issuer.keep_fresh().await;
    }

    /// Who shows this token, if it is good for `scope`.
    pub(super) async fn check(&self, token: &Token<'_>, scope: Scope) -> Result<Caller, ApiError> {
        let claims = self.claims(token.text).await?;
        if !claims.scopes(&self.scope_prefix).contains(&scope) {
            return Err(ApiError::Forbidden { scope: scope.as_str() });
        }
        Ok(Caller::of_token(Kind::Oidc, &claims.sub))
    }

    /// What a token says, once that is proven.
    async fn claims(&self, token: &str) -> Result<Claims, ApiError> {
        let refused = |what: &dyn std::fmt::Display| {
            tracing::debug!("a token is refused: {what}");
            ApiError::Unauthorized
        };
        let header = decode_header(token).map_err(|error| refused(&error))?;
        if !self.algorithms.contains(&header.alg) {
            return Err(refused(&"its algorithm is not allowed"));
        }
        let key = match self.issuer.key(header.kid.as_deref(), header.alg).await {
            Ok(key) => key.ok_or_else(|| refused(&"no key of the issuer has its id and kind"))?,
            Err(_) => return Err(ApiError::AccessUnavailable),
        };
        let decoded = decode::<Claims>(token, &key, &self.validation(header.alg));
        let claims = decoded.map_err(|error| refused(&error))?.claims;
        if claims.sub.is_empty() {
            return Err(refused(&"it has an empty subject"));
        }
        Ok(claims)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[self.issuer.name()]);
        validation.set_audience(&[&self.audience]);
        // One that is left out would not be looked at.
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation
    }
}

impl Claims {
    /// What the token is for: what it says, or inference if it says nothing of that.
    fn scopes(&self, prefix: &str) -> Vec<Scope> {
        let names: Vec<&str> = match self.scope.as_ref().or(self.scp.as_ref()) {
            None => return vec![Scope::Inference],
            Some(Value::String(names)) => names.split_ascii_whitespace().collect(),
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            Some(_) => Vec::new(),
        };
        let is_named = |scope: &Scope| {
            names.iter().any(|name| name.strip_prefix(prefix) == Some(scope.as_str()))
        };
        [Scope::Inference, Scope::Metrics].into_iter().filter(is_named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scopes_are_named_in_either_claim_and_none_means_inference() {
        let check = |claims: Value, prefix: &str, expect: &[Scope]| {
            let mut all = json!({"sub": "a"});
            all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
            let parsed: Claims = serde_json::from_value(all.clone()).unwrap();
            assert_eq!(parsed.scopes(prefix), expect, "{all}");
        };
        use Scope::{Inference, Metrics};
        check(json!({}), "", &[Inference]);
        check(json!({}), "api:", &[Inference]);
        check(json!({"scope": "openid inference metrics"}), "", &[Inference, Metrics]);
        check(json!({"scope": "openid"}), "", &[]);
        check(json!({"scope": ""}), "", &[]);
        check(json!({"scp": ["metrics", 1]}), "", &[Metrics]);
        check(json!({"scp": "inference"}), "", &[Inference]);
        check(json!({"scope": "metrics", "scp": ["inference"]}), "", &[Metrics]);
        check(json!({"scope": 1}), "", &[]);
        check(json!({"scope": "api:metrics inference"}), "api:", &[Metrics]);
        check(json!({"scope": "inferences Inference"}), "", &[]);
    }
}
