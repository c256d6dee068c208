//! A row's logits are the same bits whatever the batch, the chunks, the pages, the threads and the instruction set.

mod common;

use common::*;
use textnlp_engine::model::{Batch, Logits, Model, Outputs, PageCopy, PageId, Span};
use textnlp_engine::models::{CpuModel, CpuOptions, Isa, KvPrecision, Tensors};
use textnlp_engine::weights::ModelFiles;

/// What keys and values may be kept in.
const KV_CACHES: [KvPrecision; 3] = [KvPrecision::AsWeights, KvPrecision::Bf16, KvPrecision::Int8];

/// Each model with each form of keys and values.
fn models() -> impl Iterator<Item = (String, RandomTensors, KvPrecision)> {
    let models = [
        ("tiny llama", tiny_llama as fn() -> RandomTensors),
        ("small llama", small_llama),
        ("tiny gpt2", tiny_gpt2),
        ("quantised llama", quantised_llama),
    ];
    models.into_iter().flat_map(|(name, tensors)| {
        KV_CACHES.map(|kv_cache| (format!("{name}, {kv_cache:?}"), tensors(), kv_cache))
    })
}

fn load(
    tensors: &dyn Tensors,
    kv_cache: KvPrecision,
    threads: usize,
    isa: Option<Isa>,
) -> CpuModel {
    let options = CpuOptions { threads, isa, kv_cache, ..CpuOptions::default() };
    let mut model = CpuModel::load(tensors, options).expect("a valid model");
    model.reserve(200).expect("memory for 200 small pages");
    model
}

fn tokens(tensors: &RandomTensors, seed: u64, count: usize) -> Vec<u32> {
    random_tokens(seed, count, tensors.config().vocab_size)
}

/// Pages of a sequence, not in order.
fn pages(first: PageId, count: PageId) -> Vec<PageId> {
    (0..count).rev().map(|page| first + page).collect()
}

#[test]
fn a_decode_step_equals_a_prefill_and_chunks_equal_the_whole() {
    for (name, tensors, kv_cache) in models() {
        let mut model = load(&tensors, kv_cache, 1, None);
        let tokens = tokens(&tensors, 1, 75);
        let whole = prefill(&mut model, &tokens, &pages(0, 5), tokens.len());
        assert!(whole.iter().flatten().all(|logit| logit.is_finite()));
        assert_ne!(whole[73], whole[74]);
        for chunk in [1, 5, 16, 17, 40] {
            let chunked = prefill(&mut model, &tokens, &pages(10, 5), chunk);
            assert_same_bits(&chunked, &whole, &format!("{name}, chunks of {chunk}"));
        }
    }
}

#[test]
fn batches_of_1_7_and_32_sequences_are_the_same_bits() {
    for (name, tensors, kv_cache) in models() {
        let mut model = load(&tensors, kv_cache, 2, None);
        let length = |sequence: usize| 3 + sequence * 5 % 41;
        let sequences: Vec<Vec<u32>> = (0..32)
            .map(|sequence| self::tokens(&tensors, sequence as u64, length(sequence)))
            .collect();
        let pages: Vec<Vec<PageId>> = (0..32).map(|sequence| pages(sequence * 4, 4)).collect();
        let expect: Vec<Vec<Vec<f32>>> = sequences
            .iter()
            .zip(&pages)
            .map(|(tokens, pages)| prefill(&mut model, tokens, pages, 64))
            .collect();
        for size in [1, 7, 32] {
            for group in (0..32).collect::<Vec<usize>>().chunks(size) {
                // The last token of each decodes together; some prefill their last two tokens.
                let rows = |sequence: usize| 1 + sequence % 2;
                let mut tokens = Vec::new();
                let mut spans = Vec::new();
                for &sequence in group {
                    let first_position = length(sequence) - rows(sequence);
                    tokens.extend(&sequences[sequence][first_position..]);
                    let pages = &pages[sequence];
                    spans.push(Span {
                        rows: rows(sequence),
                        first_position,
                        pages,
                        outputs: Outputs::Last,
                    });
                }
                let mut logits = Logits::default();
                model
                    .forward(&Batch { tokens: &tokens, spans: &spans }, &mut logits)
                    .expect("a valid batch");
                let got = common::rows(&logits, tensors.config().vocab_size);
                let expect: Vec<_> = group
                    .iter()
                    .map(|&sequence| expect[sequence].last().expect("not empty").clone())
                    .collect();
                assert_same_bits(&got, &expect, &format!("{name}, batches of {size}"));
            }
        }
    }
}

#[test]
fn one_two_and_three_threads_are_the_same_bits() {
    for (name, tensors, kv_cache) in models() {
        let tokens = tokens(&tensors, 2, 90);
        let expect = prefill(&mut load(&tensors, kv_cache, 1, None), &tokens, &pages(0, 6), 64);
        for threads in [2, 3] {
            let got =
                prefill(&mut load(&tensors, kv_cache, threads, None), &tokens, &pages(0, 6), 64);
            assert_same_bits(&got, &expect, &format!("{name}, {threads} threads"));
        }
    }
}

