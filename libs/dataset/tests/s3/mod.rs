//! A real S3 server on this machine: versitygw over a directory. Its program is built by `tests/cluster/tool versitygw`.

#![allow(dead_code)] // each test file uses what it needs

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use textnlp_dataset::net::Access;
use textnlp_dataset::store::{Credentials, Location, ObjectStore};

const KEY: &str = "test-key";
pub(crate) const SECRET: &str = "test-secret-that-nobody-may-see";

/// A server with one bucket, `data`; it ends when dropped.
pub(crate) struct S3 {
    server: Child,
    pub(crate) endpoint: String,
    /// The mounted Secret with the right credentials.
    pub(crate) secret: tempfile::TempDir,
    files: tempfile::TempDir,
}

fn program() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tool = package.ancestors().map(|folder| folder.join("tests/cluster/tool"));
    let tool = tool.into_iter().find(|tool| tool.is_file()).expect("tests/cluster/tool");
    let output = Command::new(&tool).arg("versitygw").output();
    let output = output.unwrap_or_else(|error| panic!("{} cannot run: {error}", tool.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the S3 server could not be built: run `tests/cluster/tool versitygw` (it needs Go): {said}"
    );
    String::from_utf8_lossy(&output.stdout).trim().into()
}

impl S3 {
    pub(crate) fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        std::fs::create_dir(files.path().join("data")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let server = Command::new(program())
            .args(["--port", &address, "--access", KEY, "--secret", SECRET, "posix"])
            .arg(files.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("versitygw starts");
        let begun = Instant::now();
        while TcpStream::connect(&address).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "versitygw does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { server, endpoint: format!("http://{address}"), secret: secret(SECRET), files }
    }

    /// A place in the bucket.
    pub(crate) fn location(&self, path: &str) -> Location {
        Location {
            uri: format!("s3://data/{path}"),
            endpoint: Some(self.endpoint.clone()),
            region: None,
            field: "output.destination.objectStore",
        }
    }

    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::Secret(self.secret.path().to_owned())
    }

    pub(crate) fn store(&self, path: &str) -> ObjectStore {
        let access = Access { loopback: true };
        ObjectStore::open(&self.location(path), &self.credentials(), access).unwrap()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // It may have ended by itself; then the test says why.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A mounted Secret.
pub(crate) fn secret(value: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("AWS_ACCESS_KEY_ID"), KEY).unwrap();
    std::fs::write(folder.path().join("AWS_SECRET_ACCESS_KEY"), format!("{value}\n")).unwrap();
    folder
}
