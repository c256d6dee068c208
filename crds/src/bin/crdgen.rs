//! Writes the CRDs of both kinds: `crdgen [DIRECTORY]`, by default beside this crate's sources.

use std::path::PathBuf;
use std::process::ExitCode;

use textnlp_crds::{Kind, crdgen};

fn main() -> ExitCode {
    let directory = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    for kind in Kind::ALL {
        let path = directory.join(crdgen::file_name(kind));
        let written = crdgen::yaml(kind)
            .map_err(|error| error.to_string())
            .and_then(|yaml| std::fs::write(&path, yaml).map_err(|error| error.to_string()));
        if let Err(error) = written {
            #[allow(clippy::print_stderr)] // a command line program
            {
                eprintln!("{}: {error}", path.display());
            }
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
