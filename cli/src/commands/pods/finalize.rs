//! `textnlp finalize`: rows merged, scored and gated; dataset and report written.

use std::time::Instant;

use textnlp_crds::task::Termination;
use textnlp_generation::finalize::{Closing, Missing};
use textnlp_generation::{Error, status, steps};

use crate::args::pods::FinalizeArgs;
use crate::failure::Failure;

pub(crate) fn run(args: &FinalizeArgs) -> Result<(), Failure> {
    super::answer(&args.job.pod, finalize(args))
}

fn finalize(args: &FinalizeArgs) -> Result<Termination, Error> {
    let begun = Instant::now();
    let task = super::read(&args.job)?;
    let store = task.store()?;
    let place = task.place(&*store);
    let missing = if args.lost_shards { Missing::Fail } else { Missing::Refuse };
    let mut span = super::step(&task, "finalize");
    let closing = Closing { missing, place: &place, begun, trace: &span.context().clone() };
    let finished = steps::finalize(&task.job, &task.models, &*store, &task.owner, closing);
    let finished = super::told(&mut span, finished)?;
    let answer = status::finalized(&finished, &task.told.spec.output.formats);
    Ok(Termination::Finalized(Box::new(answer)))
}
