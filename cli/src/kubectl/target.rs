//! The job or the model that a user names: `NAME`, `gj/NAME` or `mdl/NAME`. Reading what was typed and wording what is not there
//! is pure; [`find`] asks the cluster.

use kube::ResourceExt;
use textnlp_crds::{GenerationJob, ModelDeployment};

use super::cluster::Cluster;
use super::error::Error;

/// Names that are listed where one was not found.
const LISTED: usize = 10;

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A job, or a model where no job has the name.
    Any(String),
    /// A job.
    Job(String),
    /// A model.
    Model(String),
}

/// What was found.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// A job.
    Job(Box<GenerationJob>),
    /// A model.
    Model(Box<ModelDeployment>),
}

/// Reads `NAME`, `gj/NAME`, `mdl/NAME` and kubectl's longer forms of them.
pub(crate) fn parse(text: &str) -> Result<Target, Error> {
    let Some((kind, name)) = text.split_once('/') else {
        return Ok(Target::Any(checked(text)?));
    };
    let name = checked(name)?;
    let kind = kind.to_ascii_lowercase();
    match kind
        .strip_suffix(".v1alpha1.textnlp.dev")
        .or(kind.strip_suffix(".textnlp.dev"))
        .unwrap_or(&kind)
    {
        "gj" | "job" | "generationjob" | "generationjobs" => Ok(Target::Job(name)),
        "mdl" | "model" | "modeldeployment" | "modeldeployments" => Ok(Target::Model(name)),
        other => Err(Error::Refused(format!(
            "{other} is no kind of TextNLP: write gj/{name} or mdl/{name}"
        ))),
    }
}

/// Names go into paths of requests: what cannot be one is refused here.
fn checked(name: &str) -> Result<String, Error> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if !name.is_empty() && name.len() <= 253 && name.chars().all(allowed) {
        return Ok(name.to_owned());
    }
    Err(Error::Refused(format!(
        "{name:?} is no name: names have lower-case letters, digits, '-' and '.', at most 253"
    )))
}

/// Finds a job or a model.
pub(crate) async fn find(cluster: &Cluster, text: &str) -> Result<Found, Error> {
    let target = parse(text)?;
    if let Target::Any(name) | Target::Job(name) = &target
        && let Some(job) = cluster.get::<GenerationJob>(name).await?
    {
        return Ok(Found::Job(Box::new(job)));
    }
    if let Target::Any(name) | Target::Model(name) = &target
        && let Some(model) = cluster.get::<ModelDeployment>(name).await?
    {
        return Ok(Found::Model(Box::new(model)));
    }
    let (name, mut there) = match &target {
        Target::Job(name) => (name, jobs(cluster).await?),
        Target::Model(name) => (name, models(cluster).await?),
        Target::Any(name) => {
            let mut both = jobs(cluster).await?;
            both.extend(models(cluster).await?);
            (name, both)
        }
    };
    let kind = match &target {
        Target::Any(_) => "job or model",
        Target::Job(_) => "job",
        Target::Model(_) => "model",
    };
    sort_by_likeness(name, &mut there);
    Err(Error::NotFound(missing(kind, name, &cluster.namespace, &there)))
}

/// Finds a job.
pub(crate) async fn find_job(cluster: &Cluster, text: &str) -> Result<GenerationJob, Error> {
    let target = match parse(text)? {
        Target::Any(name) | Target::Job(name) => format!("gj/{name}"),
        Target::Model(name) => {
            return Err(Error::Refused(format!("mdl/{name} is a model: this verb is for jobs")));
        }
    };
    match find(cluster, &target).await? {
        Found::Job(job) => Ok(*job),
        Found::Model(_) => Err(Error::Refused(format!("{text} is no job"))),
    }
}

async fn jobs(cluster: &Cluster) -> Result<Vec<String>, Error> {
    let jobs = cluster.list::<GenerationJob>("").await?;
    Ok(jobs.iter().map(|job| format!("gj/{}", job.name_any())).collect())
}

async fn models(cluster: &Cluster) -> Result<Vec<String>, Error> {
    let models = cluster.list::<ModelDeployment>("").await?;
    Ok(models.iter().map(|model| format!("mdl/{}", model.name_any())).collect())
}

/// The message about a name that is not there. `there` are those that are, as `gj/NAME` or `mdl/NAME`.
fn missing(kind: &str, name: &str, namespace: &str, there: &[String]) -> String {
    let mut text = format!("no {kind} is named {name} in the namespace {namespace}");
    if there.is_empty() {
        text.push_str("; there is none at all: is -n right?");
        return text;
    }
    text.push_str("; there are: ");
    text.push_str(&there.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", "));
    if there.len() > LISTED {
        text.push_str(&format!(" and {} more", there.len() - LISTED));
    }
    text
}

/// The names most like the one that was typed first.
fn sort_by_likeness(name: &str, there: &mut [String]) {
    let bare = |full: &str| full.split_once('/').map_or(full, |(_, name)| name).to_owned();
    there.sort_by_cached_key(|full| (distance(name, &bare(full)), full.clone()));
}

/// Insertions, deletions and replacements between two names (Levenshtein).
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            row.push((above[j] + usize::from(x != *y)).min(above[j + 1] + 1).min(row[j] + 1));
        }
        above = row;
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_in_kubectls_forms() {
        let check = |text: &str, expect: Target| assert_eq!(parse(text).unwrap(), expect, "{text}");
        check("tickets", Target::Any("tickets".into()));
        check("gj/tickets", Target::Job("tickets".into()));
        check("GenerationJob/tickets", Target::Job("tickets".into()));
        check("generationjobs.textnlp.dev/tickets", Target::Job("tickets".into()));
        check("mdl/smollm2", Target::Model("smollm2".into()));
        check("modeldeployments.v1alpha1.textnlp.dev/a.b", Target::Model("a.b".into()));
    }

    #[test]
    fn what_is_no_name_never_reaches_the_api_server() {
        for text in ["", "gj/", "gj/a/b", "../secrets", "a?b", "Tickets", "a b", &"a".repeat(254)] {
            assert_eq!(parse(text).map_err(|error| error.reason()), Err("Refused"), "{text}");
        }
        let error = parse("pod/tickets").unwrap_err().to_string();
        assert_eq!(error, "pod is no kind of TextNLP: write gj/tickets or mdl/tickets");
    }

    #[test]
    fn a_name_that_is_not_there_lists_those_that_are_the_likest_first() {
        let mut there: Vec<String> =
            ["gj/airports", "gj/tickets-2", "gj/tickets", "mdl/smollm2"].map(String::from).into();
        sort_by_likeness("ticket", &mut there);
        assert_eq!(
            missing("job or model", "ticket", "shop", &there),
            "no job or model is named ticket in the namespace shop; there are: gj/tickets, gj/tickets-2, \
             gj/airports, mdl/smollm2"
        );
        assert!(missing("job", "x", "shop", &[]).ends_with("there is none at all: is -n right?"));
        let many: Vec<String> = (0..12).map(|i| format!("gj/j{i}")).collect();
        assert!(missing("job", "x", "shop", &many).ends_with("gj/j9 and 2 more"));
    }
}
