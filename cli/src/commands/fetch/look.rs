//! Looks at a model on the disk: what it is, and that it can be served. Weights are hashed, not loaded.

use std::fs;
use std::path::{Component, Path};

use textnlp_crds::model_status::ModelInfo;
use textnlp_crds::task::Fetched;
use textnlp_engine::engine::OpenModel;
use textnlp_engine::weights::ModelFiles;

use super::error::FetchError;
use crate::formats::Formats;

/// Looks at a model that a user has put into a claim.
pub(super) fn in_claim(mount: &Path, path: &str, formats: Formats) -> Result<Fetched, FetchError> {
    let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if !Path::new(path).components().all(plain) {
        return Err(FetchError::Source(format!(
            "spec.source.persistentVolumeClaim.path: `{path}` leads out of the claim; give a path inside it, without `..`"
        )));
    }
    let place = mount.join(path);
    let missing = || {
        FetchError::NotFound(format!(
            "there is nothing at `{path}` in the claim; copy the model there, or change spec.source.persistentVolumeClaim.path"
        ))
    };
    let real = |path: &Path| path.canonicalize().map_err(|_| missing());
    if !real(&place)?.starts_with(real(mount)?) {
        return Err(FetchError::Source(format!(
            "spec.source.persistentVolumeClaim.path: `{path}` leads out of the claim through a symbolic link"
        )));
    }
    at(&place, path, formats)
}

/// Looks at a file or a directory; `path` is how servers find it below the mount, `formats` what they compute in.
pub(super) fn at(place: &Path, path: &str, formats: Formats) -> Result<Fetched, FetchError> {
    let model = OpenModel::open(place).map_err(|error| FetchError::model(&error))?;
    let model = model.with_precision(formats.precision).with_kv_cache(formats.kv_cache);
    let files =
        ModelFiles::open(place).map_err(|error| FetchError::model(&error.into()))?.summary();
    let info = model.info();
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let architecture = serde_json::to_value(files.architecture).unwrap_or_default();
    Ok(Fetched {
        model: ModelInfo {
            architecture: architecture.as_str().map(str::to_owned),
            parameters: Some(whole(files.parameters)),
            context_tokens: i64::try_from(info.context_tokens).ok(),
            // `cpu-1/int8` computes with int8.
            dtype: info.numerics.rsplit('/').next().map(str::to_owned),
            digest: Some(info.digest.clone()),
            numerics: Some(info.numerics.clone()),
            tokenizer_digest: Some(info.tokenizer_digest.clone()),
            chat_template: Some(info.chat),
        },
        path: path.to_owned(),
        bytes: whole(bytes(place)),
    })
}

/// Bytes of a file, or of the files of a directory.
fn bytes(place: &Path) -> u64 {
    let length = |path: &Path| fs::metadata(path).ok().filter(|m| m.is_file()).map(|m| m.len());
    match fs::read_dir(place) {
        Ok(entries) => entries.flatten().filter_map(|entry| length(&entry.path())).sum(),
        Err(_) => length(place).unwrap_or_default(),
    }
}
