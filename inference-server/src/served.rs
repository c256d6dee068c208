//! A model that is being served, with what every response says of it. No I/O.

use http::HeaderValue;
use textnlp_engine::engine::{EngineStats, LanguageModel};

/// Characters of a digest that tell models apart in a fingerprint.
const SHORT_DIGEST: usize = 12;

/// A loaded model under its name.
#[derive(Debug)]
pub(crate) struct Served {
    /// The name by which requests ask for it.
    pub(crate) name: String,
    /// The model.
    pub(crate) model: LanguageModel,
    /// Numerics and the beginning of the digest: equal fingerprints and seeds give equal answers.
    pub(crate) fingerprint: String,
    /// The digest as a header's value.
    pub(crate) digest: HeaderValue,
    /// When it was loaded, seconds since 1970.
    pub(crate) created: u64,
    /// The engine's counts before the first request.
    warmup: EngineStats,
}

impl Served {
    /// A model whose engine has finished its warm-up.
    pub(crate) fn new(name: String, model: LanguageModel, created: u64) -> Self {
        let info = model.info();
        let hash = info.digest.strip_prefix("sha256:").unwrap_or(&info.digest);
        let short: String = hash.chars().take(SHORT_DIGEST).collect();
        Self {
            name,
            fingerprint: format!("{}-{short}", info.numerics),
            digest: HeaderValue::from_str(&info.digest)
                .unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            created,
            warmup: model.stats(),
            model,
        }
    }

    /// The engine's figures, its counts without those of the warm-up.
    pub(crate) fn stats(&self) -> EngineStats {
        let now = self.model.stats();
        EngineStats {
            generated_tokens: now.generated_tokens - self.warmup.generated_tokens,
            prompt_tokens: now.prompt_tokens - self.warmup.prompt_tokens,
            cached_tokens: now.cached_tokens - self.warmup.cached_tokens,
            ..now
        }
    }
}
