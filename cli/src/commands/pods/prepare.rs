//! `textnlp prepare`: source read and fixed, target claimed, shards planned.

use textnlp_crds::task::Termination;
use textnlp_generation::steps::{self, Sharding};
use textnlp_generation::task::Task;
use textnlp_generation::{Error, status};

use crate::args::pods::JobPodArgs;
use crate::failure::Failure;

pub(crate) fn run(args: &JobPodArgs) -> Result<(), Failure> {
    super::answer(&args.pod, prepare(args))
}

fn prepare(args: &JobPodArgs) -> Result<Termination, Error> {
    let task = super::read(args)?;
    warn_of_ignored_sampling(&task);
    let store = task.store()?;
    let source = task.source()?;
    let sharding = Sharding::of(&task.job, task.told.attempt);
    let mut span = super::step(&task, "prepare");
    let split = steps::prepare(&task.job, &task.models, &source, &*store, &task.owner, sharding);
    let split = super::told(&mut span, split)?;
    span.set("textnlp.rows", i64::try_from(split.prepared.rows()).unwrap_or(i64::MAX));
    Ok(Termination::Prepared(status::prepared(&split)))
}

/// An external server gets only the parameters that OpenAI's API defines; what else is set has no effect there.
fn warn_of_ignored_sampling(task: &Task) {
    for (index, column) in task.job.columns.iter().enumerate() {
        let Some(generated) = column.generated() else { continue };
        let is_external =
            task.told.models.get(&generated.model).is_some_and(|model| model.external.is_some());
        let sampling = &generated.sampling;
        let ignored = [
            ("topK", sampling.top_k != 0),
            ("minP", sampling.min_p != 0.0),
            ("repetitionPenalty", sampling.repetition_penalty != 1.0),
        ];
        for (name, _) in ignored.iter().filter(|(_, set)| is_external && *set) {
            tracing::warn!(
                "spec.columns[{index}]: {name} is not sent to {:?}: OpenAI's API does not define it",
                generated.model
            );
        }
    }
}
