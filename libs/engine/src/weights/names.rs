//! Where each tensor of a model lies in a file: the file's names, and how its layout differs from ours.

use std::ops::Range;

use super::{Architecture, LayerTensor, ModelConfig, TensorRole};

/// The shape of a role's [`Matrix`](super::Matrix).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Vector(usize),
    Matrix { rows: usize, columns: usize },
}

/// Which names and layouts a file uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// transformers' `LlamaForCausalLM`.
    HfLlama,
    /// transformers' `GPT2LMHeadModel`; the first checkpoints lack the prefix `transformer.`.
    HfGpt2 { prefix: &'static str },
    /// llama.cpp's names, `general.architecture` llama.
    GgufLlama,
    /// llama.cpp's names, `general.architecture` gpt2.
    GgufGpt2,
}

/// How a role's matrix is cut out of the stored tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layout {
    /// Stored as it is used.
    Same,
    /// Within each of `heads` heads, stored row `2j + s` is our row `s·head_dim/2 + j`: llama.cpp rotates neighbours
    /// where we rotate halves (inverse of `permute` in `convert_hf_to_gguf.py`).
    Interleaved { heads: usize },
    /// These rows (of a vector: elements) out of `total`.
    Rows { range: Range<usize>, total: usize },
    /// Stored `[inputs][outputs]` (Conv1D); ours are these of `total` columns.
    Columns { range: Range<usize>, total: usize },
}

/// A tensor's name in the file and its layout there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) layout: Layout,
}

impl TensorRole {
    /// All roles that a model of this configuration can have, the head included.
    pub fn all(config: &ModelConfig) -> Vec<TensorRole> {
        let mut roles = vec![
            TensorRole::TokenEmbedding,
            TensorRole::PositionEmbedding,
            TensorRole::OutputNormWeight,
            TensorRole::OutputNormBias,
            TensorRole::Head,
        ];
        for layer in 0..config.layers {
            roles.extend(LayerTensor::ALL.map(|tensor| TensorRole::Layer(layer, tensor)));
        }
        roles.retain(|role| role.shape(config).is_some());
        roles
    }

    /// The shape of the role, `None` if the architecture has no such tensor.
    pub(super) fn shape(self, config: &ModelConfig) -> Option<Shape> {
        let hidden = config.hidden_size;
        let gpt2 = config.architecture == Architecture::Gpt2;
        let vector = |length| Some(Shape::Vector(length));
        let matrix = |rows, columns| Some(Shape::Matrix { rows, columns });
        match self {
            TensorRole::TokenEmbedding | TensorRole::Head => matrix(config.vocab_size, hidden),
            TensorRole::PositionEmbedding if gpt2 => matrix(config.context_tokens, hidden),
            TensorRole::OutputNormWeight => vector(hidden),
            TensorRole::OutputNormBias if gpt2 => vector(hidden),
            TensorRole::PositionEmbedding | TensorRole::OutputNormBias => None,
            TensorRole::Layer(layer, _) if layer >= config.layers => None,
            TensorRole::Layer(_, tensor) => tensor.shape(config),
        }
    }
}

impl LayerTensor {
    const ALL: [LayerTensor; 17] = [
        LayerTensor::AttentionNormWeight,
        LayerTensor::AttentionNormBias,
        LayerTensor::Query,
        LayerTensor::QueryBias,
        LayerTensor::Key,
        LayerTensor::KeyBias,
        LayerTensor::Value,
        LayerTensor::ValueBias,
        LayerTensor::AttentionOutput,
        LayerTensor::AttentionOutputBias,
        LayerTensor::FfnNormWeight,
        LayerTensor::FfnNormBias,
        LayerTensor::Gate,
        LayerTensor::Up,
        LayerTensor::UpBias,
        LayerTensor::Down,
        LayerTensor::DownBias,
    ];

