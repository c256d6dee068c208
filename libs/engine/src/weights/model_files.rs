//! [`ModelFiles`]: a model on disk, opened and checked as a whole, its tensors read on demand.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::checkpoint::Checkpoint;
use super::safetensors::SafeTensors;
use super::safetensors_model::Companions;
use super::shards::ShardIndex;
use super::source::ReadAt;
use super::summary::{ModelSummary, TokenizerSummary};
use super::{
    Blocks, Encoding, Matrix, ModelConfig, SpecialTokens, TensorRole, TokenizerSource,
    WeightsError, digest, directory, gguf_model, remembered, safetensors_model,
};

/// How the weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One GGUF file.
    Gguf,
    /// `.safetensors`, one file or several with their index, and `config.json`.
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
    /// Kind and number of tokens.
    pub(super) tokenizer_summary: Option<(String, u64)>,
    pub(super) special_tokens: SpecialTokens,
    pub(super) chat_template: Option<String>,
    /// Roles and hashes of the digest beside the weights.
    pub(super) digest: Vec<(String, String)>,
}

impl ModelFiles {
    /// Opens a `.gguf` or `.safetensors` file, a `.safetensors.index.json` with the files that it names, or a directory
    /// that holds one of these (with `config.json`, `tokenizer.json` …). Everything but the tensors' data is read and checked.
    ///
    /// # Errors
    /// Every variant of [`WeightsError`]; its message is for the user.
    pub fn open(path: &Path) -> Result<ModelFiles, WeightsError> {
        directory::open(path)
    }

    /// Opens a GGUF from any source of bytes.
    ///
    /// # Errors
    /// As [`ModelFiles::open`].
    pub fn from_gguf(source: Arc<dyn ReadAt>) -> Result<ModelFiles, WeightsError> {
        gguf_model::open(source)
    }

    /// Opens safetensors from any source of bytes, with the contents of the files beside it.
    ///
    /// # Errors
    /// As [`ModelFiles::open`].
    pub fn from_safetensors(
        source: Arc<dyn ReadAt>,
        companions: Companions,
    ) -> Result<ModelFiles, WeightsError> {
        let whole = SafeTensors::parse(source)?;
        safetensors_model::open(whole.source().name().to_owned(), vec![whole], companions)
    }

    /// Opens the safetensors files of one model from any sources of bytes, with the contents of their index and of the
    /// files beside them. The sources are in the order of [`ShardIndex::files`].
    ///
    /// # Errors
    /// As [`ModelFiles::open`].
    pub fn from_shards(
        index: &ShardIndex,
        sources: Vec<Arc<dyn ReadAt>>,
        companions: Companions,
    ) -> Result<ModelFiles, WeightsError> {
        let shards = index.shards(sources)?;
        safetensors_model::open(index.name().to_owned(), shards, companions)
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

    /// The type that a tensor is stored in; `None` when the model has none of that role.
    pub fn encoding(&self, role: TensorRole) -> Option<Encoding> {
        self.parts.checkpoint.encoding(role, &self.parts.config)
    }

    /// In which blocks a matrix is stored, if it is a quantised one whose rows are sequences of blocks.
    pub fn block_encoding(&self, role: TensorRole) -> Option<Encoding> {
        self.parts.checkpoint.block_encoding(role, &self.parts.config)
    }

    /// The matrix as it is stored, its rows in the same order as those of [`ModelFiles::tensor`]; `None` where
    /// [`ModelFiles::block_encoding`] is.
    ///
    /// # Errors
    /// [`WeightsError::Io`].
    pub fn blocks(&self, role: TensorRole) -> Result<Option<Blocks>, WeightsError> {
        self.parts.checkpoint.read_blocks(role, &self.parts.config)
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
        self.digest_by(digest::sha256_of)
    }

    /// The same, but weights files whose hashes lie in that folder and that have not changed since are not read.
    ///
    /// # Errors
    /// [`WeightsError::Io`].
    pub fn digest_remembered(&self, folder: &Path) -> Result<String, WeightsError> {
        self.digest_by(|source| remembered::sha256_of(source, folder))
    }

    fn digest_by(
        &self,
        sha256_of: impl Fn(&dyn ReadAt) -> Result<String, WeightsError>,
    ) -> Result<String, WeightsError> {
        let mut parts = self.parts.digest.clone();
        for (index, file) in self.parts.checkpoint.files.iter().enumerate() {
            let hash = sha256_of(file.source.as_ref())?;
            parts.push((format!("weights-{}", index + 1), hash));
        }
        Ok(digest::of_parts(&parts))
    }

    /// What `textnlp model inspect` shows.
    pub fn summary(&self) -> ModelSummary {
        let Parts { format, checkpoint, config, .. } = &self.parts;
        let used = checkpoint.used_tensors(config);
        let mut tensor_types = BTreeMap::new();
        for tensor in &used {
            *tensor_types.entry(tensor.element.to_string()).or_insert(0) += 1;
        }
        let tokenizer = self.parts.tokenizer_summary.clone();
        ModelSummary {
            format: *format,
            file_bytes: checkpoint.bytes(),
            architecture: config.architecture,
            parameters: used.iter().map(|tensor| tensor.elements).sum(),
            context_tokens: config.context_tokens,
            vocab_size: config.vocab_size,
            hidden_size: config.hidden_size,
            layers: config.layers,
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            ffn_size: config.ffn_size,
            tied_head: checkpoint.tied,
            tensor_types,
            tokenizer: tokenizer.map(|(kind, vocab_size)| TokenizerSummary { kind, vocab_size }),
            chat_template: self.parts.chat_template.is_some(),
        }
    }
}
