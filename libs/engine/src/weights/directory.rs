//! What a path holds: a GGUF, a safetensors file, or a directory with exactly one of them; everything else is refused
//! with the reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::model_files::ModelFiles;
use super::safetensors::is_safetensors;
use super::safetensors_model::Companions;
use super::source::{FileSource, ReadAt, read_exact};
use super::{WeightsError, gguf_model, magic, safetensors_model};

const ACCEPTED: &str = "a .gguf file, a .safetensors file with config.json beside it, or a directory that holds one is needed";
const SHARDED: &str = "its weights are split over several safetensors files, which is not supported yet; \
     merge them into one model.safetensors, or use a GGUF";

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
    if name.ends_with(".safetensors.index.json") {
        return Err(not_a_model(SHARDED.to_owned()));
    }
    let source = FileSource::open(path)?;
    let mut start = vec![0; magic::SHOWN_BYTES.min(source.size()) as usize];
    read_exact(&source, 0, &mut start)?;
    if start.starts_with(b"GGUF") || name.ends_with(".gguf") {
        gguf_model::open(Arc::new(source))
    } else if is_safetensors(&start) || name.ends_with(".safetensors") {
        let directory = path.parent().unwrap_or(Path::new(""));
        let companions = Companions::read(directory)?;
        safetensors_model::open(Arc::new(source), companions)
    } else if is_pickle_name(&name) {
        Err(not_a_model(magic::PICKLE_REFUSED.to_owned()))
    } else {
        Err(not_a_model(format!("{ACCEPTED}, but {}", magic::describe(&start))))
    }
}

/// The one weights file of a directory.
fn weights_in(directory: &Path) -> Result<PathBuf, WeightsError> {
    let names = file_names(directory)?;
    let ending =
        |end: &str| names.iter().filter(|name| name.ends_with(end)).cloned().collect::<Vec<_>>();
    let (ggufs, mut safetensors) = (ending(".gguf"), ending(".safetensors"));
    let sharded = !ending(".safetensors.index.json").is_empty();
    if safetensors.iter().any(|name| name == "model.safetensors") {
        safetensors = vec!["model.safetensors".to_owned()];
    } else if sharded && ggufs.is_empty() {
        return Err(not_a_model(directory, SHARDED));
    }
    let candidates = [ggufs, safetensors].concat();
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
