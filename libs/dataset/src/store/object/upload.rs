//! An object being written: small ones in one request when they are whole, large ones in parts that appear together.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};

use super::super::{StoreError, Upload};
use super::error::failure;
use super::{Threads, unwrapped};

/// Bytes of the first parts, and of those after the first thousand: a store takes 10,000 parts.
const PART: usize = 8 << 20;
const LATER_PART: usize = 64 << 20;
const FIRST_PARTS: u32 = 1000;

/// How long a dropped upload waits for its parts to be removed.
const ABORT_TIMEOUT: Duration = Duration::from_secs(10);

/// An object that appears when it is committed.
pub(super) struct ObjectUpload {
    client: Arc<dyn object_store::ObjectStore>,
    threads: Arc<Threads>,
    key: Path,
    /// URI, for messages.
    place: String,
    buffer: Vec<u8>,
    parts: Option<Box<dyn MultipartUpload>>,
    count: u32,
    bytes: u64,
}

impl ObjectUpload {
    pub(super) fn new(
        client: Arc<dyn object_store::ObjectStore>,
        threads: Arc<Threads>,
        key: Path,
        place: String,
    ) -> Self {
        let buffer = Vec::new();
        Self { client, threads, key, place, buffer, parts: None, count: 0, bytes: 0 }
    }

    fn part_size(&self) -> usize {
        if self.count < FIRST_PARTS { PART } else { LATER_PART }
    }

    fn failed(&self, error: &object_store::Error) -> io::Error {
        io::Error::other(failure("write", self.place.clone(), error))
    }

    /// Sends what the buffer holds as a part.
    fn send(&mut self) -> io::Result<()> {
        let payload = PutPayload::from(std::mem::take(&mut self.buffer));
        let (client, key) = (self.client.clone(), self.key.clone());
        let begun = self.parts.take();
        let (parts, sent) = self.threads.wait(async move {
            let mut parts = match begun {
                Some(parts) => parts,
                None => match client.put_multipart(&key).await {
                    Ok(parts) => parts,
                    Err(error) => return (None, Err(error)),
                },
            };
            let sent = parts.put_part(payload).await;
            (Some(parts), sent)
        })?;
        self.parts = parts;
        self.count += 1;
        sent.map_err(|error| self.failed(&error))
    }

    fn finish(&mut self) -> io::Result<u64> {
        if self.parts.is_none() {
            let payload = PutPayload::from(std::mem::take(&mut self.buffer));
            let (client, key) = (self.client.clone(), self.key.clone());
            let put = self.threads.wait(async move { client.put(&key, payload).await })?;
            return put.map(|_| self.bytes).map_err(|error| self.failed(&error));
        }
        if !self.buffer.is_empty() {
            self.send()?;
        }
        let Some(mut parts) = self.parts.take() else { return Ok(self.bytes) };
        let (parts, done) = self.threads.wait(async move {
            let done = parts.complete().await;
            (parts, done)
        })?;
        match done {
            Ok(_) => Ok(self.bytes),
            Err(error) => {
                self.parts = Some(parts);
                Err(self.failed(&error))
            }
        }
    }
}

impl Write for ObjectUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let free = self.part_size() - self.buffer.len();
        let taken = &bytes[..bytes.len().min(free)];
        self.buffer.extend_from_slice(taken);
        self.bytes += taken.len() as u64;
        if self.buffer.len() == self.part_size() {
            self.send()?;
        }
        Ok(taken.len())
    }

    /// Nothing is seen before the commit, so there is nothing to hurry.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload for ObjectUpload {
    fn commit(mut self: Box<Self>) -> Result<u64, StoreError> {
        self.finish().map_err(|source| unwrapped("write", self.place.clone(), source))
    }
}

impl Drop for ObjectUpload {
    fn drop(&mut self) {
        if let Some(mut parts) = self.parts.take() {
            // Nothing can be reported from here. What stays is removed by a lifecycle rule of the bucket.
            let _ =
                self.threads.wait_at_most(ABORT_TIMEOUT, async move { drop(parts.abort().await) });
        }
    }
}
