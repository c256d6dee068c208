//! Settings: who may call the servers. No I/O.

use std::path::PathBuf;

use clap::ArgAction;
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use serde::Deserialize;
use textnlp_crds::task::SERVER_TOKEN_FILE;

use crate::egress;

/// Port of an issuer whose address names none, and of its keys.
pub(crate) const HTTPS: u16 = 443;

/// Who may call the servers. Without any of it: everybody who reaches them.
#[derive(Clone, Debug, clap::Args)]
pub struct AccessArgs {
    /// Whether servers let in only whom Kubernetes knows: accounts of their namespace, and who may `invoke` their
    /// ModelDeployment.
    #[arg(long, env = "TEXTNLP_KUBERNETES_ACCESS", default_value_t = false, action = ArgAction::Set, value_name = "BOOL")]
    pub kubernetes_access: bool,
    /// Audience of the tokens that they take.
    #[arg(
        long,
        env = "TEXTNLP_KUBERNETES_AUDIENCE",
        default_value = "textnlp.dev",
        value_name = "AUDIENCE"
    )]
    pub kubernetes_audience: String,
    /// File with the operator's own token, for the servers' metrics.
    #[arg(long, env = "TEXTNLP_SERVER_TOKEN_FILE", default_value = SERVER_TOKEN_FILE, value_name = "FILE")]
    pub server_token_file: PathBuf,
    /// Where servers reach the API server, as JSON: `{"to": [peers of a NetworkPolicy], "ports": [numbers]}`.
    #[arg(long, env = "TEXTNLP_API_SERVER", default_value = "{}", value_parser = api_server, value_name = "JSON")]
    pub api_server: ApiServer,
    /// Secret with API keys, in the namespace of each ModelDeployment that shall take them.
    #[arg(long, env = "TEXTNLP_KEYS_SECRET", default_value = "", value_name = "NAME")]
    pub keys_secret: String,
    /// Key of that Secret.
    #[arg(long, env = "TEXTNLP_KEYS_SECRET_KEY", default_value = "keys.yaml", value_name = "KEY")]
    pub keys_secret_key: String,
    /// OIDC issuer whose tokens the servers take.
    #[arg(long, env = "TEXTNLP_OIDC_ISSUER", default_value = "", value_name = "URL")]
    pub oidc_issuer: String,
    /// Audience of its tokens.
    #[arg(long, env = "TEXTNLP_OIDC_AUDIENCE", default_value = "", value_name = "AUDIENCE")]
    pub oidc_audience: String,
    /// Algorithms that its tokens may be signed with, separated by commas. Default: the servers'.
    #[arg(long, env = "TEXTNLP_OIDC_ALGORITHMS", value_delimiter = ',', value_name = "ALGORITHM")]
    pub oidc_algorithms: Vec<String>,
}

/// Who may call the servers. There is none of keys and OIDC without Kubernetes: workers and the operator have no other credential.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// Audience of the tokens of Kubernetes.
    pub audience: String,
    /// File with the operator's own.
    pub token: PathBuf,
    /// Where servers reach the API server, which they ask about their callers.
    pub api_server: ApiServer,
    /// API keys.
    pub keys: Option<Keys>,
    /// Tokens of somebody else.
    pub oidc: Option<Oidc>,
}

/// A Secret with API keys, which may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Its name.
    pub secret: String,
    /// The key in it.
    pub key: String,
}

/// Tokens of an OIDC issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oidc {
    /// The issuer.
    pub issuer: String,
    /// Where it answers.
    pub port: u16,
    /// Audience of the tokens.
    pub audience: String,
    /// Algorithms that they may be signed with; none: what the servers take by themselves.
    pub algorithms: Vec<String>,
}

/// Where the API server answers, for NetworkPolicies.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiServer {
    /// Its addresses; none: any.
    pub to: Vec<NetworkPolicyPeer>,
    /// Its ports.
    pub ports: Vec<u16>,
}

impl Default for ApiServer {
    fn default() -> Self {
        Self { to: Vec::new(), ports: vec![443, 6443] }
    }
}

fn api_server(json: &str) -> Result<ApiServer, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

/// A setting that cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Workers would be locked out.
    #[error(
        "--keys-secret and --oidc-issuer need --kubernetes-access=true: a job's workers, and the operator that reads metrics, are known by tokens of Kubernetes"
    )]
    NoKubernetes,
    /// Tokens for anything would do.
    #[error("--kubernetes-audience is empty: say what tokens are for, such as textnlp.dev")]
    NoAudience,
    /// Half of what OIDC needs.
    #[error("--oidc-issuer and --oidc-audience belong together: give both or none")]
    HalfOidc,
    /// Keys that anybody could have sent.
    #[error("--oidc-issuer is {0:?}: an issuer is an https:// address")]
    Issuer(String),
}

