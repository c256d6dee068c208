//! `textnlp serve` with the real model.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Stdio};
use std::time::Duration;

use reqwest::StatusCode;

/// A server that is ended with the test.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) log: BufReader<ChildStderr>,
    pub(crate) url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    pub(crate) fn start(extra: &[&str]) -> Server {
        let directory = tempfile::tempdir().expect("a directory");
        let mut process = super::textnlp(directory.path())
            .args(["serve", "--listen", "127.0.0.1:0", "--name", "smollm2", "--model"])
            .arg(super::model())
            .args(extra)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut log = BufReader::new(process.stderr.take().expect("it is piped"));
        let mut line = String::new();
        let url = loop {
            line.clear();
            assert!(log.read_line(&mut line).expect("text") > 0, "it ended before it listened");
            if let Some((_, url)) = line.split_once("listening on ") {
                break url.trim().to_owned();
            }
        };
        Server { process, log, url }
    }

    pub(crate) async fn until_ready(&self, client: &reqwest::Client) {
        for _ in 0..1200 {
            let answer = client.get(format!("{}/readyz", self.url)).send().await;
            if answer.expect("it answers while it loads").status() == StatusCode::OK {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the model was not loaded within a minute");
    }
}
