//! `get`: copies a job's dataset out of its claim. A short-lived pod with the job's image mounts the claim read-only; files come
//! over `exec`, are held against their digests, and appear under their names whole. I/O.

mod directory;
mod place;
mod reader;
mod remote;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use textnlp_crds::GenerationJob;
use textnlp_crds::task::labels;
use textnlp_dataset::display;
use textnlp_dataset::manifest::{self, Manifest};

use super::args::GetArgs;
use super::cluster::Cluster;
use super::error::Error;
use super::send::Listed;
use super::target::find_job;
use super::words::bytes;
use crate::{note, print_text};
use directory::Directory;
use place::Place;
use remote::Remote;

/// How often a connection that breaks off is made again.
const TRIES: u32 = 5;
/// Pause before it is.
const PAUSE: Duration = Duration::from_secs(2);

/// Copies a dataset.
pub(crate) async fn run(cluster: &Cluster, args: &GetArgs) -> Result<(), Error> {
    let job = find_job(cluster, &args.name).await?;
    let (claim, path) = match place::of(&job)? {
        Place::Claim { name, path } => (name, path),
        Place::ObjectStore { uri, endpoint } => {
            let how =
                place::copy_command(&uri, endpoint.as_deref(), &args.output.display().to_string());
            return Err(Error::Refused(format!(
                "gj/{}: the dataset is in an object store, {uri}; copy it with its own tools: {how}",
                job.name_any()
            )));
        }
    };
    Directory::look(&args.output)?;
    let selector = format!("{}={}", labels::JOB_UID, job.uid().unwrap_or_default());
    let children = cluster.list::<Job>(&selector).await?;
    let pod = reader::pod(&job, &children, args.image.as_deref(), &claim, &path)?;
    let remote = Remote::new(cluster, &pod, reader::root(&path), &args.name);
    let copied = tokio::select! {
        // Signals first: they are caught before there is anything to clear away.
        biased;
        () = interrupted() => Err(Error::Interrupted),
        copied = copy(&remote, &pod, &job, args) => copied,
    };
    // However it ended: the pod goes.
    remote.delete().await;
    print_text(&copied?);
    Ok(())
}

/// Ctrl-C, SIGTERM or a closed terminal.
#[cfg(unix)]
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let waits = kinds.into_iter().filter_map(|kind| signal(kind).ok()).map(|mut signal| {
        Box::pin(async move {
            signal.recv().await;
        })
    });
    futures::future::select_all(waits).await;
}

#[cfg(not(unix))]
async fn interrupted() {
    let _ = tokio::signal::ctrl_c().await;
}

/// Copies what is wanted and missing; what to say when it is done.
async fn copy(
    remote: &Remote<'_>,
    pod: &Pod,
    job: &GenerationJob,
    args: &GetArgs,
) -> Result<String, Error> {
    remote.start(pod).await?;
    let listed = remote.list().await?;
    let manifest_file = listed
        .iter()
        .find(|file| file.name == manifest::PATH)
        .ok_or_else(|| Error::Transfer("the claim lists no manifest.json".into()))?;
    let directory = Directory::open(&args.output, &manifest_file.sha256)?;
    let text = fetch(remote, &directory, manifest_file, &ProgressBar::hidden()).await?;
    let manifest =
        read_manifest(&std::fs::read(&text).map_err(|error| directory.error(&text, error))?)?;
    check_identity(job, &manifest)?;
    let wanted = wanted(&listed, &manifest, &args.file)?;
    let bar = progress(&wanted);
    for file in &wanted {
        if directory.has(file) {
            bar.inc(file.bytes);
            continue;
        }
        let part = fetch(remote, &directory, file, &bar).await?;
        directory.keep(&part, &file.name)?;
        bar.suspend(|| {
            note(&format!(
                "{}  {}",
                file.name,
                bytes(i64::try_from(file.bytes).unwrap_or(i64::MAX))
            ))
        });
    }
    bar.finish_and_clear();
    // Last: a directory with a manifest is whole.
    directory.keep(&text, manifest::PATH)?;
    directory.finish();
    let rows = manifest.rows;
    Ok(display::terminal(&format!(
        "{}: {} files, {} rows accepted, {} rejected, {} failed\ndigest {}\n",
        args.output.display(),
        wanted.len() + 1,
        rows.accepted,
        rows.rejected,
        rows.failed,
        manifest.digest
    )))
}

fn read_manifest(text: &[u8]) -> Result<Manifest, Error> {
    serde_json::from_slice(text).map_err(|error| Error::Unreadable {
        what: "manifest.json".into(),
        message: error.to_string(),
    })
}

/// Whether what lies in the claim is what the job's status tells of.
fn check_identity(job: &GenerationJob, manifest: &Manifest) -> Result<(), Error> {
    let told = job.status.as_ref().and_then(|status| status.output.as_ref()?.digest.as_ref());
    match told {
        Some(told) if *told != manifest.digest => Err(Error::Transfer(format!(
            "the claim holds a dataset with the digest {}, and gj/{} tells of {told}: it was written anew; try again \
             once the job has ended",
            manifest.digest,
            job.name_any()
        ))),
        _ => Ok(()),
    }
}

