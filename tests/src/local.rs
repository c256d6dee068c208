//! The same job on this machine, in one process: what a cluster's dataset is held against.

use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::Value;

use crate::command::run;
use crate::job::Job;

/// A program of this workspace that the build has made.
#[track_caller]
pub fn binary(name: &str) -> String {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")),
        PathBuf::from,
    );
    let path = target.join("debug").join(name);
    assert!(path.exists(), "{} is missing: run `make build`", path.display());
    path.display().to_string()
}

/// The example's model.
#[track_caller]
pub fn model_file() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let cache = std::env::var_os("TEXTNLP_CACHE").map_or_else(
        || std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("textnlp"),
        PathBuf::from,
    );
    let path = cache.join("models/SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(path.exists(), "{} is missing: run `make model`", path.display());
    path
}

/// Where the test cluster's collector writes what it gets, one request a line.
pub fn traces_file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/cluster/traces/spans.jsonl"))
}

/// What `textnlp run --json` reports of a job. Each job is run once for all tests.
#[track_caller]
pub fn local_report(job: &Job) -> Value {
    static MADE: Mutex<Vec<(String, Value)>> = Mutex::new(Vec::new());
    let mut local = job.0.clone();
    // Where the rows go and who makes them decides nothing about them.
    local["metadata"]["name"] = "local".into();
    for of_a_cluster in ["output", "execution"] {
        local["spec"].as_object_mut().expect("a spec is an object").remove(of_a_cluster);
    }
    let manifest = local.to_string();
    let mut made = MADE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some((_, report)) = made.iter().find(|(key, _)| *key == manifest) {
        return report.clone();
    }
    let directory =
        std::env::temp_dir().join(format!("textnlp-e2e-{}-{}", std::process::id(), made.len()));
    std::fs::create_dir_all(&directory).expect("a temporary directory");
    let file = directory.join("job.yaml");
    std::fs::write(&file, &manifest).expect("the manifest is written");
    let output = directory.join("out");
    let model = model_file();
    let text = |path: &PathBuf| path.display().to_string();
    let answer = run(
        &binary("textnlp"),
        &["run", &text(&file), "--model", &text(&model), "--output", &text(&output), "--json"],
    )
    .expect("the local run");
    let _ = std::fs::remove_dir_all(&directory);
    let report: Value = serde_json::from_str(&answer).expect("the report is JSON");
    made.push((manifest, report.clone()));
    report
}
