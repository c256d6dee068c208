//! A server with an OpenAI-compatible API on this machine, outside the cluster.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use crate::http;
use crate::local::{binary, model_file};
use crate::wait::eventually;

/// A server's process; it ends with this.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it answers.
    pub address: SocketAddr,
}

impl Server {
    /// `textnlp serve` with the example's model, under a name.
    #[track_caller]
    pub fn textnlp(name: &str) -> Self {
        let model = model_file().display().to_string();
        Self::start(&binary("textnlp"), "/readyz", |address| {
            ["serve", "--model", &model, "--name", name, "--listen", &address.to_string()]
                .map(str::to_owned)
                .to_vec()
        })
    }

    /// llama.cpp's `llama-server` with the example's model, under a name.
    #[track_caller]
    pub fn llama_cpp(program: &str, name: &str) -> Self {
        let model = model_file().display().to_string();
        Self::start(program, "/health", |address| {
            let (host, port) = (address.ip().to_string(), address.port().to_string());
            [
                "--model",
                &model,
                "--alias",
                name,
                "--host",
                &host,
                "--port",
                &port,
                "--parallel",
                "4",
                "--ctx-size",
                "8192",
            ]
            .map(str::to_owned)
            .to_vec()
        })
    }

    #[track_caller]
    fn start(program: &str, ready: &str, arguments: impl Fn(SocketAddr) -> Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("a bound address");
        drop(listener); // the port is the server's now
        let child = Command::new(program)
            .args(arguments(address))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
        let server = Self { child, address };
        eventually(&format!("{program} is ready"), || {
            match http::get(&address.to_string(), ready) {
                Ok((200, _)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}
