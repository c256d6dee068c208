//! [`ModelFiles`]: a model on disk, opened and checked as a whole, its tensors read on demand.

use std::path::Path;
use std::sync::Arc;

use super::checkpoint::Checkpoint;
use super::source::{FileSource, ReadAt};
use super::{
    Matrix, ModelConfig, SpecialTokens, TensorRole, TokenizerSource, WeightsError, digest,
    gguf_model,
};

/// How the weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One GGUF file.
    Gguf,
    /// `.safetensors` with `config.json`.
    SafeTensors,
}

/// A model on disk: opened, checked, not yet loaded. Can be read from several threads at once.
pub struct ModelFiles {
    parts: Parts,
}

/// What the formats' readers deliver.
pub(super) struct Parts {
    pub(super) format: Format,
    pub(super) checkpoint: Checkpoint,
    pub(super) config: ModelConfig,
    pub(super) tokenizer: TokenizerSource,
    pub(super) special_tokens: SpecialTokens,
    pub(super) chat_template: Option<String>,
    /// Roles and hashes of the digest beside the weights.
    pub(super) digest: Vec<(String, String)>,
}

impl ModelFiles {
    /// Opens a `.gguf` or `.safetensors` file, or a directory that holds one (with `config.json`, `tokenizer.json` …).
    /// Everything but the tensors' data is read and checked.
    ///
    /// # Errors
    /// Every variant of [`WeightsError`]; its message is for the user.
    pub fn open(path: &Path) -> Result<ModelFiles, WeightsError> {
        ModelFiles::from_gguf(Arc::new(FileSource::open(path)?))
    }

    /// Opens a GGUF from any source of bytes.
    ///
    /// # Errors
    /// As [`ModelFiles::open`].
    pub fn from_gguf(source: Arc<dyn ReadAt>) -> Result<ModelFiles, WeightsError> {
        gguf_model::open(source)
    }

    pub(super) fn checked(parts: Parts) -> Result<ModelFiles, WeightsError> {
        parts.checkpoint.check(&parts.config)?;
        Ok(ModelFiles { parts })
    }

    /// Shape and constants.
    pub fn config(&self) -> &ModelConfig {
        &self.parts.config
    }

    /// The tensor as f32, in the layout that [`LayerTensor`](super::LayerTensor) describes; `None` when the model has
    /// none of that role.
    ///
    /// # Errors
    /// [`WeightsError::Io`]; [`WeightsError::Tensor`] if the type or the cut does not allow it.
    pub fn tensor(&self, role: TensorRole) -> Result<Option<Matrix>, WeightsError> {
        self.parts.checkpoint.read(role, &self.parts.config)
    }

    /// Where the tokenizer's definition lies.
    pub fn tokenizer(&self) -> &TokenizerSource {
        &self.parts.tokenizer
    }

    /// Ids that begin and end text.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.parts.special_tokens
    }

    /// The chat template's text (Jinja).
    pub fn chat_template(&self) -> Option<&str> {
        self.parts.chat_template.as_deref()
    }

    /// How the weights are stored.
    pub fn format(&self) -> Format {
        self.parts.format
    }

    /// The model's digest, `sha256:` and lower-case hex; [`digest`] has its definition. Reads the weights through.
    ///
    /// # Errors
    /// [`WeightsError::Io`].
    pub fn digest(&self) -> Result<String, WeightsError> {
        let weights = digest::sha256_of(self.parts.checkpoint.source.as_ref())?;
        let mut parts = self.parts.digest.clone();
        parts.push(("weights-1".to_owned(), weights));
        Ok(digest::of_parts(&parts))
    }
}
