//! From what a manifest names to a client: URI, endpoint, region and credentials of S3, Google Cloud and Azure stores.
//! Reads the files of a mounted Secret.

use std::fs;
use std::future::Future;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpService,
};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, RetryConfig};

use super::super::StoreError;
use super::error::cause;
use crate::net::{self, Access, AddressError};

/// How long a request may take as a whole: a part of an upload over a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a server may be silent.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A place in an object store, as a manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// `s3://bucket/path`, `gs://bucket/path` or `az://container/path`.
    pub uri: String,
    /// Address of the store; none for the cloud's own.
    pub endpoint: Option<String>,
    /// Region of the bucket.
    pub region: Option<String>,
    /// The manifest's field, for messages: `source.objectStore`.
    pub field: &'static str,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// The identity of the pod or of the machine.
    Identity,
    /// The folder of a mounted Secret: a file for each of the cloud's variable names.
    Secret(PathBuf),
}

/// The parts of a URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) scheme: &'static str,
    pub(super) bucket: String,
    /// Path after the bucket, without slashes at its ends.
    pub(super) path: String,
}

impl Location {
    fn error(&self, part: &str, message: impl Into<String>) -> StoreError {
        StoreError::Config { field: self.field, message: format!("{part}: {}", message.into()) }
    }

    pub(super) fn parts(&self) -> Result<Parts, StoreError> {
        let shown: String = self.uri.chars().take(200).collect();
        let wrong = |why: &str| {
            self.error("uri", format!("`{shown}` {why}; write it as s3://bucket/path, gs://bucket/path or az://container/path"))
        };
        let (scheme, rest) =
            self.uri.split_once("://").ok_or_else(|| wrong("names no kind of store"))?;
        let scheme = match scheme {
            "s3" => "s3",
            "gs" => "gs",
            "az" => "az",
            _ => return Err(wrong("names a kind of store that is not known")),
        };
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(wrong("names no bucket"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if !bucket.chars().all(plain) {
            return Err(wrong("names a bucket that cannot be"));
        }
        let path = path.trim_matches('/').to_owned();
        if !path.is_empty() {
            Path::parse(&path).map_err(|error| wrong(&format!("has no usable path: {error}")))?;
        }
        Ok(Parts { scheme, bucket: bucket.to_owned(), path })
    }

    /// Builds the client. The credentials' contents never get into a message.
    pub(super) fn connect(
        &self,
        credentials: &Credentials,
        access: Access,
    ) -> Result<Arc<dyn object_store::ObjectStore>, StoreError> {
        let parts = self.parts()?;
        if let Some(endpoint) = &self.endpoint {
            net::check(endpoint, access)
                .map_err(|error| self.error("endpoint", error.to_string()))?;
        }
        let connector = Connector { access, identity: *credentials == Credentials::Identity };
        let failed = |error: object_store::Error| self.error("uri", cause(&error));
        match parts.scheme {
            "s3" => {
                let builder = self.amazon(&parts, credentials)?.with_http_connector(connector);
                Ok(Arc::new(builder.with_retry(retries()).build().map_err(failed)?))
            }
            "gs" => {
                let builder = self.google(&parts, credentials)?.with_http_connector(connector);
                // What cannot be read of a key must not be shown either.
                let failed = |_| {
                    self.error("secretRef", "GOOGLE_SERVICE_ACCOUNT_KEY is no key of a service account: the JSON file that Google gives out is needed")
                };
                let built = builder.with_retry(retries()).build();
                Ok(Arc::new(match credentials {
                    Credentials::Identity => built.map_err(|e| self.error("uri", cause(&e)))?,
                    Credentials::Secret(_) => built.map_err(failed)?,
                }))
            }
            _ => {
                let builder = self.azure(&parts, credentials)?.with_http_connector(connector);
                Ok(Arc::new(builder.with_retry(retries()).build().map_err(failed)?))
            }
        }
    }

    fn amazon(
        &self,
        parts: &Parts,
        credentials: &Credentials,
    ) -> Result<AmazonS3Builder, StoreError> {
        let mut builder = match credentials {
            Credentials::Identity => AmazonS3Builder::from_env(),
            Credentials::Secret(folder) => {
                let secret = Secret { location: self, folder };
                let mut builder = AmazonS3Builder::new()
                    .with_access_key_id(secret.required("AWS_ACCESS_KEY_ID")?)
                    .with_secret_access_key(secret.required("AWS_SECRET_ACCESS_KEY")?);
                if let Some(token) = secret.optional("AWS_SESSION_TOKEN")? {
                    builder = builder.with_token(token);
                }
                if let Some(region) = secret.optional("AWS_REGION")? {
                    builder = builder.with_region(region);
                }
                builder
            }
        };
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        Ok(builder.with_bucket_name(&parts.bucket))
    }

    fn google(
        &self,
        parts: &Parts,
        credentials: &Credentials,
    ) -> Result<GoogleCloudStorageBuilder, StoreError> {
        let mut builder = match credentials {
            Credentials::Identity => GoogleCloudStorageBuilder::from_env(),
            Credentials::Secret(folder) => {
                let secret = Secret { location: self, folder };
                GoogleCloudStorageBuilder::new()
                    .with_service_account_key(secret.required("GOOGLE_SERVICE_ACCOUNT_KEY")?)
            }
        };
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_base_url(endpoint.trim_end_matches('/'));
        }
        Ok(builder.with_bucket_name(&parts.bucket))
    }

    fn azure(
        &self,
        parts: &Parts,
        credentials: &Credentials,
    ) -> Result<MicrosoftAzureBuilder, StoreError> {
        let mut builder = match credentials {
            Credentials::Identity => MicrosoftAzureBuilder::from_env(),
            Credentials::Secret(folder) => {
                let secret = Secret { location: self, folder };
                let builder = MicrosoftAzureBuilder::new()
                    .with_account(secret.required("AZURE_STORAGE_ACCOUNT_NAME")?);
                match secret.optional("AZURE_STORAGE_ACCOUNT_KEY")? {
                    Some(key) => builder.with_access_key(key),
                    None => {
                        let token = secret.required("AZURE_STORAGE_SAS_TOKEN")?;
                        builder.with_config(AzureConfigKey::SasKey, token)
                    }
                }
            }
        };
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        Ok(builder.with_container_name(&parts.bucket))
    }
}

/// Tries for about a minute; then the step fails, and is begun again where it was.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() },
        max_retries: 8,
        retry_timeout: Duration::from_secs(60),
    }
}

