//! Logits and greedy continuations agree with Hugging Face transformers (`goldens/make_logits_goldens.py`).

mod common;

use common::*;
use textnlp_engine::model::{Batch, Logits, Model, Outputs, Span};
use textnlp_engine::models::{CpuModel, CpuOptions, Precision, Tensors};
use textnlp_engine::weights::ModelFiles;

/// What the script wrote: see its header.
struct Golden {
    tokens: Vec<u32>,
    fixed_ids: Vec<u32>,
    positions: Vec<Position>,
}

struct Position {
    top: Vec<(u32, f32)>,
    logsumexp: f32,
    fixed: Vec<f32>,
}

impl Golden {
    fn parse(bytes: &[u8]) -> Golden {
        let mut words = bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
        let mut take = |count: u32| -> Vec<u32> {
            (0..count).map(|_| words.next().expect("a whole file")).collect()
        };
        let header = take(3);
        let (positions, top, fixed) = (header[0], header[1], header[2]);
        let tokens = take(positions);
        let fixed_ids = take(fixed);
        let floats = |words: Vec<u32>| words.into_iter().map(f32::from_bits).collect::<Vec<f32>>();
        let positions = (0..positions)
            .map(|_| Position {
                top: take(top).into_iter().zip(floats(take(top))).collect(),
                logsumexp: f32::from_bits(take(1)[0]),
                fixed: floats(take(fixed)),
            })
            .collect();
        Golden { tokens, fixed_ids, positions }
    }
}

fn load(tensors: &dyn Tensors) -> CpuModel {
    let options = CpuOptions { threads: 2, precision: Precision::F32, ..CpuOptions::default() };
    let mut model = CpuModel::load(tensors, options).expect("a valid model");
    model.reserve(16).expect("memory for 16 pages");
    model
}

fn smollm2() -> CpuModel {
    load(&ModelFiles::open(&smollm2_path()).expect("the file is valid"))
}

#[track_caller]
fn check(model: &mut CpuModel, golden: &[u8], tolerance: f32) {
    let golden = Golden::parse(golden);
    let logits = prefill(model, &golden.tokens, &(0..16).collect::<Vec<_>>(), 128);
    for (position, (logits, expect)) in logits.iter().zip(&golden.positions).enumerate() {
        let fixed = golden.fixed_ids.iter().copied().zip(expect.fixed.iter().copied());
        for (id, expect) in expect.top.iter().copied().chain(fixed) {
            let got = logits[id as usize];
            assert!(
                (got - expect).abs() <= tolerance,
                "position {position}, token {id}: {got} instead of {expect}"
            );
        }
        // With the top 64 within tolerance, this one catches a logit that should not be among them.
        let sum: f64 = logits.iter().map(|&logit| libm::exp(f64::from(logit))).sum();
        let got = libm::log(sum) as f32;
        assert!(
            (got - expect.logsumexp).abs() <= tolerance,
            "position {position}: logsumexp {got}"
        );
        let best = logits.iter().copied().fold(f32::MIN, f32::max);
        assert!(
            (best - expect.top[0].1).abs() <= tolerance,
            "position {position}: the maximum is {best}"
        );
    }
    assert_eq!(logits.len(), golden.positions.len());
    // Goldens of zeros would agree with a model of zeros.
    assert!(golden.positions.iter().all(|position| position.top[0].1 > 1.0));
}

#[test]
fn a_llama_with_odd_sizes_agrees_with_transformers() {
    check(&mut load(&tiny_llama()), include_bytes!("goldens/tiny-llama-logits.bin"), 5e-5);
}

#[test]
fn a_llama_with_rotary_factors_and_its_own_head_agrees_with_transformers() {
    check(&mut load(&small_llama()), include_bytes!("goldens/small-llama-logits.bin"), 5e-5);
}

#[test]
fn gpt2_of_the_exact_shape_agrees_with_transformers() {
    check(&mut load(&gpt2_124m()), include_bytes!("goldens/gpt2-124m-logits.bin"), 1e-4);
}

#[test]
fn smollm2_agrees_with_transformers_over_200_positions() {
    check(&mut smollm2(), include_bytes!("goldens/smollm2-logits.bin"), 1e-3);
}

#[derive(serde::Deserialize)]
struct Continuation {
    prompt: Vec<u32>,
    tokens: Vec<u32>,
    /// Distance between the two largest logits at each step.
    gaps: Vec<f32>,
}

#[test]
fn greedy_continuations_of_smollm2_equal_those_of_transformers() {
    let goldens: Vec<Continuation> =
        serde_json::from_str(include_str!("goldens/smollm2-greedy.json"))
            .expect("the golden is JSON");
    assert_eq!(goldens.len(), 20);
    let mut model = smollm2();
    model.reserve(20 * 8).expect("memory for 8 pages each");
    let pages: Vec<Vec<u32>> =
        (0..20).map(|number| (number * 8..number * 8 + 8).collect()).collect();
    let mut sequences: Vec<Vec<u32>> = goldens.iter().map(|golden| golden.prompt.clone()).collect();
    let mut running: Vec<usize> = (0..20).collect();
    let mut logits = Logits::default();
    for index in 0..64 {
        // The first step prefills whole prompts, the others decode one token of each.
        let first = |number: usize| {
            if index == 0 { 0 } else { sequences[number].len() - 1 }
        };
        let tokens: Vec<u32> = running
            .iter()
            .flat_map(|&number| sequences[number][first(number)..].to_vec())
            .collect();
        let span = |&number: &usize| Span {
            rows: sequences[number].len() - first(number),
            first_position: first(number),
            pages: &pages[number],
            outputs: Outputs::Last,
        };
        let spans: Vec<Span<'_>> = running.iter().map(span).collect();
        model
            .forward(&Batch { tokens: &tokens, spans: &spans }, &mut logits)
            .expect("a valid batch");
        let got: Vec<u32> = rows(&logits, 49_152).iter().map(|row| first_maximum(row)).collect();
        let mut row = got.iter();
        running.retain(|&number| {
            let (got, expect, gap) = (
                *row.next().expect("a row each"),
                goldens[number].tokens[index],
                goldens[number].gaps[index],
            );
            sequences[number].push(got);
            // After a difference the texts are different ones; only a near tie excuses it.
            assert!(
                got == expect || gap < 2e-3,
                "prompt {number}, token {index}: {got} instead of {expect}, gap {gap}"
            );
            got == expect
        });
    }
    assert!(running.len() >= 15, "only {} continuations are equal to the end", running.len());
}

fn first_maximum(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    best as u32
}
