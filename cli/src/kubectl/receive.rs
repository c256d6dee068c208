//! `textnlp receive`: the way into a claim, inside a pod that mounts it. There is no shell and no tar in the image, which `kubectl cp`
//! would need: `kubectl exec --stdin` with this program brings a model where no registry and no hub can be reached. I/O.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueHint};
use sha2::{Digest, Sha256};
use textnlp_dataset::digest::hex;

use super::send::digest;
use crate::failure::Failure;
use crate::print_text;

/// How files begin that are not whole yet.
const PREFIX: &str = ".receive-";
/// After so long without a byte, nobody writes any more.
const LEFT_BEHIND: Duration = Duration::from_secs(3_600);
/// Bytes that are read at once.
const BUFFER: usize = 128 << 10;

#[derive(Debug, Args)]
pub(crate) struct ReceiveArgs {
    /// Directory that the file is put into
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    root: PathBuf,
    /// Name of the file
    #[arg(long, value_name = "NAME", value_parser = file_name)]
    file: String,
    /// Its length; so many bytes are read from stdin and no more
    #[arg(long, value_name = "BYTES")]
    bytes: u64,
    /// SHA-256 of its contents; if the file is there with this one, nothing is read
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    sha256: String,
}

/// A file that is whole appears under its name, or none does.
pub(crate) fn run(args: &ReceiveArgs) -> Result<(), Failure> {
    let failed =
        |error| Failure::failed(format!("{} was not received, try again: {error}", args.file));
    let path = args.root.join(&args.file);
    let done = if is_there(&path, args).map_err(failed)? {
        "is there already"
    } else {
        receive(args, &path, &mut io::stdin().lock()).map_err(failed)?;
        "received"
    };
    print_text(&format!("{} {done}: {} bytes, SHA-256 {}\n", args.file, args.bytes, args.sha256));
    Ok(())
}

fn is_there(path: &Path, args: &ReceiveArgs) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        // Links are no files here: what they name may lie anywhere.
        Ok(found) if !found.is_file() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "what has its name is no file"))
        }
        Ok(found) => Ok(found.len() == args.bytes && digest(path)? == args.sha256),
    }
}

fn receive(args: &ReceiveArgs, path: &Path, from: &mut impl Read) -> io::Result<()> {
    remove_left_behind(&args.root);
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o644)); // servers may run as another user of the volume's group
    }
    let mut file = builder.tempfile_in(&args.root)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    // The end of stdin does not come through every API server: the length says when it is over.
    let mut limited = from.take(args.bytes);
    let mut count = 0_u64;
    loop {
        match limited.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&buffer[..read]);
                file.write_all(&buffer[..read])?;
                count += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let invalid = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    if count != args.bytes {
        return invalid(format!("it ended after {count} of {} bytes", args.bytes));
    }
    let found = hex(&hasher.finalize());
    if found != args.sha256 {
        return invalid(format!("its SHA-256 is {found}, not {}", args.sha256));
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|failure| failure.error)?;
    Ok(())
}

/// Removes what pods that were killed have not finished: it may be gigabytes. What cannot be removed is in nobody's way.
fn remove_left_behind(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        let age = written.ok().and_then(|time| time.elapsed().ok());
        if is_ours && age.is_some_and(|age| age > LEFT_BEHIND) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn file_name(text: &str) -> Result<String, String> {
    let plain = !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\\', '\0']);
    if plain {
        Ok(text.to_owned())
    } else {
        Err("a file's name is needed: without a directory, and not hidden".to_owned())
    }
}

fn sha256(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        Ok(text.to_owned())
    } else {
        Err("64 hexadecimal digits are needed, in lower case".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn args(root: &Path) -> ReceiveArgs {
        ReceiveArgs { root: root.into(), file: "m.gguf".into(), bytes: 3, sha256: ABC.into() }
    }

    fn names(root: &Path) -> Vec<String> {
        let entries = fs::read_dir(root).expect("a directory");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_whole_file_appears_and_bytes_after_it_are_left_alone() {
        let root = tempfile::tempdir().expect("a directory");
        let (args, path) = (args(root.path()), root.path().join("m.gguf"));
        assert!(!is_there(&path, &args).expect("a look"));
        let mut from = &b"abcdef"[..];
        receive(&args, &path, &mut from).expect("received");
        assert_eq!(fs::read(&path).expect("the file"), b"abc");
        assert_eq!(from, b"def");
        assert!(is_there(&path, &args).expect("a look"));
        assert_eq!(names(root.path()), ["m.gguf"]);
    }

    #[test]
    fn a_file_that_ends_early_or_differs_leaves_what_was_there() {
        let root = tempfile::tempdir().expect("a directory");
        let (args, path) = (args(root.path()), root.path().join("m.gguf"));
        fs::write(&path, "old").expect("the file");
        assert!(!is_there(&path, &args).expect("a look"));
        for (sent, why) in [("ab", "ended after 2 of 3 bytes"), ("abd", "its SHA-256 is")] {
            let error = receive(&args, &path, &mut sent.as_bytes()).expect_err(sent);
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(fs::read(&path).expect("the file"), b"old");
            assert_eq!(names(root.path()), ["m.gguf"]);
        }
    }

    #[test]
    fn what_a_killed_pod_has_left_behind_goes_and_what_another_writes_now_stays() {
        let root = tempfile::tempdir().expect("a directory");
        for (name, age) in [(".receive-old", 7_200), (".receive-new", 5), ("other.gguf", 7_200)] {
            let file = fs::File::create(root.path().join(name)).expect("a file");
            let time = std::time::SystemTime::now() - Duration::from_secs(age);
            file.set_modified(time).expect("its time");
        }
        remove_left_behind(root.path());
        let mut names = names(root.path());
        names.sort();
        assert_eq!(names, [".receive-new", "other.gguf"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed_and_servers_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().expect("a directory");
        let (args, path) = (args(root.path()), root.path().join("m.gguf"));
        receive(&args, &path, &mut &b"abc"[..]).expect("received");
        let mode = fs::metadata(&path).expect("the file").permissions().mode();
        assert_eq!(mode & 0o444, 0o444, "{mode:o}");
        fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink("/etc/passwd", &path).expect("a link");
        assert!(is_there(&path, &args).is_err());
    }

    #[test]
    fn names_and_digests_are_checked_before_anything_is_read() {
        use clap::Parser;
        let accepted = |file: &str, sha256: &str| {
            let words = ["textnlp", "receive", "--root", "/d", "--bytes", "3", "--file", file];
            crate::args::Cli::try_parse_from(words.into_iter().chain(["--sha256", sha256])).is_ok()
        };
        assert!(accepted("m.gguf", ABC));
        for file in ["", "../m", "/etc/passwd", "a/b", ".textnlp-owner", "a\\b"] {
            assert!(!accepted(file, ABC), "{file}");
        }
        for sha256 in ["", "abc", &ABC.to_uppercase(), &ABC.replace('b', "g")] {
            assert!(!accepted("m.gguf", sha256), "{sha256}");
        }
    }
}
