//! candle's products and attention, which are not ours, agree with the CPU executor within tolerance.
#![cfg(feature = "candle")]

mod common;

use common::*;
use textnlp_engine::model::{Batch, Logits, Model, ModelError, Outputs, PageCopy, Span};
use textnlp_engine::models::{
    CandleDevice, CandleModel, CandleOptions, CpuModel, CpuOptions, Precision, Tensors,
};
use textnlp_engine::weights::ModelFiles;

const TOLERANCE: f32 = 1e-3;

fn exact() -> CpuOptions {
    CpuOptions { threads: 2, precision: Precision::F32, ..CpuOptions::default() }
}

fn both(tensors: &dyn Tensors) -> (CpuModel, CandleModel) {
    let mut ours = CpuModel::load(tensors, exact()).expect("a valid model");
    let options = CandleOptions { device: CandleDevice::Cpu, max_rows: 512 };
    let mut theirs = CandleModel::load(tensors, options).expect("a valid model");
    ours.reserve(16).expect("memory for 16 pages");
    theirs.reserve(4).expect("memory for 4 pages");
    (ours, theirs)
}

#[track_caller]
fn assert_close(got: &[Vec<f32>], expect: &[Vec<f32>], what: &str) {
    assert_eq!(got.len(), expect.len(), "{what}: number of rows");
    for (row, (got, expect)) in got.iter().zip(expect).enumerate() {
        assert_eq!(got.len(), expect.len(), "{what}: row {row}");
        for (column, (a, b)) in got.iter().zip(expect).enumerate() {
            assert!((a - b).abs() <= TOLERANCE, "{what}: row {row}, column {column}: {a} and {b}");
        }
    }
}

/// Whole and chunked prefill, several sequences in a step, a shared prefix with a partial copy, more pages later.
#[track_caller]
fn check_steps(tensors: &RandomTensors) {
    let (mut ours, mut theirs) = both(tensors);
    let vocab_size = tensors.config.vocab_size;
    let tokens = random_tokens(21, 50, vocab_size);
    let expect = prefill(&mut ours, &tokens, &[3, 1, 0, 2], 64);
    assert_close(&prefill(&mut theirs, &tokens, &[3, 1, 0, 2], 64), &expect, "whole prefill");
    theirs.reserve(16).expect("memory for 16 pages");
    let next = step(&mut theirs, &tokens[49..], 49, &[3, 1, 0, 2], Outputs::Last);
    assert_close(&next, &expect[49..], "after more pages were reserved");
    assert_close(&prefill(&mut theirs, &tokens, &[7, 8, 9, 10], 11), &expect, "chunks of 11");
    theirs.copy_pages(&[PageCopy { from: 0, to: 5, tokens: 7 }]).expect("reserved pages");
    let spans = [
        Span { rows: 11, first_position: 39, pages: &[3, 1, 5, 6], outputs: Outputs::All },
        Span { rows: 4, first_position: 0, pages: &[12], outputs: Outputs::None },
        Span { rows: 1, first_position: 49, pages: &[7, 8, 9, 10], outputs: Outputs::Last },
    ];
    let batch = [&tokens[39..], &tokens[..4], &tokens[49..]].concat();
    let mut logits = Logits::default();
    theirs.forward(&Batch { tokens: &batch, spans: &spans }, &mut logits).expect("a valid batch");
    let expect = [&expect[39..], &expect[49..]].concat();
    assert_close(&rows(&logits, vocab_size), &expect, "a shared prefix and a decode step");
    assert_eq!(logits.block_max.len(), 12 * vocab_size.div_ceil(64));
    let maximum = expect[11].iter().copied().fold(f32::MIN, f32::max);
    let blocks = &logits.block_max[11 * vocab_size.div_ceil(64)..];
    assert!((blocks.iter().copied().fold(f32::MIN, f32::max) - maximum).abs() <= TOLERANCE);
}

#[test]
fn a_llama_with_odd_sizes_agrees_with_candle() {
    check_steps(&tiny_llama());
}

#[test]
fn a_llama_with_rotary_factors_and_its_own_head_agrees_with_candle() {
    check_steps(&small_llama());
}

#[test]
fn a_gpt2_agrees_with_candle() {
    check_steps(&tiny_gpt2());
}

