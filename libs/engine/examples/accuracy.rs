//! What computing in stored blocks costs in accuracy: `cargo run --release -p textnlp-engine --example accuracy -- MODEL TEXT [CHUNKS]`
//!
//! Perplexity as `llama-perplexity -c 512` computes it (chunks of 512 tokens, each token after the 257th predicted), of the
//! model as stored and of the same weights in f32; and between the two, Kullback-Leibler divergence and top-1 agreement.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;

use textnlp_engine::model::{Batch, Logits, Model, Outputs, Span};
use textnlp_engine::models::{CpuModel, CpuOptions, Precision};
use textnlp_engine::tokenizer::Tokenizer;
use textnlp_engine::weights::ModelFiles;

type Error = Box<dyn std::error::Error>;

/// Tokens of a chunk, of which the second half is judged.
const CHUNK: usize = 512;
const HALF: usize = CHUNK / 2;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(text)) = (arguments.next(), arguments.next()) else {
        return Err("usage: accuracy MODEL TEXT [CHUNKS]".into());
    };
    let most = arguments.next().map_or(Ok(usize::MAX), |text| text.parse())?;
    let files = ModelFiles::open(&PathBuf::from(model))?;
    let tokenizer = Tokenizer::new(files.tokenizer(), files.special_tokens())?;
    let tokens = tokenizer.encode(&std::fs::read_to_string(text)?)?;
    let load =
        |precision| CpuModel::load(&files, CpuOptions { precision, ..CpuOptions::default() });
    let (mut exact, mut stored) = (load(Precision::F32)?, load(Precision::AsStored)?);
    for model in [&mut exact, &mut stored] {
        model.reserve((CHUNK / 16) as u32)?;
    }
    let names = [exact.info().numerics.clone(), stored.info().numerics.clone()];
    let mut figures = Figures::default();
    let first = files.special_tokens().bos.filter(|_| files.special_tokens().add_bos);
    for chunk in tokens.chunks_exact(CHUNK).take(most) {
        let mut chunk = chunk.to_vec();
        if let Some(bos) = first {
            chunk[0] = bos;
        }
        let (exact, stored) = (second_half(&mut exact, &chunk)?, second_half(&mut stored, &chunk)?);
        figures.add(&exact, &stored, &chunk[HALF + 1..]);
    }
    if figures.count == 0 {
        return Err(format!("the text has {} tokens, fewer than {CHUNK}", tokens.len()).into());
    }
    figures.print(&names);
    Ok(())
}

/// Logits of the second half of a chunk.
fn second_half(model: &mut CpuModel, chunk: &[u32]) -> Result<Logits, Error> {
    let pages: Vec<u32> = (0..(CHUNK / 16) as u32).collect();
    let mut logits = Logits::default();
    for (first_position, outputs) in [(0, Outputs::None), (HALF, Outputs::All)] {
        let span = Span { rows: HALF, first_position, pages: &pages, outputs };
        let tokens = &chunk[first_position..first_position + HALF];
        model.forward(&Batch { tokens, spans: &[span] }, &mut logits)?;
    }
    Ok(logits)
}

/// Sums over all judged tokens.
#[derive(Default)]
struct Figures {
    count: usize,
    /// Negative log-likelihood in f32 and as stored.
    surprise: [f64; 2],
    divergence: f64,
    agreed: usize,
}

impl Figures {
    fn add(&mut self, exact: &Logits, stored: &Logits, next: &[u32]) {
        let vocabulary = exact.values.len() / exact.rows;
        let rows = exact.values.chunks(vocabulary).zip(stored.values.chunks(vocabulary));
        for ((exact, stored), &next) in rows.zip(next) {
            let sums = [exact, stored].map(log_sum_exp);
            self.count += 1;
            for (surprise, (logits, sum)) in
                self.surprise.iter_mut().zip([exact, stored].into_iter().zip(sums))
            {
                *surprise += sum - f64::from(logits[next as usize]);
            }
            for (&p, &q) in exact.iter().zip(stored) {
                let (log_p, log_q) = (f64::from(p) - sums[0], f64::from(q) - sums[1]);
                self.divergence += log_p.exp() * (log_p - log_q);
            }
            self.agreed += usize::from(first_maximum(exact) == first_maximum(stored));
        }
    }

    fn print(&self, names: &[String; 2]) {
        let count = self.count as f64;
        let perplexity = self.surprise.map(|sum| (sum / count).exp());
        println!("{} tokens judged", self.count);
        for (name, perplexity) in names.iter().zip(perplexity) {
            println!("perplexity, {name}: {perplexity:.4}");
        }
        println!("difference: {:+.3} %", (perplexity[1] / perplexity[0] - 1.0) * 100.0);
        println!("mean divergence: {:.6}", self.divergence / count);
        println!("top-1 agreement: {:.2} %", self.agreed as f64 / count * 100.0);
    }
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let maximum = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    maximum + logits.iter().map(|&logit| (f64::from(logit) - maximum).exp()).sum::<f64>().ln()
}

fn first_maximum(logits: &[f32]) -> usize {
    (0..logits.len()).fold(0, |best, id| if logits[id] > logits[best] { id } else { best })
}
