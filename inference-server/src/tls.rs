//! TLS: the server's certificate and its key, read again when they change.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, InconsistentKeys};

use crate::config::TlsConfig;
use crate::fresh;
use crate::server::ServeError;

/// The certificate as it is now.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsConfig,
    first: Pair,
    current: RwLock<Arc<rustls::ServerConfig>>,
}

/// Contents of the two files.
#[derive(Clone, PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A private key is shown to nobody.
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads both files.
    ///
    /// # Errors
    /// [`ServeError::Certificate`].
    pub(crate) fn open(files: &TlsConfig) -> Result<Self, ServeError> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| wrong(path, &error));
        let first = Pair { certificate: read(&files.certificate)?, key: read(&files.key)? };
        let current = RwLock::new(Arc::new(first.parse(files)?));
        Ok(Self { files: files.clone(), first, current })
    }

    /// For one connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current))
    }

    /// Looks at the files for ever; while the two do not fit each other, the last pair stays. Connections that are open keep what they
    /// began with.
    pub(crate) async fn keep_fresh(self: Arc<Self>) {
        let take = |pair: &Pair| {
            let config = pair.parse(&self.files).map_err(|error| error.to_string())?;
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
            tracing::info!("the certificate in {} has changed", self.files.certificate.display());
            Ok(())
        };
        let (first, stays) = (self.first.clone(), "the last certificate stays");
        fresh::keep_fresh(first, true, stays, || read_both(&self.files), take).await;
    }
}

async fn read_both(files: &TlsConfig) -> Result<Pair, String> {
    let certificate = read(&files.certificate).await?;
    Ok(Pair { certificate, key: read(&files.key).await? })
}

async fn read(path: &Path) -> Result<Vec<u8>, String> {
    tokio::fs::read(path).await.map_err(|error| wrong(path, &error).to_string())
}

impl Pair {
    fn parse(&self, files: &TlsConfig) -> Result<rustls::ServerConfig, ServeError> {
        let TlsConfig { certificate, key } = files;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, PemError>>()
            .map_err(|error| wrong(certificate, &error))?;
        if chain.is_empty() {
            return Err(wrong(certificate, &"there is none; expected PEM"));
        }
        let private = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| match error {
            PemError::NoItemsFound => wrong(key, &"there is no private key; expected PEM"),
            error => wrong(key, &error),
        })?;
        let builder = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| wrong(certificate, &error))?;
        let config = builder.with_no_client_auth().with_single_cert(chain, private);
        let mut config = config.map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                wrong(certificate, &format_args!("the key in {} is another's", key.display()))
            }
            error => wrong(certificate, &error),
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn wrong(path: &Path, what: &dyn std::fmt::Display) -> ServeError {
    ServeError::Certificate { path: path.to_owned(), message: what.to_string() }
}
