//! The log on stderr: quiet beside a command's result, told from the start where a process runs unattended.

use textnlp_telemetry::log::{self, LogFormat};
use tracing_subscriber::EnvFilter;

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
    log::init(
        EnvFilter::try_from_env("TEXTNLP_LOG").unwrap_or_else(|_| EnvFilter::new(level)),
        format,
    );
}
