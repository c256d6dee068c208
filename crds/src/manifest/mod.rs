//! Manifests: the files that `kubectl apply` takes, read for a local run, with line and column for
//! everything that is wrong. No I/O: the caller reads the files.
//!
//! [`parse`] turns a file's bytes into documents, [`Override`] changes a field of the job,
//! [`Manifest::admit`] checks each object as an API server would, and [`Manifest::resolve`] finds
//! the one job and what it names.

mod diagnostic;
mod overrides;
mod place;
mod resolve;
mod scalar;
mod spelling;
mod yaml;

use k8s_openapi::api::core::v1::ConfigMap;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use diagnostic::{Diagnostic, Diagnostics, Location};
pub use overrides::{Override, OverrideError};
pub use place::Position;
pub use resolve::{Given, ResolveError, Resolved};
pub use yaml::{MAX_DEPTH, MAX_NODES, MAX_TEXT_BYTES};

use crate::admission::{self, Cause, CauseKind, closest, quoted};
use crate::job::GenerationJob;
use crate::kind::{API_VERSION, GROUP, Kind, VERSION};
use crate::model::ModelDeployment;
use place::Place;
use spelling::Renamed;

/// The largest file that is read, in bytes. An API server takes 3 MiB, a ConfigMap holds 1 MiB.
pub const MAX_FILE_BYTES: usize = 16 << 20;

/// One object of a file, as it was written.
#[derive(Clone, Debug)]
pub struct Document {
    /// The object.
    pub value: Value,
    /// Where it was written.
    pub origin: Origin,
}

/// Where an object was written.
#[derive(Clone, Debug)]
pub struct Origin {
    file: String,
    place: Place,
    /// The fields that `--set` gave.
    overridden: Vec<String>,
}

/// An object that passed admission.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// The object, with defaults.
    pub object: T,
    /// The same as JSON.
    pub value: Value,
    /// Where it was written.
    pub origin: Origin,
}

/// The objects of a set of files.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// The generation jobs, in the order of the files.
    pub jobs: Vec<Loaded<GenerationJob>>,
    /// The models.
    pub models: Vec<Loaded<ModelDeployment>>,
    /// The ConfigMaps, of which a job's source may name one.
    pub config_maps: Vec<Loaded<ConfigMap>>,
    /// Objects that a local run has no use for, and names that kubectl would read otherwise.
    pub warnings: Vec<Diagnostic>,
}

/// The documents of one file: YAML, or JSON. `file` is what messages call it.
///
/// # Errors
/// If the text is too large, no UTF-8, or no YAML; if a key is given twice, lists and objects nest
/// more than [`MAX_DEPTH`] deep, or aliases expand beyond [`MAX_NODES`] or [`MAX_TEXT_BYTES`]; if a
/// document is no object.
pub fn parse(file: &str, text: &[u8]) -> Result<Vec<Document>, Diagnostics> {
    let locate = |at| Location::File { file: file.to_owned(), at };
    let first = Position { line: 1, column: 1 };
    if text.len() > MAX_FILE_BYTES {
        let message = format!(
            "the file has {} bytes; at most {MAX_FILE_BYTES} are read. Put large data in a file of its own and name it in spec.source",
            text.len()
        );
        return Err(Diagnostics::one(locate(first), message));
    }
    let text = std::str::from_utf8(text).map_err(|error| {
        let good = text.get(..error.valid_up_to()).unwrap_or_default();
        let message = "the file is no UTF-8: save it as UTF-8, without a legacy encoding";
        Diagnostics::one(locate(end_of(good)), message)
    })?;
    let nodes =
        yaml::documents(text).map_err(|error| Diagnostics::one(locate(error.at), error.message))?;
    let mut documents = Vec::new();
    for node in nodes {
        let origin = Origin { file: file.to_owned(), place: node.place, overridden: Vec::new() };
        if !node.value.is_object() {
            let message = "a document must be an object with apiVersion and kind";
            return Err(Diagnostics::one(origin.locate(""), message));
        }
        documents.extend(expand_list(Document { value: node.value, origin }));
    }
    Ok(documents)
}

