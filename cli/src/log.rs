//! The log on stderr: quiet beside a command's result, told from the start where a process runs unattended.

use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How lines of the log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// The log of a command that a person has typed.
pub(crate) fn init_quiet() {
    init("warn", LogFormat::Text);
}

/// The log of a server or a pod.
pub(crate) fn init_told(format: LogFormat) {
    init("info", format);
}

/// `TEXTNLP_LOG` says what is logged, or else `level`.
fn init(level: &str, format: LogFormat) {
    let filter = EnvFilter::try_from_env("TEXTNLP_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}
