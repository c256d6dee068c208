//! Files of a dataset while they are written: tables of the formats, lines of the others, each with its length and digest.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};
use textnlp_dataset::Record;
use textnlp_dataset::digest::hex;
use textnlp_dataset::format::{self, Format, Schema, TableWriter};
use textnlp_dataset::manifest::FileSummary;
use textnlp_dataset::store::{Store, Upload};

use crate::error::Error;

/// A table being written to a file.
pub(super) struct Table {
    writer: Box<dyn TableWriter>,
    sink: Arc<Mutex<Sink>>,
}

impl Table {
    pub(super) fn new(
        format: Format,
        schema: &Schema,
        options: format::Options,
        sink: Sink,
    ) -> Result<Self, Error> {
        let sink = Arc::new(Mutex::new(sink));
        let writer = format::writer(format, schema, options, Box::new(Shared(sink.clone())))?;
        Ok(Self { writer, sink })
    }

    pub(super) fn write(&mut self, row: &Record) -> Result<(), Error> {
        Ok(self.writer.write(row)?)
    }

    pub(super) fn finish(self) -> Result<FileSummary, Error> {
        self.writer.finish()?;
        match Arc::into_inner(self.sink).and_then(|sink| sink.into_inner().ok()) {
            Some(sink) => sink.finish(),
            None => Err(Error::Internal("a table's file is still in use".to_owned())),
        }
    }
}

/// The writer's hold on the file, which is committed after the writer is gone.
struct Shared(Arc<Mutex<Sink>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().map_err(|_| io::Error::other("the file is poisoned"))?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().map_err(|_| io::Error::other("the file is poisoned"))?.flush()
    }
}

/// A file being written, with its length and digest.
pub(super) struct Sink {
    path: String,
    upload: Box<dyn Upload>,
    hasher: Sha256,
    bytes: u64,
}

impl Sink {
    pub(super) fn create(store: &dyn Store, path: &str) -> Result<Self, Error> {
        Ok(Self {
            path: path.to_owned(),
            upload: store.create(path)?,
            hasher: Sha256::new(),
            bytes: 0,
        })
    }

    pub(super) fn line(&mut self, row: &Record) -> Result<(), Error> {
        let mut line = serde_json::to_vec(row).map_err(|e| Error::Internal(e.to_string()))?;
        line.push(b'\n');
        self.write_all(&line).map_err(|e| Error::Format(e.into()))
    }

    pub(super) fn finish(self) -> Result<FileSummary, Error> {
        let sha256 = hex(&self.hasher.finalize());
        self.upload.commit()?;
        Ok(FileSummary { path: self.path, bytes: self.bytes, sha256 })
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.upload.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.upload.flush()
    }
}
