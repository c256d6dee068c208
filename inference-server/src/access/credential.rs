//! What a request shows to be let in. Pure.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, header};
use jsonwebtoken::dangerous::insecure_decode_claims;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The header of some clients, beside `Authorization: Bearer`. Only keys come in it.
const API_KEY: &str = "x-api-key";

/// Bytes of a credential that is looked at: tokens with many groups have several thousand.
const MAX_CREDENTIAL: usize = 16 << 10;

/// What a request shows, whatever it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Credential<'h> {
    bytes: &'h [u8],
    bearer: bool,
}

/// A bearer token. Nothing that it says is proven.
pub(super) struct Token<'h> {
    pub(super) text: &'h str,
    /// SHA-256, by which it is remembered.
    pub(super) hash: [u8; 32],
    /// If it is a JWT: who is said to have issued it.
    pub(super) issuer: Option<String>,
    /// If it is a JWT: until when it is said to hold.
    pub(super) expires: Option<SystemTime>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Claimed {
    iss: Value,
    exp: Value,
}

impl<'h> Credential<'h> {
    /// The one in the headers.
    pub(super) fn of(headers: &'h HeaderMap) -> Option<Self> {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
            let (scheme, key) = value.as_bytes().split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then_some(key)
        });
        let bytes = bearer.or_else(|| headers.get(API_KEY).map(HeaderValue::as_bytes))?;
        let bytes = bytes.trim_ascii();
        let fits = (1..=MAX_CREDENTIAL).contains(&bytes.len());
        fits.then_some(Self { bytes, bearer: bearer.is_some() })
    }

    /// SHA-256, by which keys are looked up.
    pub(super) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.bytes).into()
    }

    /// It as a token, if it may be one.
    pub(super) fn token(&self) -> Option<Token<'h>> {
        let text = str::from_utf8(self.bytes).ok().filter(|_| self.bearer)?;
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let claimed: Claimed = insecure_decode_claims(text).unwrap_or_default();
        let issuer = match claimed.iss {
            Value::String(issuer) => Some(issuer),
            _ => None,
        };
        let seconds = claimed.exp.as_f64().and_then(|at| Duration::try_from_secs_f64(at).ok());
        let expires = seconds.and_then(|at| SystemTime::UNIX_EPOCH.checked_add(at));
        Some(Token { text, hash: self.hash(), issuer, expires })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(value: &str) -> Option<(Option<String>, Option<SystemTime>)> {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
        let token = Credential::of(&headers)?.token()?;
        Some((token.issuer, token.expires))
    }

    #[test]
    fn what_a_token_says_of_itself_is_read_if_it_can_be() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let issuer = Some("https://a.example".to_owned());
        // {"iss":"https://a.example","exp":12}
        let claims = "eyJpc3MiOiJodHRwczovL2EuZXhhbXBsZSIsImV4cCI6MTJ9";
        assert_eq!(token(&format!("Bearer e30.{claims}.eA")), Some((issuer, at(12))));
        // {"iss":["https://a.example"],"exp":-1}
        let claims = "eyJpc3MiOlsiaHR0cHM6Ly9hLmV4YW1wbGUiXSwiZXhwIjotMX0";
        assert_eq!(token(&format!("Bearer e30.{claims}.eA")), Some((None, None)));
        for opaque in ["sha256~abc", "a.b", "a.b.c", "....", "e30.e30."] {
            assert_eq!(token(&format!("Bearer {opaque}")), Some((None, None)), "{opaque}");
        }
        for none in ["Bearer a b", "Bearer ä", "Basic abc", &format!("Bearer {:a<16385}", "")] {
            assert_eq!(token(none), None, "{none}");
        }
        assert!(token(&format!("Bearer {:a<16384}", "")).is_some());
    }

    #[test]
    fn no_token_comes_in_the_header_for_keys() {
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static(API_KEY),
            HeaderValue::from_static("a.b.c"),
        )]);
        let credential = Credential::of(&headers).unwrap();
        assert!(credential.token().is_none());
    }
}