    fn shape(self, config: &ModelConfig) -> Option<Shape> {
        let (hidden, ffn) = (config.hidden_size, config.ffn_size);
        let query = config.heads * config.head_dim;
        let key = config.kv_heads * config.head_dim;
        let gpt2 = config.architecture == Architecture::Gpt2;
        let bias = |length| {
            if gpt2 { Some(Shape::Vector(length)) } else { None }
        };
        let matrix = |rows, columns| Some(Shape::Matrix { rows, columns });
        match self {
            LayerTensor::AttentionNormWeight | LayerTensor::FfnNormWeight => {
                Some(Shape::Vector(hidden))
            }
            LayerTensor::AttentionNormBias | LayerTensor::FfnNormBias => bias(hidden),
            LayerTensor::Query => matrix(query, hidden),
            LayerTensor::QueryBias => bias(query),
            LayerTensor::Key | LayerTensor::Value => matrix(key, hidden),
            LayerTensor::KeyBias | LayerTensor::ValueBias => bias(key),
            LayerTensor::AttentionOutput => matrix(hidden, query),
            LayerTensor::AttentionOutputBias | LayerTensor::DownBias => bias(hidden),
            LayerTensor::Gate if gpt2 => None,
            LayerTensor::Gate | LayerTensor::Up => matrix(ffn, hidden),
            LayerTensor::UpBias => bias(ffn),
            LayerTensor::Down => matrix(hidden, ffn),
        }
    }

    /// 0, 1, 2 for queries, keys and values (and their biases): the third of GPT-2's fused projection.
    fn third(self) -> Option<usize> {
        match self {
            LayerTensor::Query | LayerTensor::QueryBias => Some(0),
            LayerTensor::Key | LayerTensor::KeyBias => Some(1),
            LayerTensor::Value | LayerTensor::ValueBias => Some(2),
            _ => None,
        }
    }
}

impl Naming {
    /// Where the role lies; `None` if the naming has no such tensor.
    pub(super) fn place(self, role: TensorRole, config: &ModelConfig) -> Option<Place> {
        let shape = role.shape(config)?;
        let name = match (self, role) {
            (Naming::HfLlama, role) => hf_llama(role)?,
            (Naming::HfGpt2 { prefix }, role) => hf_gpt2(role, prefix)?,
            (Naming::GgufLlama | Naming::GgufGpt2, role) => self.gguf(role)?,
        };
        Some(Place { name, layout: self.layout(role, shape, config) })
    }

    fn layout(self, role: TensorRole, shape: Shape, config: &ModelConfig) -> Layout {
        let TensorRole::Layer(_, tensor) = role else {
            return Layout::Same;
        };
        let hidden = config.hidden_size;
        let third = tensor.third().map(|third| third * hidden..(third + 1) * hidden);
        match (self, shape, third) {
            (Naming::GgufLlama, _, _) if tensor == LayerTensor::Query => {
                Layout::Interleaved { heads: config.heads }
            }
            (Naming::GgufLlama, _, _) if tensor == LayerTensor::Key => {
                Layout::Interleaved { heads: config.kv_heads }
            }
            (Naming::HfGpt2 { .. }, Shape::Matrix { .. }, Some(range)) => {
                Layout::Columns { range, total: 3 * hidden }
            }
            (Naming::HfGpt2 { .. }, Shape::Matrix { rows, .. }, None) => {
                Layout::Columns { range: 0..rows, total: rows }
            }
            (Naming::HfGpt2 { .. } | Naming::GgufGpt2, _, Some(range)) => {
                Layout::Rows { range, total: 3 * hidden }
            }
            _ => Layout::Same,
        }
    }

    fn gguf(self, role: TensorRole) -> Option<String> {
        let (layer, tensor) = match role {
            TensorRole::TokenEmbedding => return Some("token_embd.weight".to_owned()),
            TensorRole::PositionEmbedding => return Some("position_embd.weight".to_owned()),
            TensorRole::OutputNormWeight => return Some("output_norm.weight".to_owned()),
            TensorRole::OutputNormBias => return Some("output_norm.bias".to_owned()),
            TensorRole::Head => return Some("output.weight".to_owned()),
            TensorRole::Layer(layer, tensor) => (layer, tensor),
        };
        let name = match tensor {
            LayerTensor::AttentionNormWeight => "attn_norm.weight",
            LayerTensor::AttentionNormBias => "attn_norm.bias",
            LayerTensor::Query | LayerTensor::Key | LayerTensor::Value
                if self == Naming::GgufGpt2 =>
            {
                "attn_qkv.weight"
            }
            LayerTensor::Query => "attn_q.weight",
            LayerTensor::Key => "attn_k.weight",
            LayerTensor::Value => "attn_v.weight",
            LayerTensor::QueryBias | LayerTensor::KeyBias | LayerTensor::ValueBias => {
                "attn_qkv.bias"
            }
            LayerTensor::AttentionOutput => "attn_output.weight",
            LayerTensor::AttentionOutputBias => "attn_output.bias",
            LayerTensor::FfnNormWeight => "ffn_norm.weight",
            LayerTensor::FfnNormBias => "ffn_norm.bias",
            LayerTensor::Gate => "ffn_gate.weight",
            LayerTensor::Up => "ffn_up.weight",
            LayerTensor::UpBias => "ffn_up.bias",
            LayerTensor::Down => "ffn_down.weight",
            LayerTensor::DownBias => "ffn_down.bias",
        };
        Some(format!("blk.{layer}.{name}"))
    }
}

