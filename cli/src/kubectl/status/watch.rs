//! Follows a job to its end, or a model until it is ready: a bar where stderr is a terminal, a line for each change elsewhere. I/O.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kube::ResourceExt;
use textnlp_crds::{GenerationJob, ModelDeployment};
use tokio::time::Instant;

use super::super::cluster::Cluster;
use super::super::error::Error;
use super::super::standing::{Standing, is_ready, is_stalled, standing, telling, telling_of_model};
use super::super::target::Found;
use crate::note;

/// Time between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long the API server may be away.
const AWAY_LIMIT: Duration = Duration::from_secs(300);
/// Lines that differ in figures alone are this far apart.
const LINE: Duration = Duration::from_secs(5);

/// What was seen last.
pub(crate) struct Watched {
    pub(crate) found: Found,
    /// The time was over before the end had come.
    pub(crate) is_late: bool,
}

/// Looks again and again until there is nothing more to wait for, or until the time is over.
pub(crate) async fn until_end(
    cluster: &Cluster,
    mut found: Found,
    limit: Option<Duration>,
) -> Result<Watched, Error> {
    let begun = Instant::now();
    let mut shown = Shown::new();
    let mut away: Option<Instant> = None;
    loop {
        shown.show(&found);
        let is_over = is_over(&found);
        if is_over || limit.is_some_and(|limit| begun.elapsed() >= limit) {
            shown.clear();
            return Ok(Watched { found, is_late: !is_over });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        match again(cluster, &found).await {
            Ok(next) => {
                away = None;
                found = next;
            }
            Err(error) if error.is_passing() => {
                let since = *away.get_or_insert_with(|| {
                    shown.say(&format!("{error}; looking again"));
                    Instant::now()
                });
                if since.elapsed() >= AWAY_LIMIT {
                    shown.clear();
                    return Err(error);
                }
            }
            Err(error) => {
                shown.clear();
                return Err(error);
            }
        }
    }
}

async fn again(cluster: &Cluster, found: &Found) -> Result<Found, Error> {
    let gone = |kind: &str, name: &str| Error::NotFound(format!("{kind}/{name} was deleted"));
    match found {
        Found::Job(job) => {
            let name = job.name_any();
            let next =
                cluster.get::<GenerationJob>(&name).await?.filter(|next| next.uid() == job.uid());
            Ok(Found::Job(Box::new(next.ok_or_else(|| gone("gj", &name))?)))
        }
        Found::Model(model) => {
            let name = model.name_any();
            let next = cluster
                .get::<ModelDeployment>(&name)
                .await?
                .filter(|next| next.uid() == model.uid());
            Ok(Found::Model(Box::new(next.ok_or_else(|| gone("mdl", &name))?)))
        }
    }
}

fn is_over(found: &Found) -> bool {
    match found {
        // A job that is to go on after its end (`retry`, a raised limit) is not over until the operator has seen the spec.
        Found::Job(job) => {
            matches!(standing(job), Standing::Succeeded | Standing::Failed) && is_current(job)
        }
        Found::Model(model) => is_ready(model) || is_stalled(model),
    }
}

fn is_current(job: &GenerationJob) -> bool {
    let seen = job.status.as_ref().and_then(|status| status.observed_generation);
    job.metadata.generation.is_none() || seen >= job.metadata.generation
}

/// What was shown last.
struct Shown {
    bar: Option<ProgressBar>,
    stand: String,
    figures: String,
    at: Instant,
}

impl Shown {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{bar:32} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, stand: String::new(), figures: String::new(), at: Instant::now() }
    }

    fn show(&mut self, found: &Found) {
        let Line { phase, why, figures, percent } = line(found);
        let stand = if why.is_empty() { phase.clone() } else { format!("{phase}  {why}") };
        if let Some(bar) = &self.bar {
            bar.set_position(percent);
            let text = if figures.is_empty() { stand } else { format!("{figures}  {stand}") };
            bar.set_message(textnlp_dataset::display::line(&text));
            return;
        }
        let changed = stand != self.stand;
        if changed || (figures != self.figures && self.at.elapsed() >= LINE) {
            // A sentence is said once; figures come with the phase alone.
            let text = if changed { &stand } else { &phase };
            note(&textnlp_dataset::display::line(format!("{text}  {figures}").trim_end()));
            (self.stand, self.figures, self.at) = (stand, figures, Instant::now());
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(textnlp_dataset::display::line(text)),
            None => note(text),
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What is told of something that is followed.
struct Line {
    phase: String,
    /// The reason and the sentence, where they say more than the phase.
    why: String,
    figures: String,
    percent: u64,
}

fn line(found: &Found) -> Line {
    match found {
        Found::Job(job) => {
            let status = job.status.clone().unwrap_or_default();
            let phase =
                status.phase.map_or_else(|| "Pending".to_owned(), |phase| format!("{phase:?}"));
            let why = telling(job).filter(|condition| condition.reason != phase);
            let progress = status.progress.unwrap_or_default();
            let mut figures =
                progress.summary.map(|summary| format!("{summary} rows")).unwrap_or_default();
            if let Some(rate) = progress.tokens_per_second {
                figures.push_str(&format!("  {rate:.0} tokens/s"));
            }
            Line {
                phase,
                why: why
                    .map(|found| format!("{}: {}", found.reason, found.message))
                    .unwrap_or_default(),
                figures,
                percent: u64::try_from(progress.percent.unwrap_or(0)).unwrap_or(0),
            }
        }
        Found::Model(model) => {
            let told = telling_of_model(model);
            let summary = model.status.as_ref().and_then(|status| status.ready_summary.clone());
            Line {
                phase: told.map_or_else(
                    || "not seen by the operator yet".into(),
                    |found| found.reason.clone(),
                ),
                why: told.map(|found| found.message.clone()).unwrap_or_default(),
                figures: summary.map(|summary| format!("{summary} ready")).unwrap_or_default(),
                percent: 0,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kubectl::testing::{condition, job, model};

    #[test]
    fn a_job_is_over_when_its_end_is_about_the_present_spec() {
        let check = |status: Value, expect: bool| {
            assert_eq!(
                is_over(&Found::Job(Box::new(job(json!({}), status.clone())))),
                expect,
                "{status}"
            );
        };
        let ended = |generation: i64| json!({"observedGeneration": generation, "conditions": [condition("Succeeded", "False", "NoRows", "")]});
        check(ended(1), true);
        check(ended(0), false);
        check(json!({"observedGeneration": 1, "phase": "Running"}), false);
    }

    #[test]
    fn a_model_is_over_when_it_is_ready_or_can_never_be() {
        let check = |status: Value, expect: bool| {
            assert_eq!(is_over(&Found::Model(Box::new(model(status.clone())))), expect, "{status}");
        };
        check(json!({"conditions": [condition("Ready", "True", "Serving", "")]}), true);
        check(json!({"conditions": [condition("Ready", "False", "Starting", "")]}), false);
        check(json!({"conditions": [condition("Stalled", "True", "LocalOnly", "")]}), true);
    }
}
