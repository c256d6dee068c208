//! The operator's program: arguments, logs, signals.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use textnlp_operator::config::{Args, Config, LogFormat};
use textnlp_operator::run::run;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let filter = match EnvFilter::try_new(&args.log) {
        Ok(filter) => filter,
        Err(error) => {
            // There are no logs yet.
            let _ = writeln!(std::io::stderr(), "textnlp-operator: --log {:?}: {error}", args.log);
            return ExitCode::FAILURE;
        }
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Json => logs.json().flatten_event(true).init(),
        LogFormat::Text => logs.init(),
    }
    let config = match Config::new(&args, std::env::var("HOSTNAME").ok()) {
        Ok(config) => config,
        Err(error) => return fail(&error.to_string()),
    };
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
