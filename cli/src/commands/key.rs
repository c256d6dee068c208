//! `textnlp key`: a new API key, and its entry for the file of keys.

use std::io::Read;

use textnlp_dataset::digest::{hex, sha256};

use crate::args::KeyArgs;
use crate::failure::Failure;
use crate::{note, print_text};

/// Random bytes of a key: more than can be guessed.
const BYTES: usize = 32;

pub(crate) fn run(args: &KeyArgs) -> Result<(), Failure> {
    let mut random = [0; BYTES];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut random))
        .map_err(|error| Failure::failed(format!("no random numbers: /dev/urandom: {error}")))?;
    let key = format!("tnlp_{}", hex(&random));
    note("Only this line has the key; the file of keys has its hash:");
    note(&format!("- {{name: {}, sha256: {}}}", args.name, sha256(key.as_bytes())));
    print_text(&format!("{key}\n"));
    Ok(())
}
