//! The operator's program: arguments, logs, signals.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use textnlp_operator::config::{Args, Config};
use textnlp_operator::run::run;
use textnlp_operator::traces::Traces;
use textnlp_telemetry::{log, trace};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let args = Args::parse();
    let filter = match EnvFilter::try_new(&args.log) {
        Ok(filter) => filter,
        Err(error) => {
            // There are no logs yet.
            let _ = writeln!(std::io::stderr(), "textnlp-operator: --log {:?}: {error}", args.log);
            return ExitCode::FAILURE;
        }
    };
    log::init(filter, args.log_format);
    // The last spans are sent when all else has ended.
    let _tracing = match trace::start("textnlp-operator") {
        Ok(tracing) => tracing,
        Err(error) => return fail(&error.to_string()),
    };
    let config = match Config::new(&args, std::env::var("HOSTNAME").ok()) {
        Ok(config) => config,
        Err(error) => return fail(&error.to_string()),
    };
    let config = match Traces::of(|name| std::env::var(name).ok()) {
        Ok(traces) => Config { traces, ..config },
        Err(error) => return fail(&error.to_string()),
    };
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(serve(config)),
        Err(error) => fail(&format!("no threads: {error}")),
    }
}

async fn serve(config: Config) -> ExitCode {
    let stop = CancellationToken::new();
    if let Err(error) = stop_on_signal(stop.clone()) {
        return fail(&format!("signals cannot be handled: {error}"));
    }
    match run(config, stop).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

/// SIGTERM (the kubelet) and SIGINT (a terminal) stop the operator.
fn stop_on_signal(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        stop.cancel();
    });
    Ok(())
}

fn fail(message: &str) -> ExitCode {
    tracing::error!("{message}");
    ExitCode::FAILURE
}
