//! Speed of the CPU executor on a model file: `cargo run -p textnlp-engine --example model_speed -- MODEL [THREADS]`
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::time::Instant;

use textnlp_engine::model::{Batch, Logits, Model, Outputs, Span};
use textnlp_engine::models::{CpuModel, CpuOptions};
use textnlp_engine::weights::ModelFiles;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("usage: model_speed MODEL [THREADS]")?);
    let threads =
        arguments.next().map_or(Ok(CpuOptions::default().threads), |text| text.parse())?;
    let files = ModelFiles::open(&path)?;
    let start = Instant::now();
    let mut model = CpuModel::load(&files, CpuOptions { threads, ..CpuOptions::default() })?;
    println!(
        "loaded in {:.2} s, {} on {threads} threads",
        start.elapsed().as_secs_f64(),
        model.isa().name()
    );
    model.reserve(64 * 16)?;
    for rows in [1, 8, 32, 64] {
        let rate = decode(&mut model, rows)?;
        println!("decode, {rows} sequences at 64 tokens: {rate:.0} tokens/s");
    }
    let rate = prefill(&mut model, 512)?;
    println!("prefill of 512: {rate:.0} tokens/s");
    Ok(())
}

/// Best of several steps of that many sequences, each at position 64.
fn decode(model: &mut CpuModel, sequences: usize) -> Result<f64, Error> {
    let pages: Vec<Vec<u32>> =
        (0..sequences as u32).map(|i| (i * 5..i * 5 + 5).collect()).collect();
    let mut logits = Logits::default();
    let tokens: Vec<u32> = (0..64).map(|i| 100 + i).collect();
    for pages in &pages {
        let span = Span { rows: 64, first_position: 0, pages, outputs: Outputs::None };
        model.forward(&Batch { tokens: &tokens, spans: &[span] }, &mut logits)?;
    }
    let span = |pages| Span { rows: 1, first_position: 64, pages, outputs: Outputs::Last };
    let spans: Vec<_> = pages.iter().map(|pages| span(pages.as_slice())).collect();
    let batch = Batch { tokens: &tokens[..sequences], spans: &spans };
    best_rate(sequences, 8, || model.forward(&batch, &mut logits))
}

fn prefill(model: &mut CpuModel, rows: usize) -> Result<f64, Error> {
    let pages: Vec<u32> = (0..rows.div_ceil(16) as u32).collect();
    let tokens: Vec<u32> = (0..rows as u32).map(|i| 100 + i).collect();
    let span = Span { rows, first_position: 0, pages: &pages, outputs: Outputs::Last };
    let mut logits = Logits::default();
    best_rate(rows, 3, || model.forward(&Batch { tokens: &tokens, spans: &[span] }, &mut logits))
}

fn best_rate<E: std::error::Error + 'static>(
    tokens: usize,
    times: usize,
    mut step: impl FnMut() -> Result<(), E>,
) -> Result<f64, Error> {
    let mut best = f64::MAX;
    for _ in 0..times {
        let start = Instant::now();
        step()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(tokens as f64 / best)
}
