//! Sources of records: CSV, JSONL and Parquet, from files, globs, gzip and zstd, texts and inline
//! records.
//!
//! Records come one at a time: memory is bounded by the largest record ([`Limits`]), however much a
//! compressed file unpacks to; Parquet needs a page of each column besides.

mod csv;
mod error;
mod files;
mod jsonl;
mod objects;
mod parquet;

use std::io::{BufRead, Cursor};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::error::SourceError;
pub use self::objects::Objects;
use crate::json;
use crate::record::{Record, RecordError, SourceRecord};

/// A record as the readers of the formats give it.
type Item = Result<Record, RecordError>;
type Items<'a> = Box<dyn Iterator<Item = Result<Item, SourceError>> + Send + 'a>;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// Comma-separated values with a header line; all values are strings.
    #[serde(rename = "CSV")]
    Csv,
    /// One JSON object a line.
    #[serde(rename = "JSONL")]
    Jsonl,
    /// Apache Parquet. Dates, times and decimals become strings, NaN becomes null.
    Parquet,
}

/// Bounds on one record.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one record as written (CSV and JSONL).
    pub record_bytes: usize,
    /// Fields of one record.
    pub fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { record_bytes: 64 << 20, fields: 10_000 }
    }
}

/// Which records of a source to read, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Absent: from the file's extension.
    pub format: Option<Format>,
    /// Records to skip.
    pub offset: u64,
    /// Records to read at most.
    pub limit: Option<u64>,
    /// Bounds on one record.
    pub limits: Limits,
    /// Let records have fields named `id` and `_textnlp`: the file is itself a dataset, and is only
    /// read.
    pub reserved_names: bool,
    /// Refuse files that lie outside of the base, as they may where a symbolic link leads out.
    pub confined: bool,
}

/// Names that a row uses itself.
const RESERVED: [&str; 2] = ["id", "_textnlp"];

/// Records of a source, one at a time, from `offset` on and at most `limit`; ends after the first
/// error.
///
/// A source without a record, or with none from the offset on, is an error rather than an empty
/// iterator.
pub struct Records<'a> {
    items: Items<'a>,
    name: String,
    options: Options,
    /// Index of the next item.
    index: u64,
    done: bool,
}

impl<'a> Records<'a> {
    fn new(name: String, items: Items<'a>, options: &Options) -> Self {
        Self { items, name, options: *options, index: 0, done: false }
    }

    fn error(&self, message: String) -> SourceError {
        SourceError::Record { name: self.name.clone(), index: self.index, message }
    }

