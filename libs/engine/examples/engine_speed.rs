//! What the engine makes of a model's speed: what a step costs by its rows, how much of it is drawing tokens, and what
//! speculation wins or loses. `cargo run -p textnlp-engine --example engine_speed -- MODEL [PARTS]`, of the parts
//! `rows,drawing,speculation`.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Instant;

use textnlp_engine::chat::Message;
use textnlp_engine::engine::{
    EngineConfig, Event, LanguageModel, LoadOptions, Prompt, Request, Sink,
};
use textnlp_engine::model::{Batch, Logits, Model, Outputs, PageId, Span};
use textnlp_engine::models::{CpuModel, CpuOptions};
use textnlp_engine::sampling::SamplingParams;
use textnlp_engine::weights::ModelFiles;

type Error = Box<dyn std::error::Error>;

/// Tokens that each sequence has already, and pages for them and some more.
const CONTEXT: usize = 256;
const PAGES: u32 = 20;
/// Rows of a sequence in a step.
const LENGTHS: [usize; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16];

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("usage: engine_speed MODEL [PARTS]")?);
    let parts = arguments.next().unwrap_or_else(|| "rows,drawing,speculation".to_owned());
    for part in parts.split(',') {
        match part {
            "rows" => rows(&path)?,
            "drawing" => drawing(&path)?,
            "speculation" => speculation(&path)?,
            _ => return Err(format!("no such part: {part}").into()),
        }
    }
    Ok(())
}

/// The time of a step in which each of some sequences has so many rows, beside that of one row each.
fn rows(path: &Path) -> Result<(), Error> {
    let mut model = CpuModel::load(&ModelFiles::open(path)?, CpuOptions::default())?;
    model.reserve(16 * PAGES)?;
    let tokens: Vec<u32> = (0..512).map(|i| 100 + i).collect();
    let mut logits = Logits::default();
    for sequences in [1, 2, 4, 8, 16] {
        let pages: Vec<Vec<PageId>> =
            (0..sequences as u32).map(|i| (i * PAGES..(i + 1) * PAGES).collect()).collect();
        for pages in &pages {
            let span = Span { rows: CONTEXT, first_position: 0, pages, outputs: Outputs::None };
            model.forward(&Batch { tokens: &tokens[..CONTEXT], spans: &[span] }, &mut logits)?;
        }
        let mut best = [f64::MAX; LENGTHS.len()];
        // Interleaved, so that a busy moment of the machine does not fall upon one of them.
        for _ in 0..12 {
            for (best, rows) in best.iter_mut().zip(LENGTHS) {
                let span =
                    |pages| Span { rows, first_position: CONTEXT, pages, outputs: Outputs::All };
                let spans: Vec<_> = pages.iter().map(|pages| span(pages.as_slice())).collect();
                let batch = Batch { tokens: &tokens[..sequences * rows], spans: &spans };
                let start = Instant::now();
                model.forward(&batch, &mut logits)?;
                *best = best.min(start.elapsed().as_secs_f64());
            }
        }
        print!("{sequences} sequences of one row {:.2} ms; of n rows, times that:", best[0] * 1e3);
        for (best, rows) in best.iter().map(|time| time / best[0]).zip(LENGTHS) {
            print!(" {rows}: {best:.2}");
        }
        println!();
    }
    Ok(())
}

/// The share of drawing in the time of a step, by the number of sequences.
fn drawing(path: &Path) -> Result<(), Error> {
    let cut = SamplingParams {
        temperature: 0.8,
        top_p: 0.95,
        top_k: 40,
        max_tokens: 64,
        ignore_end: true,
        ..SamplingParams::default()
    };
    for (name, params) in [
        ("top-k and top-p", cut.clone()),
        ("top-p", SamplingParams { top_k: 0, ..cut.clone() }),
        ("neither", SamplingParams { top_k: 0, top_p: 1.0, ..cut }),
    ] {
        for sequences in [1, 8, 32, 64] {
            let model = load(path, true)?;
            let request = |index: u64| {
                let content = format!("Write a complaint of a traveller, number {index}.");
                request(&model, content, params.clone(), index)
            };
            run(&model, (0..sequences).map(request).collect::<Result<_, _>>()?)?;
            model.engine().shutdown();
            let stats = model.stats();
            println!(
                "{name}, {sequences} sequences: drawing {:.2} % of {:.2} s",
                100.0 * stats.drawing.as_secs_f64()
                    / (stats.drawing + stats.computing).as_secs_f64(),
                (stats.drawing + stats.computing).as_secs_f64()
            );
        }
    }
    Ok(())
}

