//! A certificate authority for one test.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use textnlp_inference_server::TlsConfig;

pub(crate) struct Authority {
    /// Its own certificate.
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate for this machine's address, and its key.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) der: Vec<u8>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn issue(&self) -> Pair {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
        params.distinguished_name.push(DnType::CommonName, "server");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let der = certificate.der().to_vec();
        Pair { certificate: certificate.pem(), key: key.serialize_pem(), der }
    }

    /// What clients trust.
    pub(crate) fn root(&self) -> reqwest::Certificate {
        reqwest::Certificate::from_pem(self.pem.as_bytes()).expect("PEM")
    }
}

impl Pair {
    /// Writes both files, each at once.
    pub(crate) fn write(&self, directory: &Path) -> TlsConfig {
        TlsConfig {
            certificate: write(directory, "tls.crt", &self.certificate),
            key: write(directory, "tls.key", &self.key),
        }
    }
}

/// Writes a file as a mounted Secret changes: all at once.
pub(crate) fn write(directory: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let (new, path) = (directory.join("new"), directory.join(name));
    std::fs::write(&new, text).expect("a file");
    std::fs::rename(new, &path).expect("a file");
    path
}
