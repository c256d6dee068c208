//! Keys and values in eight bits and in bfloat16: near those in full, in less memory.

mod common;

use common::*;
use textnlp_engine::model::{Model, Outputs, PageId};
use textnlp_engine::models::{CpuModel, CpuOptions, KvPrecision, Tensors};
use textnlp_engine::weights::ModelFiles;

fn load(tensors: &dyn Tensors, kv_cache: KvPrecision) -> CpuModel {
    let options = CpuOptions { threads: 2, kv_cache, ..CpuOptions::default() };
    let mut model = CpuModel::load(tensors, options).expect("a valid model");
    model.reserve(16).expect("memory for 16 pages");
    model
}

fn smollm2() -> ModelFiles {
    ModelFiles::open(&smollm2_path()).expect("the file is valid")
}

#[derive(serde::Deserialize)]
struct Continuation {
    prompt: Vec<u32>,
    tokens: Vec<u32>,
}

fn continuations() -> Vec<Continuation> {
    serde_json::from_str(include_str!("goldens/smollm2-greedy.json")).expect("the golden is JSON")
}

#[test]
fn smollm2s_logits_hardly_change_in_eight_bits() {
    let files = smollm2();
    let texts: Vec<Vec<u32>> =
        continuations()[..3].iter().map(|text| [&text.prompt[..], &text.tokens].concat()).collect();
    let pages: Vec<PageId> = (0..16).collect();
    let logits = |kv_cache| -> Vec<Vec<f32>> {
        let mut model = load(&files, kv_cache);
        texts.iter().flat_map(|tokens| prefill(&mut model, tokens, &pages, 128)).collect()
    };
    let (expect, got) = (logits(KvPrecision::AsWeights), logits(KvPrecision::Int8));
    assert_ne!(expect, got, "it does round to eight bits");
    assert_near(&expect, &got, 0.005, 0.97);
}

#[test]
fn smollm2_goes_on_with_the_same_tokens_in_eight_bits_where_its_choice_is_clear() {
    let files = smollm2();
    // Each of these tokens is likelier than the next by a factor of at least e^1.9 (the golden's `gaps`).
    let Continuation { prompt, tokens } = &continuations()[2];
    let pages: Vec<PageId> = (0..16).rev().collect();
    let mut model = load(&files, KvPrecision::Int8);
    let mut logits = step(&mut model, prompt, 0, &pages, Outputs::Last);
    for (index, &token) in tokens.iter().enumerate() {
        assert_eq!(first_maximum(&logits[0]), token as usize, "token {index}");
        logits = step(&mut model, &[token], prompt.len() + index, &pages, Outputs::Last);
    }
}

#[test]
fn a_page_takes_half_the_memory_in_eight_bits_but_for_its_scales() {
    let tensors = quantised_llama();
    let bytes = |kv_cache| load(&tensors, kv_cache).info().page_bytes;
    let (whole, half) = (bytes(KvPrecision::Bf16), bytes(KvPrecision::Int8));
    // 64 numbers of a head share four bytes.
    assert_eq!(half, whole / 2 + whole / 2 / 16);
}

#[test]
fn bfloat16_halves_a_page_of_weights_in_floating_point_and_hardly_changes_their_logits() {
    let tensors = small_llama();
    let tokens = random_tokens(60, 60, tensors.config().vocab_size);
    let logits = |kv_cache| {
        let mut model = load(&tensors, kv_cache);
        (model.info().page_bytes, prefill(&mut model, &tokens, &[3, 1, 0, 2], 64))
    };
    let (whole, expect) = logits(KvPrecision::AsWeights);
    let (half, got) = logits(KvPrecision::Bf16);
    assert_eq!(half * 2, whole);
    assert_ne!(expect, got, "it does round to bfloat16");
    assert_near(&expect, &got, 1e-5, 1.0);
}
