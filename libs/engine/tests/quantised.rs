//! Weights computed in the blocks they are stored in: near the same weights in f32, and the same bits everywhere.

mod common;

use common::*;
use textnlp_engine::model::Model;
use textnlp_engine::models::{CpuModel, CpuOptions, Isa, Precision, Tensors, cpu};
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
fn numerics_are_named_by_the_file_and_the_precision() {
    let (f32, stored) = (Precision::F32, Precision::AsStored);
    let quantised = quantised_llama();
    assert_eq!(cpu::numerics(&quantised, stored), "cpu-1/q4");
    assert_eq!(cpu::numerics(&quantised, f32), "cpu-1/f32");
    assert_eq!(cpu::numerics(&small_llama(), stored), "cpu-1/f32");
    assert_eq!(load(&quantised, stored, None).info().numerics, "cpu-1/q4");
    assert_eq!(load(&quantised, f32, None).info().numerics, "cpu-1/f32");
    assert_eq!(cpu::numerics(&smollm2(), stored), "cpu-1/q4");
}

/// ln Σ exp
fn logsumexp(logits: &[f32]) -> f64 {
    libm::log(logits.iter().map(|&logit| libm::exp(f64::from(logit))).sum())
}

/// Kullback-Leibler divergence of the second row's distribution from the first's.
fn divergence(expect: &[f32], got: &[f32]) -> f64 {
    let (expect_sum, got_sum) = (logsumexp(expect), logsumexp(got));
    let terms = expect.iter().zip(got).map(|(&p, &q)| {
        let log_p = f64::from(p) - expect_sum;
        libm::exp(log_p) * (log_p - (f64::from(q) - got_sum))
    });
    terms.sum()
}

fn first_maximum(logits: &[f32]) -> usize {
    (0..logits.len()).fold(0, |best, id| if logits[id] > logits[best] { id } else { best })
}

#[track_caller]
fn assert_near(expect: &[Vec<f32>], got: &[Vec<f32>], most_divergence: f64, least_agreement: f64) {
    let rows = expect.len() as f64;
    let pairs = || expect.iter().zip(got);
    let mean = pairs().map(|(expect, got)| divergence(expect, got)).sum::<f64>() / rows;
    let agree = pairs().filter(|(a, b)| first_maximum(a) == first_maximum(b)).count();
    let agreement = agree as f64 / rows;
    assert!(mean < most_divergence, "mean divergence {mean}, top-1 agreement {agreement}");
    assert!(agreement >= least_agreement, "mean divergence {mean}, top-1 agreement {agreement}");
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
