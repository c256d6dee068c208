//! `textnlp serve`: the inference server in this process, until SIGTERM or Ctrl-C.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use textnlp_crds::task::{TERMINATION_FILE, TaskFailure, Termination};
use textnlp_engine::engine::{EngineConfig, LoadOptions};
use textnlp_inference_server::{ModelSettings, ServeError, ServerConfig, Stop};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::serve::ServeArgs;
use crate::cache;
use crate::failure::Failure;
use crate::formats::Formats;
use crate::termination;

/// How long a step may take while prompts are being read: other clients' tokens wait for it.
const STEP: Duration = Duration::from_millis(50);
/// Threads that serve connections; the engine has its own.
const HTTP_THREADS: usize = 2;

pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    serve(args).map_err(|(reason, failure)| {
        let message = failure.message.clone().unwrap_or_default();
        let failed = Termination::Failed(TaskFailure { reason: reason.to_owned(), message });
        termination::write(Path::new(TERMINATION_FILE), &failed);
        failure
    })
}

/// What went wrong: a reason for the operator, and what the user gets.
type Failed = (&'static str, Failure);

fn serve(args: &ServeArgs) -> Result<(), Failed> {
    let formats = args.formats.formats().map_err(|failure| ("UnsupportedEngine", failure))?;
    let failed = |error: std::io::Error| ("ServerFailed", Failure::failed(error));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(HTTP_THREADS)
        .enable_all()
        .build()
        .map_err(failed)?;
    let served = runtime.block_on(async {
        let listener = TcpListener::bind(args.listen).await.map_err(|error| {
            let message = format!("cannot listen on {}: {error}", args.listen);
            ("AddressUnavailable", Failure::failed(message))
        })?;
        let shutdown = stop_signal(Duration::from_secs(args.drain_grace.into())).map_err(failed)?;
        let settings = settings(args, formats);
        let load = move |loading: &_| settings.load(loading);
        textnlp_inference_server::run(listener, config(args), load, shutdown).await.map_err(refused)
    });
    // A thread that still reads weights is not waited for.
    runtime.shutdown_background();
    match served? {
        drained if drained.cut > 0 => {
            let cut = drained.cut;
            crate::note(&format!("{cut} connections were cut: --drain-seconds was too short"));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Completions computed or waiting at once.
fn capacity(args: &ServeArgs) -> usize {
    usize::from(args.max_sequences) + usize::from(args.queue)
}

fn settings(args: &ServeArgs, Formats { precision, kv_cache }: Formats) -> ModelSettings {
    let size = |tokens: Option<u32>| tokens.map(|tokens| tokens as usize);
    let engine = EngineConfig {
        max_context_tokens: size(args.max_context_tokens),
        max_sequences: args.max_sequences.into(),
        max_batch_tokens: size(args.max_batch_tokens),
        step: STEP,
        queue: capacity(args),
        speculation: args.speculation.speculation(),
        ..EngineConfig::default()
    };
    ModelSettings {
        path: args.model.clone(),
        precision,
        kv_cache,
        expect_digest: args.expect_digest.clone(),
        cache: cache::of(&args.cache),
        options: LoadOptions { threads: args.engine.threads.map(usize::from), engine },
    }
}

fn config(args: &ServeArgs) -> ServerConfig {
    let name = args.name.clone().unwrap_or_else(|| {
        let path = &args.model;
        let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
        name.unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    });
    let patience = Duration::from_secs(args.client_seconds.into());
    ServerConfig {
        capacity: capacity(args),
        sequences: args.max_sequences.into(),
        connections: args.max_connections.into(),
        request_limit: args.request_seconds.map(|seconds| Duration::from_secs(seconds.into())),
        header_timeout: patience,
        body_timeout: patience,
        answer_timeout: patience,
        body_limit: args.max_body_bytes as usize,
        drain_limit: Duration::from_secs(args.drain_seconds.into()),
        allowed_origins: args.allowed_origins.clone(),
        keys: args.access.keys.clone(),
        oidc: args.access.oidc(),
        kubernetes: args.access.kubernetes(),
        tls: args.tls.tls(),
        ..ServerConfig::new(name)
    }
}

/// A server that has no model: 2 if it never will.
fn refused(error: ServeError) -> Failed {
    match &error {
        ServeError::Load(load) if load.is_permanent() => (load.reason(), Failure::usage(&error)),
        ServeError::Load(load) => (load.reason(), Failure::failed(&error)),
        ServeError::Keys { .. } => ("InvalidKeys", Failure::usage(&error)),
        ServeError::Certificate { .. } => ("InvalidCertificate", Failure::usage(&error)),
        ServeError::Access(_) => ("InvalidAccess", Failure::usage(&error)),
        ServeError::Start(_) => ("ServerFailed", Failure::failed(&error)),
    }
}

/// Ready at the first signal. A cluster sends SIGTERM, and requests still come for a while; Ctrl-C is a person's. A
/// second signal ends the process at once.
fn stop_signal(grace: Duration) -> std::io::Result<impl Future<Output = Stop>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let stop = tokio::select! {
            _ = terminate.recv() => Stop { grace },
            _ = interrupt.recv() => Stop { grace: Duration::ZERO },
        };
        tokio::spawn(exit_at_next(terminate, interrupt));
        stop
    })
}

async fn exit_at_next(mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    crate::note("stopped by a second signal; running requests are cut");
    std::process::exit(130);
}

#[cfg(test)]
mod tests {
    use textnlp_engine::models::{KvPrecision, Precision};
    use textnlp_inference_server::{OidcConfig, TlsConfig};

    use super::*;
    use clap::Parser;

    use crate::args::{Cli, Command};

    fn args(extra: &[&str]) -> ServeArgs {
        let all = ["textnlp", "serve", "--model", "models/smollm2.gguf"].iter().chain(extra);
        match Cli::try_parse_from(all).expect("valid arguments").command {
            Command::Serve(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_name_is_the_files_unless_one_is_given() {
        assert_eq!(config(&args(&[])).model_name, "smollm2");
        assert_eq!(config(&args(&["--name", "m"])).model_name, "m");
    }

    #[test]
    fn the_flags_are_those_of_the_manifest() {
        let given = args(&[
            "--max-context-tokens",
            "100",
            "--max-batch-tokens",
            "32",
            "--max-sequences",
            "4",
            "--queue",
            "6",
            "--threads",
            "3",
            "--quantization",
            "Int8",
            "--kv-cache",
            "int8",
            "--no-speculation",
        ]);
        let formats = given.formats.formats().expect("this build computes in them");
        let expect = Formats { precision: Precision::Int8, kv_cache: KvPrecision::Int8 };
        assert_eq!(formats, expect);
        let ModelSettings { precision, kv_cache, options, .. } = settings(&given, formats);
        assert_eq!(Formats { precision, kv_cache }, expect);
        let LoadOptions { threads, engine } = options;
        assert_eq!((threads, engine.max_context_tokens), (Some(3), Some(100)));
        assert_eq!((engine.max_batch_tokens, engine.max_sequences), (Some(32), 4));
        assert_eq!((engine.queue, config(&given).capacity), (10, 10));
        assert!(!engine.speculation);
        assert!(settings(&args(&[]), Formats::default()).options.engine.speculation);
    }

    #[test]
    fn who_may_call_is_as_the_flags_say() {
        let none = config(&args(&[]));
        assert_eq!((none.keys, none.oidc, none.kubernetes, none.tls), (None, None, None, None));
        let oidc = ["--oidc-issuer", "https://a.example", "--oidc-audience", "b"];
        let found = config(&args(&oidc)).oidc;
        assert_eq!(found, Some(OidcConfig::new("https://a.example", "b")));
        let more = ["--oidc-algorithms", "EdDSA,PS256", "--oidc-scope-prefix", "api:"];
        let found = config(&args(&[oidc, more].concat())).oidc.expect("it is on");
        let names: Vec<String> = found.algorithms.iter().map(ToString::to_string).collect();
        assert_eq!((names.join(" "), found.scope_prefix), ("EdDSA PS256".into(), "api:".into()));
        let found = config(&args(&["--kubernetes-access", "shop/smollm2"])).kubernetes;
        let found = found.expect("it is on");
        assert_eq!((&*found.namespace, &*found.name), ("shop", "smollm2"));
        assert_eq!((&*found.audience, found.api_server), ("textnlp.dev", None));
        let found = config(&args(&["--tls-certificate", "c.pem", "--tls-key", "k.pem"])).tls;
        assert_eq!(found, Some(TlsConfig { certificate: "c.pem".into(), key: "k.pem".into() }));
    }

    #[test]
    fn flags_of_access_that_would_let_in_others_than_meant_are_refused() {
        for flags in [
            &["--oidc-issuer", "https://a.example"][..],
            &["--oidc-audience", "b"],
            &["--oidc-algorithms", "RS256"],
            &[
                "--oidc-issuer",
                "https://a.example",
                "--oidc-audience",
                "b",
                "--oidc-algorithms",
                "HS256",
            ],
            &[
                "--oidc-issuer",
                "https://a.example",
                "--oidc-audience",
                "b",
                "--oidc-algorithms",
                "RS256,none",
            ],
            &[
                "--oidc-issuer",
                "https://a.example",
                "--oidc-audience",
                "b",
                "--oidc-algorithms",
                "",
            ],
            &["--kubernetes-access", "smollm2"],
            &["--kubernetes-access", "/smollm2"],
            &["--kubernetes-access", "shop/a/b"],
            &["--kubernetes-audience", "b"],
            &["--tls-certificate", "c.pem"],
            &["--tls-key", "k.pem"],
        ] {
            let all = ["textnlp", "serve", "--model", "m"].iter().chain(flags);
            assert!(Cli::try_parse_from(all).is_err(), "{flags:?}");
        }
    }

    #[test]
    fn every_limit_has_a_default_and_a_flag() {
        let limits = |extra: &[&str]| {
            let config = config(&args(extra));
            let times = [config.header_timeout, config.body_timeout, config.answer_timeout];
            let counts = (config.capacity, config.sequences, config.connections);
            (counts, config.body_limit, times.map(|time| time.as_secs()), config.request_limit)
        };
        assert_eq!(limits(&[]), ((320, 64, 4096), 4 << 20, [30; 3], None));
        let flags = [
            "--max-sequences",
            "4",
            "--queue",
            "6",
            "--max-connections",
            "50",
            "--client-seconds",
            "5",
            "--request-seconds",
            "600",
            "--max-body-bytes",
            "2048",
        ];
        let request = Some(Duration::from_secs(600));
        assert_eq!(limits(&flags), ((10, 4, 50), 2048, [5; 3], request));
    }

    #[test]
    fn a_format_that_this_build_does_not_compute_in_is_refused() {
        let failure = args(&["--dtype", "bf16"]).formats.formats().expect_err("not built");
        let expect = "--dtype is BF16: this build does not compute in it; use Auto or F32";
        assert_eq!((failure.code, failure.message.as_deref()), (2, Some(expect)));
        assert!(args(&["--dtype", "F32", "--quantization", "Int8"]).formats.formats().is_err());
        let check = |flags: &[&str], precision, kv_cache| {
            assert_eq!(args(flags).formats.formats().ok(), Some(Formats { precision, kv_cache }));
        };
        check(&["--quantization", "None"], Precision::F32, KvPrecision::AsWeights);
        check(&["--kv-cache", "BF16"], Precision::AsStored, KvPrecision::Bf16);
        check(&[], Precision::AsStored, KvPrecision::AsWeights);
    }
}
