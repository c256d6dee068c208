//! The real SmolLM2-135M-Instruct GGUF, opened and read as a whole.

use std::env;
use std::path::PathBuf;

use textnlp_engine::weights::{
    Architecture, Encoding, LayerTensor, ModelConfig, ModelFiles, TensorRole, TokenizerSource,
    dequantize,
};

const MODEL: &str = "models/SmolLM2-135M-Instruct.Q4_1.gguf";

/// `$TEXTNLP_CACHE`, by default `textnlp` in the user's cache directory.
fn model_path() -> PathBuf {
    let cache = env::var_os("TEXTNLP_CACHE").map(PathBuf::from);
    let user = || env::var_os("XDG_CACHE_HOME").map(|cache| PathBuf::from(cache).join("textnlp"));
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/textnlp"));
    let path = cache.or_else(user).or_else(home).expect("HOME is set").join(MODEL);
    assert!(path.is_file(), "{} is missing: run `make model`", path.display());
    path
}

fn open() -> ModelFiles {
    ModelFiles::open(&model_path()).expect("the model opens")
}

#[test]
fn the_configuration_is_smollm2s() {
    let expected = ModelConfig {
        architecture: Architecture::Llama,
        vocab_size: 49_152,
        hidden_size: 576,
        layers: 30,
        heads: 9,
        kv_heads: 3,
        head_dim: 64,
        ffn_size: 1536,
        context_tokens: 8192,
        norm_epsilon: 1e-5,
        rope_theta: 100_000.0,
        rope_factors: None,
    };
    assert_eq!(*open().config(), expected);
}

#[test]
fn the_tokenizer_and_its_special_tokens_are_read() {
    let model = open();
    let TokenizerSource::Gguf(tokenizer) = model.tokenizer() else {
        panic!("no tokenizer in the GGUF")
    };
    assert_eq!((tokenizer.model.as_str(), tokenizer.pre.as_deref()), ("gpt2", Some("smollm")));
    assert_eq!((tokenizer.tokens.len(), tokenizer.token_types.len()), (49_152, 49_152));
    assert_eq!(tokenizer.tokens[2], "<|im_end|>");
    assert_eq!((tokenizer.merges.len(), tokenizer.merges[0].as_str()), (48_900, "Ġ t"));
    let special = model.special_tokens();
    assert_eq!(
        (special.bos, special.end.as_slice(), special.add_bos),
        (Some(1), [0, 2].as_slice(), false)
    );
    assert!(model.chat_template().is_some_and(|template| template.contains("<|im_start|>")));
}

#[test]
fn the_summary_counts_parameters_and_tensor_types() {
    let summary = open().summary();
    let types: Vec<_> =
        summary.tensor_types.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(types, [("F32", 61), ("Q4_1", 210), ("Q8_0", 1)]);
    assert_eq!((summary.parameters, summary.file_bytes), (134_515_008, 98_362_432));
    assert!(summary.tied_head && summary.chat_template);
    let tokenizer = summary.tokenizer.expect("a tokenizer");
    assert_eq!((tokenizer.kind.as_str(), tokenizer.vocab_size), ("gpt2 (smollm)", 49_152));
}

#[test]
fn the_digest_is_that_of_the_file() {
    assert_eq!(
        open().digest().expect("a digest"),
        "sha256:8ac184aad7eab9a73eadf4b213b7fc2681cc68836b152b8d5be8fd46bf785292"
    );
}

#[test]
fn every_tensor_can_be_read_and_is_finite() {
    let model = open();
    let mut parameters = 0;
    for role in TensorRole::all(model.config()) {
        let Some(matrix) = model.tensor(role).expect("a tensor") else {
            assert_eq!(role, TensorRole::Head, "only the head is tied");
            continue;
        };
        assert_eq!(matrix.data.len(), matrix.rows * matrix.columns);
        assert!(matrix.data.iter().all(|value| value.is_finite()), "{role:?}");
        parameters += matrix.data.len();
    }
    assert_eq!(parameters, 134_515_008);
    let query = model.tensor(TensorRole::Layer(29, LayerTensor::Query)).expect("a tensor");
    assert_eq!(query.map(|matrix| (matrix.rows, matrix.columns)), Some((576, 576)));
}

#[test]
fn every_matrix_as_blocks_decodes_to_the_same_values() {
    let model = open();
    let mut matrices = 0;
    for role in TensorRole::all(model.config()) {
        let Some(blocks) = model.blocks(role).expect("readable blocks") else {
            assert_eq!(model.block_encoding(role), None, "{role:?}");
            continue;
        };
        assert_eq!(model.block_encoding(role), Some(blocks.encoding()));
        let matrix = model.tensor(role).expect("readable").expect("a tensor");
        assert_eq!((blocks.rows(), blocks.columns()), (matrix.rows, matrix.columns));
        let mut row = vec![0.0; matrix.columns];
        for (bytes, expect) in blocks.row_bytes().zip(matrix.data.chunks(matrix.columns)) {
            dequantize(blocks.encoding(), bytes, &mut row);
            assert_eq!(row, expect, "{role:?}");
        }
        matrices += 1;
    }
    assert_eq!(matrices, 211);
    assert_eq!(model.block_encoding(TensorRole::TokenEmbedding), Some(Encoding::Q8_0));
}
