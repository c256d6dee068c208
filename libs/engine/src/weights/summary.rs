//! What `textnlp model inspect` shows of a model.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Architecture, Format};

/// Facts of an opened model; nothing in it needs the tensors' data.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelSummary {
    /// How the weights are stored.
    pub format: Format,
    /// Bytes of the weights, all files together.
    pub file_bytes: u64,
    /// Family.
    pub architecture: Architecture,
    /// Elements of all tensors that the model uses, a tied head counted once.
    pub parameters: u64,
    /// Longest sequence.
    pub context_tokens: usize,
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width inside the feed-forward block.
    pub ffn_size: usize,
    /// Whether the embedding serves as head.
    pub tied_head: bool,
    /// Number of used tensors of each stored type.
    pub tensor_types: BTreeMap<String, usize>,
    /// `None` if the model has no tokenizer.
    pub tokenizer: Option<TokenizerSummary>,
    /// Whether there is a chat template.
    pub chat_template: bool,
}

/// Facts of a tokenizer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenizerSummary {
    /// Kind, e.g. `BPE` (tokenizer.json) or `gpt2 (smollm)` (GGUF: model and pre-tokenizer).
    pub kind: String,
    /// Number of tokens, added ones included.
    pub vocab_size: u64,
}
