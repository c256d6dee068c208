//! `textnlp run`: a GenerationJob in this process.

use std::sync::Arc;
use std::time::Duration;

use textnlp_generation::engine::EngineOptions;
use textnlp_generation::local::{self, Finished, Verdict};
use textnlp_generation::preview::{DryRun, dry_run, preview};
use textnlp_generation::rows::Options;
use textnlp_generation::{Cancel, Models, Progress, Report};
use textnlp_telemetry::trace::{Span, TraceContext};

use crate::args::RunArgs;
use crate::failure::Failure;
use crate::load::{LoadedJob, load};
use crate::progress::{duration, show};
use crate::{commands, note, print_json, print_text};

/// Rows in flight where the manifest does not say: what the engine's batches can hold.
const CONCURRENCY: usize = 64;

pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    let loaded = load(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1) // rows only wait for the engine, which has threads of its own
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    runtime.block_on(async {
        match (args.dry_run, args.preview) {
            (true, _) => look(args, loaded),
            (false, Some(rows)) => sample(args, loaded, rows.into()).await,
            (false, None) => whole(args, loaded).await,
        }
    })
}

async fn whole(args: &RunArgs, loaded: LoadedJob) -> Result<(), Failure> {
    let cancel = Cancel::new();
    listen_for_interrupts(cancel.clone());
    let store = loaded.output.open()?;
    if args.fresh {
        local::clear(&*store)?;
    }
    let concurrency =
        loaded.job.spec.execution.concurrency.map_or(CONCURRENCY, |c| c.unsigned_abs() as usize);
    let progress = Arc::new(Progress::default());
    let mut models = loaded.models;
    loaded.local.reach(&mut models, &cancel).await?;
    let mut span = Span::run("textnlp run", &TraceContext::of_environment());
    span.set("textnlp.job.name", loaded.job.name.clone());
    let trace = span.context().clone();
    let options = Options { trace, ..Options::new(concurrency, cancel) };
    let engine = engine_options(args, concurrency);
    let job = Arc::new(loaded.job);
    let finished = {
        let _shown = show(progress.clone());
        let connect = |models: &mut Models| loaded.local.load(models, engine);
        local::run(job.clone(), models, &loaded.source, &*store, progress, &options, connect)
            .await
            .inspect_err(|error| span.failed(error.reason()))?
    };
    drop(span);
    tell(args, &job.name, &finished);
    match finished.verdict {
        Verdict::Succeeded => Ok(()),
        Verdict::GateFailed => Err(Failure {
            code: 3,
            message: Some("a gate failed: the dataset is written, but does not pass".into()),
        }),
        Verdict::NoRows | Verdict::ShardsLost => {
            Err(Failure { code: 1, message: Some(no_rows(&finished.report)) })
        }
    }
}

fn no_rows(report: &Report) -> String {
    let mut text = "no row was accepted".to_owned();
    if let Some(failures) = report.failures.first() {
        text.push_str(&format!(
            "; {} rows failed at {}, first {}",
            failures.rows, failures.stage, failures.first
        ));
    }
    for rejection in report.rejections.iter().filter(|r| r.rows > 0) {
        text.push_str(&format!("; {} rows were rejected by {}", rejection.rows, rejection.filter));
    }
    text
}

fn engine_options(args: &RunArgs, concurrency: usize) -> EngineOptions {
    EngineOptions {
        threads: args.engine.threads.map(usize::from),
        sequences: concurrency,
        speculation: args.speculation.speculation(),
    }
}

/// The first Ctrl-C or SIGTERM lets the running rows finish; the second ends the process.
fn listen_for_interrupts(cancel: Cancel) {
    tokio::spawn(async move {
        interrupted().await;
        note("stopping: the running rows are finished and kept; once more to stop at once");
        cancel.cancel();
        interrupted().await;
        std::process::exit(130);
    });
}

#[cfg(unix)]
pub(crate) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

#[cfg(not(unix))]
pub(crate) async fn interrupted() {
    drop(tokio::signal::ctrl_c().await);
}

