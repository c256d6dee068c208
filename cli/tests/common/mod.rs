//! The program as a user runs it, and the real model.

#![allow(dead_code)] // each test file uses what it needs

pub(crate) mod server;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program, in an empty directory, without the user's environment, and without a cache of packed models.
pub(crate) fn textnlp(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_textnlp"));
    command.current_dir(directory).env_remove("TEXTNLP_LOG").env_remove("TEXTNLP_CPU");
    command.env("TEXTNLP_CACHE", "");
    command
}

/// The model of the example. It is no dependency that a test may do without: a missing one is a failure.
pub(crate) fn model() -> PathBuf {
    let cache = std::env::var_os("TEXTNLP_CACHE").map(PathBuf::from).unwrap_or_else(|| {
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).unwrap_or_else(|| {
            PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache")
        });
        base.join("textnlp")
    });
    let path = cache.join("models/SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(path.is_file(), "{} is missing: run `make model`", path.display());
    path
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A file in a directory.
pub(crate) fn write(directory: &Path, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, contents).expect("a file can be written");
    path
}
