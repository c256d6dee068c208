//! TLS: the server's certificate and its key, read again when they change.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, InconsistentKeys};

use crate::config::TlsConfig;
use crate::server::ServeError;

/// How often the files are looked at. A mounted Secret takes about a minute to change anyway.
const PERIOD: Duration = Duration::from_secs(2);

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

    /// Looks at the files for ever. Connections that are open keep what they began with.
    ///
    /// A mounted Secret is replaced by a link, so that contents are compared, not times. Half of a change may be seen: the two do not
    /// fit each other then, and the last pair stays.
    pub(crate) async fn keep_fresh(self: Arc<Self>) {
        let (mut known, mut refused) = (self.first.clone(), None);
        let mut readable = true;
        loop {
            tokio::time::sleep(PERIOD).await;
            let pair = match self.read().await {
                Ok(pair) => pair,
                Err(error) => {
                    if std::mem::take(&mut readable) {
                        tracing::warn!("{error}; the last certificate stays");
                    }
                    continue;
                }
            };
            readable = true;
            if pair == known {
                refused = None;
                continue;
            }
            if refused.as_ref() == Some(&pair) {
                continue;
            }
            match pair.parse(&self.files) {
                Ok(config) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) =
                        Arc::new(config);
                    let path = self.files.certificate.display();
                    tracing::info!("the certificate in {path} has changed");
                    (known, refused) = (pair, None);
                }
                Err(error) => {
                    tracing::error!("{error}; the last certificate stays");
                    refused = Some(pair);
                }
            }
        }
    }

    async fn read(&self) -> Result<Pair, ServeError> {
        let certificate = read(&self.files.certificate).await?;
        Ok(Pair { certificate, key: read(&self.files.key).await? })
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, ServeError> {
    tokio::fs::read(path).await.map_err(|error| wrong(path, &error))
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
