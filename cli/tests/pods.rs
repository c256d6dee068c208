//! The pods of a job as the operator starts them: the program, a mounted volume, a model behind HTTP, and the answers.

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use textnlp_crds::task::{Generated, Prepared, Termination, Verdict};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use common::{stderr, textnlp};

/// A model that says something about its prompt; one answer after the other, each after a moment.
struct Model {
    url: String,
    asked: Arc<AtomicU64>,
    _runtime: Runtime,
}

impl Model {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicU64::new(0));
        let app =
            Router::new().route("/v1/chat/completions", post(complete)).with_state(asked.clone());
        runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, asked, _runtime: runtime }
    }
}

async fn complete(
    State(asked): State<Arc<AtomicU64>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Json<Value> {
    assert_eq!(headers["x-textnlp-model-digest"], "sha256:00");
    asked.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(40)).await;
    let text =
        format!("{} said {}", body["messages"][0]["content"].as_str().unwrap(), body["seed"]);
    Json(json!({
        "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }))
}

/// A job's volume and task.
struct Pods {
    directory: tempfile::TempDir,
}

impl Pods {
    fn new(model: &str, parallelism: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pods = Self { directory };
        let mounts = pods.at().join("mounts");
        std::fs::create_dir_all(mounts.join("etc/textnlp/source")).unwrap();
        let names: Vec<String> = (0..40).map(|i| format!("p{i}")).collect();
        let csv = format!("product\n{}\n", names.join("\n"));
        std::fs::write(mounts.join("etc/textnlp/source/products.csv"), csv).unwrap();
        for verb in ["prepare", "worker", "finalize"] {
            // Kubernetes makes the file; a pod only writes it.
            std::fs::write(pods.at().join(format!("{verb}.json")), "").unwrap();
        }
        pods.write_task(&json!({
            "name": "tickets",
            "namespace": "default",
            "uid": "1",
            "claim": "tickets-output",
            "spec": {
                "modelRef": {"name": "m"},
                "source": {"configMap": {"name": "products", "key": "products.csv"}},
                "samplesPerRecord": 2,
                "columns": [{"name": "ticket", "prompt": "{{ product }}"}],
                "validation": {"gates": [{"metric": "failedRate", "max": 0}]},
                "output": {"formats": ["JSONL", "CSV"]},
                "execution": {"parallelism": parallelism, "concurrency": 2},
            },
            "models": {"m": {
                "url": model, "digest": "sha256:00", "numerics": "test/f32", "reproducible": true, "chat": true,
            }},
        }));
        pods
    }

    fn at(&self) -> &Path {
        self.directory.path()
    }

    fn write_task(&self, task: &Value) {
        std::fs::write(self.at().join("job.json"), task.to_string()).unwrap();
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = textnlp(self.at());
        command.arg(verb).args([
            "--task",
            "job.json",
            "--mounts",
            "mounts",
            "--termination-file",
            &format!("{verb}.json"),
        ]);
        command
    }

    fn worker(&self, index: u32) -> Command {
        let mut command = self.command("worker");
        command
            .env("JOB_COMPLETION_INDEX", index.to_string())
            .args(["--metrics-listen", "127.0.0.1:0"]);
        command
    }

    fn answer(&self, verb: &str) -> Termination {
        let text = std::fs::read_to_string(self.at().join(format!("{verb}.json"))).unwrap();
        Termination::read(&text).unwrap_or_else(|| panic!("{text}"))
    }

    fn prepare(&self) -> Prepared {
        let output = self.command("prepare").output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        match self.answer("prepare") {
            Termination::Prepared(prepared) => prepared,
            other => panic!("{other:?}"),
        }
    }

    fn work(&self, index: u32) -> Generated {
        let output = self.worker(index).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        match self.answer("worker") {
            Termination::Generated(generated) => generated,
            other => panic!("{other:?}"),
        }
    }

    fn dataset(&self) -> PathBuf {
        self.at().join("mounts/var/lib/textnlp/output/dataset")
    }

    fn chunks(&self) -> usize {
        std::fs::read_dir(self.dataset().join("chunks/rows")).map_or(0, |entries| entries.count())
    }
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn terminate(child: Child) -> Output {
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    child.wait_with_output().unwrap()
}

#[test]
fn a_job_is_prepared_worked_on_and_finalized_through_kills_and_stops() {
    let model = Model::start();
    let pods = Pods::new(&model.url, 1);
    let prepared = pods.prepare();
    assert_eq!(
        (prepared.records, prepared.rows, prepared.finished, prepared.shards),
        (40, 80, 0, 4)
    );
    assert_eq!(pods.prepare(), prepared, "a step that is run again answers the same");

    // Shard 3 is killed without a word, shard 0 asked to stop; each goes on later.
    let mut killed = pods.worker(3).stderr(Stdio::null()).spawn().unwrap();
    let asked = model.asked.load(Ordering::Relaxed);
    wait("a request", || model.asked.load(Ordering::Relaxed) > asked + 3);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let stopped = pods.worker(0).stderr(Stdio::piped()).spawn().unwrap();
    let asked = model.asked.load(Ordering::Relaxed);
    wait("a request", || model.asked.load(Ordering::Relaxed) > asked + 3);
    let output = terminate(stopped);
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(pods.chunks() > 0, "finished rows were kept");
    assert!(
        matches!(pods.answer("worker"), Termination::Failed(failed) if failed.reason == "Interrupted")
    );

    let rows: Vec<i64> = [2, 0, 3, 1].into_iter().map(|index| pods.work(index).rows).collect();
    assert!(rows[0] == 20 && (1..20).contains(&rows[1]) && rows[3] == 20, "{rows:?}");

    let output = pods.command("finalize").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let Termination::Finalized(done) = pods.answer("finalize") else { panic!() };
    assert_eq!(
        (done.verdict, done.message.as_str()),
        (Verdict::Succeeded, "80 of 80 rows accepted")
    );
    assert_eq!((done.rows.requested, done.rows.accepted, done.usage.requests), (80, 80, 80));
    assert_eq!(done.output.uri.as_deref(), Some("pvc://tickets-output/dataset"));
    assert_eq!(done.output.report.as_deref(), Some("pvc://tickets-output/dataset/report.json"));
    assert_eq!(done.validation.scores.len(), 1);
    let report: Value =
        serde_json::from_slice(&std::fs::read(pods.dataset().join("report.json")).unwrap())
            .unwrap();
    assert_eq!(report["digest"].as_str(), done.output.digest.as_deref());
    let first = std::fs::read_to_string(pods.dataset().join("dataset.csv")).unwrap();
    assert!(first.starts_with("product,ticket,id\np0,p0 said "), "{first}");
    // Each line of the log is JSON.
    for line in BufReader::new(&*output.stderr).lines() {
        let line = line.unwrap();
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
    }
}

#[test]
fn a_worker_tells_its_figures_and_fails_for_good_where_trying_cannot_help() {
    let model = Model::start();
    let pods = Pods::new(&model.url, 1);
    let output = pods.worker(0).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        matches!(pods.answer("worker"), Termination::Failed(failed) if failed.reason == "NotPrepared")
    );
    pods.prepare();
    let output = pods.worker(9).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        matches!(pods.answer("worker"), Termination::Failed(failed) if failed.reason == "ShardUnknown")
    );

    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let mut worker = pods.command("worker");
    worker.args(["--index", "1", "--metrics-listen", &address]).stderr(Stdio::null());
    let child = worker.spawn().unwrap();
    let mut page = String::new();
    wait("a page of figures", || {
        page = scrape(&address).unwrap_or_default();
        page.contains("textnlp_requests_total{code=\"200\",model=\"")
    });
    assert!(page.contains("textnlp_shard_rows 20"), "{page}");
    assert!(page.contains("textnlp_rows_finished_total"), "{page}");
    terminate(child);
}

fn scrape(address: &str) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: worker\r\nconnection: close\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}

#[test]
fn lost_shards_are_told_and_a_bad_task_is_named() {
    let model = Model::start();
    let pods = Pods::new(&model.url, 1);
    pods.prepare();
    for index in [0, 1, 3] {
        pods.work(index);
    }
    let output = pods.command("finalize").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        matches!(pods.answer("finalize"), Termination::Failed(failed) if failed.reason == "RowsMissing")
    );
    let output = pods.command("finalize").arg("--lost-shards").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let Termination::Finalized(done) = pods.answer("finalize") else { panic!() };
    assert_eq!((done.verdict, done.rows.accepted, done.rows.failed), (Verdict::ShardsLost, 60, 20));
    assert!(done.message.starts_with("20 of 80 rows are missing"), "{}", done.message);

    let check = |task: &str, expect: &str| {
        std::fs::write(pods.at().join("job.json"), task).unwrap();
        let output = pods.command("prepare").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let Termination::Failed(failed) = pods.answer("prepare") else { panic!() };
        assert_eq!(failed.reason, "InvalidSpec");
        assert!(failed.message.contains(expect), "{}", failed.message);
    };
    check("{}", "this is no task of a job: missing field `name`");
    let task = |spec: Value| {
        json!({"name": "x", "namespace": "default", "uid": "2", "spec": spec, "models": {}})
            .to_string()
    };
    check(
        &task(json!({"modelRef": {"name": "gone"}, "columns": [{"name": "a", "prompt": "x"}]})),
        "no ModelDeployment \"gone\"",
    );
    check(
        &task(json!({"source": {"file": {"path": "x"}}, "columns": [{"name": "a", "value": "x"}]})),
        "spec.source.file",
    );
}
