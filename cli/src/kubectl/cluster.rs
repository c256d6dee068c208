//! The cluster: which one, and calls to it, each with a limit of time and with errors that name what was asked. I/O.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::args::ClusterArgs;
use super::error::Error;

/// How long a call may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Objects of one answer to a list.
const PAGE: u32 = 500;
/// The field manager of this program's patches.
const FIELD_MANAGER: &str = "kubectl-textnlp";

/// A cluster, and the namespace that verbs work in.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    server: String,
}

impl Cluster {
    /// The cluster that the flags, the environment or the pod's own account name. Nothing is called yet.
    pub(crate) async fn connect(args: &ClusterArgs) -> Result<Self, Error> {
        let mut config = config(args).await?;
        config.connect_timeout = Some(CONNECT_LIMIT);
        // Calls end with `LIMIT`; what this program writes is repeated by nobody.
        config.default_retry = false;
        let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config).map_err(|error| Error::Config {
            place: format!("the context for {server}"),
            message: chain(&error),
        })?;
        Ok(Self { client, namespace, server })
    }

    /// The objects of a kind in the namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// An object; none where there is none of that name.
    pub(crate) async fn get<K>(&self, name: &str) -> Result<Option<K>, Error>
    where
        K: Kind,
    {
        let api = self.api::<K>();
        self.call("get", &resource::<K>(), name, api.get_opt(name)).await
    }

    /// All objects of a kind that a label selector finds; all there are, where it is empty.
    pub(crate) async fn list<K>(&self, selector: &str) -> Result<Vec<K>, Error>
    where
        K: Kind,
    {
        self.pages(self.api::<K>(), ListParams::default().labels(selector)).await
    }

    /// All objects of a list, page by page.
    pub(crate) async fn pages<K>(&self, api: Api<K>, params: ListParams) -> Result<Vec<K>, Error>
    where
        K: Clone + std::fmt::Debug + DeserializeOwned + Resource<DynamicType = ()>,
    {
        let mut params = params.limit(PAGE);
        let mut found = Vec::new();
        loop {
            let page = self.call("list", &resource::<K>(), "", api.list(&params)).await?;
            found.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(found),
            }
        }
    }

    /// Merges a patch into an object.
    pub(crate) async fn merge<K>(&self, name: &str, patch: &Value) -> Result<K, Error>
    where
        K: Kind,
    {
        let params =
            PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let api = self.api::<K>();
        let patch = Patch::Merge(patch);
        self.call("patch", &resource::<K>(), name, api.patch(name, &params, &patch)).await
    }

    /// Waits for a call's answer, no longer than [`LIMIT`].
    pub(crate) async fn call<T>(
        &self,
        verb: &'static str,
        resource: &str,
        name: &str,
        answer: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(LIMIT, answer).await {
            Ok(answer) => answer.map_err(|error| self.error(verb, resource, name, error)),
            Err(_) => Err(Error::Timeout {
                server: self.server.clone(),
                what: what(verb, resource, name),
                limit: LIMIT,
            }),
        }
    }

    fn error(&self, verb: &'static str, resource: &str, name: &str, error: kube::Error) -> Error {
        let server = self.server.clone();
        let what = what(verb, resource, name);
        match error {
            kube::Error::Api(status) => {
                let message = status.message.clone();
                match status.code {
                    401 => Error::Unauthorized { server, message },
                    // Quotas and admission answer 403 too: they are no matter of permissions.
                    403 if message.contains(" cannot ") => Error::Forbidden {
                        verb,
                        resource: resource.into(),
                        namespace: self.namespace.clone(),
                        message,
                    },
                    404 if resource.ends_with(textnlp_crds::GROUP) && name.is_empty() => {
                        Error::NotInstalled { resource: resource.into() }
                    }
                    404 => Error::NotFound(format!("{what}: {message}")),
                    409 => Error::Conflict { what },
                    _ if message.is_empty() => Error::Api { what, message: status.reason.clone() },
                    _ => Error::Api { what, message },
                }
            }
            kube::Error::SerdeError(error) => {
                Error::Unreadable { what, message: error.to_string() }
            }
            // The answer to an upgrade has no body that would say more than its code.
            kube::Error::UpgradeConnection(error) if chain(&error).contains("403") => {
                Error::Forbidden {
                    verb,
                    resource: resource.into(),
                    namespace: self.namespace.clone(),
                    message: chain(&error),
                }
            }
            kube::Error::UpgradeConnection(error) => Error::Api { what, message: chain(&error) },
            kube::Error::Auth(error) => Error::Unauthorized { server, message: chain(&error) },
            other => Error::Unreachable { server, message: chain(&other) },
        }
    }
}

/// What a namespaced object of the API must be able to do here.
pub(crate) trait Kind:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + std::fmt::Debug
    + DeserializeOwned
{
}

impl<K> Kind for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
{
}

/// A resource as `kubectl auth can-i` writes it: `generationjobs.textnlp.dev`.
pub(crate) fn resource<K: Resource<DynamicType = ()>>() -> String {
    let (plural, group) = (K::plural(&()), K::group(&()));
    if group.is_empty() { plural.into_owned() } else { format!("{plural}.{group}") }
}

fn what(verb: &str, resource: &str, name: &str) -> String {
    if name.is_empty() { format!("{verb} {resource}") } else { format!("{verb} {resource}/{name}") }
}

async fn config(args: &ClusterArgs) -> Result<Config, Error> {
    let options =
        KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let (found, place) = match &args.kubeconfig {
        Some(path) => (Kubeconfig::read_from(path), path.display().to_string()),
        None => (Kubeconfig::read(), default_place()),
    };
    let kubeconfig = match found {
        Ok(kubeconfig) => kubeconfig,
        Err(error) if args.kubeconfig.is_none() && is_absent(&error) => {
            return Config::incluster().map_err(|_| Error::NoCluster {
                tried: format!(
                    "there is no {place}, and this is no pod with an account of its own"
                ),
            });
        }
        Err(error) => return Err(config_error(&place, &error)),
    };
    if kubeconfig.clusters.is_empty() && args.kubeconfig.is_none() {
        return Err(Error::NoCluster { tried: format!("{place} names no cluster") });
    }
    let contexts: Vec<String> =
        kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| match &error {
        KubeconfigError::LoadContext(name) => Error::Config {
            place: place.clone(),
            message: format!("there is no context {name}; there are: {}", contexts.join(", ")),
        },
        KubeconfigError::CurrentContextNotSet => Error::Config {
            place: place.clone(),
            message: format!(
                "no context is current; give --context, one of: {}",
                contexts.join(", ")
            ),
        },
        _ => config_error(&place, &error),
    })
}

fn default_place() -> String {
    match std::env::var("KUBECONFIG") {
        Ok(paths) if !paths.is_empty() => format!("{paths} (KUBECONFIG)"),
        _ => "~/.kube/config".into(),
    }
}

fn is_absent(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(error, path) => {
            error.kind() == std::io::ErrorKind::NotFound && !is_named(path)
        }
        _ => false,
    }
}

/// Whether the user names this file in `KUBECONFIG`: then it must be there.
fn is_named(path: &Path) -> bool {
    std::env::var_os("KUBECONFIG")
        .is_some_and(|paths| std::env::split_paths(&paths).any(|named| named == path))
}

fn config_error(place: &str, error: &KubeconfigError) -> Error {
    Error::Config { place: place.into(), message: chain(error) }
}

/// An error with its causes, each said once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}
