//! `make bench-operator`: many GenerationJobs at once on a real control plane with a node that does all work at once, so that
//! what is measured is the operator; then the same writes by a plain client; then many resources held. I/O.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a program whose output they are

mod answers;
mod audit;
mod error;
mod fixtures;
mod follow;
mod ground;
mod kubelet;
mod measure;
mod plain;
mod pods;
mod process;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::error::Error;
use crate::ground::Ground;
use crate::kubelet::Kubelet;
use crate::measure::Bench;

/// Measures the operator on a test cluster without nodes: `scripts/bench-operator.sh` starts one.
#[derive(Debug, Parser)]
struct Args {
    /// GenerationJobs that are created at once.
    #[arg(long, env = "JOBS", default_value_t = 1000, value_parser = at_least_one)]
    jobs: usize,
    /// Resources that are held in the end, for the operator's memory.
    #[arg(long, env = "HELD", default_value_t = 10_000, value_parser = at_least_one)]
    held: usize,
    /// The operator's program.
    #[arg(long, env = "OPERATOR")]
    operator: PathBuf,
    /// Where the figures are written as JSON.
    #[arg(long)]
    output: PathBuf,
    /// Where the operator's log goes.
    #[arg(long)]
    log: PathBuf,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=100_000).contains(&number) => Ok(number),
        _ => Err("a number from 1 to 100000".into()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match measure(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: &Args) -> Result<(), Error> {
    let ground = Ground::prepare().await?;
    let host = std::env::var("TEXTNLP_CLUSTER_HOST").unwrap_or_else(|_| "127.0.0.1".into());
    let kubelet = Kubelet::register(ground.admin.clone(), host).await?;
    let bench = Bench::new(args, ground)?;
    let report = tokio::select! {
        report = bench.run() => report?,
        () = kubelet.run() => return Err(Error::Stalled {
            what: "the fake kubelet's watch".into(), reached: 0, wanted: 1, seconds: 0, detail: String::new(),
        }),
    };
    let json = serde_json::to_string_pretty(&report).unwrap_or_default();
    std::fs::write(&args.output, json + "\n")
        .map_err(Error::file(args.output.display().to_string()))?;
    println!("{}", report.table());
    Ok(())
}

/// Tells people how it goes.
fn note(text: &str) {
    eprintln!("{text}");
}
