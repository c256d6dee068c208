//! The server's life: it answers probes while the model loads, serves, leaves, drains, and ends.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use textnlp_engine::engine::LanguageModel;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::access::{Access, Keys, Kubernetes, Oidc, reload};
use crate::admission::Admission;
use crate::answer::unix_seconds;
use crate::config::ServerConfig;
use crate::connection::Acceptor;
use crate::loading::{LoadError, LoadPhase, Loading, warm_up};
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::routes::{AppState, router};
use crate::rows::RowThreads;
use crate::served::Served;
use crate::tls::Tls;

/// How a server is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// How long new requests are still served: until those who send them have learnt that this server leaves.
    pub grace: Duration,
}

/// How a server has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut because their requests took longer than the limit.
    pub cut: usize,
}

/// Why a server ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is no model to serve.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The file of keys cannot be read.
    #[error("the keys in {}: {message}", path.display())]
    Keys {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The certificate or its key cannot be used.
    #[error("TLS: {}: {message}", path.display())]
    Certificate {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The issuer or the cluster that say who may call cannot be asked.
    #[error("{0}")]
    Access(String),
    /// The listener has no address, or the operating system gives no thread for loading.
    #[error("cannot start the server: {0}")]
    Start(#[from] std::io::Error),
}

/// Serves until `shutdown` says to stop, and the running requests have finished.
///
/// `load` runs on a thread of its own while `/healthz`, `/readyz` and `/metrics` answer already.
///
/// # Errors
/// The model cannot be loaded.
pub async fn run<L>(
    listener: TcpListener,
    config: ServerConfig,
    load: L,
    shutdown: impl Future<Output = Stop>,
) -> Result<Drained, ServeError>
where
    L: FnOnce(&Loading) -> Result<LanguageModel, LoadError> + Send + 'static,
{
    let (keys, text) = read_keys(&config)?.unzip();
    let access = Arc::new(open_access(keys, &config)?);
    let tls = config.tls.as_ref().map(Tls::open).transpose()?.map(Arc::new);
    let scheme = if tls.is_some() { "https" } else { "http" };
    tracing::info!("listening on {scheme}://{}", listener.local_addr()?);
    let config = Arc::new(config);
    let readiness = Arc::new(Readiness::default());
    let now = Instant::now();
    let admission = Arc::new(Admission::new(config.capacity, config.sequences));
    let line = Arc::clone(admission.line());
    let metrics = Arc::new(Metrics::new(&config.model_name, Arc::clone(&readiness), line, now));
    let loading = Loading::new(Arc::clone(&readiness), Arc::clone(&metrics));
    // They end with the server: a file that changes then changes nothing.
    let mut watching = JoinSet::new();
    watching.spawn(Arc::clone(&access).keep_fresh());
    if let Some(tls) = &tls {
        watching.spawn(Arc::clone(tls).keep_fresh());
    }
    if let (Some(path), Some(text)) = (config.keys.clone(), text) {
        watching.spawn(reload(path, Arc::clone(&access), text));
    }
    let state = AppState {
        config: Arc::clone(&config),
        readiness,
        metrics,
        admission,
        access,
        sockets: TaskTracker::new(),
        is_local: listener.local_addr()?.ip().is_loopback(),
        rows: Arc::new(RowThreads::new()?),
    };
    let acceptor = Acceptor::new(listener, router(state.clone()), tls, &config);
    let (close, closing) = watch::channel(false);
    let connections = TaskTracker::new();

    let loaded = load_on_thread(loading, state.clone(), load)?;
    let stop = tokio::select! {
        () = acceptor.run(&connections, &closing) => Stop { grace: Duration::ZERO },
        failed = failure(loaded) => return Err(failed.into()),
        stop = shutdown => stop,
    };

    state.readiness.leave();
    // A server that never was ready gets no requests either.
    if state.readiness.served().is_some() {
        let grace_seconds = stop.grace.as_secs();
        tracing::info!(grace_seconds, "leaving: new requests are still served");
        let _ = tokio::time::timeout(stop.grace, acceptor.run(&connections, &closing)).await;
    }

    state.readiness.drain();
    tracing::info!("draining: new requests are refused");
    let _ = close.send(true);
    connections.close();
    state.sockets.close();
    // Those who come now get their 503, and are not waited for.
    let late = TaskTracker::new();
    let (_never, open) = watch::channel(false);
    let drained = tokio::select! {
        () = acceptor.run(&late, &open) => false,
        () = async { tokio::join!(connections.wait(), state.sockets.wait()); } => true,
        () = tokio::time::sleep(config.drain_limit) => false,
    };
    let cut = if drained { 0 } else { connections.len() + state.sockets.len() };
    stop_engine(&state).await;
    Ok(Drained { cut })
}

/// Those who say who may call.
fn open_access(keys: Option<Keys>, config: &ServerConfig) -> Result<Access, ServeError> {
    let oidc = config.oidc.as_ref().map(Oidc::new).transpose();
    let kubernetes = config.kubernetes.as_ref().map(Kubernetes::new).transpose();
    Ok(Access::new(
        keys,
        oidc.map_err(ServeError::Access)?,
        kubernetes.map_err(ServeError::Access)?,
    ))
}

/// The keys of a file, and its text. Where somebody else says who may call too, a file that is not there yet has no keys: an optional
/// Secret is mounted when it is made.
fn read_keys(config: &ServerConfig) -> Result<Option<(Keys, String)>, ServeError> {
    let Some(path) = config.keys.as_deref() else { return Ok(None) };
    let failed = |message: String| ServeError::Keys { path: path.to_owned(), message };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound
                && (config.oidc.is_some() || config.kubernetes.is_some()) =>
        {
            tracing::info!("there are no keys in {} yet", path.display());
            return Ok(Some((Keys::default(), String::new())));
        }
        Err(error) => return Err(failed(error.to_string())),
    };
    let keys = Keys::parse(&text).map_err(|error| failed(error.to_string()))?;
    Ok(Some((keys, text)))
}

/// The error of loading; pending for ever once the model is loaded.
async fn failure(loaded: oneshot::Receiver<Result<(), LoadError>>) -> LoadError {
    match loaded.await {
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) => error,
        Err(_) => LoadError::Thread,
    }
}

