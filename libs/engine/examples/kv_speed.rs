//! Decoding at several contexts with keys and values in bfloat16 and in eight bits, in turn:
//! `cargo run --release -p textnlp-engine --example kv_speed -- MODEL [THREADS]`
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::time::Instant;

use textnlp_engine::model::{Batch, Logits, Model, ModelInfo, Outputs, PageCopy, PageId, Span};
use textnlp_engine::models::{CpuModel, CpuOptions, KvPrecision};
use textnlp_engine::weights::ModelFiles;

type Error = Box<dyn std::error::Error>;

const CONTEXTS: [usize; 3] = [128, 2048, 8192];
const SEQUENCES: [usize; 2] = [1, 8];
/// Steps of each kind.
const TIMES: usize = 15;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("usage: kv_speed MODEL [THREADS]")?);
    let threads =
        arguments.next().map_or(Ok(CpuOptions::default().threads), |text| text.parse())?;
    let files = ModelFiles::open(&path)?;
    let mut models = Vec::new();
    for kv_cache in [KvPrecision::Bf16, KvPrecision::Int8] {
        let options = CpuOptions { threads, kv_cache, ..CpuOptions::default() };
        models.push(CpuModel::load(&files, options)?);
    }
    let info = models[0].info();
    let page_tokens = info.page_tokens;
    let contexts = CONTEXTS.iter().filter(|&&context| context <= info.context_tokens);
    let contexts: Vec<usize> = contexts.copied().collect();
    let longest = contexts.iter().max().ok_or("the model's context is too short")?;
    let pages = (longest * SEQUENCES[SEQUENCES.len() - 1]).div_ceil(page_tokens) as PageId;
    for model in &mut models {
        fill(model, pages)?;
        let ModelInfo { numerics, page_bytes, .. } = model.info();
        println!("{numerics} on {}: {page_bytes} bytes a page", model.isa().name());
    }
    for &context in &contexts {
        for sequences in SEQUENCES {
            let mut times = vec![Vec::new(); models.len()];
            for _ in 0..TIMES {
                for (model, times) in models.iter_mut().zip(&mut times) {
                    times.push(decode(model, context, sequences)?);
                }
            }
            let medians = times.iter_mut().map(|times| {
                times.sort_unstable_by(f64::total_cmp);
                let rate = |seconds: f64| sequences as f64 / seconds;
                format!("{:.1} (best {:.1})", rate(times[TIMES / 2]), rate(times[0]))
            });
            let medians: Vec<String> = medians.collect();
            println!(
                "{sequences} at {context}: {} tokens/s, {} in eight bits",
                medians[0], medians[1]
            );
        }
    }
    Ok(())
}

/// Fills all pages with the keys and values of some tokens: what they say does not matter to the time.
fn fill(model: &mut CpuModel, pages: PageId) -> Result<(), Error> {
    model.reserve(pages)?;
    let page_tokens = model.info().page_tokens;
    let tokens: Vec<u32> = (0..4 * page_tokens as u32).map(|token| 100 + token).collect();
    let span = Span {
        rows: tokens.len(),
        first_position: 0,
        pages: &[0, 1, 2, 3],
        outputs: Outputs::None,
    };
    model.forward(&Batch { tokens: &tokens, spans: &[span] }, &mut Logits::default())?;
    let copy = |to| PageCopy { from: to % 4, to, tokens: page_tokens };
    let copies: Vec<PageCopy> = (4..pages).map(copy).collect();
    Ok(model.copy_pages(&copies)?)
}

/// Seconds of a step of that many sequences, each of which then has `context` tokens.
fn decode(model: &mut CpuModel, context: usize, sequences: usize) -> Result<f64, Error> {
    let count = context.div_ceil(model.info().page_tokens) as PageId;
    let pages: Vec<Vec<PageId>> = (0..sequences as PageId)
        .map(|sequence| (sequence * count..(sequence + 1) * count).collect())
        .collect();
    let span = |pages| Span { rows: 1, first_position: context - 1, pages, outputs: Outputs::Last };
    let spans: Vec<_> = pages.iter().map(|pages| span(pages.as_slice())).collect();
    let tokens = vec![100; sequences];
    let mut logits = Logits::default();
    let start = Instant::now();
    model.forward(&Batch { tokens: &tokens, spans: &spans }, &mut logits)?;
    Ok(start.elapsed().as_secs_f64())
}