/// The files to copy, beside the manifest: all, or those that were named. Digests are the manifest's where it has them.
fn wanted(listed: &[Listed], manifest: &Manifest, named: &[String]) -> Result<Vec<Listed>, Error> {
    for name in named {
        if !listed.iter().any(|file| file.name == *name) {
            let names: Vec<&str> = listed.iter().map(|file| file.name.as_str()).collect();
            return Err(Error::NotFound(format!(
                "the dataset has no file {name}; there are: {}",
                names.join(", ")
            )));
        }
    }
    for file in &manifest.files {
        let found = listed.iter().find(|listed| listed.name == file.path);
        let is_whole =
            found.is_some_and(|found| found.bytes == file.bytes && found.sha256 == file.sha256);
        if !is_whole {
            return Err(Error::Transfer(format!(
                "{} is not in the claim as manifest.json tells of it: something else changed the files; \
                 a change of spec.validation makes the job write them anew",
                file.path
            )));
        }
    }
    let wanted = listed.iter().filter(|file| {
        file.name != manifest::PATH && (named.is_empty() || named.contains(&file.name))
    });
    wanted.map(|file| directory::check_name(&file.name).map(|()| file.clone())).collect()
}

/// Brings a file's contents into a part, goes on where an earlier try ended, and holds it against its digest.
async fn fetch(
    remote: &Remote<'_>,
    directory: &Directory,
    file: &Listed,
    bar: &ProgressBar,
) -> Result<std::path::PathBuf, Error> {
    let mut part = directory.part(file)?;
    bar.inc(part.length());
    let mut tries = 0;
    while part.length() < file.bytes {
        match remote.read(&file.name, &mut part, bar).await {
            Ok(()) if part.length() < file.bytes => tries += 1,
            Ok(()) => {}
            Err(error) if error.is_passing() && tries < TRIES => {
                bar.suspend(|| note(&format!("{error}; going on")));
                tries += 1;
            }
            Err(error) => return Err(error),
        }
        if tries > TRIES {
            return Err(Error::Transfer(format!(
                "{}: only {} of {} bytes came; run it again to go on from there",
                file.name,
                part.length(),
                file.bytes
            )));
        }
        if part.length() < file.bytes {
            tokio::time::sleep(PAUSE).await;
        }
    }
    part.finish()
}

fn progress(wanted: &[Listed]) -> ProgressBar {
    let target = ProgressDrawTarget::stderr();
    let bar =
        ProgressBar::with_draw_target(Some(wanted.iter().map(|file| file.bytes).sum()), target);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:32} {bytes}/{total_bytes}  {bytes_per_sec}")
    {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubectl::testing::{job, read};

    fn manifest(digest: &str) -> Manifest {
        read(json!({
            "job": {}, "generationHash": "g", "validationHash": "v",
            "source": {"digest": "s", "records": 1, "offset": 0}, "models": {}, "digest": digest,
            "rows": {"requested": 1, "accepted": 1, "rejected": 0, "failed": 0}, "seed": 1, "versions": {},
            "chunks": [], "files": [{"path": "dataset.jsonl", "bytes": 3, "sha256": "a"}],
        }))
    }

    fn file(name: &str, sha256: &str) -> Listed {
        Listed { name: name.into(), bytes: 3, sha256: sha256.into() }
    }

    #[test]
    fn the_files_are_those_of_the_manifest_and_those_beside_it() {
        let listed =
            [file("dataset.jsonl", "a"), file("manifest.json", "m"), file("report.md", "r")];
        let names = |named: &[&str]| {
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            let wanted = wanted(&listed, &manifest("d"), &named).map_err(|error| error.to_string());
            wanted.map(|files| files.into_iter().map(|file| file.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap(), ["dataset.jsonl", "report.md"]);
        assert_eq!(names(&["report.md"]).unwrap(), ["report.md"]);
        assert_eq!(
            names(&["data.csv"]).unwrap_err(),
            "the dataset has no file data.csv; there are: dataset.jsonl, manifest.json, report.md"
        );
    }

    #[test]
    fn files_that_are_not_as_the_manifest_tells_are_refused() {
        let check = |listed: &[Listed], expect: &str| {
            let error = wanted(listed, &manifest("d"), &[]).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(&[file("dataset.jsonl", "b")], "not in the claim as manifest.json tells");
        check(&[], "not in the claim as manifest.json tells");
        check(&[file("dataset.jsonl", "a"), file("../evil", "x")], "../evil");
    }

    #[test]
    fn another_dataset_than_the_jobs_is_refused() {
        let done = job(json!({}), json!({"output": {"digest": "d"}}));
        assert!(check_identity(&done, &manifest("d")).is_ok());
        assert!(check_identity(&job(json!({}), json!({})), &manifest("d")).is_ok());
        let error = check_identity(&done, &manifest("other")).unwrap_err().to_string();
        assert!(error.contains("digest other") && error.contains("tells of d"), "{error}");
    }
}