#[test]
fn smollm2_agrees_with_candle() {
    let (mut ours, mut theirs) =
        both(&ModelFiles::open(&smollm2_path()).expect("the file is valid"));
    let tokens: Vec<u32> = random_tokens(22, 24, 49_152);
    let expect = prefill(&mut ours, &tokens, &[0, 1], 64);
    assert_close(&prefill(&mut theirs, &tokens, &[1, 0], 64), &expect, "SmolLM2");
}

#[test]
fn candle_says_that_it_is_not_reproducible_and_refuses_what_breaks_the_contract() {
    let (_, mut theirs) = both(&tiny_llama());
    assert_eq!(theirs.info().numerics, "candle-cpu/f32");
    assert!(!theirs.info().batch_invariant);
    let span = Span { rows: 1, first_position: 0, pages: &[4], outputs: Outputs::Last };
    let refused = theirs.forward(&Batch { tokens: &[1], spans: &[span] }, &mut Logits::default());
    assert!(matches!(refused, Err(ModelError::Batch(_))), "{refused:?}");
    assert!(theirs.copy_pages(&[PageCopy { from: 0, to: 4, tokens: 1 }]).is_err());
    assert!(step(&mut theirs, &[1, 2], 0, &[0], Outputs::None).is_empty());
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_gpu_without_the_feature_is_an_error_that_says_so() {
    let options = CandleOptions { device: CandleDevice::CudaBf16(0), max_rows: 8 };
    let error =
        CandleModel::load(&tiny_llama(), options).err().expect("compiled without CUDA").to_string();
    assert!(error.contains("cuda"), "{error}");
}

/// candle-transformers' LLaMA with our weights: code that shares nothing with ours but candle's tensors.
#[cfg(feature = "candle-reference")]
mod reference {
    use std::collections::HashMap;

    use candle_core::{DType, Device, Tensor};
    use candle_nn::VarBuilder;
    use candle_transformers::models::llama::{Cache, Config, Llama};
    use textnlp_engine::weights::Matrix;

    use super::*;

    fn weights(tensors: &dyn Tensors) -> HashMap<String, Tensor> {
        let tensor = |matrix: Matrix| {
            let shape = match matrix.rows {
                1 => vec![matrix.columns],
                rows => vec![rows, matrix.columns],
            };
            Tensor::from_vec(matrix.data, shape, &Device::Cpu).expect("a tensor of that shape")
        };
        hugging_face_llama(tensors)
            .into_iter()
            .map(|(name, matrix)| (name, tensor(matrix)))
            .collect()
    }

    /// Compares the last row of prompts of several lengths, all that this implementation returns.
    fn check(tensors: &dyn Tensors) {
        let ours_config = tensors.config();
        let config = Config {
            hidden_size: ours_config.hidden_size,
            intermediate_size: ours_config.ffn_size,
            vocab_size: ours_config.vocab_size,
            num_hidden_layers: ours_config.layers,
            num_attention_heads: ours_config.heads,
            num_key_value_heads: ours_config.kv_heads,
            use_flash_attn: false,
            rms_norm_eps: f64::from(ours_config.norm_epsilon),
            rope_theta: ours_config.rope_theta,
            bos_token_id: None,
            eos_token_id: None,
            rope_scaling: None,
            max_position_embeddings: ours_config.context_tokens,
            tie_word_embeddings: true,
        };
        let vb = VarBuilder::from_tensors(weights(tensors), DType::F32, &Device::Cpu);
        let llama = Llama::load(vb, &config).expect("all weights are there");
        let mut ours = CpuModel::load(tensors, exact()).expect("a valid model");
        ours.reserve(2).expect("memory for 2 pages");
        let tokens = random_tokens(23, 24, ours_config.vocab_size);
        let rows = prefill(&mut ours, &tokens, &[0, 1], 64);
        for length in [1, 2, 17, 24] {
            let mut cache = Cache::new(false, DType::F32, &config, &Device::Cpu).expect("a cache");
            let input = Tensor::new(&tokens[..length], &Device::Cpu)
                .and_then(|x| x.unsqueeze(0))
                .expect("a row");
            let logits =
                llama.forward(&input, 0, &mut cache).and_then(|x| x.squeeze(0)).expect("a step");
            let expect = logits.to_vec1::<f32>().expect("f32");
            assert_close(&rows[length - 1..length], &[expect], &format!("{length} tokens"));
        }
    }

    #[test]
    fn a_llama_with_odd_sizes_agrees_with_candle_transformers() {
        check(&tiny_llama());
    }

    #[test]
    fn smollm2_agrees_with_candle_transformers() {
        check(&ModelFiles::open(&smollm2_path()).expect("the file is valid"));
    }
}
