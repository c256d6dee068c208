//! The first step: the source is read, checked and fixed, and it is decided which finished rows may be kept.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use textnlp_crds::source::{Source as SourceSpec, SourceFormat};
use textnlp_dataset::digest::{canonical, sha256};
use textnlp_dataset::plan::RowRange;
use textnlp_dataset::snapshot::{Snapshot, SnapshotWriter};
use textnlp_dataset::source::{self, Format, Objects, Options, Records, SourceError};
use textnlp_dataset::store::Store;
use textnlp_dataset::{Record, SourceRecord};

use crate::completer::Models;
use crate::error::Error;
use crate::job::Job;

/// Where the state of an output is kept.
const STATE: &str = "chunks/job.json";

/// A source whose references were resolved.
#[derive(Debug, Clone)]
pub enum Source {
    /// No source: one empty record.
    None,
    /// Records of the manifest.
    Inline(Vec<Record>),
    /// A text, such as a key of a ConfigMap.
    Text {
        /// How errors call it; the extension gives the format.
        name: String,
        /// The text.
        text: String,
    },
    /// A file or glob.
    Files {
        /// What a relative pattern is relative to.
        base: PathBuf,
        /// Path or glob.
        pattern: String,
    },
    /// A file or glob in a volume that is not trusted: no link may lead out of it.
    Volume {
        /// Where the volume is mounted.
        mount: PathBuf,
        /// Path or glob in it.
        pattern: String,
    },
    /// Objects of an object store.
    Objects(Objects),
}

impl Source {
    /// A file or glob, relative to a directory.
    pub fn files(base: &Path, pattern: &str) -> Self {
        Self::Files { base: base.to_owned(), pattern: pattern.to_owned() }
    }

    /// Opens the source from `offset` on.
    pub fn records(&self, spec: &SourceSpec) -> Result<Records<'_>, SourceError> {
        let options = Options {
            format: spec.format.map(|format| match format {
                SourceFormat::CSV => Format::Csv,
                SourceFormat::JSONL => Format::Jsonl,
                SourceFormat::Parquet => Format::Parquet,
            }),
            offset: spec.offset.unsigned_abs(),
            limit: spec.limit.map(i64::unsigned_abs),
            ..Options::default()
        };
        match self {
            Self::None => Ok(source::inline("spec.source", vec![Record::new()], &options)),
            Self::Inline(records) => {
                Ok(source::inline("spec.source.inline.records", records.clone(), &options))
            }
            Self::Text { name, text } => source::read_str(name, text, &options),
            Self::Files { base, pattern } => source::open(base, pattern, &options),
            Self::Volume { mount, pattern } => {
                let options = Options { confined: true, ..options };
                source::open(mount, pattern, &options)
            }
            Self::Objects(objects) => objects.records(&options),
        }
    }
}

/// What a job that may run knows of its source and its target.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// The fixed source.
    pub snapshot: Snapshot,
    /// Hash of everything that decides a row's text beside its record; chunks carry it.
    pub recipe_hash: String,
    /// Hash that decides the dataset before validation: the recipe, the source's content, and how many samples.
    pub generation_hash: String,
    /// All rows of the job.
    pub target: RowRange,
}

impl Prepared {
    fn of(state: &State, snapshot: Snapshot) -> Self {
        let generation = json!({
            "recipe": state.recipe,
            "source": snapshot.digest,
            "records": snapshot.records,
            "samples": state.samples,
        });
        Self {
            recipe_hash: format!("sha256:{}", sha256(&canonical(&state.recipe))),
            generation_hash: format!("sha256:{}", sha256(&canonical(&generation))),
            target: RowRange { records: snapshot.range(), samples: 0..state.samples },
            snapshot,
        }
    }

    /// Number of rows of the job.
    pub fn rows(&self) -> u64 {
        self.snapshot.records * u64::from(self.target.samples.end)
    }
}

/// What an output was begun with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    recipe: Value,
    samples: u32,
}

