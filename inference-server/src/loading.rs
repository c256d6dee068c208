//! From a path to a model that has answered once. Reads files; runs on a thread of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

use textnlp_engine::engine::{
    Event, LanguageModel, LanguageModelError, LoadOptions, ModelCache, OpenModel, Request, RowError,
};
use textnlp_engine::model::ModelError;
use textnlp_engine::models::{KvPrecision, Precision};
use textnlp_engine::sampling::SamplingParams;
use textnlp_engine::weights::WeightsError;

use crate::metrics::Metrics;
use crate::readiness::Readiness;

/// A part of loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LoadPhase {
    /// The files are opened, checked and hashed.
    Open = 0,
    /// The weights are packed for the executor.
    Weights = 1,
    /// The engine answers its first request.
    Warmup = 2,
}

impl LoadPhase {
    /// As probes and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            LoadPhase::Open => "open",
            LoadPhase::Weights => "weights",
            LoadPhase::Warmup => "warmup",
        }
    }

    pub(crate) fn of(value: u8) -> Self {
        match value {
            0 => LoadPhase::Open,
            1 => LoadPhase::Weights,
            _ => LoadPhase::Warmup,
        }
    }
}

/// Tells probes and metrics how loading gets on.
#[derive(Debug, Clone)]
pub struct Loading {
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
}

impl Loading {
    pub(crate) fn new(readiness: Arc<Readiness>, metrics: Arc<Metrics>) -> Self {
        Self { readiness, metrics }
    }

    /// Runs a part of loading, and takes its time.
    pub fn phase<T>(&self, phase: LoadPhase, work: impl FnOnce() -> T) -> T {
        self.readiness.loading(phase);
        let begun = Instant::now();
        let done = work();
        self.metrics.loaded(phase.as_str(), begun.elapsed());
        done
    }
}

/// Which model is loaded, and how.
#[derive(Debug, Clone)]
pub struct ModelSettings {
    /// File or directory.
    pub path: PathBuf,
    /// The digest that it must have.
    pub expect_digest: Option<String>,
    /// What it is computed in.
    pub precision: Precision,
    /// What keys and values are kept in.
    pub kv_cache: KvPrecision,
    /// What is kept from one start to the next.
    pub cache: Option<ModelCache>,
    /// How it is loaded.
    pub options: LoadOptions,
}

impl ModelSettings {
    /// Opens the files, checks the digest and loads the weights.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(&self, loading: &Loading) -> Result<LanguageModel, LoadError> {
        let model = |source| LoadError::Model { path: self.path.clone(), source };
        let opened =
            loading.phase(LoadPhase::Open, || OpenModel::open_with(&self.path, self.cache.clone()));
        let opened = opened.map_err(model)?;
        let opened = opened.with_precision(self.precision).with_kv_cache(self.kv_cache);
        let found = &opened.info().digest;
        if let Some(expected) = self.expect_digest.as_ref().filter(|expected| *expected != found) {
            return Err(LoadError::Digest {
                path: self.path.clone(),
                expected: expected.clone(),
                found: found.clone(),
            });
        }
        loading.phase(LoadPhase::Weights, || opened.load(self.options.clone())).map_err(model)
    }
}

/// Why there is no model to serve.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The files are another model than the one that was asked for.
    #[error("{} has the digest {found}, {expected} was expected: the files are another model", path.display())]
    Digest {
        /// The file or directory.
        path: PathBuf,
        /// The digest that was asked for.
        expected: String,
        /// The files' digest.
        found: String,
    },
    /// The files, memory or threads.
    #[error("cannot load {}: {source}", path.display())]
    Model {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong.
        source: LanguageModelError,
    },
    /// The first request failed.
    #[error("the model is loaded, but its first step failed: {0}")]
    Warmup(RowError),
    /// The thread that loads ended early.
    #[error("loading the model ended without a result; the log says why")]
    Thread,
}

impl LoadError {
    /// The kind of error as one word, for conditions and termination messages.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Digest { .. } => "ModelChanged",
            Self::Model { source, .. } => match source {
                LanguageModelError::Weights(WeightsError::Io { .. }) => "ModelUnreadable",
                LanguageModelError::Model(ModelError::Memory { .. }) => "OutOfMemory",
                LanguageModelError::Model(ModelError::Device(_))
                | LanguageModelError::Engine(_) => "EngineFailed",
                _ => "InvalidModel",
            },
            Self::Warmup(error) if error.is_of_request() => "InvalidModel",
            Self::Warmup(_) | Self::Thread => "EngineFailed",
        }
    }

    /// Whether the same files and flags fail wherever and whenever they are tried.
    pub fn is_permanent(&self) -> bool {
        matches!(self.reason(), "ModelChanged" | "InvalidModel")
    }
}

/// One token, so that a model whose arithmetic fails never counts as ready.
pub(crate) fn warm_up(model: &LanguageModel) -> Result<(), LoadError> {
    let (sender, receiver) = mpsc::channel();
    let params = SamplingParams { max_tokens: 1, ..SamplingParams::default() };
    let request = Request { prompt: vec![0], params, seed: 0, choice: 0 };
    let sink = Box::new(move |event| {
        // Nobody waits any more only when the server is gone.
        let _ = sender.send(event);
    });
    let stopped = || LoadError::Warmup(RowError::Stopped(model.engine().stopped().flatten()));
    let _ticket = model.submit(request, sink).map_err(|_| stopped())?;
    loop {
        match receiver.recv() {
            Ok(Event::Begun { .. } | Event::Token { .. }) => {}
            Ok(Event::Finished(_)) => return Ok(()),
            Ok(Event::Failed(error)) => return Err(LoadError::Warmup(error)),
            Err(_) => return Err(stopped()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use textnlp_engine::engine::EngineError;

    #[test]
    fn only_what_would_fail_anywhere_is_permanent() {
        let model = |source| LoadError::Model { path: "m.gguf".into(), source };
        let io = WeightsError::Io { path: "m.gguf".into(), source: std::io::Error::other("stale") };
        let not = WeightsError::NotAModel { path: "m.gguf".into(), reason: "a text".into() };
        let kv = EngineError::KvMemory { found: 1, page_bytes: 2 };
        let memory = ModelError::Memory { pages: 1, page_bytes: 2 };
        let digest = LoadError::Digest {
            path: "m.gguf".into(),
            expected: "sha256:00".into(),
            found: "sha256:01".into(),
        };
        for (error, reason, permanent) in [
            (digest, "ModelChanged", true),
            (model(not.into()), "InvalidModel", true),
            (model(io.into()), "ModelUnreadable", false),
            (model(memory.into()), "OutOfMemory", false),
            (model(kv.into()), "EngineFailed", false),
            (LoadError::Warmup(RowError::Step("device".into())), "EngineFailed", false),
            (LoadError::Thread, "EngineFailed", false),
        ] {
            assert_eq!((error.reason(), error.is_permanent()), (reason, permanent), "{error}");
        }
    }
}
