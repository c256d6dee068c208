//! Settings: what the command line and the environment say, checked. No I/O.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{ArgAction, Parser, ValueEnum};
use textnlp_telemetry::log::LogFormat;

use crate::access::{self, Access, AccessArgs};
use crate::context::Scope;
use crate::traces::Traces;

/// The TextNLP operator: runs GenerationJobs and serves ModelDeployments in a Kubernetes cluster.
#[derive(Clone, Debug, Parser)]
#[command(name = "textnlp-operator", version)]
pub struct Args {
    /// Namespaces to look after, separated by commas. Default: all.
    #[arg(long, env = "TEXTNLP_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACE")]
    pub namespaces: Vec<String>,
    /// Image of the pods: jobs and servers.
    #[arg(long, env = "TEXTNLP_IMAGE", value_name = "IMAGE")]
    pub image: String,
    /// When nodes pull the image.
    #[arg(long, env = "TEXTNLP_IMAGE_PULL_POLICY", value_enum, default_value_t = PullPolicy::IfNotPresent)]
    pub image_pull_policy: PullPolicy,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "TEXTNLP_LISTEN", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// How log lines look.
    #[arg(long, env = "TEXTNLP_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
    /// What is logged, as `level` or `target=level,…`.
    #[arg(long, env = "TEXTNLP_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
    /// Whether replicas elect a leader. With one replica, `false` saves the wait.
    #[arg(long, env = "TEXTNLP_LEADER_ELECT", default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub leader_elect: bool,
    /// Name of the Lease.
    #[arg(
        long,
        env = "TEXTNLP_LEASE_NAME",
        default_value = "textnlp-operator",
        value_name = "NAME"
    )]
    pub lease_name: String,
    /// Namespace of the Lease: the operator's own.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// What this replica is called in the Lease and in events.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub identity: Option<String>,
    /// Objects of one kind that are reconciled at once.
    #[arg(long, env = "TEXTNLP_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024), value_name = "N")]
    pub concurrency: u16,
    /// Status writes that only show progress, for all objects together, in a second.
    #[arg(long, env = "TEXTNLP_PROGRESS_WRITES", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "N")]
    pub progress_writes: u32,
    /// Seconds between two looks at the progress of one object.
    #[arg(long, env = "TEXTNLP_PROGRESS_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "N")]
    pub progress_seconds: u64,
    /// Who may call the servers.
    #[command(flatten)]
    pub access: AccessArgs,
}

/// When nodes pull the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum PullPolicy {
    /// For each pod.
    Always,
    /// When a node does not have it.
    IfNotPresent,
    /// Never: nodes have it.
    Never,
}

impl PullPolicy {
    /// As a pod template writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// Settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to look.
    pub scopes: Vec<Scope>,
    /// Image of the pods.
    pub image: String,
    /// When nodes pull it.
    pub image_pull_policy: PullPolicy,
    /// Address of the operator's own HTTP.
    pub listen: SocketAddr,
    /// The election; none without one.
    pub election: Option<Election>,
    /// What this replica is called.
    pub identity: String,
    /// Objects of one kind that are reconciled at once.
    pub concurrency: u16,
    /// Writes of progress a second.
    pub progress_writes: u32,
    /// Time between two looks at the progress of one object.
    pub progress_interval: Duration,
    /// Who may call the servers; none: everybody who reaches them.
    pub access: Option<Access>,
    /// Where traces go; none: nowhere.
    pub traces: Option<Traces>,
}

/// Where replicas elect a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election {
    /// Name of the Lease.
    pub lease: String,
    /// Namespace of the Lease.
    pub namespace: String,
}

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An election needs a place.
    #[error(
        "the namespace of the Lease is not known: set POD_NAMESPACE or --lease-namespace, or --leader-elect=false"
    )]
    NoLeaseNamespace,
    /// The image is empty.
    #[error("TEXTNLP_IMAGE is empty: name the image of the pods, such as registry/textnlp:0.1.0")]
    NoImage,
    /// Who may call the servers.
    #[error(transparent)]
    Access(#[from] access::Error),
}

impl Config {
    /// Checks what the user typed. `hostname` names a replica that has no other name.
    pub fn new(args: &Args, hostname: Option<String>) -> Result<Self, Error> {
        if args.image.trim().is_empty() {
            return Err(Error::NoImage);
        }
        let election = match (args.leader_elect, &args.lease_namespace) {
            (false, _) => None,
            (true, Some(namespace)) => {
                Some(Election { lease: args.lease_name.clone(), namespace: namespace.clone() })
            }
            (true, None) => return Err(Error::NoLeaseNamespace),
        };
        Ok(Self {
            scopes: scopes(&args.namespaces),
            image: args.image.trim().into(),
            image_pull_policy: args.image_pull_policy,
            listen: args.listen,
            election,
            identity: args
                .identity
                .clone()
                .or(hostname)
                .unwrap_or_else(|| format!("textnlp-operator-{}", std::process::id())),
            concurrency: args.concurrency,
            progress_writes: args.progress_writes,
            progress_interval: Duration::from_secs(args.progress_seconds),
            access: Access::new(&args.access)?,
            traces: None,
        })
    }
}

fn scopes(namespaces: &[String]) -> Vec<Scope> {
    let mut names: Vec<&str> =
        namespaces.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return vec![Scope::Cluster];
    }
    names.into_iter().map(|name| Scope::Namespace(name.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(extra: &[&str]) -> Result<Config, Error> {
        let args = ["textnlp-operator", "--image", "textnlp:0.1.0"].iter().chain(extra);
        Config::new(&Args::parse_from(args), Some("host".into()))
    }

    #[test]
    fn no_namespace_means_the_whole_cluster() {
        assert_eq!(config(&["--leader-elect=false"]).expect("valid").scopes, [Scope::Cluster]);
        let scopes =
            config(&["--leader-elect=false", "--namespaces", "b, a,b,"]).expect("valid").scopes;
        assert_eq!(scopes, [Scope::Namespace("a".into()), Scope::Namespace("b".into())]);
    }

    #[test]
    fn an_election_needs_a_namespace() {
        assert!(matches!(config(&[]), Err(Error::NoLeaseNamespace)));
        let election = config(&["--lease-namespace", "textnlp-system"]).expect("valid").election;
        let expected =
            Election { lease: "textnlp-operator".into(), namespace: "textnlp-system".into() };
        assert_eq!(election, Some(expected));
    }

    #[test]
    fn the_help_is_of_the_operator_and_not_of_a_part_of_its_settings() {
        let about = <Args as clap::CommandFactory>::command().get_about().map(ToString::to_string);
        assert!(about.is_some_and(|about| about.starts_with("The TextNLP operator")));
    }

    #[test]
    fn an_image_is_needed() {
        let args = Args::parse_from(["textnlp-operator", "--image", " ", "--leader-elect=false"]);
        assert!(matches!(Config::new(&args, None), Err(Error::NoImage)));
    }
}
