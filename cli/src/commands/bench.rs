//! `textnlp bench`: how fast the engine decodes and reads prompts, without anything around it.

use std::time::Instant;

use serde_json::json;
use textnlp_engine::model::{Batch, Logits, Model, Outputs, PageId, Span};
use textnlp_engine::models::{CpuModel, CpuOptions};
use textnlp_engine::weights::ModelFiles;

use crate::args::BenchArgs;
use crate::failure::Failure;
use crate::formats::Formats;
use crate::{print_text, table};

/// Prompt of a decode test that names none, tokens.
const PROMPT: usize = 32;
/// Counted steps of such a test.
const STEPS: usize = 127;
/// Counted steps of a decode test that names its prompt: so few that the context is about the same throughout.
const STEPS_AT: usize = 16;
/// Most sequences of a test.
const MOST_SEQUENCES: usize = 4096;
/// Most tokens of a prompt.
const MOST_TOKENS: usize = 1 << 20;
/// Repetitions, of which the median is shown.
const ROUNDS: usize = 3;

#[derive(Clone, Copy)]
enum Test {
    /// Sequences decoded at once, each after a prompt of so many tokens.
    Decode { sequences: usize, prompt: usize, steps: usize },
    /// Tokens of a prompt.
    Prefill(usize),
}

pub(crate) fn run(args: &BenchArgs) -> Result<(), Failure> {
    let tests = args.tests.iter().map(|t| parse(t)).collect::<Result<Vec<_>, _>>()?;
    let files = ModelFiles::open(&args.model).map_err(Failure::usage)?;
    let begun = Instant::now();
    let Formats { precision, kv_cache } = args.formats.formats()?;
    let mut options = CpuOptions { precision, kv_cache, ..CpuOptions::default() };
    if let Some(threads) = args.engine.threads {
        options.threads = threads.into();
    }
    let mut model = CpuModel::load(&files, options).map_err(Failure::failed)?;
    let load = begun.elapsed().as_secs_f64();
    let engine = format!("textnlp-{}", model.info().numerics.rsplit('/').next().unwrap_or("f32"));
    let mut rows = Vec::new();
    for (name, test) in args.tests.iter().zip(tests) {
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            rates.push(measure(&mut model, test)?);
        }
        rates.sort_by(f64::total_cmp);
        let median = rates[ROUNDS / 2];
        let rss = resident_mb();
        if args.jsonl {
            let line = json!({
                "engine": engine, "test": name, "median": round(median),
                "loadSeconds": round(load), "rssMb": rss,
            });
            print_text(&format!("{line}\n"));
        }
        rows.push(vec![
            name.clone(),
            format!("{median:.1}"),
            format!("{load:.2}"),
            rss.to_string(),
        ]);
    }
    if !args.jsonl {
        print_text(&format!("{engine} on {}\n", model.isa().name()));
        print_text(&table::render(&["test", "tokens/s", "load s", "RSS MB"], &[1, 2, 3], &rows));
    }
    Ok(())
}

fn parse(name: &str) -> Result<Test, Failure> {
    let number = |text: &str, most| text.parse().ok().filter(|n| (1..=most).contains(n));
    let decode = |test: &str| match test.split_once('@') {
        None => {
            let sequences = number(test, MOST_SEQUENCES)?;
            Some(Test::Decode { sequences, prompt: PROMPT, steps: STEPS })
        }
        Some((sequences, prompt)) => Some(Test::Decode {
            sequences: number(sequences, MOST_SEQUENCES)?,
            prompt: number(prompt, MOST_TOKENS)?,
            steps: STEPS_AT,
        }),
    };
    let test = match (name.strip_prefix("pp"), name.strip_prefix('b')) {
        (Some(n), _) => number(n, MOST_TOKENS).map(Test::Prefill),
        (None, Some(test)) => decode(test),
        (None, None) => None,
    };
    test.ok_or_else(|| {
        Failure::usage(format!(
            "--tests: {name:?} is none of bN, bN@C and ppC, N from 1 to {MOST_SEQUENCES}, C from 1 to {MOST_TOKENS}"
        ))
    })
}

/// Tokens per second of one run of a test.
fn measure(model: &mut CpuModel, test: Test) -> Result<f64, Failure> {
    let (sequences, prompt, steps) = match test {
        Test::Decode { sequences, prompt, steps } => (sequences, prompt, steps),
        Test::Prefill(tokens) => (1, tokens, 0),
    };
    let info = model.info().clone();
    let each = (prompt + steps + 1).div_ceil(info.page_tokens);
    if prompt + steps + 1 > info.context_tokens {
        return Err(Failure::usage(format!(
            "the model's context has only {} tokens",
            info.context_tokens
        )));
    }
    // Both have a limit, so their product is far from 2³².
    model.reserve((sequences * each) as u32).map_err(Failure::failed)?;
    let pages: Vec<Vec<PageId>> =
        (0..sequences).map(|s| (s * each..(s + 1) * each).map(|p| p as PageId).collect()).collect();
    let mut logits = Logits::default();
    let begun = Instant::now();
    let mut last = vec![0; sequences];
    for (sequence, pages) in pages.iter().enumerate() {
        let ids: Vec<u32> = (0..prompt)
            .map(|i| (((sequence * prompt + i) * 7919 + 13) % info.vocab_size) as u32)
            .collect();
        for (chunk, tokens) in ids.chunks(info.max_rows).enumerate() {
            let first_position = chunk * info.max_rows;
            let outputs = match first_position + tokens.len() == prompt {
                true => Outputs::Last,
                false => Outputs::None,
            };
            let span = Span { rows: tokens.len(), first_position, pages, outputs };
            let batch = Batch { tokens, spans: &[span] };
            model.forward(&batch, &mut logits).map_err(Failure::failed)?;
        }
        last[sequence] = greedy(&logits.values);
    }
    if let Test::Prefill(tokens) = test {
        return Ok(tokens as f64 / begun.elapsed().as_secs_f64());
    }
    let begun = Instant::now();
    for step in 0..steps {
        let spans: Vec<Span<'_>> = pages
            .iter()
            .map(|pages| Span {
                rows: 1,
                first_position: prompt + step,
                pages,
                outputs: Outputs::Last,
            })
            .collect();
        for (chunk, spans) in spans.chunks(info.max_rows).enumerate() {
            let first = chunk * info.max_rows;
            let batch = Batch { tokens: &last[first..first + spans.len()], spans };
            model.forward(&batch, &mut logits).map_err(Failure::failed)?;
            let rows: Vec<u32> = logits.values.chunks(info.vocab_size).map(greedy).collect();
            last[first..first + rows.len()].copy_from_slice(&rows);
        }
    }
    Ok((sequences * steps) as f64 / begun.elapsed().as_secs_f64())
}

fn greedy(row: &[f32]) -> u32 {
    let first_maximum =
        row.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (index, &value)| {
            if value > best.1 { (index, value) } else { best }
        });
    first_maximum.0 as u32
}

/// Resident memory of this process in MB; 0 where the system does not tell.
fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()).unwrap_or(0)
        / 1024
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