/// Tokens per second of one sequence and of some, with speculation and without.
fn speculation(path: &Path) -> Result<(), Error> {
    let paragraph = "The lamps on pier 7 were lit at dusk, and the harbour master wrote their numbers into a ledger: lamp \
                     12, lamp 15, lamp 21 and lamp 33. Nobody had asked him to do so, and nobody would ever read it, but \
                     the ledger had been there before him, and it would be there after him.";
    let repeat = format!("Repeat this paragraph word by word.\n\n{paragraph}\n\n{paragraph}");
    let story = "Write a story about a lighthouse keeper who learns to dance.".to_owned();
    let models = [load(path, false)?, load(path, true)?];
    for (name, content, temperature) in [
        ("repeat a paragraph, greedy", &repeat, 0.0),
        ("repeat a paragraph, temperature 1", &repeat, 1.0),
        ("a story, greedy", &story, 0.0),
        ("a story, temperature 1", &story, 1.0),
    ] {
        for sequences in [1, 2] {
            let mut best = [f64::MIN; 2];
            for round in 0..3_u64 {
                for (best, model) in best.iter_mut().zip(&models) {
                    let params = SamplingParams {
                        temperature,
                        max_tokens: 200,
                        ignore_end: content == &story,
                        ..SamplingParams::default()
                    };
                    let request =
                        |index| request(model, content.clone(), params.clone(), 10 * round + index);
                    let requests = (0..sequences).map(request).collect::<Result<_, _>>()?;
                    let start = Instant::now();
                    let tokens = run(model, requests)?;
                    *best = best.max(tokens as f64 / start.elapsed().as_secs_f64());
                }
            }
            let stats = models[1].stats();
            println!(
                "{name}, {sequences} at once: {:.0} tokens/s, with speculation {:.0} ({:+.0} %); so far {} of {} accepted",
                best[0],
                best[1],
                100.0 * (best[1] / best[0] - 1.0),
                stats.accepted_tokens,
                stats.proposed_tokens
            );
        }
    }
    Ok(())
}

fn load(path: &Path, speculation: bool) -> Result<LanguageModel, Error> {
    let engine = EngineConfig { speculation, ..EngineConfig::default() };
    Ok(LanguageModel::load(path, LoadOptions { engine, ..LoadOptions::default() })?)
}

fn request(
    model: &LanguageModel,
    content: String,
    params: SamplingParams,
    seed: u64,
) -> Result<Request, Error> {
    let messages = vec![Message { role: "user".to_owned(), content }];
    let prompt = model.prompts().encode(&Prompt::Chat(messages))?;
    Ok(Request { prompt, params, seed, choice: 0 })
}

/// Runs requests together; returns the number of tokens drawn.
fn run(model: &LanguageModel, requests: Vec<Request>) -> Result<usize, Error> {
    let (sender, events) = channel();
    let mut tickets = Vec::new();
    for request in requests {
        let sender = sender.clone();
        let sink: Sink = Box::new(move |event| drop(sender.send(event)));
        tickets.push(model.submit(request, sink)?);
    }
    drop(sender);
    let mut tokens = 0;
    for event in events {
        match event {
            Event::Begun { .. } | Event::Token { .. } => {}
            Event::Finished(completion) => tokens += completion.completion_tokens,
            Event::Failed(error) => return Err(error.into()),
        }
    }
    Ok(tokens)
}
