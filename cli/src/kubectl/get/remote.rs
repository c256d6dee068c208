//! The reading pod: made, waited for, asked, and deleted. I/O.

use std::cell::Cell;
use std::time::Duration;

use indicatif::ProgressBar;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::{AttachParams, AttachedProcess, DeleteParams, ListParams, PostParams};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::super::cluster::Cluster;
use super::super::error::Error;
use super::super::send::Listed;
use super::super::why;
use super::directory::Part;
use super::reader::{CONTAINER, PROGRAM};
use crate::note;

/// How long the pod may take to start.
const START_LIMIT: Duration = Duration::from_secs(180);
/// After so long, the user is told what it waits for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// How long a transfer may be silent.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// Bytes in flight.
const BUFFER: usize = 256 << 10;
/// Bytes of a list or of an error that are read at most.
const TEXT_LIMIT: usize = 4 << 20;

/// A reading pod in the cluster.
pub(crate) struct Remote<'a> {
    cluster: &'a Cluster,
    name: String,
    root: String,
    job: &'a str,
    /// Whether there may be a pod to delete.
    made: Cell<bool>,
}

impl<'a> Remote<'a> {
    /// The pod that will be made.
    pub(crate) fn new(cluster: &'a Cluster, pod: &Pod, root: String, job: &'a str) -> Self {
        Self { cluster, name: pod.name_any(), root, job, made: Cell::new(false) }
    }

    /// Makes the pod, and waits until it can be asked.
    pub(crate) async fn start(&self, pod: &Pod) -> Result<(), Error> {
        // From now on: an answer may be lost, and the pod be there.
        self.made.set(true);
        let api = self.cluster.api::<Pod>();
        let params = PostParams::default();
        let made = self.cluster.call("create", "pods", "", api.create(&params, pod));
        if let Err(error) = made.await {
            self.made.set(error.is_passing());
            return Err(error);
        }
        self.wait_until_running().await
    }

    /// Deletes the pod; the user is told where that fails.
    pub(crate) async fn delete(&self) {
        if !self.made.get() {
            return;
        }
        let params = DeleteParams { grace_period_seconds: Some(1), ..DeleteParams::default() };
        let api = self.cluster.api::<Pod>();
        match self.cluster.call("delete", "pods", &self.name, api.delete(&self.name, &params)).await
        {
            Ok(_) | Err(Error::NotFound(_)) => {}
            Err(error) => note(&format!(
                "the pod {} could not be deleted ({error}); it ends by itself within an hour, or: kubectl delete pod {} -n {}",
                self.name, self.name, self.cluster.namespace
            )),
        }
    }