/// Reads and checks the source, refuses to mix two datasets, and writes the snapshot.
pub fn prepare(
    job: &Job,
    models: &Models,
    source: &Source,
    store: &dyn Store,
) -> Result<Prepared, Error> {
    let recipe = job.recipe(models);
    let state = load_state(store)?;
    if let Some(state) = &state {
        check_state(state, &recipe, job.samples)?;
    }
    let previous = if state.is_some() { Snapshot::load(store)? } else { None };
    // The source is read once without writing: a mistake in its last line must not leave half a snapshot behind.
    let mut fields = FieldNames::default();
    for record in source.records(&job.spec.source)? {
        fields.add(&record?);
    }
    job.check_fields(&fields.into_names())?;
    let mut writer = SnapshotWriter::new(store, job.spec.source.offset.unsigned_abs(), previous)?;
    for record in source.records(&job.spec.source)? {
        writer.push(&record?)?;
    }
    let snapshot = writer.finish()?;
    let new = State { recipe, samples: job.samples };
    if state.as_ref() != Some(&new) {
        let mut text =
            serde_json::to_vec_pretty(&new).map_err(|e| Error::Internal(e.to_string()))?;
        text.push(b'\n');
        store.put(STATE, &text)?;
    }
    Ok(Prepared::of(&new, snapshot))
}

/// What [`prepare`] found, read again: for the steps after it, which have no source.
pub fn load(job: &Job, models: &Models, store: &dyn Store) -> Result<Prepared, Error> {
    let (Some(state), Some(snapshot)) = (load_state(store)?, Snapshot::load(store)?) else {
        return Err(Error::NotPrepared(store.place()));
    };
    let now = State { recipe: job.recipe(models), samples: job.samples };
    check_state(&state, &now.recipe, now.samples)?;
    Ok(Prepared::of(&now, snapshot))
}

/// The names of a source's fields, in the order in which they first appear.
#[derive(Default)]
pub(crate) struct FieldNames {
    names: Vec<String>,
    seen: HashSet<String>,
}

impl FieldNames {
    pub(crate) fn add(&mut self, record: &SourceRecord) {
        for field in record.fields().keys() {
            if !self.seen.contains(field) {
                self.seen.insert(field.clone());
                self.names.push(field.clone());
            }
        }
    }

    pub(crate) fn into_names(self) -> Vec<String> {
        self.names
    }
}

fn load_state(store: &dyn Store) -> Result<Option<State>, Error> {
    match store.get(STATE) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| Error::Changed { changes: vec![format!("{STATE} cannot be read ({e})")] }),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn check_state(state: &State, recipe: &Value, samples: u32) -> Result<(), Error> {
    let mut changes = Vec::new();
    differences("spec", &state.recipe, recipe, &mut changes);
    if samples < state.samples {
        changes.push(format!(
            "spec.samplesPerRecord: {} → {samples} (it can only be raised)",
            state.samples
        ));
    }
    if changes.is_empty() { Ok(()) } else { Err(Error::Changed { changes }) }
}

/// Lists the leaves in which two values differ.
fn differences(path: &str, before: &Value, now: &Value, found: &mut Vec<String>) {
    match (before, now) {
        (Value::Object(a), Value::Object(b)) => {
            let added = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(added) {
                let null = Value::Null;
                let (x, y) = (a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null));
                differences(&format!("{path}.{key}"), x, y, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (x, y)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{index}]"), x, y, found);
            }
        }
        _ if before == now => {}
        _ => found.push(format!("{path}: {} → {}", short(before), short(now))),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_recipe_is_refused_and_each_change_is_named() {
        let state = State { recipe: json!({"seed": 1, "columns": [{"name": "a"}]}), samples: 2 };
        assert!(check_state(&state, &json!({"seed": 1, "columns": [{"name": "a"}]}), 3).is_ok());
        let error =
            check_state(&state, &json!({"seed": 2, "columns": [{"name": "b"}]}), 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the output was begun with other settings, so its rows cannot be kept: spec.seed: 1 → 2; \
             spec.columns[0].name: \"a\" → \"b\"; spec.samplesPerRecord: 2 → 1 (it can only be raised); \
             start over with --fresh, or choose another output"
        );
        assert_eq!((error.reason(), error.exit_code()), ("SpecChanged", 2));
    }
}
