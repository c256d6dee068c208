//! A job in the steps of a cluster, over real HTTP: the same bytes as in one process, whatever happens to the workers.

mod common;
#[path = "../../dataset/tests/s3/mod.rs"]
mod s3;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::server::{Behaviour, DIGEST, Server};
use common::{Parrot, job, models, spec};
use serde_json::{Value, json};
use textnlp_dataset::net::Access;
use textnlp_dataset::store::{LocalStore, Store};
use textnlp_generation::finalize::{Closing, Missing};
use textnlp_generation::http::{Endpoint, HttpCompleter, Server as Whose};
use textnlp_generation::local::{self, Finished, Verdict};
use textnlp_generation::metrics::RequestMetrics;
use textnlp_generation::rows::Options;
use textnlp_generation::steps::{self, Sharding, Split};
use textnlp_generation::{Cancel, Completer, Error, Job, Models, Progress, Source};
use textnlp_telemetry::trace::TraceContext;

const OWNER: &str = "GenerationJob default/test (1)";

fn value(records: u64, samples: u32) -> Value {
    json!({
        "modelRef": {"name": "parrot"},
        "source": {"inline": {"records": (0..records).map(|i| json!({"product": format!("p{i}")})).collect::<Vec<_>>()}},
        "samplesPerRecord": samples,
        "attributes": [{"name": "tone", "choice": {"values": ["angry", "calm"]}}],
        "sampling": {"seed": 7},
        "columns": [
            {"name": "ticket", "prompt": "{{ product }} {{ tone }}"},
            {"name": "reply", "prompt": "{{ ticket }}"}
        ],
        "validation": {
            "filters": [{"name": "long", "metric": "wordCount", "column": "ticket", "min": 4}],
            "gates": [{"metric": "failedRate", "max": 0.5}]
        },
        "output": {"formats": ["JSONL", "Parquet"]}
    })
}

/// A job and its output.
struct Place {
    job: Arc<Job>,
    source: Source,
    store: Box<dyn Store>,
    _directory: tempfile::TempDir,
}

impl Place {
    fn new(value: Value) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Box::new(LocalStore::open(directory.path().join("out")).unwrap());
        Self { _directory: directory, ..Self::at(value, store) }
    }

    fn at(value: Value, store: Box<dyn Store>) -> Self {
        let spec = spec(value);
        let records = spec.source.inline.as_ref().unwrap().records.to_vec();
        let _directory = tempfile::tempdir().unwrap();
        Self { job: job(&spec), source: Source::Inline(records), store, _directory }
    }

    fn prepare(&self, attempt: u32, shards: u64) -> Split {
        let sharding = Sharding { attempt, shards };
        steps::prepare(&self.job, &models(), &self.source, &*self.store, OWNER, sharding).unwrap()
    }

    async fn work(
        &self,
        server: &str,
        attempt: i32,
        index: u32,
        options: &Options,
    ) -> (Result<(), Error>, Arc<Progress>) {
        let progress = Arc::new(Progress::default());
        let part = steps::part(&self.job, &models(), &*self.store, OWNER, attempt, index).unwrap();
        let models = connected(server, options.cancel.clone()).await;
        let run =
            steps::work(self.job.clone(), models, &*self.store, &part, progress.clone(), options);
        (run.await, progress)
    }

    fn finalize(&self, missing: Missing) -> Result<Finished, Error> {
        let closing = Closing {
            missing,
            place: "pvc://claim/out",
            begun: Instant::now(),
            trace: &TraceContext::default(),
        };
        steps::finalize(&self.job, &models(), &*self.store, OWNER, closing)
    }

    fn lines(&self, file: &str) -> Vec<Value> {
        let text = self.store.get(file).unwrap();
        text.split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }
}

async fn completer(url: &str, digest: &str, cancel: Cancel) -> HttpCompleter {
    let pods = url.strip_prefix("http://").map(str::to_owned);
    let endpoint = Endpoint {
        name: "parrot".into(),
        model: "parrot".into(),
        url: url.to_owned(),
        server: Whose::Own { pods, digest: digest.to_owned(), token: None },
    };
    let metrics = RequestMetrics::default();
    HttpCompleter::connect(endpoint, Access::default(), metrics, cancel).await.unwrap()
}

