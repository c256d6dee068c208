//! Load on a server with OpenAI's API: `load bench` measures how fast it answers, `load mixed` whether it lives through all
//! that clients do.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a program whose output they are

mod api;
mod bench;
mod dice;
mod error;
mod events;
mod mixed;
mod quantiles;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Load on a server with OpenAI's API.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// So many clients, each with its next request as soon as the last one is answered: rates and latencies as JSON
    Bench(bench::BenchArgs),
    /// Minutes of all that clients do, right and wrong: fails if anything is answered otherwise than it should be, or stays behind
    Mixed(mixed::MixedArgs),
}

/// One thread: what this program takes of the processors, the server lacks.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Bench(args) => bench::run(&args).await,
        Command::Mixed(args) => mixed::run(&args).await,
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}
