//! `kubectl textnlp`: jobs and models in a cluster. `textnlp` is this plugin when it is called `kubectl-textnlp`, or `textnlp kubectl`.
//!
//! What is shown and decided is worked out by pure functions over objects; [`cluster`] makes all calls but the streams of `logs`
//! and `get`.

mod args;
mod cluster;
mod control;
mod error;
mod get;
mod logs;
pub(crate) mod receive;
pub(crate) mod send;
mod standing;
mod status;
mod target;
mod why;
mod words;

#[cfg(test)]
mod testing;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use crate::failure::Failure;
use crate::{note, print_text};
use args::{Cli, Verb};
use cluster::Cluster;
use error::Error;

/// The name by which kubectl calls the program.
const PLUGIN: &str = "kubectl-textnlp";
/// The first word that does the same where the program has one name only: in its image.
const WORD: &str = "kubectl";

/// The plugin's command line, program first, if this process was started as the plugin.
pub(crate) fn command_line(started: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    let mut words: Vec<OsString> = started.collect();
    if is_plugin(words.first()?) {
        return Some(words);
    }
    if words.get(1)? != WORD {
        return None;
    }
    words.remove(0);
    Some(words)
}

fn is_plugin(program: &OsStr) -> bool {
    Path::new(program).file_stem() == Some(OsStr::new(PLUGIN))
}

/// The program, as a plugin.
pub(crate) fn main(arguments: Vec<OsString>) -> ExitCode {
    let cli = Cli::parse_from(arguments);
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("TEXTNLP_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            note(&format!("error: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(dispatch(&cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            if let Some(message) = message {
                note(&format!("error: {message}"));
            }
            ExitCode::from(code)
        }
    }
}

async fn dispatch(cli: &Cli) -> Result<(), Failure> {
    let cluster = Cluster::connect(&cli.cluster).await?;
    match &cli.verb {
        Verb::Status(args) => status::run(&cluster, args).await,
        Verb::Suspend(args) => say(control::suspend(&cluster, &args.name).await),
        Verb::Resume(args) => say(control::resume(&cluster, &args.name).await),
        Verb::Retry(args) => say(control::retry(&cluster, &args.name).await),
        Verb::Logs(args) => Ok(logs::run(&cluster, args).await?),
        Verb::Get(args) => Ok(get::run(&cluster, args).await?),
        Verb::Why(args) => Ok(why::run(&cluster, args).await?),
    }
}

/// Prints what a verb did.
fn say(done: Result<String, Error>) -> Result<(), Failure> {
    print_text(&format!("{}\n", textnlp_dataset::display::line(&done?)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_is_known_by_its_name_wherever_it_lies() {
        let check = |program: &str, expect: bool| {
            assert_eq!(is_plugin(OsStr::new(program)), expect, "{program}")
        };
        check("kubectl-textnlp", true);
        check("/usr/local/bin/kubectl-textnlp", true);
        check("kubectl-textnlp.exe", true);
        check("textnlp", false);
        check("/opt/kubectl-textnlp/textnlp", false);
        check("", false);
    }

    #[test]
    fn in_its_image_the_program_is_the_plugin_by_its_first_word() {
        let check = |words: &[&str], expect: Option<&[&str]>| {
            let found = command_line(words.iter().map(OsString::from));
            let expect = expect.map(|words| words.iter().map(OsString::from).collect::<Vec<_>>());
            assert_eq!(found, expect, "{words:?}");
        };
        check(
            &["/textnlp", "kubectl", "status", "-n", "a"],
            Some(&["kubectl", "status", "-n", "a"]),
        );
        check(&["/bin/kubectl-textnlp", "status"], Some(&["/bin/kubectl-textnlp", "status"]));
        check(&["textnlp", "run", "kubectl"], None);
        check(&["textnlp"], None);
        check(&[], None);
        let words = command_line(["textnlp", "kubectl", "why", "gj/a"].iter().map(OsString::from));
        assert!(Cli::try_parse_from(words.expect("the plugin's")).is_ok());
    }
}
