//! Objects of an object store as a source: listed once, each brought to a temporary file when its turn comes, and read as
//! a file is.

use std::fs::File;
use std::io;
use std::sync::Arc;

use tempfile::NamedTempFile;

use super::{Format, Items, Limits, Options, Records, SourceError, files, format_of, or_error};
use crate::store::{Listed, ObjectStore};

/// The objects that a source means, sorted by key.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<ObjectStore>,
    /// URI or pattern, as it was given.
    name: String,
    found: Vec<Listed>,
}

impl Objects {
    /// Looks up what the store's URI means: one object, or all that a glob such as `s3://bucket/data/*.parquet` matches.
    pub fn list(store: ObjectStore) -> Result<Self, SourceError> {
        let pattern = store.prefix().to_owned();
        let name = store.uri(&pattern);
        let found = if files::is_glob(&pattern) {
            Self::matching(&store, &pattern, &name)?
        } else {
            store.find_key(&pattern)?.into_iter().collect()
        };
        if found.is_empty() {
            return Err(SourceError::NoMatch { pattern: name, base: store.uri("") });
        }
        Ok(Self { store: Arc::new(store), name, found })
    }

    fn matching(
        store: &ObjectStore,
        pattern: &str,
        name: &str,
    ) -> Result<Vec<Listed>, SourceError> {
        let matcher = files::matcher(pattern)?;
        // The part before the first wildcard is where the search begins.
        let plain: Vec<&str> =
            pattern.split('/').take_while(|part| !files::is_glob(part)).collect();
        let listed = store.list_keys(&plain.join("/"))?;
        if ObjectStore::is_too_many(&listed) {
            let why = "it looks at too many objects; name the folder more closely".to_owned();
            return Err(files::pattern_error(name, why));
        }
        Ok(listed.into_iter().filter(|object| matcher.is_match(&object.key)).collect())
    }

    /// Opens them one after the other, as one source.
    pub fn records(&self, options: &Options) -> Result<Records<'static>, SourceError> {
        let limits = options.limits;
        let with_format = |object: &Listed| {
            let name = self.store.uri(&object.key);
            let format = format_of(&name, options)?;
            Ok((object.clone(), name, format))
        };
        // All names are judged before the first object is read.
        let objects =
            self.found.iter().map(with_format).collect::<Result<Vec<_>, SourceError>>()?;
        let store = self.store.clone();
        let items = objects.into_iter().flat_map(move |(object, name, format)| {
            or_error(open(&store, &object, name, format, limits))
        });
        Ok(Records::new(self.name.clone(), Box::new(items), options))
    }
}

/// Items of an object, and with them the file that they are read from.
struct Held {
    items: Items<'static>,
    _file: NamedTempFile,
}

impl Iterator for Held {
    type Item = Result<super::Item, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.items.next()
    }
}

fn open(
    store: &ObjectStore,
    object: &Listed,
    name: String,
    format: Format,
    limits: Limits,
) -> Result<Items<'static>, SourceError> {
    let failed = |source: io::Error| match source.downcast() {
        Ok(error) => SourceError::Store(error),
        Err(source) => SourceError::Read { path: name.clone(), source },
    };
    let file = NamedTempFile::new().map_err(failed)?;
    let mut target: &File = file.as_file();
    io::copy(&mut store.open_key(object)?, &mut target).map_err(failed)?;
    let items = super::open_file(file.path(), name.clone(), format, limits)?;
    Ok(Box::new(Held { items, _file: file }))
}