/// The files of a mounted Secret.
struct Secret<'a> {
    location: &'a Location,
    folder: &'a PathBuf,
}

impl Secret<'_> {
    fn optional(&self, key: &str) -> Result<Option<String>, StoreError> {
        match fs::read_to_string(self.folder.join(key)) {
            // A newline at the end comes from an editor, and is in no key.
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::Io {
                operation: "read",
                path: self.folder.join(key).display().to_string(),
                source: error,
            }),
        }
    }

    fn required(&self, key: &str) -> Result<String, StoreError> {
        self.optional(key)?.ok_or_else(|| {
            self.location
                .error("secretRef", format!("the Secret has no key {key}; add it, with its value"))
        })
    }
}

/// Makes clients that judge the addresses they connect to.
#[derive(Debug)]
struct Connector {
    access: Access,
    /// Whether the pod's identity is used: its services lie at link-local addresses.
    identity: bool,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = net::Client::build(self.access, |builder| {
            builder.timeout(REQUEST_TIMEOUT).read_timeout(READ_TIMEOUT)
        });
        let client = client.map_err(|error| object_store::Error::Generic {
            store: "client",
            source: Box::new(error),
        })?;
        let judged = (!self.identity).then_some(self.access);
        Ok(HttpClient::new(Guarded { client: client.into_inner(), judged }))
    }
}

/// Judges addresses that are written out: those of names are judged as they are resolved.
#[derive(Debug)]
struct Guarded {
    client: reqwest::Client,
    judged: Option<Access>,
}

impl HttpService for Guarded {
    fn call<'s, 'f>(
        &'s self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            // `Unknown` is not tried again: the address stays what it is.
            let refusal = |error: AddressError| HttpError::new(HttpErrorKind::Unknown, error);
            if let Some(access) = self.judged {
                net::check(&request.uri().to_string(), access).map_err(refusal)?;
            }
            self.client.call(request).await.map_err(|error| match AddressError::of(&error) {
                Some(found) if found.is_refusal() => refusal(found.clone()),
                _ => error,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(uri: &str, endpoint: Option<&str>) -> Location {
        Location {
            uri: uri.into(),
            endpoint: endpoint.map(str::to_owned),
            region: None,
            field: "source.objectStore",
        }
    }

    #[test]
    fn a_uri_is_taken_apart_and_a_wrong_one_is_named_with_what_is_allowed() {
        let check = |uri: &str, expect: Result<(&'static str, &str, &str), &str>| match (
            location(uri, None).parts(),
            expect,
        ) {
            (Ok(parts), Ok(expect)) => {
                assert_eq!((parts.scheme, &*parts.bucket, &*parts.path), expect, "{uri}");
            }
            (Err(error), Err(expect)) => {
                assert!(error.to_string().contains(expect), "{uri}: {error}");
                assert!(error.is_final());
            }
            (found, _) => panic!("{uri}: {found:?}"),
        };
        check("s3://data", Ok(("s3", "data", "")));
        check("s3://data/a/b/", Ok(("s3", "data", "a/b")));
        check("gs://data/*.parquet", Ok(("gs", "data", "*.parquet")));
        check("az://box/a", Ok(("az", "box", "a")));
        check("http://data/a", Err("names a kind of store that is not known; write it as s3://"));
        check("data", Err("names no kind of store"));
        check("s3:///a", Err("names no bucket"));
        check("s3://da@ta/a", Err("names a bucket that cannot be"));
        check("s3://data/a//b", Err("has no usable path"));
        check("s3://data/../b", Err("has no usable path"));
    }

    #[test]
    fn a_secret_without_a_key_and_an_endpoint_that_leads_inside_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let secret = Credentials::Secret(folder.path().to_owned());
        let message = |uri: &str, endpoint: Option<&str>| {
            let connected = location(uri, endpoint).connect(&secret, Access::default());
            connected.unwrap_err().to_string()
        };
        assert_eq!(
            message("s3://b", None),
            "spec.source.objectStore: secretRef: the Secret has no key AWS_ACCESS_KEY_ID; add it, with its value"
        );
        fs::write(folder.path().join("AWS_ACCESS_KEY_ID"), "id\n").unwrap();
        assert!(message("s3://b", None).contains("no key AWS_SECRET_ACCESS_KEY"));
        assert!(message("gs://b", None).contains("no key GOOGLE_SERVICE_ACCOUNT_KEY"));
        assert!(message("az://b", None).contains("no key AZURE_STORAGE_ACCOUNT_NAME"));
        fs::write(folder.path().join("GOOGLE_SERVICE_ACCOUNT_KEY"), "hush").unwrap();
        let shown = message("gs://b", None);
        assert!(
            shown.contains("is no key of a service account") && !shown.contains("hush"),
            "{shown}"
        );
        let shown = message("s3://b", Some("http://169.254.169.254"));
        assert!(
            shown.starts_with(
                "spec.source.objectStore: endpoint: `169.254.169.254` is a link-local"
            ),
            "{shown}"
        );
    }
}
