//! `textnlp`: the command line. Results go to stdout, everything else to stderr.

#![allow(clippy::print_stdout, clippy::print_stderr)] // this is the program whose output they are

mod args;
mod cache;
mod commands;
mod failure;
mod formats;
mod kubectl;
mod load;
mod log;
mod models;
mod progress;
mod table;
mod termination;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use textnlp_dataset::display;
use textnlp_telemetry::trace;

use args::{Cli, Command, ModelCommand};
use failure::Failure;

fn main() -> ExitCode {
    if let Some(arguments) = kubectl::command_line(std::env::args_os()) {
        return kubectl::main(arguments);
    }
    let cli = Cli::parse();
    match &cli.command {
        Command::Serve(args) => log::init_told(args.log_format),
        Command::Fetch(args) => log::init_told(args.pod.log_format),
        Command::Prepare(args) => log::init_told(args.pod.log_format),
        Command::Worker(args) => log::init_told(args.job.pod.log_format),
        Command::Finalize(args) => log::init_told(args.job.pod.log_format),
        _ => log::init_quiet(),
    }
    let tracing = match service(&cli.command).map(trace::start).transpose() {
        Ok(tracing) => tracing,
        Err(error) => return end(Failure::usage(error)),
    };
    let done = dispatch(&cli.command);
    // The last spans are sent before anybody hears that the process has ended.
    drop(tracing);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => end(failure),
    }
}

fn end(Failure { code, message }: Failure) -> ExitCode {
    if let Some(message) = message {
        note(&format!("error: {message}"));
    }
    ExitCode::from(code)
}

/// What a command is called in traces; none for those that make none.
fn service(command: &Command) -> Option<&'static str> {
    match command {
        Command::Run(_) => Some("textnlp"),
        Command::Serve(_) => Some("textnlp-server"),
        Command::Prepare(_) => Some("textnlp-prepare"),
        Command::Worker(_) => Some("textnlp-worker"),
        Command::Finalize(_) => Some("textnlp-finalize"),
        _ => None,
    }
}

fn dispatch(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Run(args) => commands::run::run(args),
        Command::Generate(args) => commands::generate::run(args),
        Command::Validate(args) => commands::validate::run(args),
        Command::Format(args) => commands::format::run(args),
        Command::Explain(args) => commands::explain::run(args.field.as_deref()),
        Command::Model(ModelCommand::Inspect { path, json }) => commands::inspect::run(path, *json),
        Command::Bench(args) => commands::bench::run(args),
        Command::Serve(args) => commands::serve::run(args),
        Command::Key(args) => commands::key::run(args),
        Command::Health(args) => commands::health::run(args),
        Command::Fetch(args) => commands::fetch::run(args),
        Command::Prepare(args) => commands::pods::prepare(args),
        Command::Worker(args) => commands::pods::worker(args),
        Command::Finalize(args) => commands::pods::finalize(args),
        Command::Send(args) => kubectl::send::run(args),
        Command::Receive(args) => kubectl::receive::run(args),
    }
}

/// Writes to stdout. A reader that has seen enough (`| head`) is no error.
pub(crate) fn print_text(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes one JSON document to stdout.
pub(crate) fn print_json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print_text(&format!("{text}\n")),
        Err(error) => note(&format!("error: the result cannot be written as JSON: {error}")),
    }
}

/// Writes a line to stderr; nothing in it acts on the terminal.
pub(crate) fn note(text: &str) {
    eprintln!("{}", display::terminal(text));
}
