//! What the measurement stands on: a control plane with our kinds and accounts, and access to it as each of them. I/O, by
//! `kubectl` and `helm`.

use std::path::{Path, PathBuf};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use textnlp_tests::{kubectl, run, run_with_input};

use crate::error::Error;
use crate::fixtures::{self, PLAIN};

/// Namespace and account of the operator.
const OPERATOR: (&str, &str) = ("textnlp-system", "textnlp-operator");
/// Longer than any measurement.
const TOKEN_LIFE: &str = "6h";

/// The cluster, made ready.
pub(crate) struct Ground {
    /// Directory of the cluster's files.
    pub(crate) state: PathBuf,
    /// The administrator: nothing limits its requests.
    pub(crate) admin: Client,
    /// Access as the operator.
    pub(crate) operator: PathBuf,
    /// User name of the operator in the audit log.
    pub(crate) operator_user: String,
    /// The plain client: an account as the operator's, so that the API server queues their requests alike.
    pub(crate) plain: Client,
}

impl Ground {
    /// Installs our kinds and the operator's rights (the chart without its pods) and makes the accounts.
    pub(crate) async fn prepare() -> Result<Self, Error> {
        let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/textnlp-operator");
        let (namespace, account) = OPERATOR;
        run(
            "helm",
            &[
                "install",
                account,
                chart,
                "--namespace",
                namespace,
                "--create-namespace",
                "--set",
                "replicas=0",
            ],
        )
        .expect("helm install");
        run_with_input("kubectl", &["apply", "-f", "-"], &fixtures::ground().to_string())
            .expect("kubectl apply");

        let kubeconfig =
            kubectl(&["config", "view", "--raw", "--output", "json"]).expect("kubectl config view");
        let kubeconfig: Value = serde_json::from_str(&kubeconfig).map_err(|error| {
            Error::Unreadable { what: "KUBECONFIG".into(), found: error.to_string() }
        })?;
        let state = std::env::var_os("KUBECONFIG").map(PathBuf::from).unwrap_or_default();
        let state = state.parent().map(Path::to_owned).unwrap_or_default();
        let operator = state.join("bench-operator.kubeconfig");
        let as_operator = with_token(&kubeconfig, namespace, account);
        std::fs::write(&operator, as_operator.to_string())
            .map_err(Error::file("the operator's kubeconfig"))?;
        let as_plain = with_token(&kubeconfig, PLAIN, "plain");
        Ok(Self {
            state,
            admin: client(&kubeconfig).await?,
            operator,
            operator_user: format!("system:serviceaccount:{namespace}:{account}"),
            plain: client(&as_plain).await?,
        })
    }
}

/// The same access as another account.
fn with_token(kubeconfig: &Value, namespace: &str, account: &str) -> Value {
    let token =
        kubectl(&["--namespace", namespace, "create", "token", account, "--duration", TOKEN_LIFE]);
    let token = token.expect("kubectl create token");
    let mut other = kubeconfig.clone();
    other["users"][0]["user"] = json!({"token": token.trim()});
    other
}

/// A client as plain as the operator's: kube's own retries are off.
async fn client(kubeconfig: &Value) -> Result<Client, Error> {
    let unreadable = |found: String| Error::Unreadable { what: "the kubeconfig".into(), found };
    let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig.clone())
        .map_err(|error| unreadable(error.to_string()))?;
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Client::try_from(config).map_err(Error::api("the client"))
}
