//! `textnlp send`: the other end of `kubectl textnlp get`, inside a pod that mounts the dataset's claim. There is no shell in the
//! image, so that this program lists and sends files itself. It reads, and never writes. I/O.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueHint};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use textnlp_dataset::digest::hex;
use textnlp_dataset::manifest::{self, Manifest};

use crate::failure::Failure;
use crate::print_text;

/// Bytes that are read at once.
const BUFFER: usize = 128 << 10;

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true)))]
pub(crate) struct SendArgs {
    /// Directory of the dataset
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) root: PathBuf,
    /// Do nothing for so many seconds, so that the pod is there
    #[arg(long, group = "what", value_name = "SECONDS")]
    pub(crate) wait: Option<u64>,
    /// Write the dataset's files with sizes and digests, as JSON
    #[arg(long, group = "what")]
    pub(crate) list: bool,
    /// Write the contents of a file
    #[arg(long, group = "what", value_name = "NAME")]
    pub(crate) file: Option<String>,
    /// Leave out so many bytes at the beginning
    #[arg(long, value_name = "BYTES", default_value_t = 0, conflicts_with_all = ["list", "wait"])]
    pub(crate) offset: u64,
}

/// A file of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed {
    /// Its name.
    pub(crate) name: String,
    /// Its length.
    pub(crate) bytes: u64,
    /// SHA-256 of its contents.
    pub(crate) sha256: String,
}

/// Does what was asked for.
pub(crate) fn run(args: &SendArgs) -> Result<(), Failure> {
    if let Some(seconds) = args.wait {
        return wait(Duration::from_secs(seconds));
    }
    if let Some(name) = &args.file {
        return send(&args.root, name, args.offset)
            .map_err(|error| Failure::failed(format!("{name} cannot be sent: {error}")));
    }
    let files = list(&args.root)?;
    print_text(&format!("{}\n", serde_json::to_string(&files).map_err(Failure::failed)?));
    Ok(())
}

/// Waits for the end, or for SIGTERM: a process of its own in a pod has no default handler.
fn wait(limit: Duration) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    runtime.block_on(async {
        let _ = tokio::time::timeout(limit, stopped()).await;
    });
    Ok(())
}

#[cfg(unix)]
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => {
            terminated.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn stopped() {
    std::future::pending().await
}

/// The files of a finished dataset: those of its manifest, with the digests that stand there, and those beside it.
fn list(root: &Path) -> Result<Vec<Listed>, Failure> {
    let place =
        |error: io::Error| Failure::failed(format!("{} cannot be read: {error}", root.display()));
    let text = match fs::read(root.join(manifest::PATH)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Failure::failed(
                "there is no finished dataset: its manifest.json is missing; is it being written anew just now?",
            ));
        }
        Err(error) => return Err(place(error)),
    };
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| Failure::failed(format!("manifest.json cannot be read: {error}")))?;
    let mut files = Vec::new();
    for entry in fs::read_dir(root).map_err(place)? {
        let entry = entry.map_err(place)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Links are no files here: what they name may lie anywhere.
        if !entry.file_type().map_err(place)?.is_file() || name.starts_with('.') {
            continue;
        }
        let bytes = entry.metadata().map_err(place)?.len();
        let known = manifest.files.iter().find(|file| file.path == name && file.bytes == bytes);
        let sha256 = match known {
            Some(file) => file.sha256.clone(),
            None => digest(&entry.path()).map_err(place)?,
        };
        files.push(Listed { name, bytes, sha256 });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// SHA-256 of a file's contents.
pub(crate) fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn send(root: &Path, name: &str, offset: u64) -> io::Result<()> {
    let refused = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        return Err(refused("it is no name of a file in the dataset's directory"));
    }
    let path = root.join(name);
    if !fs::symlink_metadata(&path)?.is_file() {
        return Err(refused("it is no file"));
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut out = io::stdout().lock();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer)? {
            0 => return out.flush(),
            count => out.write_all(&buffer[..count])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(files: &serde_json::Value) -> String {
        serde_json::json!({
            "job": {}, "generationHash": "g", "validationHash": "v",
            "source": {"digest": "s", "records": 1, "offset": 0}, "models": {}, "digest": "d",
            "rows": {"requested": 1, "accepted": 1, "rejected": 0, "failed": 0}, "seed": 1, "versions": {},
            "chunks": [], "files": files,
        })
        .to_string()
    }

    #[test]
    fn files_are_listed_with_the_manifests_digests_and_links_are_not() {
        let root = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| fs::write(root.path().join(name), text).expect(name);
        assert!(list(root.path()).unwrap_err().message.unwrap().contains("no finished dataset"));
        write("manifest.json", "{");
        assert!(list(root.path()).unwrap_err().message.unwrap().contains("cannot be read"));
        let text =
            manifest(&serde_json::json!([{"path": "dataset.jsonl", "bytes": 3, "sha256": "told"}]));
        write("manifest.json", &text);
        write("dataset.jsonl", "abc");
        write("report.md", "abc");
        write(".textnlp-owner", "me");
        fs::create_dir(root.path().join("chunks")).expect("a folder");
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("passwd")).expect("a link");
        let found = list(root.path()).expect("a list");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let file = |name: &str, bytes, sha256: &str| Listed {
            name: name.into(),
            bytes,
            sha256: sha256.into(),
        };
        assert_eq!(
            found,
            [
                file("dataset.jsonl", 3, "told"),
                file(
                    "manifest.json",
                    text.len() as u64,
                    &digest(&root.path().join("manifest.json")).expect("a digest")
                ),
                file("report.md", 3, abc),
            ]
        );
    }

    #[test]
    fn one_thing_is_asked_for_at_a_time() {
        use clap::Parser;
        let check = |line: &str, expect: bool| {
            let words = ["textnlp", "send"].into_iter().chain(line.split(' '));
            assert_eq!(crate::args::Cli::try_parse_from(words).is_ok(), expect, "{line}");
        };
        check("--root /d --wait 5", true);
        check("--root /d --list", true);
        check("--root /d --file a.txt --offset 7", true);
        check("--root /d", false);
        check("--list", false);
        check("--root /d --list --wait 5", false);
        check("--root /d --list --offset 7", false);
    }

    #[test]
    fn nothing_outside_the_directory_is_sent() {
        let root = tempfile::tempdir().expect("a directory");
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("passwd")).expect("a link");
        for name in ["", "../x", "/etc/passwd", "a/b", ".textnlp-owner", "passwd", "chunks\\x"] {
            assert!(send(root.path(), name, 0).is_err(), "{name}");
        }
    }
}
