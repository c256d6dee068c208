//! Weights computed in the blocks they are stored in: near the same weights in f32, and the same bits everywhere.

mod common;

use common::*;
use textnlp_engine::model::Model;
use textnlp_engine::models::{CpuModel, CpuOptions, Isa, KvPrecision, Precision, Tensors, cpu};
use textnlp_engine::weights::ModelFiles;

fn load(tensors: &dyn Tensors, precision: Precision, isa: Option<Isa>) -> CpuModel {
    let options = CpuOptions { threads: 2, precision, isa, ..CpuOptions::default() };
    let mut model = CpuModel::load(tensors, options).expect("a valid model");
    model.reserve(16).expect("memory for 16 pages");
    model
}

fn smollm2() -> ModelFiles {
    ModelFiles::open(&smollm2_path()).expect("the file is valid")
}

#[test]
fn numerics_are_named_by_the_file_and_the_precisions() {
    let check = |tensors: &dyn Tensors, precision, kv_cache, expect: &str| {
        assert_eq!(cpu::numerics(tensors, precision, kv_cache), expect);
        let options = CpuOptions { precision, kv_cache, threads: 1, ..CpuOptions::default() };
        let model = CpuModel::load(tensors, options).expect("a valid model");
        assert_eq!(model.info().numerics, expect);
    };
    let (stored, f32) = (Precision::AsStored, Precision::F32);
    let (usual, bf16, int8) = (KvPrecision::AsWeights, KvPrecision::Bf16, KvPrecision::Int8);
    let quantised = quantised_llama();
    check(&quantised, stored, usual, "cpu-1/q4");
    check(&quantised, stored, bf16, "cpu-1/q4");
    check(&quantised, stored, int8, "cpu-1/q4+kv8");
    check(&quantised, Precision::Int8, int8, "cpu-1/to-int8+kv8");
    check(&quantised, f32, usual, "cpu-1/f32");
    check(&quantised, f32, bf16, "cpu-1/f32+kv16");
    check(&small_llama(), stored, usual, "cpu-1/f32");
    check(&small_llama(), stored, int8, "cpu-1/f32+kv8");
    assert_eq!(cpu::numerics(&smollm2(), stored, usual), "cpu-1/q4");
}

#[test]
fn a_quantised_llama_is_near_its_values_in_f32() {
    let tensors = quantised_llama();
    let tokens = random_tokens(50, 60, tensors.config().vocab_size);
    let logits =
        |precision| prefill(&mut load(&tensors, precision, None), &tokens, &[3, 1, 0, 2], 64);
    let (expect, got) = (logits(Precision::F32), logits(Precision::AsStored));
    assert_ne!(expect, got, "it does compute in blocks");
    assert_near(&expect, &got, 1e-3, 0.9);
}

#[derive(serde::Deserialize)]
struct Continuation {
    prompt: Vec<u32>,
    tokens: Vec<u32>,
}

#[test]
fn smollm2_is_near_its_values_in_f32() {
    let texts: Vec<Continuation> =
        serde_json::from_str(include_str!("goldens/smollm2-greedy.json"))
            .expect("the golden is JSON");
    let files = smollm2();
    let logits = |precision| -> Vec<Vec<f32>> {
        let mut model = load(&files, precision, None);
        let texts = texts[..3].iter().map(|text| [&text.prompt[..], &text.tokens].concat());
        let pages: Vec<u32> = (0..16).collect();
        texts.flat_map(|tokens| prefill(&mut model, &tokens, &pages, 128)).collect()
    };
    let (expect, got) = (logits(Precision::F32), logits(Precision::AsStored));
    assert_near(&expect, &got, 0.01, 0.93);
}

#[test]
fn smollm2_is_the_same_bits_on_every_instruction_set() {
    let files = smollm2();
    let tokens = random_tokens(51, 6, 49_152);
    let logits = |isa| prefill(&mut load(&files, Precision::AsStored, isa), &tokens, &[1], 5);
    let expect = logits(Isa::named("scalar").ok());
    assert!(expect.iter().flatten().all(|logit| logit.is_finite()));
    for isa in Isa::available() {
        assert_same_bits(&logits(Some(isa)), &expect, isa.name());
    }
}