/// `kind: List` holds objects as if each were a document.
fn expand_list(document: Document) -> Vec<Document> {
    let is_list = document.value.get("apiVersion") == Some(&"v1".into())
        && document.value.get("kind") == Some(&"List".into());
    match document.value.get("items") {
        Some(Value::Array(items)) if is_list => items
            .iter()
            .enumerate()
            .map(|(index, value)| {
                let place = document.origin.place.item("items", index).cloned();
                let place = place.unwrap_or_default();
                Document {
                    value: value.clone(),
                    origin: Origin { place, ..document.origin.clone() },
                }
            })
            .collect(),
        _ => vec![document],
    }
}

/// The position after some text.
fn end_of(text: &[u8]) -> Position {
    let line = 1 + text.iter().filter(|byte| **byte == b'\n').count();
    let last = text.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    Position { line, column: 1 + String::from_utf8_lossy(last).chars().count() }
}

impl Origin {
    /// Where the field at `path` was given, or its nearest parent.
    pub fn locate(&self, path: &str) -> Location {
        let overridden = self.overridden.iter().any(|field| {
            path.strip_prefix(field.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        });
        if overridden {
            return Location::Override;
        }
        Location::File { file: self.file.clone(), at: self.place.find(path) }
    }

    /// The file, as the user named it.
    pub fn file(&self) -> &str {
        &self.file
    }

    fn diagnostic(&self, cause: Cause) -> Diagnostic {
        Diagnostic { location: self.locate(&cause.path), path: cause.path, message: cause.message }
    }
}

impl Manifest {
    /// Parses files (name and bytes of each), applies `--set` to the job, and admits everything.
    ///
    /// # Errors
    /// Everything that is wrong with the files, or with what `--set` made of them.
    pub fn read<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        overrides: &[Override],
    ) -> Result<Manifest, Diagnostics> {
        let mut documents = Vec::new();
        let mut wrong = Vec::new();
        for (file, text) in files {
            match parse(file, text) {
                Ok(parsed) => documents.extend(parsed),
                Err(Diagnostics(found)) => wrong.extend(found),
            }
        }
        for change in overrides {
            for document in documents.iter_mut().filter(|document| document.is_job()) {
                if let Err(error) = document.set(change) {
                    let (path, message) = (change.path().to_owned(), error.to_string());
                    wrong.push(Diagnostic { location: Location::Override, path, message });
                }
            }
        }
        if !wrong.is_empty() {
            return Err(Diagnostics(wrong));
        }
        Self::admit(documents)
    }

    /// Checks each object as an API server would.
    ///
    /// # Errors
    /// All causes of all objects, in the order of the lines.
    pub fn admit(documents: Vec<Document>) -> Result<Manifest, Diagnostics> {
        let mut manifest = Manifest::default();
        let mut wrong = Vec::new();
        for mut document in documents {
            manifest.restore_names(&mut document);
            if let Err(causes) = manifest.add(&document) {
                wrong.extend(in_order(&document.origin, causes));
            }
        }
        if wrong.is_empty() { Ok(manifest) } else { Err(Diagnostics(wrong)) }
    }

    /// Undoes what YAML made of names such as `n`, with a warning for each.
    fn restore_names(&mut self, document: &mut Document) {
        let Ok(Class::Ours(kind)) = document.class() else {
            return;
        };
        let Document { value, origin } = document;
        for field in spelling::restore(kind.schema(), value, &mut origin.place) {
            let Renamed { path, name, read_as, at } = field;
            let location = Location::File { file: origin.file.clone(), at };
            let message = format!(
                "kubectl reads the name {name} as {read_as}, and an API server refuses it: write \"{name}\" in quotes"
            );
            self.warnings.push(Diagnostic { location, path, message });
        }
    }

