//! The log on stderr: text for people, or one JSON object a line. `docs/logs.md` states the schema.

mod json;

use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::JsonFields;

pub use self::json::Json;

/// How lines of the log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line
    Json,
    /// For people
    Text,
}

/// Starts the log. To be called once, before anything is logged.
pub fn init(filter: EnvFilter, format: LogFormat) {
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    match format {
        LogFormat::Json => log.fmt_fields(JsonFields::new()).event_format(Json).init(),
        LogFormat::Text => {
            let is_colored = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            log.with_ansi(is_colored).init();
        }
    }
}