    async fn wait_until_running(&self) -> Result<(), Error> {
        let begun = Instant::now();
        let mut told = String::new();
        loop {
            let pod = self.cluster.get::<Pod>(&self.name).await?.ok_or_else(|| {
                Error::Transfer(format!("the pod {} was deleted by somebody else", self.name))
            })?;
            let phase =
                pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
            match phase {
                "Running" => return Ok(()),
                "Failed" | "Succeeded" => {
                    return Err(Error::Transfer(format!(
                        "the pod {} ended: {}",
                        self.name,
                        self.trouble(&pod).await
                    )));
                }
                _ => {}
            }
            if begun.elapsed() >= START_LIMIT {
                return Err(Error::Transfer(format!(
                    "the pod that reads the claim did not start within {} s: {}",
                    START_LIMIT.as_secs(),
                    self.trouble(&pod).await
                )));
            }
            if begun.elapsed() >= PATIENCE {
                let now = self.trouble(&pod).await;
                if now != told {
                    note(&format!(
                        "waiting for the pod that reads the claim of {}: {now}",
                        self.job
                    ));
                    told = now;
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Why the pod does not run, in a line.
    async fn trouble(&self, pod: &Pod) -> String {
        let about = format!("involvedObject.uid={}", pod.uid().unwrap_or_default());
        let params = ListParams::default().fields(&about);
        let events =
            self.cluster.pages(self.cluster.api::<Event>(), params).await.unwrap_or_default();
        let claims = self.cluster.list("").await.unwrap_or_default();
        why::of_pod(&self.cluster.namespace, pod, events, claims)
    }

    /// The dataset's files.
    pub(crate) async fn list(&self) -> Result<Vec<Listed>, Error> {
        let mut text = Vec::new();
        self.ask(&["--list"], |bytes| {
            text.extend_from_slice(bytes);
            match text.len() > TEXT_LIMIT {
                true => Err(Error::Transfer("the list of files is longer than 4 MiB".into())),
                false => Ok(()),
            }
        })
        .await?;
        serde_json::from_slice(&text).map_err(|error| Error::Unreadable {
            what: "the list of files".into(),
            message: error.to_string(),
        })
    }

    /// Reads a file behind what is there of it. It may end early where the connection does.
    pub(crate) async fn read(
        &self,
        name: &str,
        part: &mut Part,
        bar: &ProgressBar,
    ) -> Result<(), Error> {
        let offset = part.length().to_string();
        self.ask(&["--file", name, "--offset", &offset], |bytes| {
            bar.inc(bytes.len() as u64);
            part.write(bytes)
        })
        .await
    }

    /// Runs `textnlp send` in the pod.
    async fn ask(
        &self,
        what: &[&str],
        mut take: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let command =
            [PROGRAM, "send", "--root", &self.root].into_iter().chain(what.iter().copied());
        let params = AttachParams {
            container: Some(CONTAINER.into()),
            stdin: false,
            stdout: true,
            stderr: true,
            tty: false,
            max_stdin_buf_size: None,
            max_stdout_buf_size: Some(BUFFER),
            max_stderr_buf_size: Some(BUFFER),
        };
        let api = self.cluster.api::<Pod>();
        let exec = api.exec(&self.name, command, &params);
        let mut process = self.cluster.call("create", "pods/exec", &self.name, exec).await?;
        let cut = |message: String| Error::Api {
            what: format!("the connection to pod {} broke off", self.name),
            message,
        };
        let mut stdout = process.stdout().ok_or_else(|| cut("it has no output".into()))?;
        let mut buffer = vec![0; BUFFER];
        loop {
            match tokio::time::timeout(SILENCE_LIMIT, stdout.read(&mut buffer)).await {
                Ok(Ok(0)) => break,
                Ok(Ok(count)) => take(&buffer[..count])?,
                Ok(Err(error)) => return Err(cut(error.to_string())),
                Err(_) => {
                    return Err(cut(format!("nothing came for {} s", SILENCE_LIMIT.as_secs())));
                }
            }
        }
        ended(process).await.map_err(|message| match message {
            Ended::Said(message) => Error::Transfer(message),
            Ended::Cut => cut("it ended without an answer".into()),
        })
    }
}

/// How a process in the pod ended, if not well.
enum Ended {
    /// It failed, and said why.
    Said(String),
    /// Nobody knows.
    Cut,
}

async fn ended(mut process: AttachedProcess) -> Result<(), Ended> {
    let mut said = Vec::new();
    if let Some(stderr) = process.stderr() {
        let mut stderr = stderr.take(BUFFER as u64);
        let _ = tokio::time::timeout(SILENCE_LIMIT, stderr.read_to_end(&mut said)).await;
    }
    let status = match process.take_status() {
        Some(status) => tokio::time::timeout(SILENCE_LIMIT, status).await.ok().flatten(),
        None => None,
    };
    match status {
        Some(status) if status.status.as_deref() == Some("Success") => Ok(()),
        Some(status) => {
            let said = String::from_utf8_lossy(&said);
            let said = said.trim().trim_start_matches("error: ");
            Err(Ended::Said(if said.is_empty() {
                status.message.unwrap_or_default()
            } else {
                said.to_owned()
            }))
        }
        None => Err(Ended::Cut),
    }
}
