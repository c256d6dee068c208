//! What a user can type after `kubectl textnlp`. No I/O.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Jobs and models of TextNLP in a cluster.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-textnlp",
    bin_name = "kubectl textnlp",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Which cluster and namespace, in kubectl's words.
#[derive(Debug, Default, Args)]
pub(crate) struct ClusterArgs {
    /// Namespace [default: the context's]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Context of the kubeconfig [default: the current one]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Kubeconfig [default: $KUBECONFIG, then ~/.kube/config, then the pod's own account]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show how a job or a model stands, or all of the namespace
    Status(StatusArgs),
    /// Pause a job; finished rows are kept
    Suspend(JobArgs),
    /// Let a paused job go on
    Resume(JobArgs),
    /// Begin another attempt of a failed job, over the rows that are missing
    Retry(JobArgs),
    /// Say what a job or a model is waiting for, down to the root
    Why(WhyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Job or model: NAME, gj/NAME or mdl/NAME [default: all of the namespace]
    #[arg(value_name = "JOB|MODEL")]
    pub(crate) name: Option<String>,
    /// Follow until the job has ended, or the model is ready
    #[arg(short, long, requires = "name")]
    pub(crate) watch: bool,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// Job
    #[arg(value_name = "JOB")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// Job or model: NAME, gj/NAME or mdl/NAME
    #[arg(value_name = "KIND/NAME")]
    pub(crate) name: String,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn kubectls_flags_stand_before_or_after_the_verb() {
        for line in
            ["-n shop status tickets", "status tickets -n shop", "status tickets --namespace=shop"]
        {
            let words = ["kubectl-textnlp"].into_iter().chain(line.split(' '));
            let cli = Cli::try_parse_from(words).expect(line);
            assert_eq!(cli.cluster.namespace.as_deref(), Some("shop"), "{line}");
        }
    }
}
