//! Model files: GGUF and safetensors, read as untrusted bytes, offered under one set of names and one layout.

mod blocks;
mod chat_template;
mod checkpoint;
mod config;
mod dequantize;
pub mod digest;
mod directory;
mod encoding;
mod error;
pub mod gguf;
mod gguf_model;
mod integers;
mod magic;
mod model_files;
mod names;
mod remembered;
pub mod safetensors;
mod safetensors_model;
mod shards;
mod source;
mod special_tokens;
mod summary;
mod table;
mod tokenizer_json;

pub use blocks::Blocks;
pub use dequantize::dequantize;
pub use encoding::Encoding;
pub use error::WeightsError;
pub use integers::{IntegerGroup, integer_groups};
pub use model_files::{Format, ModelFiles};
pub use remembered::FileIdentity;
pub use safetensors_model::Companions;
pub use shards::ShardIndex;
pub use source::{FileSource, ReadAt};
pub use summary::{ModelSummary, TokenizerSummary};
pub use table::{ElementType, TensorInfo, TensorTable};

/// Model families that can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// LLaMA, SmolLM2, Mistral: RMSNorm, RoPE, SwiGLU, grouped-query attention.
    Llama,
    /// GPT-2 small to XL: LayerNorm, learned positions, GELU (tanh approximation).
    Gpt2,
}

impl Architecture {
    /// As it is written for users.
    pub fn as_str(self) -> &'static str {
        match self {
            Architecture::Llama => "llama",
            Architecture::Gpt2 => "gpt2",
        }
    }
}

/// A model's shape and constants, from `config.json` or GGUF metadata, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Family.
    pub architecture: Architecture,
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width inside the feed-forward block.
    pub ffn_size: usize,
    /// Longest sequence.
    pub context_tokens: usize,
    /// ε of the norms.
    pub norm_epsilon: f32,
    /// Base of the rotary frequencies; unused by GPT-2.
    pub rope_theta: f32,
    /// Per-pair divisors of the rotary frequencies (`rope_freqs.weight`, llama3 scaling), `head_dim / 2` of them.
    pub rope_factors: Option<Vec<f32>>,
}

/// A tensor's place in the model, whatever the file calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TensorRole {
    /// `[vocab_size][hidden_size]`
    TokenEmbedding,
    /// `[context_tokens][hidden_size]` (GPT-2)
    PositionEmbedding,
    /// `[hidden_size]`
    OutputNormWeight,
    /// `[hidden_size]` (GPT-2)
    OutputNormBias,
    /// `[vocab_size][hidden_size]`; absent when tied to the embedding
    Head,
    /// A tensor of one block.
    Layer(usize, LayerTensor),
}

/// Tensors of a block. Matrices are `[outputs][inputs]`. Q and K rows are in the *halves* RoPE layout of
/// safetensors, un-permuted when a GGUF stores interleaved pairs; GPT-2's fused `c_attn` is split, Conv1D transposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum LayerTensor {
    AttentionNormWeight,
    AttentionNormBias,
    Query,
    QueryBias,
    Key,
    KeyBias,
    Value,
    ValueBias,
    AttentionOutput,
    AttentionOutputBias,
    FfnNormWeight,
    FfnNormBias,
    Gate,
    Up,
    UpBias,
    Down,
    DownBias,
}

/// A dequantised tensor, row-major. A vector has one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// `rows × columns`.
    pub data: Vec<f32>,
}

/// Where the tokenizer's definition lies.
#[derive(Debug, Clone)]
pub enum TokenizerSource {
    /// Bytes of `tokenizer.json`.
    Json(Vec<u8>),
    /// The tokenizer inside a GGUF.
    Gguf(GgufTokenizer),
    /// The model has none (a file with weights only).
    Missing,
}

/// `tokenizer.ggml.*` of a GGUF.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GgufTokenizer {
    /// `tokenizer.ggml.model`, e.g. `gpt2`.
    pub model: String,
    /// `tokenizer.ggml.pre`, e.g. `smollm`.
    pub pre: Option<String>,
    /// Token texts in id order (GPT-2's byte alphabet).
    pub tokens: Vec<String>,
    /// llama.cpp's token types: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte.
    pub token_types: Vec<i32>,
    /// Merges, best first.
    pub merges: Vec<String>,
}

/// Ids that end or begin text, and what else `generation_config.json`, `tokenizer_config.json` or GGUF metadata says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpecialTokens {
    /// Beginning of text.
    pub bos: Option<u32>,
    /// Ids that end a completion (end of text, end of turn).
    pub end: Vec<u32>,
    /// Whether a plain prompt starts with `bos`.
    pub add_bos: bool,
}
