//! The verbs that a job's pods run: `prepare`, `worker`, `finalize`. Each answers with one JSON document in its termination
//! message, and with an exit code that says whether trying again can help.

mod finalize;
mod prepare;
mod worker;

use std::path::Path;

use textnlp_crds::task::{TaskFailure, Termination};
use textnlp_dataset::net::Access;
use textnlp_generation::Error;
use textnlp_generation::task::Task;
use tracing_subscriber::EnvFilter;

use crate::args::pods::{JobPodArgs, LogFormat, PodArgs};
use crate::failure::Failure;

pub(crate) use finalize::run as finalize;
pub(crate) use prepare::run as prepare;
pub(crate) use worker::run as worker;

/// The log of a pod: on stderr, told from the start.
pub(crate) fn init_log(args: &PodArgs) {
    let filter = EnvFilter::try_from_env("TEXTNLP_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::env::var_os("NO_COLOR").is_none());
    match args.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

/// Reads the pod's task.
fn read(args: &JobPodArgs) -> Result<Task, Error> {
    Task::read(&args.task, &args.pod.mounts, Access::from_environment())
}

/// Ends a pod: the answer for the operator, a line of the log, the exit code.
fn answer(args: &PodArgs, result: Result<Termination, Error>) -> Result<(), Failure> {
    let failed = result.map_err(|error| {
        (error.reason(), Failure { code: error.exit_code(), message: Some(error.to_string()) })
    });
    end(args, failed)
}

/// The same, of any failure with a reason.
pub(crate) fn end(
    args: &PodArgs,
    result: Result<Termination, (&'static str, Failure)>,
) -> Result<(), Failure> {
    let (answer, failure) = match result {
        Ok(answer) => (answer, None),
        Err((reason, failure)) => {
            let message = failure.message.clone().unwrap_or_default();
            tracing::error!(reason, "{message}");
            let failed = TaskFailure { reason: reason.to_owned(), message };
            // The log has said it already, in its own format.
            (Termination::Failed(failed), Some(Failure::silent(failure.code)))
        }
    };
    let answer = answer.write();
    tracing::info!(answer, "done");
    write(&args.termination_file, &answer);
    failure.map_or(Ok(()), Err)
}

/// Writes the answer where Kubernetes reads it. Outside of a pod there is no such file.
fn write(path: &Path, answer: &str) {
    let is_own = path != Path::new(textnlp_crds::task::TERMINATION_FILE);
    if (is_own || path.exists())
        && let Err(error) = std::fs::write(path, answer)
    {
        tracing::warn!("the answer cannot be written to {}: {error}", path.display());
    }
}
