//! A prefix of an object store as a store: each object appears whole, and the owner's name is put only where there is
//! none. Requests run on threads of the store's own, so that callers may be synchronous or not.

mod config;
mod error;
mod upload;

use std::fmt;
use std::future::Future;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, ObjectStoreExt, PutMode, PutOptions};
use tokio::runtime::{Builder, Runtime};

pub use self::config::{Credentials, Location};
use self::error::failure;
use self::upload::ObjectUpload;
use super::{Lock, OWNER, ObjectFailure, Store, StoreError, Upload, check_path};
use crate::net::Access;

/// Most objects that a source's pattern looks at.
const MAX_LISTED: usize = 100_000;

/// A store below a prefix of a bucket.
#[derive(Debug, Clone)]
pub struct ObjectStore {
    client: Arc<dyn object_store::ObjectStore>,
    threads: Arc<Threads>,
    /// `s3://bucket`.
    bucket: String,
    /// Path below the bucket, without slashes at its ends; empty for all of it.
    prefix: String,
}

/// An object of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Path below the bucket.
    pub key: String,
    /// Length in bytes.
    pub bytes: u64,
    /// What the object is as long as it does not change.
    pub e_tag: Option<String>,
}

/// The threads that requests run on. A runtime may not be dropped where async code runs, so it is left to end by itself.
struct Threads(Option<Runtime>);

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Threads")
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Threads {
    /// Runs a future on them and waits. Also inside of another runtime: nothing of that one is touched, its thread only
    /// waits, as it does for a disk.
    fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        self.wait_at_most(Duration::MAX, future)
    }

    fn wait_at_most<T: Send + 'static>(
        &self,
        limit: Duration,
        future: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        let Some(runtime) = &self.0 else { return Err(io::Error::other("no threads")) };
        let (sender, receiver) = sync_channel(1);
        runtime.spawn(async move {
            // Nobody may wait any more.
            let _ = sender.send(future.await);
        });
        receiver.recv_timeout(limit).map_err(|error| match error {
            RecvTimeoutError::Timeout => io::ErrorKind::TimedOut.into(),
            RecvTimeoutError::Disconnected => io::Error::other("the request's thread stopped"),
        })
    }
}

impl ObjectStore {
    /// Connects to a place. Nothing is asked of the server yet.
    pub fn open(
        location: &Location,
        credentials: &Credentials,
        access: Access,
    ) -> Result<Self, StoreError> {
        let parts = location.parts()?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("object-store")
            .enable_all()
            .build()
            .map_err(|source| StoreError::Io {
                operation: "start a thread for",
                path: location.uri.clone(),
                source,
            })?;
        Ok(Self {
            client: location.connect(credentials, access)?,
            threads: Arc::new(Threads(Some(runtime))),
            bucket: format!("{}://{}", parts.scheme, parts.bucket),
            prefix: parts.path,
        })
    }

    /// The path below the bucket that the location names: a pattern, where it is a source.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// `s3://bucket/key`.
    pub fn uri(&self, key: &str) -> String {
        format!("{}/{key}", self.bucket)
    }

    fn key(&self, path: &str) -> Result<Path, StoreError> {
        check_path(path)?;
        let key = if self.prefix.is_empty() {
            path.to_owned()
        } else {
            format!("{}/{path}", self.prefix)
        };
        parsed(&key)
    }

