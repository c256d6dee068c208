//! `textnlp worker`: one shard of a job, over HTTP, with `/metrics` beside it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use textnlp_crds::task::{Generated, Termination};
use textnlp_generation::metrics::{self, WorkerMetrics};
use textnlp_generation::rows::Options;
use textnlp_generation::steps::{self, Part};
use textnlp_generation::task::{Connected, RowLimit, Task};
use textnlp_generation::{Cancel, Concurrency, Error, Progress};
use textnlp_telemetry::trace::TraceContext;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::args::pods::WorkerArgs;
use crate::commands::run::interrupted;
use crate::failure::Failure;

/// Threads for requests; rows only wait for answers.
const THREADS: usize = 2;
/// How often the log tells how far the shard is.
const TOLD: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &WorkerArgs) -> Result<(), Failure> {
    super::answer(&args.job.pod, start(args))
}

fn start(args: &WorkerArgs) -> Result<Termination, Error> {
    let task = super::read(&args.job)?;
    let store = task.store()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(|error| Error::Internal(format!("no threads: {error}")))?;
    let part =
        steps::part(&task.job, &task.models, &*store, &task.owner, task.told.attempt, args.index)?;
    let progress = Arc::new(Progress::default());
    let mut span = super::step(&task, "shard");
    span.set("textnlp.shard", i64::from(args.index));
    let trace = span.context().clone();
    // Whatever still runs after the last row (a scrape, a lookup) is not waited for.
    let work = work(args, &task, &part, &*store, progress.clone(), trace.clone());
    let worked = runtime.block_on(work.instrument(trace.log()));
    runtime.shutdown_background();
    super::told(&mut span, worked)?;
    drop(span);
    let count = |counter| i64::try_from(Progress::get(counter)).unwrap_or(i64::MAX);
    Ok(Termination::Generated(Generated {
        shard: i32::try_from(args.index).unwrap_or(i32::MAX),
        rows: count(&progress.finished),
        failed: count(&progress.failed),
    }))
}

async fn work(
    args: &WorkerArgs,
    task: &Task,
    part: &Part,
    store: &dyn textnlp_dataset::store::Store,
    progress: Arc<Progress>,
    trace: TraceContext,
) -> Result<(), Error> {
    let cancel = Cancel::new();
    listen(cancel.clone());
    let metrics = Arc::new(WorkerMetrics::new(progress.clone()));
    let mut beside = JoinSet::new();
    beside.spawn(serve(args.metrics_listen, metrics.clone()));
    let connected = task.connect(&metrics.requests(), &cancel).await?;
    let limit = task.row_limit();
    let concurrency = Concurrency::new(limit.rows(ready(&connected)));
    follow(&mut beside, limit, &connected, &concurrency);
    beside.spawn(tell(progress.clone(), args.index));
    tracing::info!(
        shard = args.index,
        records = format!("{}..{}", part.shard.first, part.shard.end),
        rows = part.shard.rows,
        concurrency = concurrency.get(),
        "working"
    );
    let grace = Some(Duration::from_secs(args.grace.into()));
    let options = Options { grace, trace, ..Options::new(concurrency, cancel) };
    // `beside` ends with this function.
    steps::work(task.job.clone(), connected.models, store, part, progress, &options).await
}

/// Ready pods of all models.
fn ready(connected: &Connected) -> usize {
    connected.completers.iter().filter_map(|c| c.ready()).map(|pods| pods.borrow().len()).sum()
}

/// Keeps as many rows in flight as the ready pods can hold.
fn follow(
    beside: &mut JoinSet<()>,
    limit: RowLimit,
    connected: &Connected,
    concurrency: &Concurrency,
) {
    let all: Vec<_> = connected.completers.iter().filter_map(|c| c.ready()).collect();
    for one in &all {
        let (mut changes, all, concurrency) = (one.clone(), all.clone(), concurrency.clone());
        beside.spawn(async move {
            while changes.changed().await.is_ok() {
                let pods = all.iter().map(|pods| pods.borrow().len()).sum();
                concurrency.set(limit.rows(pods));
                tracing::info!(pods, concurrency = concurrency.get(), "the model's pods changed");
            }
        });
    }
}

/// SIGTERM lets the running rows finish for a while; a second one ends the process.
fn listen(cancel: Cancel) {
    tokio::spawn(async move {
        interrupted().await;
        tracing::warn!("stopping: running rows are finished and kept");
        cancel.cancel();
        interrupted().await;
        std::process::exit(130);
    });
}

/// Tells now and then how far the shard is.
async fn tell(progress: Arc<Progress>, shard: u32) {
    loop {
        tokio::time::sleep(TOLD).await;
        tracing::info!(
            shard,
            rows = Progress::get(&progress.rows),
            kept = Progress::get(&progress.kept),
            finished = Progress::get(&progress.finished),
            failed = Progress::get(&progress.failed),
            completion_tokens = Progress::get(&progress.completion_tokens),
            "rows"
        );
    }
}

/// Answers `/metrics`. The shard does not depend on it.
async fn serve(address: std::net::SocketAddr, metrics: Arc<WorkerMetrics>) {
    let answer = move || {
        let metrics = metrics.clone();
        async move { page(&metrics) }
    };
    let app = Router::new().route("/metrics", get(answer));
    let served = match TcpListener::bind(address).await {
        Ok(listener) => axum::serve(listener, app).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::warn!("no /metrics at {address}: {error}");
    }
}

fn page(metrics: &WorkerMetrics) -> Response {
    match metrics.render() {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
