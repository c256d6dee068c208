//! The example in the steps of a cluster, over two real servers with the real model: the dataset of `textnlp run`.

mod common;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use textnlp_crds::manifest::{Given, Manifest};
use textnlp_crds::task::{Finalized, Termination};

use common::server::Server;
use common::{model, root, stderr, textnlp};

fn example() -> std::path::PathBuf {
    root().join("examples/airport-tickets/base")
}

/// What one process makes of a few records, with short completions.
fn local(at: &Path) -> Value {
    let output = textnlp(at)
        .arg("run")
        .arg(example())
        .arg("--model")
        .arg(model())
        .args([
            "--limit",
            "4",
            "--set",
            "spec.sampling.maxTokens=12",
            "--output",
            "local",
            "--json",
        ])
        .args(["--set", "spec.validation.onGateFailure=Warn"])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("a report")
}

/// The source of the example, as a pod has it mounted.
fn airports() -> String {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(example()).expect("the example") {
        let path = entry.expect("an entry").path();
        if path.file_stem().is_some_and(|stem| stem != "kustomization") {
            files.push((path.display().to_string(), std::fs::read(&path).expect("a manifest")));
        }
    }
    let named = files.iter().map(|(name, text)| (name.as_str(), text.as_slice()));
    let manifest = Manifest::read(named, &[]).expect("manifests");
    let resolved = manifest.resolve(Given { model: true, source: false }).expect("a job");
    let map = resolved.config_map.expect("a ConfigMap");
    map.object.data.as_ref().expect("data")["airports.csv"].clone()
}

fn pod(at: &Path, verb: &str, task: &str) -> Command {
    let mut command = textnlp(at);
    let file = format!("{verb}.json");
    std::fs::write(at.join(&file), "").expect("a file");
    command.args([verb, "--task", task, "--mounts", "mounts", "--termination-file", &file]);
    if verb == "worker" {
        command.args(["--metrics-listen", "127.0.0.1:0"]);
    }
    command
}

fn answer(at: &Path, verb: &str, mut command: Command) -> Termination {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let text = std::fs::read_to_string(at.join(format!("{verb}.json"))).expect("a message");
    Termination::read(&text).expect("an answer")
}

#[tokio::test]
async fn the_steps_of_a_cluster_make_the_dataset_of_a_local_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path();
    let servers = [Server::start(&["--threads", "1"]), Server::start(&["--threads", "2"])];
    let report = local(at);
    let client = reqwest::Client::new();
    for server in &servers {
        server.until_ready(&client).await;
    }
    let manifest = std::fs::read(at.join("local/manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let source = at.join("mounts/etc/textnlp/source");
    std::fs::create_dir_all(&source).expect("a folder");
    std::fs::write(source.join("airports.csv"), airports()).expect("a file");
    // Each worker is told of another server: which one answers decides nothing.
    let task = |name: &str, server: &Server| {
        let mut spec = manifest["job"]["spec"].clone();
        spec["execution"] = json!({"parallelism": 1, "shards": 3});
        let task = json!({
            "name": "airport-tickets", "namespace": "default", "uid": "1", "claim": "out",
            "spec": spec,
            "models": {"smollm2": {
                "url": server.url, "digest": report["model"]["digest"],
                "numerics": report["model"]["numerics"], "reproducible": true, "chat": true,
            }},
        });
        std::fs::write(at.join(name), task.to_string()).expect("a task");
    };
    task("one.json", &servers[0]);
    task("two.json", &servers[1]);
    let Termination::Prepared(prepared) = answer(at, "prepare", pod(at, "prepare", "one.json"))
    else {
        panic!("not prepared")
    };
    assert_eq!((prepared.records, prepared.rows, prepared.shards), (4, 8, 3));
    for (index, task) in [(2, "one.json"), (0, "two.json"), (1, "one.json")] {
        let mut worker = pod(at, "worker", task);
        worker.env("JOB_COMPLETION_INDEX", index.to_string());
        assert!(matches!(answer(at, "worker", worker), Termination::Generated(_)));
    }
    let Termination::Finalized(done) = answer(at, "finalize", pod(at, "finalize", "one.json"))
    else {
        panic!("not finalized")
    };
    let Finalized { output, rows, usage, .. } = *done;
    assert_eq!(output.digest.as_deref(), report["digest"].as_str());
    assert_eq!(json!(rows), report["rows"]);
    assert_eq!(json!(usage), report["usage"]);
    let dataset = |path: &str| std::fs::read(at.join(path)).expect("a dataset");
    let made = "mounts/var/lib/textnlp/output/dataset/dataset.jsonl";
    assert_eq!(dataset(made), dataset("local/dataset.jsonl"));
}
