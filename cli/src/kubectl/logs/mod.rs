//! `logs`: what the pods of a job or a model wrote, each line with its pod's name. I/O; which pods, and in which order, is worked
//! out by [`choice`].

mod choice;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::io::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::LogParams;
use textnlp_crds::GenerationJob;
use textnlp_crds::task::labels;
use textnlp_dataset::display;
use tokio::task::JoinSet;

use super::args::{LogsArgs, Step};
use super::cluster::Cluster;
use super::error::Error;
use super::standing::{Standing, standing};
use super::target::{Found, find};
use crate::{note, print_text};
use choice::{Choice, State};

/// Longest line that is kept whole.
const LINE_LIMIT: usize = 64 << 10;
/// How long a log that is not followed may be silent.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// Time between two looks for new pods.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Prints the logs.
pub(crate) async fn run(cluster: &Cluster, args: &LogsArgs) -> Result<(), Error> {
    let found = find(cluster, &args.name).await?;
    if matches!(found, Found::Model(_)) && args.step.is_some() {
        return Err(Error::Refused("--step is for jobs: a model's pods have no steps".into()));
    }
    if args.follow {
        follow(cluster, &found, args).await
    } else {
        once(cluster, &found, args).await
    }
}

/// The logs there are, one pod after the other.
async fn once(cluster: &Cluster, found: &Found, args: &LogsArgs) -> Result<(), Error> {
    let pods = choices(cluster, found, args.step).await?;
    if pods.is_empty() {
        let name = &args.name;
        note(&format!(
            "there are no pods to read: they are not made yet, or were removed (spec.execution.ttlSecondsAfterFinished); \
             `kubectl textnlp why {name}` says more"
        ));
    }
    for pod in pods {
        let mut params = parameters(&pod, args.tail);
        match pod.state {
            State::Waiting => {
                note(&format!(
                    "pod {} has not started: `kubectl textnlp why {}`",
                    pod.name, args.name
                ));
                continue;
            }
            State::BetweenStarts => params.previous = true,
            State::Started => {}
        }
        match stream(cluster, &pod.name, &params, Some(SILENCE_LIMIT)).await {
            // The log went with its container or its node; the others are still wanted.
            Err(error @ (Error::Api { .. } | Error::NotFound(_))) => note(&error.to_string()),
            done => done?,
        }
    }
    Ok(())
}

