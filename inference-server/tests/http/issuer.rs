//! An OIDC issuer for one test: a small HTTP server, and the keys that it signs with.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, crypto::aws_lc_rs::default_provider};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::certificates::Pair;

/// The audience of its tokens.
pub(crate) const AUDIENCE: &str = "models";

pub(crate) struct Issuer {
    pub(crate) url: String,
    documents: Arc<Documents>,
}

struct Documents {
    discovery: Mutex<Value>,
    keys: Mutex<Vec<u8>>,
    fetches: AtomicUsize,
}

impl Issuer {
    pub(crate) async fn start(keys: &[&SigningKey]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (issuer, router) = Self::new(url, keys);
        tokio::spawn(async { axum::serve(listener, router).await });
        issuer
    }

    /// One over TLS.
    pub(crate) async fn start_with(pair: &Pair, keys: &[&SigningKey]) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("https://{}", tcp.local_addr().expect("it is bound"));
        let (issuer, router) = Self::new(url, keys);
        let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("PEM")];
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a pair");
        let listener = TlsListener { tcp, acceptor: TlsAcceptor::from(Arc::new(config)) };
        tokio::spawn(async { axum::serve(listener, router).await });
        issuer
    }

    fn new(url: String, keys: &[&SigningKey]) -> (Self, Router) {
        let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
        let documents = Arc::new(Documents {
            discovery: Mutex::new(discovery),
            keys: Mutex::default(),
            fetches: AtomicUsize::new(0),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery_document))
            .route("/keys", get(key_document))
            .with_state(Arc::clone(&documents));
        let issuer = Self { url, documents };
        issuer.publish(keys);
        (issuer, router)
    }

    /// Other keys from now on.
    pub(crate) fn publish(&self, keys: &[&SigningKey]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        self.answer(json!({ "keys": keys }).to_string().into_bytes());
    }

    /// Other bytes instead of the keys.
    pub(crate) fn answer(&self, bytes: Vec<u8>) {
        *self.documents.keys.lock().expect("no panic") = bytes;
    }

    /// Another field in the discovery document.
    pub(crate) fn discover(&self, field: &str, value: Value) {
        self.documents.discovery.lock().expect("no panic")[field] = value;
    }

    /// How often the keys were fetched.
    pub(crate) fn fetches(&self) -> usize {
        self.documents.fetches.load(Ordering::SeqCst)
    }

    /// Claims that are good for inference.
    pub(crate) fn claims(&self) -> Value {
        json!({"iss": self.url, "aud": AUDIENCE, "sub": "alice", "exp": now() + 600})
    }
}

async fn discovery_document(State(documents): State<Arc<Documents>>) -> String {
    documents.discovery.lock().expect("no panic").to_string()
}

async fn key_document(State(documents): State<Arc<Documents>>) -> Vec<u8> {
    documents.fetches.fetch_add(1, Ordering::SeqCst);
    documents.keys.lock().expect("no panic").clone()
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.tcp.accept().await.expect("a connection");
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

pub(crate) struct SigningKey {
    id: &'static str,
    pair: KeyKind,
}

enum KeyKind {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl SigningKey {
    pub(crate) fn rsa(id: &'static str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        Self { id, pair: KeyKind::Rsa(pair) }
    }

    pub(crate) fn ec(id: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Self { id, pair: KeyKind::Ec(pair) }
    }

    /// The public key: for RSA in DER, for EC its point.
    pub(crate) fn public(&self) -> Vec<u8> {
        match &self.pair {
            KeyKind::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            KeyKind::Ec(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    pub(crate) fn jwk(&self) -> Value {
        match &self.pair {
            KeyKind::Rsa(pair) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                let (n, e) = (encode(&public.n), encode(&public.e));
                json!({"kty": "RSA", "kid": self.id, "use": "sig", "alg": "RS256", "n": n, "e": e})
            }
            KeyKind::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                let (x, y) = (encode(x), encode(y));
                json!({"kty": "EC", "kid": self.id, "crv": "P-256", "x": x, "y": y})
            }
        }
    }

    pub(crate) fn header(&self) -> Value {
        let algorithm = match self.pair {
            KeyKind::Rsa(_) => "RS256",
            KeyKind::Ec(_) => "ES256",
        };
        json!({"typ": "JWT", "alg": algorithm, "kid": self.id})
    }

    /// A token.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        token(&self.header(), claims, |message| self.signature(message))
    }

    pub(crate) fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            KeyKind::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("it signs");
                signature
            }
            KeyKind::Ec(pair) => pair.sign(&random, message).expect("it signs").as_ref().to_vec(),
        }
    }
}

/// A token with that header, whatever signs it.
pub(crate) fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| encode(value.to_string().as_bytes());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = encode(&sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
