//! Programs, run as a user runs them.

use std::io::Write;
use std::process::{Command, Stdio};

/// What a program answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Exit code; −1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Answer {
    /// Whether the exit code is 0.
    pub fn ok(&self) -> bool {
        self.code == 0
    }

    /// Standard output of a program that must succeed.
    #[track_caller]
    pub fn expect(self, what: &str) -> String {
        assert!(self.ok(), "{what}: exit code {}\n{}{}", self.code, self.stdout, self.stderr);
        self.stdout
    }
}

/// Runs a program to its end.
#[track_caller]
pub fn run(program: &str, arguments: &[&str]) -> Answer {
    run_with_input(program, arguments, "")
}

/// Runs a program to its end, with a text as its input.
#[track_caller]
pub fn run_with_input(program: &str, arguments: &[&str], input: &str) -> Answer {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{program} cannot be started: {error}; `make cluster` says how")
        });
    let mut stdin = child.stdin.take().expect("the input is a pipe");
    let input = input.to_owned();
    // A thread of its own: a program that answers before it has read everything must not lock both.
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().expect("the program ends");
    let _ = writer.join();
    Answer {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs `kubectl`.
#[track_caller]
pub fn kubectl(arguments: &[&str]) -> Answer {
    run("kubectl", arguments)
}