/// Loads the model and makes it ready. The thread is not waited for: one that reads a huge file must not hold up an end.
fn load_on_thread<L>(
    loading: Loading,
    state: AppState,
    load: L,
) -> Result<oneshot::Receiver<Result<(), LoadError>>, std::io::Error>
where
    L: FnOnce(&Loading) -> Result<LanguageModel, LoadError> + Send + 'static,
{
    let (sender, loaded) = oneshot::channel();
    let work = move || {
        let begun = Instant::now();
        let result = load(&loading).and_then(|model| {
            loading.phase(LoadPhase::Warmup, || warm_up(&model))?;
            Ok(model)
        });
        let result = result.map(|model| {
            state.metrics.loaded("total", begun.elapsed());
            let name = state.config.model_name.clone();
            let served = Served::new(name, model, unix_seconds());
            let info = served.model.info();
            tracing::info!(
                model = served.name,
                digest = info.digest,
                numerics = info.numerics,
                seconds = begun.elapsed().as_secs_f64(),
                "ready"
            );
            state.readiness.ready(Arc::new(served));
        });
        // Nobody waits any more only when the server has ended.
        let _ = sender.send(result);
    };
    thread::Builder::new().name("load".to_owned()).spawn(work)?;
    Ok(loaded)
}

/// Ends the engine's thread, which finishes its step first.
async fn stop_engine(state: &AppState) {
    if let Some(served) = state.readiness.served().cloned() {
        let stopped = tokio::task::spawn_blocking(move || served.model.engine().shutdown()).await;
        if let Err(error) = stopped {
            tracing::error!("stopping the engine failed: {error}");
        }
    }
}
