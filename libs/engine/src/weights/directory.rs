//! What a path holds: a GGUF, a safetensors file, the index of several, or a directory with exactly one of them;
//! everything else is refused with the reason.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::model_files::ModelFiles;
use super::safetensors::is_safetensors;
use super::safetensors_model::Companions;
use super::shards::ShardIndex;
use super::source::{FileSource, ReadAt, read_exact};
use super::{WeightsError, gguf_model, magic};

const ACCEPTED: &str = "a .gguf file, a .safetensors file with config.json beside it, or a directory that holds one is needed";
const INDEX: &str = ".safetensors.index.json";

/// Opens a file or a directory.
pub(super) fn open(path: &Path) -> Result<ModelFiles, WeightsError> {
    let shown = path.display().to_string();
    let metadata = fs::metadata(path).map_err(|source| WeightsError::Io { path: shown, source })?;
    if metadata.is_dir() { open_file(&weights_in(path)?) } else { open_file(path) }
}

fn open_file(path: &Path) -> Result<ModelFiles, WeightsError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let not_a_model =
        |reason: String| WeightsError::NotAModel { path: path.display().to_string(), reason };
    let directory = path.parent().unwrap_or(Path::new(""));
    if name.ends_with(INDEX) {
        return open_shards(path, directory);
    }
    let source = FileSource::open(path)?;
    let mut start = vec![0; magic::SHOWN_BYTES.min(source.size()) as usize];
    read_exact(&source, 0, &mut start)?;
    if start.starts_with(b"GGUF") || name.ends_with(".gguf") {
        gguf_model::open(Arc::new(source))
    } else if is_safetensors(&start) || name.ends_with(".safetensors") {
        ModelFiles::from_safetensors(Arc::new(source), Companions::read(directory)?)
    } else if is_pickle_name(&name) {
        Err(not_a_model(magic::PICKLE_REFUSED.to_owned()))
    } else {
        Err(not_a_model(format!("{ACCEPTED}, but {}", magic::describe(&start))))
    }
}

/// All files that an index names.
fn open_shards(path: &Path, directory: &Path) -> Result<ModelFiles, WeightsError> {
    let index = ShardIndex::read(path)?;
    let mut sources: Vec<Arc<dyn ReadAt>> = Vec::new();
    for name in index.files() {
        let source = FileSource::open(&directory.join(name)).map_err(|error| match error {
            WeightsError::Io { path, source } if source.kind() == io::ErrorKind::NotFound => {
                index.missing(&path)
            }
            other => other,
        });
        sources.push(Arc::new(source?));
    }
    ModelFiles::from_shards(&index, sources, Companions::read(directory)?)
}

/// The one weights file of a directory, or the index of several.
fn weights_in(directory: &Path) -> Result<PathBuf, WeightsError> {
    let names = file_names(directory)?;
    let ending =
        |end: &str| names.iter().filter(|name| name.ends_with(end)).cloned().collect::<Vec<_>>();
    let mut safetensors = ending(".safetensors");
    let indexes = ending(INDEX);
    // What transformers saves beats what lies beside it: variants, another tool's copy.
    let usual = ["model.safetensors", "model.safetensors.index.json"];
    let usual = usual.into_iter().find(|usual| names.iter().any(|name| name == usual));
    if let Some(usual) = usual {
        safetensors = vec![usual.to_owned()];
    } else if !indexes.is_empty() {
        safetensors = indexes;
    }
    let candidates = [ending(".gguf"), safetensors].concat();
    match candidates.as_slice() {
        [only] => Ok(directory.join(only)),
        [] if names.iter().any(|name| is_pickle_name(name)) => {
            Err(not_a_model(directory, magic::PICKLE_REFUSED))
        }
        [] => Err(not_a_model(directory, &format!("{ACCEPTED}, but the directory holds neither"))),
        several => {
            let shown = several.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            let more = if several.len() > 5 { " …" } else { "" };
            Err(not_a_model(
                directory,
                &format!("it holds several: {shown}{more}; give the path of one of them"),
            ))
        }
    }
}

fn file_names(directory: &Path) -> Result<Vec<String>, WeightsError> {
    let io_error = |source| WeightsError::Io { path: directory.display().to_string(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(io_error)? {
        names.push(entry.map_err(io_error)?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

fn is_pickle_name(name: &str) -> bool {
    [".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"].iter().any(|end| name.ends_with(end))
}

fn not_a_model(path: &Path, reason: &str) -> WeightsError {
    WeightsError::NotAModel { path: path.display().to_string(), reason: reason.to_owned() }
}
