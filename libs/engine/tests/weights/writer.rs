//! Writers of GGUF and safetensors for tests: they write what they are told, right or wrong.

use std::collections::HashMap;
use std::sync::Arc;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use textnlp_engine::weights::{Companions, ModelFiles, WeightsError};

/// A metadata value.
#[derive(Debug, Clone)]
pub(crate) enum Meta {
    U32(u32),
    U64(u64),
    F32(f32),
    Bool(bool),
    Text(&'static str),
    Texts(Vec<String>),
    I32s(Vec<i32>),
    /// Type number and bytes, as they are.
    Raw(u32, Vec<u8>),
}

/// A tensor of a [`GgufFile`].
#[derive(Debug, Clone)]
pub(crate) struct GgufTensor {
    pub(crate) name: String,
    /// Contiguous dimension first.
    pub(crate) dimensions: Vec<u64>,
    pub(crate) kind: u32,
    pub(crate) data: Vec<u8>,
    /// Offset to write instead of the true one.
    pub(crate) offset: Option<u64>,
}

/// A GGUF to be written.
#[derive(Debug, Clone)]
pub(crate) struct GgufFile {
    pub(crate) version: u32,
    pub(crate) alignment: usize,
    pub(crate) metadata: Vec<(String, Meta)>,
    pub(crate) tensors: Vec<GgufTensor>,
}

impl GgufFile {
    /// The file's bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            text(&mut bytes, key);
            meta(&mut bytes, value);
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            text(&mut bytes, &tensor.name);
            bytes.extend((tensor.dimensions.len() as u32).to_le_bytes());
            tensor.dimensions.iter().for_each(|dimension| bytes.extend(dimension.to_le_bytes()));
            bytes.extend(tensor.kind.to_le_bytes());
            bytes.extend(tensor.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&tensor.data);
            data.resize(data.len().next_multiple_of(self.alignment), 0);
        }
        bytes.resize(bytes.len().next_multiple_of(self.alignment), 0);
        bytes.extend(data);
        bytes
    }

    /// Replaces or adds a metadata value.
    pub(crate) fn set(&mut self, key: &str, value: Meta) {
        self.metadata.retain(|(name, _)| name != key);
        self.metadata.push((key.to_owned(), value));
    }

    /// Writes the file in memory and opens it.
    pub(crate) fn open(&self) -> Result<ModelFiles, WeightsError> {
        ModelFiles::from_gguf(Arc::new(self.bytes()))
    }
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn meta(bytes: &mut Vec<u8>, value: &Meta) {
    let mut put = |kind: u32, value: &[u8]| {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(value);
    };
    match value {
        Meta::U32(number) => put(4, &number.to_le_bytes()),
        Meta::U64(number) => put(10, &number.to_le_bytes()),
        Meta::F32(number) => put(6, &number.to_le_bytes()),
        Meta::Bool(truth) => put(7, &[u8::from(*truth)]),
        Meta::Raw(kind, raw) => put(*kind, raw),
        Meta::Text(string) => {
            put(8, &[]);
            text(bytes, string);
        }
        Meta::Texts(strings) => {
            put(9, &8u32.to_le_bytes());
            bytes.extend((strings.len() as u64).to_le_bytes());
            strings.iter().for_each(|string| text(bytes, string));
        }
        Meta::I32s(numbers) => {
            put(9, &5u32.to_le_bytes());
            bytes.extend((numbers.len() as u64).to_le_bytes());
            numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        }
    }
}

/// A LLaMA model of two layers with grouped queries (4 heads over 2), width 32, FFN 64, 48 tokens.
pub(crate) struct TinyLlama {
    tensors: Vec<TinyTensor>,
}

/// Rows and columns (a vector has one row), and the heads whose rows a GGUF permutes.
struct TinyTensor {
    hf_name: String,
    gguf_name: String,
    shape: [usize; 2],
    heads: Option<usize>,
    values: Vec<f32>,
}

impl TinyLlama {
    /// Values from a fixed sequence; with a head of its own or tied.
    pub(crate) fn new(tied: bool) -> TinyLlama {
        let mut model = TinyLlama { tensors: Vec::new() };
        model.add("model.embed_tokens", "token_embd", [48, 32], None);
        model.add("model.norm", "output_norm", [1, 32], None);
        if !tied {
            model.add("lm_head", "output", [48, 32], None);
        }
        for layer in 0..2 {
            let mut add = |hf: &str, gguf: &str, shape, heads| {
                model.add(
                    &format!("model.layers.{layer}.{hf}"),
                    &format!("blk.{layer}.{gguf}"),
                    shape,
                    heads,
                );
            };
            add("input_layernorm", "attn_norm", [1, 32], None);
            add("self_attn.q_proj", "attn_q", [32, 32], Some(4));
            add("self_attn.k_proj", "attn_k", [16, 32], Some(2));
            add("self_attn.v_proj", "attn_v", [16, 32], None);
            add("self_attn.o_proj", "attn_output", [32, 32], None);
            add("post_attention_layernorm", "ffn_norm", [1, 32], None);
            add("mlp.gate_proj", "ffn_gate", [64, 32], None);
            add("mlp.up_proj", "ffn_up", [64, 32], None);
            add("mlp.down_proj", "ffn_down", [32, 64], None);
        }
        model
    }