/// The logs of all pods at once, and of those that come, until the job has ended.
async fn follow(cluster: &Cluster, found: &Found, args: &LogsArgs) -> Result<(), Error> {
    let mut streams: JoinSet<(Choice, Result<(), Error>)> = JoinSet::new();
    let mut open: BTreeSet<String> = BTreeSet::new();
    let mut done: BTreeSet<String> = BTreeSet::new();
    // Where a log that broke off goes on.
    let mut broken: BTreeMap<String, Timestamp> = BTreeMap::new();
    loop {
        let over = is_over(cluster, found).await;
        let pods = passing(choices(cluster, found, args.step).await)?.unwrap_or_default();
        for pod in pods.into_iter().filter(|pod| pod.state == State::Started) {
            if done.contains(&pod.stream) || !open.insert(pod.stream.clone()) {
                continue;
            }
            let mut params = LogParams { follow: true, ..parameters(&pod, args.tail) };
            params.since_time = broken.get(&pod.stream).copied();
            let cluster = cluster.clone();
            streams.spawn(async move {
                let read = stream(&cluster, &pod.name, &params, None).await;
                (pod, read)
            });
        }
        while let Some(Ok((pod, read))) = streams.try_join_next() {
            open.remove(&pod.stream);
            match read {
                Ok(()) | Err(Error::NotFound(_)) => drop(done.insert(pod.stream)),
                // Opened again from here; lines of the same second may come twice, none is lost.
                Err(error) => {
                    let _ = passing::<()>(Err(error))?;
                    broken.insert(pod.stream, Timestamp::now());
                }
            }
        }
        if passing(over)?.unwrap_or(false) && open.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// An error that passes is told, and the look made again.
fn passing<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.is_passing() => {
            note(&format!("{error}; looking again"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn is_over(cluster: &Cluster, found: &Found) -> Result<bool, Error> {
    let Found::Job(job) = found else { return Ok(false) };
    let now = cluster.get::<GenerationJob>(&job.name_any()).await?;
    Ok(now.is_none_or(|job| matches!(standing(&job), Standing::Succeeded | Standing::Failed)))
}

/// The pods to read, in order.
async fn choices(
    cluster: &Cluster,
    found: &Found,
    step: Option<Step>,
) -> Result<Vec<Choice>, Error> {
    match found {
        Found::Job(job) => {
            let selector = format!("{}={}", labels::JOB_UID, job.uid().unwrap_or_default());
            let jobs = cluster.list::<Job>(&selector).await?;
            let pods = cluster.list::<Pod>(&selector).await?;
            Ok(choice::of_job(&jobs, &pods, step))
        }
        Found::Model(model) => {
            let selector = format!("{}={}", labels::MODEL_UID, model.uid().unwrap_or_default());
            Ok(choice::of_model(&cluster.list::<Pod>(&selector).await?))
        }
    }
}

fn parameters(pod: &Choice, tail: Option<i64>) -> LogParams {
    LogParams { container: Some(pod.container.clone()), tail_lines: tail, ..LogParams::default() }
}

/// Prints a log as it comes.
async fn stream(
    cluster: &Cluster,
    pod: &str,
    params: &LogParams,
    silence: Option<Duration>,
) -> Result<(), Error> {
    let api = cluster.api::<Pod>();
    let reader = cluster.call("get", "pods/log", pod, api.log_stream(pod, params)).await?;
    let cut =
        |message: String| Error::Api { what: format!("the log of pod {pod} broke off"), message };
    let mut lines = Lines { reader: Box::pin(reader), line: Vec::new() };
    loop {
        let next = lines.next();
        let line = match silence {
            None => next.await,
            Some(limit) => match tokio::time::timeout(limit, next).await {
                Ok(line) => line,
                Err(_) => return Err(cut(format!("nothing came for {} s", limit.as_secs()))),
            },
        };
        match line.map_err(|error| cut(error.to_string()))? {
            Some(line) => print_text(&format!("[{pod}] {}\n", display::terminal(&line))),
            None => return Ok(()),
        }
    }
}

/// A reader's lines, none longer than [`LINE_LIMIT`]: a longer one is told in pieces.
struct Lines<R> {
    reader: std::pin::Pin<Box<R>>,
    line: Vec<u8>,
}

impl<R: AsyncBufRead> Lines<R> {
    async fn next(&mut self) -> std::io::Result<Option<String>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return Ok((!self.line.is_empty()).then(|| self.take()));
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let room = LINE_LIMIT.saturating_sub(self.line.len());
            let taken = end.map_or(chunk.len(), |end| end + 1).min(room.max(1));
            self.line.extend_from_slice(&chunk[..taken]);
            self.reader.consume_unpin(taken);
            if self.line.last() == Some(&b'\n') || self.line.len() >= LINE_LIMIT {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> String {
        let line = std::mem::take(&mut self.line);
        String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_cut_at_their_ends_and_at_the_limit() {
        let long = "x".repeat(LINE_LIMIT + 5);
        let text = format!("one\r\ntwo\n\n{long}\nlast");
        let reader = futures::io::BufReader::with_capacity(7, futures::io::Cursor::new(text));
        let mut lines = Lines { reader: Box::pin(reader), line: Vec::new() };
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.expect("memory can be read") {
            found.push(line);
        }
        assert_eq!(found, ["one", "two", "", &long[..LINE_LIMIT], "xxxxx", "last"]);
    }
}