#[test]
fn every_instruction_set_of_this_processor_is_the_same_bits_as_scalar() {
    for (name, tensors, kv_cache) in models() {
        let tokens = tokens(&tensors, 3, 37);
        let scalar = Isa::named("scalar").expect("every processor has it");
        let expect =
            prefill(&mut load(&tensors, kv_cache, 1, Some(scalar)), &tokens, &pages(0, 3), 31);
        for isa in Isa::available() {
            let got =
                prefill(&mut load(&tensors, kv_cache, 1, Some(isa)), &tokens, &pages(0, 3), 31);
            assert_same_bits(&got, &expect, &format!("{name}, {}", isa.name()));
        }
    }
}

#[test]
fn shared_prefix_pages_and_a_partial_copy_equal_a_prefill_of_ones_own() {
    for (name, tensors, kv_cache) in models() {
        let mut model = load(&tensors, kv_cache, 2, None);
        let mut first = tokens(&tensors, 4, 60);
        let mut second = first[..41].to_vec();
        second.extend(tokens(&tensors, 5, 19));
        let expect = prefill(&mut model, &second, &[100, 101, 102, 103], 64);
        prefill(&mut model, &first, &[0, 1, 2, 3], 64);
        // Two whole pages are shared, nine positions of the third are copied over what page 9 held before.
        first.reverse();
        prefill(&mut model, &first[..16], &[9], 64);
        model.copy_pages(&[PageCopy { from: 2, to: 9, tokens: 9 }]).expect("reserved pages");
        let got = step(&mut model, &second[41..], 41, &[0, 1, 9, 8], Outputs::All);
        assert_same_bits(&got, &expect[41..], &name);
        first.reverse();
        let untouched = step(&mut model, &first[59..], 59, &[0, 1, 2, 3], Outputs::Last);
        let alone = prefill(&mut model, &first, &[20, 21, 22, 23], 64);
        assert_same_bits(&untouched, &alone[59..], &name);
    }
}

#[test]
fn a_sequence_that_reads_pages_another_writes_in_the_same_step_sees_them() {
    for kv_cache in KV_CACHES {
        let tensors = tiny_llama();
        let mut model = load(&tensors, kv_cache, 2, None);
        let tokens = tokens(&tensors, 6, 40);
        let expect = prefill(&mut model, &tokens, &[50, 51, 52], 64);
        let spans = [
            Span { rows: 32, first_position: 0, pages: &[0, 1], outputs: Outputs::None },
            Span { rows: 8, first_position: 32, pages: &[0, 1, 7], outputs: Outputs::All },
        ];
        let mut logits = Logits::default();
        model
            .forward(&Batch { tokens: &tokens, spans: &spans }, &mut logits)
            .expect("a valid batch");
        assert_same_bits(
            &rows(&logits, 203),
            &expect[32..],
            &format!("a prefix of the same step, {kv_cache:?}"),
        );
    }
}

#[test]
fn a_preempted_sequence_goes_on_in_other_pages_with_the_same_bits() {
    for kv_cache in KV_CACHES {
        let tensors = small_llama();
        let mut model = load(&tensors, kv_cache, 2, None);
        let tokens = tokens(&tensors, 7, 50);
        let expect = prefill(&mut model, &tokens, &[0, 1, 2, 3], 64);
        prefill(&mut model, &tokens[..30], &[4, 5], 7);
        // Another sequence takes its pages; later it starts again from its tokens.
        prefill(&mut model, &self::tokens(&tensors, 8, 32), &[4, 5], 64);
        let mut got = prefill(&mut model, &tokens[..30], &[31, 30], 64);
        for position in 30..50 {
            got.extend(step(
                &mut model,
                &tokens[position..=position],
                position,
                &[31, 30, 29, 5],
                Outputs::Last,
            ));
        }
        assert_same_bits(&got, &expect, &format!("after a preemption, {kv_cache:?}"));
    }
}

#[test]
fn a_page_left_with_nan_does_not_reach_its_next_owner() {
    for kv_cache in KV_CACHES {
        let tensors = RandomTensors { nan_token: Some(9), ..small_llama() };
        let mut model = load(&tensors, kv_cache, 1, None);
        let tokens = vec![5; 20];
        let expect = prefill(&mut model, &tokens, &[0, 1], 64);
        let poisoned = prefill(&mut model, &[9; 32], &[2, 3], 64);
        assert!(poisoned.iter().flatten().all(|logit| logit.is_nan()));
        let got = prefill(&mut model, &tokens, &[3, 2], 3);
        assert_same_bits(&got, &expect, &format!("in a poisoned page, {kv_cache:?}"));
    }
}