fn tell(args: &RunArgs, name: &str, finished: &Finished) {
    let report = &finished.report;
    if args.json {
        print_json(report);
        return;
    }
    let rows = &report.rows;
    let mut text = format!(
        "{name}: {} rows: {} accepted, {} rejected, {} failed\n",
        rows.requested, rows.accepted, rows.rejected, rows.failed
    );
    for rejection in report.rejections.iter().filter(|r| r.rows > 0) {
        text.push_str(&format!("  rejected by {}: {}\n", rejection.filter, rejection.rows));
    }
    for failures in &report.failures {
        text.push_str(&format!(
            "  failed at {}: {}, first {}\n",
            failures.stage, failures.rows, failures.first
        ));
    }
    if !report.scores.is_empty() {
        text.push('\n');
        text.push_str(&commands::validate::score_table(&report.scores, &report.distributions));
    }
    for sample in &report.samples {
        text.push('\n');
        for (field, value) in sample {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let indented = shown.trim().replace('\n', "\n            ");
            text.push_str(&format!("  {field:<9} {indented}\n"));
        }
    }
    let usage = &report.usage.total;
    text.push_str(&format!(
        "\n{} prompt and {} completion tokens in {} completions",
        usage.prompt_tokens, usage.completion_tokens, usage.requests
    ));
    if let Some(cost) = report.usage.cost_line() {
        text.push_str(&format!(" for {cost}"));
    }
    if !finished.was_finished && report.seconds > 0.0 {
        text.push_str(&format!(
            "; this run took {:.1} s ({:.2} rows/s)",
            report.seconds,
            rows.requested as f64 / report.seconds
        ));
    }
    let model =
        report.model.as_ref().map(|m| format!("model   {} {} {}\n", m.name, m.numerics, m.digest));
    text.push_str(&format!(
        "\n{}dataset {}\nin      {}\n",
        model.unwrap_or_default(),
        report.digest,
        report.output.directory
    ));
    print_text(&textnlp_dataset::display::terminal(&text));
    if finished.was_finished {
        note("this output was finished already; --fresh starts over");
    }
}

async fn sample(args: &RunArgs, loaded: LoadedJob, rows: usize) -> Result<(), Failure> {
    let mut models = loaded.models;
    loaded.local.reach(&mut models, &Cancel::new()).await?;
    loaded.local.load(&mut models, engine_options(args, rows))?;
    let made = preview(Arc::new(loaded.job), models, &loaded.source, rows).await?;
    if args.json {
        print_json(&made);
        return Ok(());
    }
    let mut text = String::new();
    for row in &made {
        text.push_str(&format!("── row {}\n", row.id));
        for (column, prompt) in &row.meta.prompts {
            match prompt.as_array() {
                Some(messages) => {
                    for message in messages {
                        let part = |key: &str| {
                            message.get(key).and_then(|v| v.as_str()).unwrap_or_default()
                        };
                        text.push_str(&format!(
                            "{column} ← {}: {}\n",
                            part("role"),
                            part("content")
                        ));
                    }
                }
                None => {
                    text.push_str(&format!("{column} ← {}\n", prompt.as_str().unwrap_or_default()))
                }
            }
        }
        for (name, value) in row.attributes.iter().chain(&row.columns) {
            text.push_str(&format!(
                "{name} = {}\n",
                value.as_str().map_or_else(|| value.to_string(), str::to_owned)
            ));
        }
        if let textnlp_dataset::Outcome::Failed { stage, message } = &row.outcome {
            text.push_str(&format!("failed at {stage}: {message}\n"));
        }
    }
    print_text(&textnlp_dataset::display::terminal(&text));
    Ok(())
}

fn look(args: &RunArgs, loaded: LoadedJob) -> Result<(), Failure> {
    let mut models = loaded.models;
    loaded.local.count(&mut models)?;
    let job = Arc::new(loaded.job);
    let result = dry_run(job, models, &loaded.source)?;
    let rate = loaded.local.measure(engine_options(args, CONCURRENCY))?;
    let seconds = rate.map(|r| r.seconds(result.prompt_tokens, result.max_completion_tokens));
    if args.json {
        let mut document = serde_json::to_value(&result).map_err(Failure::failed)?;
        document["maxSeconds"] = serde_json::json!(seconds);
        print_json(&document);
    } else {
        print_text(&textnlp_dataset::display::terminal(&dry_text(&result, seconds)));
    }
    Ok(())
}

fn dry_text(result: &DryRun, seconds: Option<f64>) -> String {
    let mut text = format!(
        "{} records, {} rows, {} completions\n{} prompt tokens, at most {} completion tokens\n",
        result.records,
        result.rows,
        result.requests,
        result.prompt_tokens,
        result.max_completion_tokens
    );
    for column in &result.unknown {
        text.push_str(&format!(
            "column {column} reads a generated column: its prompts are not known yet\n"
        ));
    }
    if let Some(seconds) = seconds {
        let time = duration(Duration::from_secs_f64(seconds));
        text.push_str(&format!("at most about {time} on this machine (measured just now; less where completions end early)\n"));
    }
    for prompt in &result.prompts {
        text.push_str(&format!("\n{prompt}\n"));
    }
    if result.failed > 0 {
        text.push_str(&format!("\n{} rows would fail:\n", result.failed));
        for failure in &result.failures {
            text.push_str(&format!("  {failure}\n"));
        }
    }
    text
}
