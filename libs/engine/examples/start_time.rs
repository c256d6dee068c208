//! Where the time goes from nothing to a model that is ready: `cargo run -p textnlp-engine --example start_time -- MODEL [CACHE]`
//!
//! First the whole start as `textnlp serve` does it, then its parts without the cache; with a folder CACHE, run it twice.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::time::Instant;

use textnlp_engine::engine::{LoadOptions, ModelCache, OpenModel};
use textnlp_engine::models::{CpuModel, CpuOptions};
use textnlp_engine::tokenizer::Tokenizer;
use textnlp_engine::weights::ModelFiles;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let path = arguments.next().ok_or("usage: start_time MODEL [CACHE]")?;
    let cache = arguments.next().map(ModelCache::at);
    let begun = Instant::now();
    let open = timed("opened: files, digest, tokenizer", || OpenModel::open_with(&path, cache))?;
    let model = timed("loaded: weights, engine", || open.load(LoadOptions::default()))?;
    println!("start to ready: {:.3} s", begun.elapsed().as_secs_f64());
    drop(model);
    let files = timed("  files", || ModelFiles::open(&path))?;
    timed("  digest, not remembered", || files.digest())?;
    timed("  tokenizer", || Tokenizer::new(files.tokenizer(), files.special_tokens()))?;
    timed("  weights, packed anew", || CpuModel::load(&files, CpuOptions::default()))?;
    Ok(())
}

fn timed<T, E>(what: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let begun = Instant::now();
    let done = work();
    println!("{what}: {:.3} s", begun.elapsed().as_secs_f64());
    done
}