#[test]
fn a_nan_fails_its_own_row_only_and_shows_in_every_block_maximum() {
    for kv_cache in KV_CACHES {
        let tensors = RandomTensors { nan_token: Some(9), ..small_llama() };
        let mut model = load(&tensors, kv_cache, 1, None);
        let expect = prefill(&mut model, &[5, 6], &[0], 64);
        let spans = [
            Span { rows: 2, first_position: 0, pages: &[1], outputs: Outputs::All },
            Span { rows: 1, first_position: 0, pages: &[2], outputs: Outputs::Last },
        ];
        let mut logits = Logits::default();
        model
            .forward(&Batch { tokens: &[5, 6, 9], spans: &spans }, &mut logits)
            .expect("a valid batch");
        assert_same_bits(&rows(&logits, 320)[..2], &expect, &format!("beside a NaN, {kv_cache:?}"));
        let blocks = logits.block_max.len() / 3;
        assert!(logits.block_max[..2 * blocks].iter().all(|maximum| maximum.is_finite()));
        assert!(logits.block_max[2 * blocks..].iter().all(|maximum| maximum.is_nan()));
    }
}

#[test]
fn block_maxima_are_the_maxima_of_their_columns() {
    let tensors = tiny_llama();
    let mut model = load(&tensors, KvPrecision::default(), 2, None);
    let span = Span { rows: 9, first_position: 0, pages: &[0], outputs: Outputs::All };
    let mut logits = Logits::default();
    let tokens = tokens(&tensors, 9, 9);
    model.forward(&Batch { tokens: &tokens, spans: &[span] }, &mut logits).expect("a valid batch");
    let expect: Vec<f32> = rows(&logits, 203)
        .iter()
        .flat_map(|row| {
            row.chunks(64)
                .map(|block| block.iter().copied().fold(f32::MIN, f32::max))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(logits.block_max, expect);
    assert_eq!(expect.len(), 9 * 4);
}

#[test]
fn a_step_without_outputs_yields_no_rows() {
    let tensors = tiny_gpt2();
    let mut model = load(&tensors, KvPrecision::default(), 2, None);
    assert!(step(&mut model, &[1, 2, 3], 0, &[0], Outputs::None).is_empty());
    let mut logits = Logits { rows: 1, values: vec![0.0; 211], block_max: vec![0.0; 4] };
    model.forward(&Batch { tokens: &[], spans: &[] }, &mut logits).expect("an empty step");
    assert_eq!((logits.rows, logits.values.len(), logits.block_max.len()), (0, 0, 0));
}

#[test]
fn what_breaks_the_contract_is_an_error_and_not_a_panic() {
    let tensors = tiny_llama();
    let mut model = load(&tensors, KvPrecision::default(), 1, None);
    let mut logits = Logits::default();
    let span = Span { rows: 1, first_position: 0, pages: &[0], outputs: Outputs::Last };
    for (tokens, span) in [
        (vec![203], span),
        (vec![1, 1], span),
        (vec![1], Span { pages: &[], ..span }),
        (vec![1], Span { pages: &[200], ..span }),
        (vec![1], Span { first_position: 256, ..span }),
    ] {
        let batch = Batch { tokens: &tokens, spans: &[span] };
        assert!(model.forward(&batch, &mut logits).is_err(), "{batch:?}");
    }
    assert!(model.copy_pages(&[PageCopy { from: 0, to: 200, tokens: 1 }]).is_err());
    assert!(model.forward(&Batch { tokens: &[1], spans: &[span] }, &mut logits).is_ok());
}

#[test]
fn smollm2_is_the_same_bits_alone_in_a_batch_in_chunks_and_on_two_threads() {
    for kv_cache in [KvPrecision::AsWeights, KvPrecision::Int8] {
        let files = ModelFiles::open(&smollm2_path()).expect("the file is valid");
        let sequences: Vec<Vec<u32>> = (0..7)
            .map(|number| random_tokens(30 + number, 20 + 3 * number as usize, 49_152))
            .collect();
        let pages = |sequence: usize| pages(sequence as PageId * 3, 3);
        let mut alone = load(&files, kv_cache, 1, None);
        let expect: Vec<Vec<f32>> = sequences
            .iter()
            .enumerate()
            .map(|(sequence, tokens)| {
                step(&mut alone, tokens, 0, &pages(sequence), Outputs::Last).remove(0)
            })
            .collect();
        drop(alone);
        let mut model = load(&files, kv_cache, 2, None);
        let owned: Vec<Vec<PageId>> = (0..7).map(pages).collect();
        // All but the last tokens in one step, the first sequence's in two; then all decode together.
        step(&mut model, &sequences[0][..5], 0, &owned[0], Outputs::None);
        let mut logits = Logits::default();
        for (chunk, outputs) in [(0, Outputs::None), (1, Outputs::Last)] {
            let range = |sequence: usize| {
                let last = sequences[sequence].len() - 1;
                let done = if sequence == 0 { 5 } else { 0 };
                if chunk == 0 { done..last } else { last..last + 1 }
            };
            let tokens: Vec<u32> =
                (0..7).flat_map(|sequence| sequences[sequence][range(sequence)].to_vec()).collect();
            let span = |sequence: usize| Span {
                rows: range(sequence).len(),
                first_position: range(sequence).start,
                pages: &owned[sequence],
                outputs,
            };
            let spans: Vec<Span<'_>> = (0..7).map(span).collect();
            model
                .forward(&Batch { tokens: &tokens, spans: &spans }, &mut logits)
                .expect("a valid batch");
        }
        assert_same_bits(&rows(&logits, 49_152), &expect, &format!("SmolLM2, {kv_cache:?}"));
    }
}
