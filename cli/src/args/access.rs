//! Who may call a server, and over what: flags of `textnlp serve`.

use std::path::PathBuf;

use clap::Args;
use textnlp_inference_server::{KubernetesConfig, OidcConfig, TlsConfig, TokenAlgorithm};

/// Without any of them everybody may call; with one, nothing but the health checks answers those who show nothing.
#[derive(Debug, Args)]
pub(crate) struct AccessArgs {
    /// File of API keys, read again when it changes: without one of them nothing but the health checks answers
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// OIDC issuer whose tokens may call, exactly as they name it
    #[arg(long, value_name = "URL", requires = "oidc_audience")]
    oidc_issuer: Option<String>,
    /// Audience that its tokens must have
    #[arg(long, value_name = "AUD", requires = "oidc_issuer")]
    oidc_audience: Option<String>,
    /// How its tokens may be signed
    #[arg(
        long,
        value_name = "ALG,...",
        value_delimiter = ',',
        default_value = "RS256,ES256",
        requires = "oidc_issuer"
    )]
    oidc_algorithms: Vec<TokenAlgorithm>,
    /// What stands before `inference` and `metrics` in its tokens' scopes
    #[arg(long, value_name = "TEXT", default_value = "", requires = "oidc_issuer")]
    oidc_scope_prefix: String,
    /// Certificate authorities of its server, PEM [default: the system's]
    #[arg(long, value_name = "FILE", requires = "oidc_issuer")]
    oidc_ca: Option<PathBuf>,
    /// ModelDeployment that is served: whom its cluster lets invoke it may call, with a token of the cluster (in a pod)
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = deployment)]
    kubernetes_access: Option<(String, String)>,
    /// Audience that the cluster's tokens must have
    #[arg(long, value_name = "AUD", default_value = "textnlp.dev", requires = "kubernetes_access")]
    kubernetes_audience: String,
}

impl AccessArgs {
    pub(crate) fn oidc(&self) -> Option<OidcConfig> {
        let (issuer, audience) = self.oidc_issuer.clone().zip(self.oidc_audience.clone())?;
        Some(OidcConfig {
            algorithms: self.oidc_algorithms.clone(),
            scope_prefix: self.oidc_scope_prefix.clone(),
            ca: self.oidc_ca.clone(),
            ..OidcConfig::new(issuer, audience)
        })
    }

    pub(crate) fn kubernetes(&self) -> Option<KubernetesConfig> {
        let (namespace, name) = self.kubernetes_access.clone()?;
        let audience = self.kubernetes_audience.clone();
        Some(KubernetesConfig { namespace, name, audience, api_server: None })
    }
}

#[derive(Debug, Args)]
pub(crate) struct TlsArgs {
    /// Certificate of the server with those up to its authority, PEM, read again when it changes: HTTPS instead of HTTP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    pub(crate) fn tls(&self) -> Option<TlsConfig> {
        let (certificate, key) = self.tls_certificate.clone().zip(self.tls_key.clone())?;
        Some(TlsConfig { certificate, key })
    }
}

/// NAMESPACE/NAME, as Kubernetes allows them.
fn deployment(text: &str) -> Result<(String, String), String> {
    let is_name = |name: &str| {
        let allowed = |b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
        !name.is_empty() && name.bytes().all(allowed)
    };
    match text.split_once('/') {
        Some((namespace, name)) if is_name(namespace) && is_name(name) => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => {
            Err("expected the namespace and the name of a ModelDeployment, as shop/smollm2"
                .to_owned())
        }
    }
}
