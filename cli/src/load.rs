//! From what the user named to a job that can run: manifests read, references resolved, model files opened.

use std::fs;
use std::path::{Path, PathBuf};

use textnlp_crds::job::GenerationJob;
use textnlp_crds::manifest::{Given, Manifest, Override, Resolved};
use textnlp_dataset::net::Access;
use textnlp_dataset::store::{Credentials, LocalStore, Location, ObjectStore, Store};
use textnlp_generation::task::{location, objects_of};
use textnlp_generation::{Job, Models, Source};

use crate::args::RunArgs;
use crate::failure::Failure;
use crate::models::LocalModels;

/// A job with everything that it names.
pub(crate) struct LoadedJob {
    pub(crate) job: Job,
    pub(crate) source: Source,
    pub(crate) models: Models,
    /// The models by ModelDeployment, opened but not loaded.
    pub(crate) local: LocalModels,
    /// Where the dataset goes.
    pub(crate) output: Target,
}

/// Where a dataset goes.
pub(crate) enum Target {
    Directory(PathBuf),
    Objects(Location),
}

impl Target {
    /// The store at that place. An object store takes the credentials that this user's tools have.
    pub(crate) fn open(&self) -> Result<Box<dyn Store>, Failure> {
        match self {
            Self::Directory(path) => Ok(Box::new(LocalStore::open(path).map_err(Failure::failed)?)),
            Self::Objects(place) => {
                let access = Access::from_environment();
                let store = ObjectStore::open(place, &Credentials::Identity, access);
                Ok(Box::new(store.map_err(Failure::usage)?))
            }
        }
    }
}

/// Reads and checks everything up to the source, which the job itself reads.
pub(crate) fn load(args: &RunArgs) -> Result<LoadedJob, Failure> {
    let mut files = Vec::new();
    for path in &args.files {
        collect(path, &mut files)?;
    }
    let texts = files
        .iter()
        .map(|path| Ok((path.display().to_string(), read(path)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let overrides = overrides(args)?;
    let named = texts.iter().map(|(name, text)| (name.as_str(), text.as_slice()));
    let manifest = Manifest::read(named, &overrides).map_err(Failure::usage)?;
    for warning in &manifest.warnings {
        crate::note(&format!("warning: {warning}"));
    }
    let given = Given { model: args.model.is_some(), source: args.source.is_some() };
    let resolved = manifest.resolve(given).map_err(Failure::usage)?;
    let local = LocalModels::open(args, &resolved)?;
    let mut models = Models::default();
    local.describe(&mut models);
    let object = &resolved.job.object;
    let name = object.metadata.name.clone().unwrap_or_default();
    let located = |error: textnlp_generation::Error| locate(error, &resolved);
    let job = Job::compile(&name, &object.spec, &models).map_err(located)?;
    let base = directory_of(resolved.job.origin.file());
    Ok(LoadedJob {
        source: source(args, object, &resolved, &base)?,
        output: output(args, object, &base, &name)?,
        job,
        models,
        local,
    })
}

/// Adds the line and column of the field that an error names.
fn locate(error: textnlp_generation::Error, resolved: &Resolved<'_>) -> Failure {
    let code = error.exit_code();
    let message = match &error {
        textnlp_generation::Error::Spec { path, .. } => {
            format!("{}: {error}", resolved.job.origin.locate(path))
        }
        _ => error.to_string(),
    };
    Failure { code, message: Some(message) }
}

/// A file, or the manifests of a directory (not of those below it), sorted by name.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let unreadable =
        |e: std::io::Error| Failure::usage(format!("cannot read {}: {e}", path.display()));
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let is_manifest =
            file.extension().is_some_and(|e| ["yaml", "yml", "json"].iter().any(|m| e == *m));
        // kubectl's own file of a kustomize directory is no manifest.
        if is_manifest && file.is_file() && file.file_stem().is_none_or(|s| s != "kustomization") {
            found.push(file);
        }
    }
    if found.is_empty() {
        let message =
            format!("{}: no manifest (.yaml, .yml or .json) in this directory", path.display());
        return Err(Failure::usage(message));
    }
    found.sort();
    files.extend(found);
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|e| Failure::usage(format!("cannot read {}: {e}", path.display())))
}

fn overrides(args: &RunArgs) -> Result<Vec<Override>, Failure> {
    let mut overrides = Vec::new();
    for set in &args.set {
        let change = set.parse::<Override>();
        overrides.push(change.map_err(|e| Failure::usage(format!("--set {e}")))?);
    }
    if let Some(limit) = args.limit {
        let change =
            Override::new("spec.source.limit", &limit.to_string()).map_err(Failure::usage)?;
        overrides.push(change);
    }
    Ok(overrides)
}

/// The directory that relative paths of a file are relative to.
pub(crate) fn directory_of(file: &str) -> PathBuf {
    Path::new(file).parent().map(Path::to_owned).unwrap_or_default()
}

fn source(
    args: &RunArgs,
    job: &GenerationJob,
    resolved: &Resolved<'_>,
    base: &Path,
) -> Result<Source, Failure> {
    if let Some(pattern) = &args.source {
        return Ok(Source::files(Path::new(""), pattern));
    }
    let spec = &job.spec.source;
    if let Some(inline) = &spec.inline {
        return Ok(Source::Inline(inline.records.to_vec()));
    }
    if let Some(file) = &spec.file {
        return Ok(Source::files(base, &file.path));
    }
    let here = |path: &str| resolved.job.origin.locate(path);
    if let (Some(reference), Some(map)) = (&spec.config_map, resolved.config_map) {
        let keys = map.object.data.iter().flatten();
        let text =
            keys.clone().find(|(key, _)| **key == reference.key).map(|(_, text)| text.clone());
        let Some(text) = text else {
            let keys: Vec<&str> = keys.map(|(key, _)| key.as_str()).collect();
            return Err(Failure::usage(format!(
                "{}: spec.source.configMap.key: ConfigMap {:?} has no key {:?}; it has {}",
                here("spec.source.configMap.key"),
                reference.name,
                reference.key,
                keys.join(", ")
            )));
        };
        return Ok(Source::Text { name: reference.key.clone(), text });
    }
    if let Some(objects) = &spec.object_store {
        let access = Access::from_environment();
        return Ok(objects_of(objects, &Credentials::Identity, access)?);
    }
    if spec.persistent_volume_claim.is_some() {
        let path = "spec.source.persistentVolumeClaim";
        return Err(Failure::usage(format!(
            "{}: {path}: a local run cannot read it; give the data with --source PATH",
            here(path)
        )));
    }
    Ok(Source::None)
}

fn output(args: &RunArgs, job: &GenerationJob, base: &Path, name: &str) -> Result<Target, Failure> {
    if let Some(output) = &args.output {
        return Ok(Target::Directory(output.clone()));
    }
    let destination = job.spec.output.destination.as_ref();
    if let Some(objects) = destination.and_then(|d| d.object_store.as_ref()) {
        return Ok(Target::Objects(location(objects, "output.destination.objectStore")));
    }
    Ok(Target::Directory(match destination.and_then(|d| d.directory.as_ref()) {
        Some(directory) => base.join(&directory.path),
        // Claims are a cluster's: here the dataset goes where the user is.
        None => PathBuf::from(name),
    }))
}
