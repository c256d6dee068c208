//! What a user can type behind `textnlp serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use http::HeaderValue;

use super::access::{AccessArgs, TlsArgs};
use super::formats::FormatArgs;
use super::{CacheArgs, EngineArgs, SpeculationArgs};
use textnlp_telemetry::log::LogFormat;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Model file or directory
    #[arg(long, value_name = "PATH")]
    pub(crate) model: PathBuf,
    /// Name by which requests ask for the model [default: the file's or directory's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Address and port of the API
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    pub(crate) listen: SocketAddr,
    /// Serve the model only if it has this digest, as `textnlp model inspect` prints it
    #[arg(long, value_name = "sha256:…", value_parser = digest)]
    pub(crate) expect_digest: Option<String>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) speculation: SpeculationArgs,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// Most tokens of prompt and completion together [default: the model's own context]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1_048_576))]
    pub(crate) max_context_tokens: Option<u32>,
    /// Most tokens that one step computes [default: 512]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub(crate) max_batch_tokens: Option<u32>,
    /// Most completions that are computed together
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) max_sequences: u16,
    /// Most completions that wait beside those; further requests get 429
    #[arg(long, value_name = "N", default_value = "256", value_parser = clap::value_parser!(u16).range(1..=16_384))]
    pub(crate) queue: u16,
    /// Longest time of a request, from its coming to its last token [default: as long as it takes]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=604_800))]
    pub(crate) request_seconds: Option<u32>,
    /// Most connections; further ones wait to be accepted
    #[arg(long, value_name = "N", default_value = "4096", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_connections: u16,
    /// How long a client may take to send a request's head, to send its body, and to read on in an answer
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub(crate) client_seconds: u16,
    #[command(flatten)]
    pub(crate) formats: FormatArgs,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// Let pages of this origin, like https://chat.example.com, read answers; can be given several times [default: none]
    #[arg(long = "allow-origin", value_name = "ORIGIN", value_parser = origin)]
    pub(crate) allowed_origins: Vec<HeaderValue>,
    /// Most bytes of a request's body
    #[arg(long, value_name = "BYTES", default_value = "4194304", value_parser = clap::value_parser!(u32).range(1024..))]
    pub(crate) max_body_bytes: u32,
    /// After SIGTERM, new requests are served for so long, until those who send them know that this server leaves
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = clap::value_parser!(u16).range(0..=3600))]
    pub(crate) drain_grace: u16,
    /// After that, running requests get so long to finish
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = clap::value_parser!(u16).range(0..=3600))]
    pub(crate) drain_seconds: u16,
    /// Format of the log on stderr
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// A digest as it is written: 64 lower-case digits.
fn digest(text: &str) -> Result<String, String> {
    let hash = text.strip_prefix("sha256:").unwrap_or_default();
    let is_hash = hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match is_hash {
        true => Ok(text.to_owned()),
        false => Err("a digest is sha256: and 64 lower-case hexadecimal digits".to_owned()),
    }
}

/// An origin as browsers send it: scheme, host, and port where it is not the usual one.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let site = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_origin = site.is_some_and(|site| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
        !site.is_empty()
            && site.bytes().all(allowed)
            && !site.bytes().any(|b| b.is_ascii_uppercase())
    });
    match HeaderValue::from_str(text) {
        Ok(value) if is_origin => Ok(value),
        _ => Err("an origin is http:// or https://, a host in lower case, and a port where needed; no path, no *".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for text in ["https://chat.example.com", "http://localhost:3000", "http://[::1]:80"] {
            assert!(origin(text).is_ok(), "{text}");
        }
        for text in [
            "*",
            "null",
            "chat.example.com",
            "https://",
            "https://A.example",
            "https://a/",
            "https://*.a",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }
}