impl Access {
    /// Checks what the user typed; none if everybody may call.
    pub fn new(args: &AccessArgs) -> Result<Option<Self>, Error> {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let keys = text(&args.keys_secret)
            .map(|secret| Keys { secret, key: args.keys_secret_key.trim().to_owned() });
        let oidc = match (text(&args.oidc_issuer), text(&args.oidc_audience)) {
            (Some(issuer), Some(audience)) => Some(oidc(issuer, audience, &args.oidc_algorithms)?),
            (None, None) => None,
            _ => return Err(Error::HalfOidc),
        };
        if !args.kubernetes_access {
            return if keys.is_some() || oidc.is_some() {
                Err(Error::NoKubernetes)
            } else {
                Ok(None)
            };
        }
        Ok(Some(Self {
            audience: text(&args.kubernetes_audience).ok_or(Error::NoAudience)?,
            token: args.server_token_file.clone(),
            api_server: args.api_server.clone(),
            keys,
            oidc,
        }))
    }
}

fn oidc(issuer: String, audience: String, algorithms: &[String]) -> Result<Oidc, Error> {
    let Some((true, port)) = egress::port_of(&issuer) else { return Err(Error::Issuer(issuer)) };
    let algorithms = algorithms.iter().map(|name| name.trim().to_owned());
    let algorithms = algorithms.filter(|name| !name.is_empty()).collect();
    Ok(Oidc { issuer, port, audience, algorithms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        access: AccessArgs,
    }

    fn access(flags: &[&str]) -> Result<Option<Access>, Error> {
        Access::new(&Program::parse_from(["operator"].iter().chain(flags)).access)
    }

    #[test]
    fn without_any_flag_everybody_may_call() {
        assert_eq!(access(&[]), Ok(None));
        // As a chart sets what is empty.
        assert_eq!(access(&["--keys-secret=", "--oidc-issuer=", "--oidc-audience= "]), Ok(None));
    }

    #[test]
    fn tokens_of_kubernetes_are_for_us_unless_another_audience_is_named() {
        let found = access(&["--kubernetes-access=true"]).expect("valid").expect("access");
        assert_eq!(found.audience, "textnlp.dev");
        assert_eq!(found.token, PathBuf::from("/var/run/secrets/textnlp.dev/token"));
        assert_eq!(found.api_server, ApiServer { to: vec![], ports: vec![443, 6443] });
        assert_eq!((found.keys, found.oidc), (None, None));
        let empty = access(&["--kubernetes-access=true", "--kubernetes-audience="]);
        assert_eq!(empty, Err(Error::NoAudience));
    }

    #[test]
    fn keys_and_oidc_need_what_workers_are_known_by() {
        let keys = "--keys-secret=keys";
        let oidc = ["--oidc-issuer=https://id.example:8443/realm", "--oidc-audience=models"];
        assert_eq!(access(&[keys]), Err(Error::NoKubernetes));
        assert_eq!(access(&oidc), Err(Error::NoKubernetes));
        let all = ["--kubernetes-access=true", keys, oidc[0], oidc[1], "--oidc-algorithms=ES256,"];
        let found = access(&all).expect("valid").expect("access");
        assert_eq!(found.keys, Some(Keys { secret: "keys".into(), key: "keys.yaml".into() }));
        let expect = Oidc {
            issuer: "https://id.example:8443/realm".into(),
            port: 8443,
            audience: "models".into(),
            algorithms: vec!["ES256".into()],
        };
        assert_eq!(found.oidc, Some(expect));
    }

    #[test]
    fn an_issuer_has_an_address_and_an_audience() {
        let check = |flags: &[&str], expect: &str| {
            let error = access(flags).expect_err("refused").to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(&["--oidc-issuer=https://a"], "give both or none");
        check(&["--oidc-audience=a"], "give both or none");
        check(&["--oidc-issuer=http://a", "--oidc-audience=a"], "\"http://a\"");
        check(&["--oidc-issuer=a.example", "--oidc-audience=a"], "https:// address");
    }

    #[test]
    fn the_api_server_is_where_its_json_says() {
        let flag =
            r#"--api-server={"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [8443]}"#;
        let found = access(&["--kubernetes-access=true", flag]).expect("valid").expect("access");
        assert_eq!(found.api_server.ports, [8443]);
        assert_eq!(found.api_server.to.len(), 1);
        assert!(Program::try_parse_from(["operator", "--api-server={\"port\": 1}"]).is_err());
    }
}