    /// Runs a request and names what it concerns if it fails.
    fn ask<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: &str,
        request: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = self.uri(key);
        match self.threads.wait(request) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failure(operation, place, &error)),
            Err(source) => Err(StoreError::Io { operation, path: place, source }),
        }
    }

    /// The objects whose keys begin with a text, in the order of their keys.
    pub fn list_keys(&self, folder: &str) -> Result<Vec<Listed>, StoreError> {
        let (client, prefix) = (self.client.clone(), parsed(folder)?);
        let mut found: Vec<Listed> = self.ask("list", folder, async move {
            let prefix = (!prefix.as_ref().is_empty()).then_some(prefix);
            client
                .list(prefix.as_ref())
                .map_ok(|meta| Listed {
                    key: meta.location.to_string(),
                    bytes: meta.size,
                    e_tag: meta.e_tag,
                })
                .take(MAX_LISTED + 1)
                .try_collect()
                .await
        })?;
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    /// An object by its key; none where there is none.
    pub fn find_key(&self, key: &str) -> Result<Option<Listed>, StoreError> {
        let (client, asked) = (self.client.clone(), parsed(key)?);
        match self.ask("read", key, async move { client.head(&asked).await }) {
            Ok(meta) => {
                Ok(Some(Listed { key: key.to_owned(), bytes: meta.size, e_tag: meta.e_tag }))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a list was cut, since it is too long for a source.
    pub fn is_too_many(listed: &[Listed]) -> bool {
        listed.len() > MAX_LISTED
    }

    /// Opens an object by its key; an error if it is not the one that was listed.
    pub fn open_key(&self, listed: &Listed) -> Result<Box<dyn Read + Send>, StoreError> {
        self.read(
            parsed(&listed.key)?,
            GetOptions { if_match: listed.e_tag.clone(), ..GetOptions::default() },
        )
    }

    fn read(&self, key: Path, options: GetOptions) -> Result<Box<dyn Read + Send>, StoreError> {
        let client = self.client.clone();
        let asked = key.clone();
        let stream = self.ask("read", key.as_ref(), async move {
            Ok(client.get_opts(&asked, options).await?.into_stream())
        })?;
        let place = self.uri(key.as_ref());
        Ok(Box::new(ObjectReader {
            threads: self.threads.clone(),
            stream: Some(stream),
            chunk: Bytes::new(),
            place,
        }))
    }
}

impl Store for ObjectStore {
    fn create(&self, path: &str) -> Result<Box<dyn Upload>, StoreError> {
        let key = self.key(path)?;
        let place = self.uri(key.as_ref());
        Ok(Box::new(ObjectUpload::new(self.client.clone(), self.threads.clone(), key, place)))
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, StoreError> {
        self.read(self.key(path)?, GetOptions::default())
    }

    fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        let (client, key) = (self.client.clone(), self.key(path)?);
        let asked = key.clone();
        let found = self.ask("read", key.as_ref(), async move { client.head(&asked).await });
        match found {
            Ok(meta) => Ok(Some(meta.size)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let root = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) };
        let folder =
            if folder.is_empty() { self.prefix.clone() } else { self.key(folder)?.to_string() };
        let (client, prefix) = (self.client.clone(), Path::from(folder.as_str()));
        let found: Vec<String> = self.ask("list", &folder, async move {
            let prefix = (!prefix.as_ref().is_empty()).then_some(prefix);
            client
                .list(prefix.as_ref())
                .map_ok(|meta| meta.location.to_string())
                .try_collect()
                .await
        })?;
        let mut paths: Vec<String> = found
            .into_iter()
            .filter_map(|key| key.strip_prefix(&root).map(str::to_owned))
            .filter(|path| path != OWNER)
            .collect();
        paths.sort_unstable();
        Ok(paths)
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        let (client, key) = (self.client.clone(), self.key(path)?);
        let asked = key.clone();
        match self.ask("remove", key.as_ref(), async move { client.delete(&asked).await }) {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
    }

    fn claim(&self, owner: &str) -> Result<(), StoreError> {
        // Twice: between the look and the put another claim may come.
        for _ in 0..2 {
            match self.owner()? {
                Some(found) if found == owner => return Ok(()),
                Some(found) => {
                    return Err(StoreError::Owned { path: self.place(), owner: found });
                }
                None => {}
            }
            let (client, key) = (self.client.clone(), self.key(OWNER)?);
            let (asked, text) = (key.clone(), owner.to_owned());
            let put = self.ask("claim", key.as_ref(), async move {
                let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
                match client.put_opts(&asked, text.into(), options).await {
                    Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
                    other => other.map(|_| true),
                }
            })?;
            if put {
                return Ok(());
            }
        }
        Err(StoreError::Object {
            operation: "claim",
            place: self.place(),
            kind: ObjectFailure::Other,
            message: "another run claims it at the same time; try again".to_owned(),
        })
    }

    fn owner(&self) -> Result<Option<String>, StoreError> {
        match self.get(OWNER) {
            Ok(owner) => Ok(Some(String::from_utf8_lossy(&owner).into_owned())),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn lock(&self) -> Result<Lock, StoreError> {
        Ok(Lock { _file: None })
    }

    fn clear(&self, _lock: &Lock) -> Result<(), StoreError> {
        for path in self.list("")? {
            self.delete(&path)?;
        }
        self.delete(OWNER)
    }

    fn place(&self) -> String {
        match &*self.prefix {
            "" => self.bucket.clone(),
            prefix => self.uri(prefix),
        }
    }

    fn failure(&self, operation: &'static str, path: &str, source: io::Error) -> StoreError {
        unwrapped(operation, format!("{}/{path}", self.place()), source)
    }
}

fn parsed(key: &str) -> Result<Path, StoreError> {
    Path::parse(key).map_err(|_| StoreError::Path {
        path: key.chars().take(200).collect(),
        why: "no object can have that name",
    })
}

/// The store's own error inside an I/O error, if there is one.
fn unwrapped(operation: &'static str, place: String, source: io::Error) -> StoreError {
    match source.downcast::<StoreError>() {
        Ok(error) => error,
        Err(source) => StoreError::Io { operation, path: place, source },
    }
}

/// An object being read.
struct ObjectReader {
    threads: Arc<Threads>,
    stream: Option<BoxStream<'static, object_store::Result<Bytes>>>,
    chunk: Bytes,
    place: String,
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let Some(mut stream) = self.stream.take() else { return Ok(0) };
            let (next, stream) = self.threads.wait(async move { (stream.next().await, stream) })?;
            match next {
                None => return Ok(0),
                Some(Ok(chunk)) => (self.chunk, self.stream) = (chunk, Some(stream)),
                Some(Err(error)) => {
                    return Err(io::Error::other(failure("read", self.place.clone(), &error)));
                }
            }
        }
        let taken = self.chunk.split_to(buffer.len().min(self.chunk.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}