async fn connected(url: &str, cancel: Cancel) -> Models {
    let mut models = models();
    models.connect("parrot", Arc::new(completer(url, DIGEST, cancel).await));
    models
}

fn options() -> Options {
    Options::new(5, Cancel::new())
}

/// The same job in one process.
async fn whole(value: Value, directory: &Path) -> Finished {
    let place = Place::new(value);
    let store = LocalStore::open(directory).unwrap();
    local::run(
        place.job.clone(),
        models(),
        &place.source,
        &store,
        Arc::new(Progress::default()),
        &options(),
        |models| {
            models.connect("parrot", Parrot::new(u64::MAX) as Arc<dyn Completer>);
            Ok(())
        },
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn three_workers_in_any_order_one_of_them_killed_make_what_one_process_makes() {
    let directory = tempfile::tempdir().unwrap();
    let expected = whole(value(50, 3), directory.path()).await;
    let place = Place::new(value(50, 3));
    let server = Server::start(Behaviour { refuses_every: 7, ..Behaviour::default() }).await;
    let split = place.prepare(0, 3);
    assert_eq!((split.finished, split.plan.shards.len()), (0, 3));
    assert_eq!(split.plan.shards.iter().map(|s| s.rows).sum::<u64>(), 150);

    let (done, progress) = place.work(&server.url(), 0, 2, &options()).await;
    done.unwrap();
    assert_eq!(Progress::get(&progress.finished), split.plan.shards[2].rows);
    // Killed after a chunk: whatever was in flight is gone.
    let enough = server.parrots.answered.load(Ordering::Relaxed) + 80;
    let one_row = Options::new(1, Cancel::new());
    let url = server.url();
    tokio::select! {
        _ = place.work(&url, 0, 0, &one_row) => panic!("it was to be killed"),
        () = async { while server.parrots.answered.load(Ordering::Relaxed) < enough { tokio::task::yield_now().await } } => {}
    }
    let (done, progress) = place.work(&server.url(), 0, 0, &options()).await;
    done.unwrap();
    let (kept, finished) = (Progress::get(&progress.kept), Progress::get(&progress.finished));
    assert!(kept > 0 && kept + finished == split.plan.shards[0].rows, "{kept} + {finished}");
    let error = place.finalize(Missing::Refuse).unwrap_err();
    assert_eq!((error.reason(), error.exit_code()), ("RowsMissing", 1));
    place.work(&server.url(), 0, 1, &options()).await.0.unwrap();

    let finished = place.finalize(Missing::Refuse).unwrap();
    assert_eq!(finished.report.digest, expected.report.digest);
    assert_eq!(finished.report.rows, expected.report.rows);
    assert_eq!(finished.report.usage, expected.report.usage);
    assert_eq!(finished.report.output.directory, "pvc://claim/out");
    let read = |store: &dyn Store| store.get("dataset.jsonl").unwrap();
    assert_eq!(read(&*place.store), read(&LocalStore::open(directory.path()).unwrap()));
    // Again: the report that is there.
    let again = place.finalize(Missing::Refuse).unwrap();
    assert!(again.was_finished && again.report == finished.report);
    // And a shard that is complete asks for nothing.
    let asked = server.parrots.asked.load(Ordering::Relaxed);
    place.work(&server.url(), 0, 1, &options()).await.0.unwrap();
    assert_eq!(server.parrots.asked.load(Ordering::Relaxed), asked);
}

#[tokio::test]
async fn an_object_store_gets_the_same_dataset() {
    let directory = tempfile::tempdir().unwrap();
    let expected = whole(value(20, 2), directory.path()).await;
    let s3 = s3::S3::start();
    let place = Place::at(value(20, 2), Box::new(s3.store("jobs/one")));
    let server = Server::start(Behaviour::default()).await;
    assert_eq!(place.prepare(0, 2).plan.shards.len(), 2);
    for index in [1, 0] {
        place.work(&server.url(), 0, index, &options()).await.0.unwrap();
    }
    let finished = place.finalize(Missing::Refuse).unwrap();
    assert_eq!(finished.report.digest, expected.report.digest);
    let files = |store: &dyn Store| {
        let mut files = store.list("").unwrap();
        files.retain(|file| !file.starts_with("chunks/"));
        files
    };
    assert_eq!(files(&*place.store), files(&LocalStore::open(directory.path()).unwrap()));
    // Another job does not get the prefix.
    let sharding = Sharding { attempt: 0, shards: 1 };
    let other = steps::prepare(&place.job, &models(), &place.source, &*place.store, "b", sharding);
    assert_eq!(other.unwrap_err().reason(), "TargetInUse");
}

#[tokio::test]
async fn two_pods_of_one_shard_harm_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let expected = whole(value(40, 2), directory.path()).await;
    let place = Place::new(value(40, 2));
    let server = Server::start(Behaviour::default()).await;
    place.prepare(0, 1);
    // One is stopped in the middle and keeps parts of chunks, while the other makes the same chunks whole.
    let stopped = Options::new(4, Cancel::new());
    let url = server.url();
    let stop = async {
        while server.parrots.answered.load(Ordering::Relaxed) < 60 {
            tokio::task::yield_now().await;
        }
        stopped.cancel.cancel();
    };
    let other = Options::new(3, Cancel::new());
    let ((first, _), (second, _), ()) =
        tokio::join!(place.work(&url, 0, 0, &stopped), place.work(&url, 0, 0, &other), stop);
    assert_eq!(first.unwrap_err().exit_code(), 130);
    second.unwrap();
    let chunks = textnlp_dataset::chunk::list(&*place.store).unwrap();
    let rows: u64 = chunks.iter().map(|chunk| chunk.rows()).sum();
    assert!(rows > 80, "no row was made twice: {chunks:?}");
    let finished = place.finalize(Missing::Refuse).unwrap();
    assert_eq!(finished.report.digest, expected.report.digest);
    assert_eq!(finished.report.rows.requested, 80);
}

#[tokio::test]
async fn an_attempt_keeps_its_plan_and_the_next_plans_what_is_missing() {
    let place = Place::new(value(40, 2));
    let server = Server::start(Behaviour::default()).await;
    let first = place.prepare(0, 4);
    assert_eq!(place.prepare(0, 4), first);
    place.work(&server.url(), 0, 1, &options()).await.0.unwrap();
    let again = place.prepare(0, 9);
    assert_eq!((again.plan.clone(), again.finished), (first.plan.clone(), 20));
    let next = place.prepare(1, 4);
    assert_eq!(next.plan.shards.iter().map(|s| s.rows).sum::<u64>(), 60);
    for index in 0..4 {
        place.work(&server.url(), 1, index, &options()).await.0.unwrap();
    }
    let done = place.prepare(2, 4);
    assert_eq!((done.finished, done.plan.shards.len()), (80, 0));
    let error = steps::part(&place.job, &models(), &*place.store, OWNER, 1, 4).unwrap_err();
    assert_eq!((error.reason(), error.exit_code()), ("ShardUnknown", 2));
    let error = steps::part(&place.job, &models(), &*place.store, OWNER, 7, 0).unwrap_err();
    assert_eq!(error.reason(), "NotPrepared");
}

#[tokio::test]
async fn rows_of_a_lost_shard_fail_and_a_retry_makes_them() {
    let directory = tempfile::tempdir().unwrap();
    let expected = whole(value(30, 2), directory.path()).await;
    let place = Place::new(value(30, 2));
    let server = Server::start(Behaviour::default()).await;
    let split = place.prepare(0, 3);
    for index in [0, 2] {
        place.work(&server.url(), 0, index, &options()).await.0.unwrap();
    }
    let finished = place.finalize(Missing::Fail).unwrap();
    assert_eq!(finished.verdict, Verdict::ShardsLost);
    let rows = finished.report.rows;
    assert!(rows.balance() && rows.failed == 20, "{rows:?}");
    let failed = place.lines("failed.jsonl");
    let lost = split.plan.shards[1];
    let ids: Vec<String> = (lost.first..lost.end)
        .flat_map(|record| (0..2).map(move |sample| format!("{record}-{sample}")))
        .collect();
    assert_eq!(failed.iter().map(|row| row["id"].as_str().unwrap()).collect::<Vec<_>>(), ids);
    assert!(failed[0].to_string().contains("shard"), "{}", failed[0]);
    assert!(failed[0]["product"].is_string() && failed[0]["tone"].is_string());

    let retry = place.prepare(1, 3);
    assert_eq!(retry.finished, 40);
    for index in 0..retry.plan.shards.len() as u32 {
        place.work(&server.url(), 1, index, &options()).await.0.unwrap();
    }
    let finished = place.finalize(Missing::Refuse).unwrap();
    assert_eq!(finished.report.digest, expected.report.digest);
    assert_eq!(finished.verdict, expected.verdict);
}

#[tokio::test]
async fn a_target_belongs_to_one_job() {
    let place = Place::new(value(3, 1));
    place.prepare(0, 1);
    let sharding = Sharding { attempt: 0, shards: 1 };
    let other = "GenerationJob default/test (2)";
    let prepared =
        steps::prepare(&place.job, &models(), &place.source, &*place.store, other, sharding);
    let error = prepared.unwrap_err();
    assert_eq!((error.reason(), error.exit_code()), ("TargetInUse", 2));
    assert!(error.to_string().contains(OWNER), "{error}");
    let error = steps::part(&place.job, &models(), &*place.store, other, 0, 0).unwrap_err();
    assert_eq!(error.reason(), "TargetInUse");
}

#[tokio::test]
async fn what_repeats_fails_its_row_and_what_concerns_the_model_ends_the_run() {
    let place = Place::new({
        let mut value = value(3, 1);
        value["source"]["inline"]["records"][1]["product"] = json!("refuse");
        value
    });
    place.prepare(0, 1);
    let server = Server::start(Behaviour::default()).await;
    let (done, progress) = place.work(&server.url(), 0, 0, &options()).await;
    done.unwrap();
    assert_eq!(Progress::get(&progress.failed), 1);
    place.finalize(Missing::Refuse).unwrap();
    let failed = place.lines("failed.jsonl");
    assert!(failed[0].to_string().contains("(400): prompt is longer than"), "{}", failed[0]);

    let place = Place::new(value(3, 1));
    place.prepare(0, 1);
    for (status, reason, code) in [
        (412, "ModelChanged", 2),
        (404, "ModelNotFound", 2),
        (401, "ModelUnauthorized", 1),
        (301, "ModelNotFound", 2),
    ] {
        let always = Some((status, json!({"error": {"message": "no"}})));
        let server = Server::start(Behaviour { always, ..Behaviour::default() }).await;
        let error = place.work(&server.url(), 0, 0, &options()).await.0.unwrap_err();
        assert_eq!((error.reason(), error.exit_code()), (reason, code), "{status}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for_and_a_stop_ends_the_wait() {
    let place = Place::new(value(3, 1));
    place.prepare(0, 1);
    // A port that nobody listens on, until somebody does.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}");
    let stopped = options();
    let cancel = stopped.cancel.clone();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cancel.cancel();
    };
    let ((done, _), ()) = tokio::join!(place.work(&url, 0, 0, &stopped), stop);
    assert_eq!(done.unwrap_err().exit_code(), 130);

    let start = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        Server::start_at(listener, Behaviour::default())
    };
    let options = options();
    let ((done, progress), server) = tokio::join!(place.work(&url, 0, 0, &options), start);
    done.unwrap();
    assert_eq!(Progress::get(&progress.finished), 3);
    drop(server);
}

#[tokio::test]
async fn concurrency_can_be_raised_while_rows_run() {
    let place = Place::new(value(64, 1));
    place.prepare(0, 1);
    let server = Server::start(Behaviour::default()).await;
    let options = Options::new(1, Cancel::new());
    let raise = async {
        while server.parrots.answered.load(Ordering::Relaxed) < 4 {
            tokio::task::yield_now().await;
        }
        options.concurrency.set(8);
    };
    let url = server.url();
    let ((done, progress), ()) = tokio::join!(place.work(&url, 0, 0, &options), raise);
    done.unwrap();
    assert_eq!((options.concurrency.get(), Progress::get(&progress.finished)), (8, 64));
}