    fn add(&mut self, hf: &str, gguf: &str, shape: [usize; 2], heads: Option<usize>) {
        let mut state = 0x9E37_79B9_u32.wrapping_mul(self.tensors.len() as u32 + 1);
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        let values = (0..shape[0] * shape[1]).map(|_| next()).collect();
        let (hf_name, gguf_name) = (format!("{hf}.weight"), format!("{gguf}.weight"));
        self.tensors.push(TinyTensor { hf_name, gguf_name, shape, heads, values });
    }

    /// As llama.cpp's converter would write it, in F32.
    pub(crate) fn gguf(&self) -> GgufFile {
        let metadata = [
            ("general.architecture", Meta::Text("llama")),
            ("llama.context_length", Meta::U32(64)),
            ("llama.embedding_length", Meta::U32(32)),
            ("llama.block_count", Meta::U32(2)),
            ("llama.feed_forward_length", Meta::U32(64)),
            ("llama.attention.head_count", Meta::U32(4)),
            ("llama.attention.head_count_kv", Meta::U32(2)),
            ("llama.attention.layer_norm_rms_epsilon", Meta::F32(1e-5)),
            ("llama.rope.freq_base", Meta::F32(10_000.0)),
        ];
        let tensors = self.tensors.iter().map(TinyTensor::in_gguf);
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).to_vec();
        GgufFile { version: 3, alignment: 32, metadata, tensors: tensors.collect() }
    }

    /// As transformers would save it, in F32.
    pub(crate) fn safetensors(&self) -> Vec<u8> {
        serialize(&self.tensors)
    }

    /// The same in that many files, as transformers would save a large model, and their index: names and contents.
    pub(crate) fn shards(&self, files: usize) -> Vec<(String, Vec<u8>)> {
        let mut shards = Vec::new();
        let mut weight_map = serde_json::Map::new();
        let chunks = self.tensors.chunks(self.tensors.len().div_ceil(files));
        for (index, tensors) in chunks.enumerate() {
            let name = format!("model-{:05}-of-{files:05}.safetensors", index + 1);
            weight_map.extend(tensors.iter().map(|t| (t.hf_name.clone(), name.clone().into())));
            shards.push((name, serialize(tensors)));
        }
        assert_eq!(shards.len(), files);
        let total_size: usize = self.tensors.iter().map(|tensor| 4 * tensor.values.len()).sum();
        let index = serde_json::json!({
            "metadata": {"total_size": total_size},
            "weight_map": weight_map,
        });
        shards.push(("model.safetensors.index.json".to_owned(), index.to_string().into_bytes()));
        shards
    }

    /// Its `config.json`.
    pub(crate) fn config_json(tied: bool) -> serde_json::Value {
        serde_json::json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "hidden_size": 32,
            "intermediate_size": 64,
            "max_position_embeddings": 64,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "tie_word_embeddings": tied,
            "vocab_size": 48,
        })
    }

    /// The files beside the weights: only `config.json`.
    pub(crate) fn companions(tied: bool) -> Companions {
        let config = Some(TinyLlama::config_json(tied).to_string().into_bytes());
        Companions { config, ..Companions::default() }
    }
}

fn serialize(tensors: &[TinyTensor]) -> Vec<u8> {
    let bytes: Vec<_> = tensors.iter().map(|tensor| bytes_of(&tensor.values)).collect();
    let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
        let dimensions = if tensor.shape[0] == 1 { 1.. } else { 0.. };
        let shape = tensor.shape[dimensions].to_vec();
        let view = TensorView::new(Dtype::F32, shape, bytes);
        (&tensor.hf_name, view.expect("shape and bytes agree"))
    });
    safetensors::serialize(views, None::<HashMap<String, String>>).expect("tensors serialize")
}

impl TinyTensor {
    fn in_gguf(&self) -> GgufTensor {
        let [rows, columns] = self.shape;
        let order = self.heads.map_or_else(|| (0..rows).collect(), |heads| permuted(rows, heads));
        let values: Vec<f32> = order
            .iter()
            .flat_map(|row| &self.values[row * columns..][..columns])
            .copied()
            .collect();
        let dimensions = [columns as u64, rows as u64];
        GgufTensor {
            name: self.gguf_name.clone(),
            dimensions: dimensions[..if rows == 1 { 1 } else { 2 }].to_vec(),
            kind: 0,
            data: bytes_of(&values),
            offset: None,
        }
    }
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// For each row of the file, the row of transformers' layout: `reshape(heads, 2, rows / heads / 2).swapaxes(1, 2)`.
fn permuted(rows: usize, heads: usize) -> Vec<usize> {
    let half = rows / heads / 2;
    let of_head = |head: usize| {
        (0..half).flat_map(move |pair| [0, 1].map(|part| (head * 2 + part) * half + pair))
    };
    (0..heads).flat_map(of_head).collect()
}
