//! What a user can type after `kubectl textnlp`. No I/O.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Print the logs of a job's or a model's pods
    Logs(LogsArgs),
    /// Copy a job's dataset to this machine
    Get(GetArgs),
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
    /// With --watch: give up after N seconds, say what is in the way, and exit with 1
    #[arg(long, requires = "watch", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub(crate) timeout_seconds: Option<u64>,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Job or model: NAME, gj/NAME or mdl/NAME
    #[arg(value_name = "JOB|MODEL")]
    pub(crate) name: String,
    /// Only the pods of this step
    #[arg(long, value_enum)]
    pub(crate) step: Option<Step>,
    /// Go on with what comes, until the job has ended
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last N lines of each pod
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) tail: Option<i64>,
}

/// A step of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Step {
    /// Reads and checks the source
    Prepare,
    /// Generates rows
    Worker,
    /// Writes the dataset
    Finalize,
}

impl Step {
    /// The value of the label `app.kubernetes.io/component`.
    pub(crate) fn component(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Worker => "worker",
            Self::Finalize => "finalize",
        }
    }

    /// The step of a component.
    pub(crate) fn of(component: &str) -> Option<Self> {
        [Self::Prepare, Self::Worker, Self::Finalize]
            .into_iter()
            .find(|step| step.component() == component)
    }
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Job whose dataset is wanted
    #[arg(value_name = "JOB")]
    pub(crate) name: String,
    /// Directory to write to: new, empty, or one with the same dataset
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Only this file, as dataset.jsonl; may be repeated [default: all files of the dataset]
    #[arg(long, value_name = "NAME")]
    pub(crate) file: Vec<String>,
    /// Image of the pod that reads the claim [default: that of the job's own pods]
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<String>,
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