fn hf_llama(role: TensorRole) -> Option<String> {
    let (layer, tensor) = match role {
        TensorRole::TokenEmbedding => return Some("model.embed_tokens.weight".to_owned()),
        TensorRole::OutputNormWeight => return Some("model.norm.weight".to_owned()),
        TensorRole::Head => return Some("lm_head.weight".to_owned()),
        TensorRole::PositionEmbedding | TensorRole::OutputNormBias => return None,
        TensorRole::Layer(layer, tensor) => (layer, tensor),
    };
    let name = match tensor {
        LayerTensor::AttentionNormWeight => "input_layernorm",
        LayerTensor::Query => "self_attn.q_proj",
        LayerTensor::Key => "self_attn.k_proj",
        LayerTensor::Value => "self_attn.v_proj",
        LayerTensor::AttentionOutput => "self_attn.o_proj",
        LayerTensor::FfnNormWeight => "post_attention_layernorm",
        LayerTensor::Gate => "mlp.gate_proj",
        LayerTensor::Up => "mlp.up_proj",
        LayerTensor::Down => "mlp.down_proj",
        _ => return None, // biases
    };
    Some(format!("model.layers.{layer}.{name}.weight"))
}

fn hf_gpt2(role: TensorRole, prefix: &str) -> Option<String> {
    let (layer, tensor) = match role {
        TensorRole::TokenEmbedding => return Some(format!("{prefix}wte.weight")),
        TensorRole::PositionEmbedding => return Some(format!("{prefix}wpe.weight")),
        TensorRole::OutputNormWeight => return Some(format!("{prefix}ln_f.weight")),
        TensorRole::OutputNormBias => return Some(format!("{prefix}ln_f.bias")),
        TensorRole::Head => return Some("lm_head.weight".to_owned()),
        TensorRole::Layer(layer, tensor) => (layer, tensor),
    };
    let name = match tensor {
        LayerTensor::AttentionNormWeight => "ln_1.weight",
        LayerTensor::AttentionNormBias => "ln_1.bias",
        LayerTensor::Query | LayerTensor::Key | LayerTensor::Value => "attn.c_attn.weight",
        LayerTensor::QueryBias | LayerTensor::KeyBias | LayerTensor::ValueBias => {
            "attn.c_attn.bias"
        }
        LayerTensor::AttentionOutput => "attn.c_proj.weight",
        LayerTensor::AttentionOutputBias => "attn.c_proj.bias",
        LayerTensor::FfnNormWeight => "ln_2.weight",
        LayerTensor::FfnNormBias => "ln_2.bias",
        LayerTensor::Gate => return None,
        LayerTensor::Up => "mlp.c_fc.weight",
        LayerTensor::UpBias => "mlp.c_fc.bias",
        LayerTensor::Down => "mlp.c_proj.weight",
        LayerTensor::DownBias => "mlp.c_proj.bias",
    };
    Some(format!("{prefix}h.{layer}.{name}"))
}

impl Naming {
    /// Whether a tensor that no role uses may be left out: constants that the model code computes, and the copy of a
    /// tied head.
    pub(super) fn is_redundant(self, name: &str, tied: bool) -> bool {
        match self {
            Naming::GgufLlama => name == "rope_freqs.weight", // read with the configuration
            Naming::GgufGpt2 => false,
            Naming::HfLlama => {
                name.ends_with(".rotary_emb.inv_freq") || (tied && name == "lm_head.weight")
            }
            Naming::HfGpt2 { .. } => {
                let mask = name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
                mask || (tied && name == "lm_head.weight")
            }
        }
    }
}
