//! One manifest, the real model, one digest: over threads, concurrency, kills at random moments, and halves by offset.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use common::{model, root, stderr, textnlp};

/// Records of the example that these tests use; completions are cut short. The whole example is `make run`.
const RECORDS: u32 = 10;

fn example(directory: &Path, output: &str) -> Command {
    let mut command = textnlp(directory);
    command
        .arg("run")
        .arg(root().join("examples/airport-tickets/base"))
        .args([
            "--set",
            "spec.sampling.maxTokens=16",
            "--set",
            "spec.validation.onGateFailure=Warn",
        ])
        .arg("--model")
        .arg(model())
        .args(["--output", output, "--json"]);
    command
}

fn finish(mut command: Command) -> Value {
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("a JSON report on stdout")
}

fn digest(report: &Value) -> String {
    report["digest"].as_str().expect("a digest").to_owned()
}

fn rows(directory: &Path, output: &str) -> Vec<Value> {
    ["dataset.jsonl", "rejected.jsonl", "failed.jsonl"]
        .iter()
        .flat_map(|file| {
            let text = std::fs::read_to_string(directory.join(output).join(file)).expect("a file");
            text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect::<Vec<Value>>()
        })
        .collect()
}

fn limited(mut command: Command) -> Command {
    command.args(["--limit", &RECORDS.to_string()]);
    command
}

/// Kills the run like a power cut, unless it ends before.
fn kill_after(mut child: Child, wait: Duration) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < wait {
        if let Some(status) = child.try_wait().expect("the child can be asked") {
            assert!(status.success());
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("the child can be killed");
    child.wait().expect("the child ends");
    true
}

/// Moments that differ from run to run of the test: the dataset may not depend on them.
fn moment(kill: u32, whole: Duration) -> Duration {
    let clock = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.subsec_nanos());
    let random = clock.wrapping_mul(2_654_435_761).wrapping_add(kill.wrapping_mul(40_503)) % 1000;
    whole.mul_f64(f64::from(random) / 1000.0)
}

#[test]
fn threads_concurrency_kills_and_halves_do_not_change_a_byte() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let begun = Instant::now();
    let whole = finish(limited(example(at, "whole")));
    let took = begun.elapsed();
    assert_eq!(whole["rows"]["requested"], 2 * RECORDS);

    for (output, more) in [
        ("one-thread", ["--threads", "1"]),
        ("two-threads", ["--threads", "2"]),
        ("alone", ["--set", "spec.execution.concurrency=1"]),
        ("five", ["--set", "spec.execution.concurrency=5"]),
    ] {
        let mut command = limited(example(at, output));
        command.args(more);
        assert_eq!(digest(&finish(command)), digest(&whole), "{output}");
    }

    // Concurrency 2 finishes rows one after the other, so that a kill finds some of them kept and some not.
    let mut kills = 0;
    for kill in 0..10 {
        let mut command = limited(example(at, "killed"));
        command
            .args(["--set", "spec.execution.concurrency=2"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        kills += u32::from(kill_after(command.spawn().unwrap(), moment(kill, took)));
    }
    let after = finish(limited(example(at, "killed")));
    assert_eq!(digest(&after), digest(&whole), "after {kills} kills");
    assert_eq!(after["usage"], whole["usage"]);
    let ids: Vec<String> = rows(at, "killed").iter().map(|r| r["id"].to_string()).collect();
    assert_eq!(ids.len(), 2 * RECORDS as usize, "a row was lost or doubled");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());

    let halves: String = [("first", "0", "4"), ("second", "4", "6")]
        .iter()
        .map(|(output, offset, limit)| {
            let mut command = example(at, output);
            command.args(["--set", &format!("spec.source.offset={offset}"), "--limit", limit]);
            finish(command);
            std::fs::read_to_string(at.join(output).join("dataset.jsonl")).unwrap()
        })
        .collect();
    assert_eq!(halves, std::fs::read_to_string(at.join("whole/dataset.jsonl")).unwrap());
}

#[test]
fn a_terminated_run_finishes_its_rows_says_that_it_can_go_on_and_does() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let mut command = limited(example(at, "out"));
    command
        .args(["--set", "spec.execution.concurrency=2"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // A chunk of the snapshot shows that rows have begun.
    let begun = Instant::now();
    while !at.join("out/chunks/job.json").exists() {
        assert!(begun.elapsed() < Duration::from_secs(120), "the run did not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    let terminated =
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(terminated.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("run again to go on"), "{}", stderr(&output));
    let report = finish(limited(example(at, "out")));
    assert_eq!(report["rows"]["requested"], 2 * RECORDS);
}

#[test]
fn a_finished_dataset_is_extended_by_more_samples_and_records() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let run = |output: &str, limit: &str, samples: &str| {
        let mut command = example(at, output);
        command.args(["--limit", limit, "--set", &format!("spec.samplesPerRecord={samples}")]);
        finish(command)
    };
    let small = run("grown", "2", "1");
    let grown = run("grown", "4", "2");
    let whole = run("whole", "4", "2");
    assert_eq!(small["rows"]["requested"], 2);
    assert_eq!(digest(&grown), digest(&whole));
}
