//! The verbs that a job's pods run: `prepare`, `worker`, `finalize`. Each answers with one JSON document in its termination
//! message, and with an exit code that says whether trying again can help.

mod finalize;
mod prepare;
mod worker;

use textnlp_crds::task::{TaskFailure, Termination};
use textnlp_dataset::net::Access;
use textnlp_generation::Error;
use textnlp_generation::task::Task;
use textnlp_telemetry::trace::{JobTrace, Span};

use crate::args::pods::{JobPodArgs, PodArgs};
use crate::failure::Failure;
use crate::termination;

pub(crate) use finalize::run as finalize;
pub(crate) use prepare::run as prepare;
pub(crate) use worker::run as worker;

/// Reads the pod's task.
fn read(args: &JobPodArgs) -> Result<Task, Error> {
    Task::read(&args.task, &args.pod.mounts, Access::from_environment())
}

/// A step's span, inside the trace of its job.
fn step(task: &Task, name: &'static str) -> Span {
    let mut span = JobTrace::new(&task.told.uid).context().child(name);
    span.set("textnlp.attempt", i64::from(task.told.attempt));
    span
}

/// Says in a step's span that it failed.
fn told<T>(span: &mut Span, result: Result<T, Error>) -> Result<T, Error> {
    result.inspect_err(|error| span.failed(error.reason()))
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
    tracing::info!(answer = answer.write(), "done");
    termination::write(&args.termination_file, &answer);
    failure.map_or(Ok(()), Err)
}
