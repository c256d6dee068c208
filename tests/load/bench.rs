//! `load bench`: a closed loop of clients that stream chats. What they see goes to stdout as one JSON document.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use serde_json::json;
use textnlp_tests::process;
use tokio::task::JoinSet;

use crate::api::{Answer, Usage};
use crate::error::{Error, chain};
use crate::events::Events;
use crate::quantiles::Quantiles;

/// Templates add one of their own where there is none, and not all servers' do.
const SYSTEM: &str = "You are a helpful assistant.";

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Address of the server
    #[arg(long)]
    url: String,
    /// Name of the model
    #[arg(long)]
    model: String,
    /// Requests at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: u16,
    /// Requests in all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    requests: u32,
    /// File of prompts, one a line: used in turn, with seeds of their own
    #[arg(long, value_name = "FILE")]
    prompts: PathBuf,
    /// Most tokens of an answer
    #[arg(long, value_name = "N")]
    max_tokens: u32,
}

/// What the clients saw.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    clients: u16,
    requests: usize,
    seconds: f64,
    requests_per_second: f64,
    prompt_tokens: u64,
    output_tokens: u64,
    output_tokens_per_second: f64,
    /// Milliseconds from the request to the first text.
    first_token: Option<Quantiles>,
    /// Milliseconds between two chunks with text.
    between_tokens: Option<Quantiles>,
    /// Milliseconds of whole requests.
    request: Option<Quantiles>,
    /// Answers that ended at `max_tokens`.
    ended_for_length: usize,
    errors: usize,
    first_error: Option<String>,
    /// Share of one processor that this program took.
    generator_processors: f64,
}

/// What one client saw of one answer.
#[derive(Debug)]
struct Answered {
    first: Duration,
    gaps: Vec<Duration>,
    whole: Duration,
    usage: Usage,
    finish_reason: String,
}

/// Where requests go, and what they are.
#[derive(Debug)]
struct Server {
    client: reqwest::Client,
    url: String,
    model: String,
}

pub(crate) async fn run(args: &BenchArgs) -> Result<ExitCode, Error> {
    let prompts = read_prompts(&args.prompts)?;
    // A connection for each request: llama-server closes idle ones, while the next request may be on its way.
    let client = reqwest::Client::builder().pool_max_idle_per_host(0);
    let client = client.build().map_err(Error::http("a client"))?;
    let url = format!("{}/v1/chat/completions", args.url.trim_end_matches('/'));
    let server = Arc::new(Server { client, url, model: args.model.clone() });
    // What is done once at the first request is not measured.
    server.ask("Hello.", 0, 8).await.map_err(Error::Server)?;

    let before = processor()?;
    let begun = Instant::now();
    let answers = closed_loop(&server, Arc::new(prompts), args).await;
    let seconds = begun.elapsed().as_secs_f64();
    let report = report(args.clients, answers, seconds, (processor()? - before) / seconds);
    println!("{}", serde_json::to_string(&report).unwrap_or_default());
    Ok(if report.errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read_prompts(path: &Path) -> Result<Vec<String>, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::file(path.display().to_string()))?;
    let prompts: Vec<String> =
        text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    match prompts.is_empty() {
        true => Err(Error::Given(format!("{} has no prompt; give one a line", path.display()))),
        false => Ok(prompts),
    }
}

/// Processor seconds of this program.
fn processor() -> Result<f64, Error> {
    let usage = process::Usage::of(std::process::id()).map_err(Error::file("/proc/self"))?;
    Ok(usage.processor)
}

/// All answers, or why there is none, in any order.
async fn closed_loop(
    server: &Arc<Server>,
    prompts: Arc<Vec<String>>,
    args: &BenchArgs,
) -> Vec<Result<Answered, String>> {
    let (requests, max_tokens) = (args.requests as usize, args.max_tokens);
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..args.clients {
        let (server, prompts, next) = (Arc::clone(server), Arc::clone(&prompts), Arc::clone(&next));
        clients.spawn(async move {
            let mut answers = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= requests {
                    return answers;
                }
                let prompt = &prompts[index % prompts.len()];
                answers.push(server.ask(prompt, index, max_tokens).await);
            }
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

impl Server {
    /// Streams one answer.
    async fn ask(&self, prompt: &str, seed: usize, max_tokens: u32) -> Result<Answered, String> {
        let body = json!({
            "model": self.model,
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}],
            "max_tokens": max_tokens, "seed": seed,
            "temperature": 0.8, "top_p": 0.95, "top_k": 50, "min_p": 0,
            "stream": true, "stream_options": {"include_usage": true},
        });
        let begun = Instant::now();
        let response = self.client.post(&self.url).json(&body).send().await;
        let response = response.map_err(|error| chain(&error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("{status}: {}", response.text().await.unwrap_or_default()));
        }
        follow(Events::new(response), begun).await
    }
}

/// Reads a stream to its end.
async fn follow(mut events: Events, begun: Instant) -> Result<Answered, String> {
    let mut last = None;
    let mut answered = Answered {
        first: Duration::ZERO,
        gaps: Vec::new(),
        whole: Duration::ZERO,
        usage: Usage::default(),
        finish_reason: String::new(),
    };
    while let Some(data) = events.next().await.map_err(|error| chain(&error))? {
        if data == b"[DONE]" {
            answered.whole = begun.elapsed();
            if last.is_none() {
                answered.first = answered.whole;
            }
            return Ok(answered);
        }
        let chunk: Answer = serde_json::from_slice(data)
            .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(data)))?;
        if let Some(error) = chunk.error {
            return Err(format!("the stream ends with {error}"));
        }
        let arrived = events.arrived;
        if chunk.choices.iter().any(|choice| !choice.text().is_empty()) {
            match last {
                None => answered.first = arrived - begun,
                Some(last) => answered.gaps.push(arrived - last),
            }
            last = Some(arrived);
        }
        answered.usage = chunk.usage.unwrap_or(answered.usage);
        let reason = chunk.choices.into_iter().find_map(|choice| choice.finish_reason);
        answered.finish_reason = reason.unwrap_or(answered.finish_reason);
    }
    Err("the stream ends without [DONE]".to_owned())
}

fn report(
    clients: u16,
    answers: Vec<Result<Answered, String>>,
    seconds: f64,
    generator_processors: f64,
) -> Report {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(answered) => found.push(answered),
            Err(error) => errors.push(error),
        }
    }
    let output_tokens = found.iter().map(|answered| answered.usage.completion_tokens).sum();
    Report {
        clients,
        requests: found.len(),
        seconds,
        requests_per_second: found.len() as f64 / seconds,
        prompt_tokens: found.iter().map(|answered| answered.usage.prompt_tokens).sum(),
        output_tokens,
        output_tokens_per_second: output_tokens as f64 / seconds,
        first_token: Quantiles::of(found.iter().map(|answered| answered.first).collect()),
        between_tokens: Quantiles::of(found.iter().flat_map(|one| one.gaps.clone()).collect()),
        request: Quantiles::of(found.iter().map(|answered| answered.whole).collect()),
        ended_for_length: found.iter().filter(|one| one.finish_reason == "length").count(),
        errors: errors.len(),
        first_error: errors.into_iter().next(),
        generator_processors,
    }
}
