//! Processes of this machine: the operator, which is started here, and what it and the control plane use. I/O.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use textnlp_tests::http;
use textnlp_tests::process::Usage;

use crate::error::Error;
use crate::fixtures::NAMESPACE;

/// How long the operator may take until it is ready.
const START: Duration = Duration::from_secs(60);

/// The operator, as a process of its own. It ends with this.
pub(crate) struct Operator {
    child: Child,
    address: String,
}

impl Operator {
    /// Starts `program` with the access of `kubeconfig`, and waits until it is ready. What it logs goes to `log`.
    pub(crate) async fn start(
        program: &Path,
        kubeconfig: &Path,
        log: &Path,
    ) -> Result<Self, Error> {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
        let file = file.map_err(Error::file(log.display().to_string()))?;
        let address = free_address()?;
        let child = Command::new(program)
            .env("KUBECONFIG", kubeconfig)
            .env("TEXTNLP_IMAGE", "textnlp.dev/textnlp:bench")
            .env("TEXTNLP_LISTEN", &address)
            .env("TEXTNLP_NAMESPACES", NAMESPACE)
            .env("POD_NAMESPACE", "textnlp-system")
            .env("POD_NAME", "bench-operator")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(Error::file(format!("the operator, {}", program.display())))?;
        let operator = Self { child, address };
        let begun = Instant::now();
        while !operator.leads() {
            if begun.elapsed() > START {
                let detail = format!("; {} says why", log.display());
                let seconds = START.as_secs();
                return Err(Error::Stalled {
                    what: "the operator leads".into(),
                    reached: 0,
                    wanted: 1,
                    seconds,
                    detail,
                });
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(operator)
    }

    fn leads(&self) -> bool {
        self.metrics()
            .is_ok_and(|text| text.lines().any(|line| line == "textnlp_operator_is_leader 1"))
    }

    /// The text of its `/metrics`.
    pub(crate) fn metrics(&self) -> Result<String, Error> {
        match http::get(&self.address, "/metrics") {
            Ok((200, text)) => Ok(text),
            Ok((code, text)) => {
                Err(Error::Unreadable { what: "/metrics".into(), found: format!("{code} {text}") })
            }
            Err(found) => Err(Error::Unreadable { what: "/metrics".into(), found }),
        }
    }

    /// What it uses.
    pub(crate) fn usage(&self) -> Result<Usage, Error> {
        let pid = self.child.id();
        Usage::of(pid).map_err(Error::file(format!("/proc/{pid}")))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

/// An address of this machine that nobody listens on.
fn free_address() -> Result<String, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::file("a port"))?;
    listener.local_addr().map(|address| address.to_string()).map_err(Error::file("a port"))
}

/// The test cluster's processes, by name.
#[derive(Clone, Debug)]
pub(crate) struct ControlPlane(PathBuf);

impl ControlPlane {
    /// The processes of the cluster whose files lie at `state`.
    pub(crate) fn new(state: &Path) -> Self {
        Self(state.join("node-1/run"))
    }

    /// Processor seconds of each since its start; those that cannot be read are left out.
    pub(crate) fn processor(&self) -> BTreeMap<String, f64> {
        let records = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let seconds = |path: PathBuf| {
            let record: serde_json::Value =
                serde_json::from_str(&std::fs::read_to_string(&path).ok()?).ok()?;
            let pid = u32::try_from(record["pid"].as_u64()?).ok()?;
            Some((path.file_stem()?.to_str()?.to_owned(), Usage::of(pid).ok()?.processor))
        };
        records.filter_map(|record| seconds(record.path())).collect()
    }
}
