//! The keys that an issuer publishes, and the algorithms that they are for. Pure.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Keys that an issuer may have at once.
const MAX_KEYS: usize = 100;

/// A signature that only the owner of a private key can make. There is no value for `none`, nor for those with a shared secret, for
/// which a public key could be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenAlgorithm(Algorithm);

impl TokenAlgorithm {
    /// What issuers use if they are not told otherwise.
    pub const DEFAULT: [Self; 2] = [Self(Algorithm::RS256), Self(Algorithm::ES256)];

    pub(super) fn get(self) -> Algorithm {
        self.0
    }
}

impl FromStr for TokenAlgorithm {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        use AlgorithmFamily::{Ec, Ed, Rsa};
        match name.parse::<Algorithm>() {
            Ok(found) if matches!(found.family(), Rsa | Ec | Ed) => Ok(Self(found)),
            _ => Err("use RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA: signatures with a public key".to_owned()),
        }
    }
}

impl fmt::Display for TokenAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The public keys of an issuer that signatures can be checked with.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The only algorithm that it is for, if it says so.
    only: Option<Algorithm>,
    kind: KeyKind,
    key: Arc<DecodingKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a JWK set. Keys for other purposes and of other kinds are left out.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(text)
            .map_err(|error| format!("it is no set of keys: {error}"))?;
        if document.keys.len() > MAX_KEYS {
            return Err(format!("it has more than {MAX_KEYS} keys"));
        }
        let keys: Vec<Key> = document.keys.into_iter().filter_map(read).collect();
        if keys.is_empty() {
            return Err("it has no key for signatures".to_owned());
        }
        Ok(Self(keys))
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The key with this id for this algorithm. A token may name none if there is no choice.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
        let mut fitting = self.0.iter().filter(|key| key.fits(algorithm));
        let found = match id {
            Some(_) => fitting.find(|key| key.id.as_deref() == id)?,
            None => match (fitting.next(), fitting.next()) {
                (Some(only), None) => only,
                _ => return None,
            },
        };
        Some(Arc::clone(&found.key))
    }
}

impl Key {
    fn fits(&self, algorithm: Algorithm) -> bool {
        let kind = match self.kind {
            KeyKind::Rsa => algorithm.family() == AlgorithmFamily::Rsa,
            KeyKind::P256 => algorithm == Algorithm::ES256,
            KeyKind::P384 => algorithm == Algorithm::ES384,
            KeyKind::Ed25519 => algorithm == Algorithm::EdDSA,
        };
        kind && self.only.is_none_or(|only| only == algorithm)
    }
}

fn read(key: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(key).ok()?;
    let common = &jwk.common;
    let signs = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
    let operations = common.key_operations.as_ref();
    if !signs || operations.is_some_and(|all| !all.contains(&KeyOperations::Verify)) {
        return None;
    }
    let kind = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => KeyKind::Rsa,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            KeyKind::P256
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => {
            KeyKind::P384
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            KeyKind::Ed25519
        }
        _ => return None,
    };
    let only = match common.key_algorithm {
        None => None,
        // One that is for encryption, or unknown, is not for signatures.
        Some(name) => Some(signature(name)?),
    };
    let key = Arc::new(DecodingKey::from_jwk(&jwk).ok()?);
    Some(Key { id: jwk.common.key_id, only, kind, key })
}

fn signature(name: KeyAlgorithm) -> Option<Algorithm> {
    name.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(keys: &Value) -> Result<KeySet, String> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn only_signatures_with_a_public_key_can_be_allowed() {
        for name in ["RS256", "RS512", "PS384", "ES256", "ES384", "EdDSA"] {
            let algorithm: TokenAlgorithm = name.parse().unwrap();
            assert_eq!(algorithm.to_string(), name);
        }
        for name in ["none", "None", "HS256", "HS384", "HS512", "", "rs256", "RS256 "] {
            assert!(name.parse::<TokenAlgorithm>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_key_is_found_by_its_id_for_what_it_is_for() {
        let ec = |id: &str, curve: &str| json!({"kty": "EC", "kid": id, "crv": curve, "x": "AQ", "y": "AQ"});
        let keys = parse(&json!([
            {"kty": "RSA", "kid": "any", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "kid": "one", "n": "AQAB", "e": "AQAB", "alg": "RS256", "use": "sig"},
            ec("256", "P-256"),
            ec("384", "P-384"),
            {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": "AQ"},
        ]))
        .unwrap();
        assert_eq!(keys.len(), 5);
        let found = |id, algorithm| keys.find(id, algorithm).is_some();
        use Algorithm::{ES256, ES384, EdDSA, HS256, PS256, RS256, RS512};
        for (id, fits, others) in [
            ("any", &[RS256, RS512, PS256][..], &[ES256, HS256][..]),
            ("one", &[RS256], &[RS512, PS256, HS256]),
            ("256", &[ES256], &[ES384, RS256, HS256]),
            ("384", &[ES384], &[ES256, HS256]),
            ("ed", &[EdDSA], &[ES256, HS256]),
            ("other", &[], &[RS256, HS256]),
        ] {
            assert!(fits.iter().all(|&algorithm| found(Some(id), algorithm)), "{id}");
            assert!(!others.iter().any(|&algorithm| found(Some(id), algorithm)), "{id}");
        }
        assert!(
            found(None, ES256) && !found(None, RS256),
            "no id will do where there is no choice"
        );
    }

    #[test]
    fn keys_for_other_purposes_are_left_out_and_a_set_without_keys_is_none() {
        let rsa = |extra: Value| {
            let mut key = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"});
            key.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            key
        };
        for other in [
            rsa(json!({"use": "enc"})),
            rsa(json!({"alg": "RSA-OAEP"})),
            rsa(json!({"alg": "new"})),
            rsa(json!({"key_ops": ["encrypt"]})),
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "EC", "crv": "P-521", "x": "AQ", "y": "AQ"}),
            json!({"kty": "new"}),
            json!("nonsense"),
        ] {
            let keys = parse(&json!([other, rsa(json!({}))])).unwrap();
            assert_eq!(keys.len(), 1, "{other}");
            assert!(parse(&json!([other])).unwrap_err().contains("no key"), "{other}");
        }
        assert!(parse(&json!([])).is_err());
        assert!(KeySet::parse(b"<html>").is_err());
        let many: Vec<Value> = (0..=MAX_KEYS).map(|_| rsa(json!({}))).collect();
        assert!(parse(&many.into()).unwrap_err().contains("more than"));
    }
}