    fn advance(&mut self) -> Result<Option<SourceRecord>, SourceError> {
        let offset = self.options.offset;
        let end = self.options.limit.map_or(u64::MAX, |limit| offset.saturating_add(limit));
        while self.index < end {
            let Some(item) = self.items.next() else {
                return match self.index {
                    0 => Err(SourceError::Empty { name: self.name.clone() }),
                    records if records <= offset => {
                        Err(SourceError::Offset { name: self.name.clone(), offset, records })
                    }
                    _ => Ok(None),
                };
            };
            let record = SourceRecord { index: self.index, record: item? };
            self.check(record.fields())?;
            self.index += 1;
            if record.index >= offset {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn check(&self, record: &Record) -> Result<(), SourceError> {
        if record.len() > self.options.limits.fields {
            let limit = self.options.limits.fields;
            return Err(self.error(format!("it has {} fields; {limit} are allowed", record.len())));
        }
        if self.options.reserved_names {
            return Ok(());
        }
        match RESERVED.iter().find(|name| record.contains_key(**name)) {
            Some(name) => Err(self.error(format!(
                "it has a field `{name}`, a name that rows of a dataset use themselves; rename it, as in `source{}`",
                if *name == "id" { "_id" } else { "_textnlp" }
            ))),
            None => Ok(()),
        }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<SourceRecord, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.advance().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

/// The files that a path or pattern names, as [`open`] reads them.
pub fn paths(base: &Path, pattern: &str) -> Result<Vec<PathBuf>, SourceError> {
    files::resolve(base, pattern)
}

/// Opens a file, or all files that a glob such as `data/*.parquet` matches, sorted by name, as one
/// source. A relative pattern is relative to `base`.
pub fn open(
    base: &Path,
    pattern: &str,
    options: &Options,
) -> Result<Records<'static>, SourceError> {
    let paths = files::resolve(base, pattern)?;
    if options.confined {
        paths.iter().try_for_each(|path| files::check_inside(base, path))?;
    }
    let limits = options.limits;
    let with_format = |path: PathBuf| {
        let format = format_of(&path.to_string_lossy(), options)?;
        Ok((path, format))
    };
    // All names are judged before the first file is read.
    let files = paths.into_iter().map(with_format).collect::<Result<Vec<_>, SourceError>>()?;
    let items = files.into_iter().flat_map(move |(path, format)| {
        or_error(open_file(&path, path.display().to_string(), format, limits))
    });
    Ok(Records::new(pattern.into(), Box::new(items), options))
}

/// Opens a file under the name by which errors call it.
fn open_file(
    path: &Path,
    name: String,
    format: Format,
    limits: Limits,
) -> Result<Items<'static>, SourceError> {
    match format {
        Format::Parquet => parquet::open(path, name),
        _ => Ok(text(format, files::open_text(path, &name)?, name, limits)),
    }
}

/// Items, or the one error why there are none.
fn or_error(items: Result<Items<'static>, SourceError>) -> Items<'static> {
    items.unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
}

/// Reads records from a text, such as a key of a ConfigMap. `name` is how errors call it, and its
/// extension gives the format if the options don't.
pub fn read_str<'a>(
    name: &str,
    input: &'a str,
    options: &Options,
) -> Result<Records<'a>, SourceError> {
    let format = format_of(name, options)?;
    if format == Format::Parquet {
        let message = "Parquet is not text; give CSV or JSONL here, or name a file".into();
        return Err(SourceError::Parquet { name: name.into(), message });
    }
    let input = files::decode(Box::new(Cursor::new(input)), name, None)?;
    Ok(Records::new(name.into(), text(format, input, name.into(), options.limits), options))
}

/// Records written in the manifest. `name` is how errors call them: `spec.source.inline.records`.
pub fn inline(name: &str, records: Vec<Record>, options: &Options) -> Records<'static> {
    let owner = name.to_owned();
    let items = records.into_iter().enumerate().map(move |(index, record)| {
        json::check_record(record).map_err(|message| SourceError::Record {
            name: owner.clone(),
            index: index as u64,
            message,
        })
    });
    Records::new(name.into(), Box::new(items), options)
}

/// Reads all records of bytes in memory, compressed or not; for tests and fuzzing.
pub fn read_bytes(
    format: Format,
    bytes: &[u8],
    limits: Limits,
) -> Result<Vec<SourceRecord>, SourceError> {
    let name = "input";
    let items = match format {
        Format::Parquet => parquet::read(name, bytes::Bytes::copy_from_slice(bytes))?,
        _ => text(
            format,
            files::decode(Box::new(Cursor::new(bytes)), name, None)?,
            name.into(),
            limits,
        ),
    };
    Records::new(
        name.into(),
        items,
        &Options { limits, reserved_names: true, ..Options::default() },
    )
    .collect()
}

fn format_of(name: &str, options: &Options) -> Result<Format, SourceError> {
    let format = options.format.or_else(|| files::ending(name).format);
    format.ok_or_else(|| SourceError::UnknownFormat { name: name.into() })
}

fn text<'a>(
    format: Format,
    input: Box<dyn BufRead + Send + 'a>,
    name: String,
    limits: Limits,
) -> Items<'a> {
    match format {
        Format::Csv => Box::new(csv::CsvReader::new(input, name, limits)),
        _ => Box::new(jsonl::JsonlReader::new(input, name, limits)),
    }
}
