//! `why`: what a job or a model is waiting for, from the resource down to the root cause. [`explain`] is pure over the objects of a
//! [`World`]; [`fetch`] reads them.

mod child;
mod fetch;
mod job;
mod model;
mod pod;
mod remedies;
mod schedule;
#[cfg(test)]
mod tests;
mod world;

use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use textnlp_dataset::display;

use super::args::WhyArgs;
use super::cluster::Cluster;
use super::error::Error;
use super::target::{Found, find};
use super::words::elapsed;
use crate::progress::duration;
use crate::{note, print_json, print_text};
use world::World;

/// One link of the chain: a resource, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The resource, as `kubectl get` takes it: `gj/tickets`, `pod/mdl-x-1`.
    pub(crate) what: String,
    /// One word.
    pub(crate) reason: String,
    /// A sentence with the cluster's own words.
    pub(crate) message: String,
    /// Since when.
    pub(crate) since: Option<Timestamp>,
}

impl Step {
    fn new(
        what: impl Into<String>,
        reason: &str,
        message: impl Into<String>,
        since: Option<Timestamp>,
    ) -> Self {
        Self { what: what.into(), reason: reason.into(), message: message.into(), since }
    }
}

/// Shows why.
pub(crate) async fn run(cluster: &Cluster, args: &WhyArgs) -> Result<(), Error> {
    let found = find(cluster, &args.name).await?;
    let world = fetch::world(cluster, &found).await?;
    let now = Timestamp::now();
    let steps = explain(&found, &world);
    let remedy = remedy(&world, &steps);
    if args.json {
        print_json(&json!({
            "steps": steps.iter().map(|step| json!({
                "object": step.what, "reason": step.reason, "message": step.message,
                "since": step.since.map(|since| since.to_string()),
            })).collect::<Vec<_>>(),
            "remedy": remedy,
            "unread": world.unread,
        }));
    } else {
        print_text(&page(&steps, remedy.as_deref(), now));
    }
    for what in &world.unread {
        note(&unread(what));
    }
    Ok(())
}

/// Why, for the message of a verb that waits no longer.
pub(crate) async fn text(cluster: &Cluster, found: &Found) -> Result<String, Error> {
    let world = fetch::world(cluster, found).await?;
    let steps = explain(found, &world);
    let mut text = page(&steps, remedy(&world, &steps).as_deref(), Timestamp::now());
    for what in &world.unread {
        text.push_str(&format!("{}\n", unread(what)));
    }
    Ok(text)
}

fn unread(what: &str) -> String {
    format!("note: the chain may end early: {what}")
}

/// The chain from the resource that was asked about to the root of the matter. It has at least one link.
pub(crate) fn explain(subject: &Found, world: &World) -> Vec<Step> {
    match subject {
        Found::Job(job) => job::steps(world, job),
        Found::Model(model) => model::steps(world, model),
    }
}

/// Why a pod does not run, in a line.
pub(crate) fn of_pod(
    namespace: &str,
    pod: &Pod,
    events: Vec<Event>,
    claims: Vec<PersistentVolumeClaim>,
) -> String {
    let world = World { namespace: namespace.into(), events, claims, ..World::default() };
    let steps = pod::steps(&world, pod);
    let words: Vec<String> = steps
        .iter()
        .map(|step| format!("{} {}: {}", step.what, step.reason, step.message))
        .collect();
    if words.is_empty() { "it is starting".into() } else { words.join("; ") }
}

/// What to do about the last link.
fn remedy(world: &World, steps: &[Step]) -> Option<String> {
    let last = steps.last()?;
    // The verbs take jobs and models: the one that the last link belongs to.
    let name = steps.iter().rev().find_map(|step| match step.what.strip_prefix("gj/") {
        Some(job) => Some(job),
        None => step.what.starts_with("mdl/").then_some(step.what.as_str()),
    });
    let text = remedies::of(&last.reason).unwrap_or(remedies::UNKNOWN);
    Some(
        text.replace("{name}", name.unwrap_or_default())
            .replace("{object}", &last.what)
            .replace("{namespace}", &world.namespace),
    )
}

/// The chain for a terminal.
fn page(steps: &[Step], remedy: Option<&str>, now: Timestamp) -> String {
    let mut text = String::new();
    for (depth, step) in steps.iter().enumerate() {
        let lead =
            if depth == 0 { String::new() } else { format!("{}└ ", "  ".repeat(depth - 1)) };
        let since = step.since.map(|since| format!("  (for {})", duration(elapsed(since, now))));
        let message =
            if step.message.is_empty() { String::new() } else { format!(": {}", step.message) };
        let line = format!("{}  {}{message}{}", step.what, step.reason, since.unwrap_or_default());
        text.push_str(&format!("{lead}{}\n", display::line(&line)));
    }
    if let Some(remedy) = remedy {
        text.push_str(&format!("\nto do: {}\n", display::line(remedy)));
    }
    text
}

#[cfg(test)]
mod page_tests {
    use super::*;

    #[test]
    fn a_chain_is_indented_and_ends_with_what_to_do() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let steps = [
            Step::new(
                "gj/tickets",
                "ModelNotReady",
                "smollm2 does not answer",
                Some(at("2026-01-01T00:00:00Z")),
            ),
            Step::new("mdl/smollm2", "ImagePullFailed", "", None),
            Step::new("image a:1", "ImagePullFailed", "not\nfound", None),
        ];
        let expect = [
            "gj/tickets  ModelNotReady: smollm2 does not answer  (for 3 min 20 s)",
            "└ mdl/smollm2  ImagePullFailed",
            "  └ image a:1  ImagePullFailed: not\\nfound",
            "",
            "to do: push it",
            "",
        ];
        assert_eq!(page(&steps, Some("push it"), at("2026-01-01T00:03:20Z")), expect.join("\n"));
    }
}
