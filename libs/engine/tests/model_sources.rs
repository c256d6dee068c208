//! One model gives the same logits wherever its weights were read from.

mod common;

use std::path::Path;

use common::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use textnlp_engine::model::Model;
use textnlp_engine::models::{CpuModel, CpuOptions, Precision, Tensors};
use textnlp_engine::weights::{
    LayerTensor as T, Matrix, ModelConfig, ModelFiles, TensorRole, TokenizerSource,
};

/// Logits of some made-up tokens at all positions.
fn logits(tensors: &dyn Tensors) -> Vec<Vec<f32>> {
    // A file in blocks is computed in blocks, its values as f32 in f32: only in f32 are they to agree.
    let options = CpuOptions { threads: 2, precision: Precision::F32, ..CpuOptions::default() };
    let mut model = CpuModel::load(tensors, options).expect("a valid model");
    model.reserve(2).expect("memory for 2 pages");
    let tokens = random_tokens(40, 20, tensors.config().vocab_size);
    prefill(&mut model, &tokens, &[0, 1], 64)
}

/// Writes a model as the Hugging Face hub keeps it.
fn write(directory: &Path, config: &serde_json::Value, tensors: Vec<(String, Matrix)>) {
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, matrix)| {
            let shape = match matrix.rows {
                1 => vec![matrix.columns],
                rows => vec![rows, matrix.columns],
            };
            (name, shape, matrix.data.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        (
            name,
            TensorView::new(Dtype::F32, shape.clone(), bytes)
                .expect("as many bytes as the shape asks for"),
        )
    });
    let file = directory.join("model.safetensors");
    safetensors::serialize_to_file(views, None, &file).expect("the directory can be written");
    std::fs::write(directory.join("config.json"), config.to_string())
        .expect("the directory can be written");
}

fn llama_config(config: &ModelConfig, tied: bool) -> serde_json::Value {
    serde_json::json!({
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_act": "silu",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.ffn_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.context_tokens,
        "rms_norm_eps": f64::from(config.norm_epsilon),
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": tied,
    })
}

#[test]
fn smollm2_from_safetensors_and_from_gguf_gives_the_same_bits() {
    let gguf = ModelFiles::open(&smollm2_path()).expect("the file is valid");
    assert!(matches!(gguf.tokenizer(), TokenizerSource::Gguf(_)));
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), &llama_config(gguf.config(), true), hugging_face_llama(&gguf));
    let safetensors = ModelFiles::open(directory.path()).expect("the directory is valid");
    assert_same_bits(&logits(&safetensors), &logits(&gguf), "safetensors beside GGUF");
}

#[test]
fn a_llama_with_its_own_head_survives_safetensors() {
    let mut expect = small_llama();
    expect.config.rope_factors = None;
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), &llama_config(&expect.config, false), hugging_face_llama(&expect));
    let files = ModelFiles::open(directory.path()).expect("the directory is valid");
    assert_same_bits(&logits(&files), &logits(&expect), "safetensors");
}

/// GPT-2's checkpoints keep `[inputs][outputs]`, and queries, keys and values side by side.
#[test]
fn a_gpt2_survives_its_fused_and_transposed_layout() {
    let expect = tiny_gpt2();
    let config = &expect.config;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let json = serde_json::json!({
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "activation_function": "gelu_new",
        "vocab_size": config.vocab_size,
        "n_embd": config.hidden_size,
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_positions": config.context_tokens,
        "n_inner": config.ffn_size,
        "layer_norm_epsilon": f64::from(config.norm_epsilon),
    });
    write(directory.path(), &json, hugging_face_gpt2(&expect));
    let files = ModelFiles::open(directory.path()).expect("the directory is valid");
    assert_same_bits(&logits(&files), &logits(&expect), "safetensors");
}

fn hugging_face_gpt2(tensors: &dyn Tensors) -> Vec<(String, Matrix)> {
    let read = |role| tensors.tensor(role).expect("a valid model").expect("GPT-2 has it");
    let mut all = vec![
        ("transformer.wte.weight".to_owned(), read(TensorRole::TokenEmbedding)),
        ("transformer.wpe.weight".to_owned(), read(TensorRole::PositionEmbedding)),
        ("transformer.ln_f.weight".to_owned(), read(TensorRole::OutputNormWeight)),
        ("transformer.ln_f.bias".to_owned(), read(TensorRole::OutputNormBias)),
    ];
    for layer in 0..tensors.config().layers {
        let read = |tensor| read(TensorRole::Layer(layer, tensor));
        let mut put =
            |name: &str, matrix| all.push((format!("transformer.h.{layer}.{name}"), matrix));
        put("ln_1.weight", read(T::AttentionNormWeight));
        put("ln_1.bias", read(T::AttentionNormBias));
        put("ln_2.weight", read(T::FfnNormWeight));
        put("ln_2.bias", read(T::FfnNormBias));
        put("attn.c_attn.weight", transposed(&stacked([T::Query, T::Key, T::Value].map(read))));
        let mut bias = stacked([T::QueryBias, T::KeyBias, T::ValueBias].map(read));
        (bias.rows, bias.columns) = (1, bias.data.len());
        put("attn.c_attn.bias", bias);
        for (name, weight, bias) in [
            ("attn.c_proj", T::AttentionOutput, T::AttentionOutputBias),
            ("mlp.c_fc", T::Up, T::UpBias),
            ("mlp.c_proj", T::Down, T::DownBias),
        ] {
            put(&format!("{name}.weight"), transposed(&read(weight)));
            put(&format!("{name}.bias"), read(bias));
        }
    }
    all
}

/// One below the other.
fn stacked(parts: [Matrix; 3]) -> Matrix {
    let columns = parts[0].columns;
    let rows = parts.iter().map(|part| part.rows).sum();
    Matrix { rows, columns, data: parts.into_iter().flat_map(|part| part.data).collect() }
}

fn transposed(matrix: &Matrix) -> Matrix {
    let (rows, columns) = (matrix.columns, matrix.rows);
    let data = (0..rows * columns).map(|i| matrix.data[i % columns * rows + i / columns]).collect();
    Matrix { rows, columns, data }
}