    fn add(&mut self, document: &Document) -> Result<(), Vec<Cause>> {
        match document.class()? {
            Class::Ours(Kind::GenerationJob) => {
                let value = admission::admit(Kind::GenerationJob, &document.value, None)?;
                self.jobs.push(document.loaded(value)?);
            }
            Class::Ours(Kind::ModelDeployment) => {
                let value = admission::admit(Kind::ModelDeployment, &document.value, None)?;
                self.models.push(document.loaded(value)?);
            }
            Class::ConfigMap => {
                let value = admission::admit_config_map(&document.value)?;
                self.config_maps.push(document.loaded(value)?);
            }
            Class::Foreign(what) => {
                let message = format!("{what} is left aside: a local run has no use for it");
                let location = document.origin.locate("");
                self.warnings.push(Diagnostic { location, path: String::new(), message });
            }
        }
        Ok(())
    }
}

/// Causes by line; the note that rules were not checked comes last.
fn in_order(origin: &Origin, causes: Vec<Cause>) -> Vec<Diagnostic> {
    let mut wrong: Vec<(bool, Diagnostic)> = causes
        .into_iter()
        .map(|cause| (cause.kind == CauseKind::Skipped, origin.diagnostic(cause)))
        .collect();
    wrong.sort_by(|(a_last, a), (b_last, b)| (a_last, &a.location).cmp(&(b_last, &b.location)));
    wrong.into_iter().map(|(_, diagnostic)| diagnostic).collect()
}

/// What a document is to a local run.
enum Class {
    Ours(Kind),
    ConfigMap,
    /// Something else, with its name for people.
    Foreign(String),
}

impl Document {
    /// Sets one field, as `--set` does.
    ///
    /// # Errors
    /// If the path leads through a value that has no fields or entries.
    pub fn set(&mut self, change: &Override) -> Result<(), OverrideError> {
        let path = change.apply(&mut self.value)?;
        self.origin.overridden.push(path);
        Ok(())
    }

    /// Whether this is a GenerationJob, right or wrong.
    pub fn is_job(&self) -> bool {
        self.text("kind") == Some(Kind::GenerationJob.name())
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.value.get(field).and_then(Value::as_str)
    }

    fn class(&self) -> Result<Class, Vec<Cause>> {
        let missing = |field| {
            let message = "Required value: every object names its apiVersion and kind";
            vec![Cause::new(field, CauseKind::Required, message)]
        };
        let version = self.text("apiVersion").ok_or_else(|| missing("apiVersion"))?;
        let kind = self.text("kind").ok_or_else(|| missing("kind"))?;
        let ours = version == GROUP || version.split('/').next() == Some(GROUP);
        match Kind::from_name(kind) {
            Some(found) if version == API_VERSION => return Ok(Class::Ours(found)),
            Some(_) => {
                let message = format!(
                    "no matches for kind {} in version {}: this program knows it in {API_VERSION}",
                    quoted(kind),
                    quoted(version)
                );
                return Err(vec![Cause::new("apiVersion", CauseKind::NotSupported, message)]);
            }
            None if ours => return Err(vec![unknown_kind(kind)]),
            None => {}
        }
        if version == "v1" && kind == "ConfigMap" {
            return Ok(Class::ConfigMap);
        }
        let name = self.value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        Ok(Class::Foreign(format!("{kind} {} ({version})", quoted(name))))
    }

    fn loaded<T: DeserializeOwned>(&self, value: Value) -> Result<Loaded<T>, Vec<Cause>> {
        let object = T::deserialize(&value)
            .map_err(|error| vec![Cause::new("", CauseKind::Invalid, error.to_string())])?;
        Ok(Loaded { object, value, origin: self.origin.clone() })
    }
}

fn unknown_kind(kind: &str) -> Cause {
    let names = Kind::ALL.map(Kind::name);
    let mut message = format!("no kind {} in {GROUP}/{VERSION}", quoted(kind));
    match closest(kind, names) {
        Some(name) => message.push_str(&format!("; did you mean \"{name}\"?")),
        None => message.push_str(&format!(": there are {}", names.join(" and "))),
    }
    Cause::new("kind", CauseKind::NotSupported, message)
}
