//! A node without a machine: it is Ready, and every pod that the scheduler gives it starts, works and ends at once. I/O.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::error::Error;
use crate::fixtures::{self, NODE};
use crate::pods::{self, Step};

/// Pods that are looked after at once: never fewer than the cluster can start.
const PODS_AT_ONCE: usize = 64;
/// The test cluster gives a node up after 20 s without a word.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often a write is tried before the pod is left as it is.
const TRIES: u32 = 5;

/// The node, and what its kubelet has done.
pub(crate) struct Kubelet {
    client: Client,
    address: String,
    started: Mutex<HashSet<String>>,
}

impl Kubelet {
    /// Registers the node. Its pods answer at `address`, or rather do not: nothing listens there.
    pub(crate) async fn register(client: Client, address: String) -> Result<Self, Error> {
        let node: Node = serde_json::from_value(fixtures::node(&address)).map_err(|error| {
            Error::Unreadable { what: "the fake node".into(), found: error.to_string() }
        })?;
        let nodes = Api::<Node>::all(client.clone());
        nodes.create(&PostParams::default(), &node).await.map_err(Error::api("the fake node"))?;
        let kubelet = Self { client, address, started: Mutex::default() };
        kubelet.beat().await?;
        Ok(kubelet)
    }

    /// Looks after the node's pods until it is dropped.
    pub(crate) async fn run(&self) {
        let pods = Api::<Pod>::all(self.client.clone());
        let ours = watcher::Config::default().fields(&format!("spec.nodeName={NODE}"));
        let pods = watcher(pods, ours).default_backoff().touched_objects();
        let work = pods.for_each_concurrent(PODS_AT_ONCE, |pod| async move {
            match pod {
                Ok(pod) => self.look_after(&pod).await,
                Err(error) => crate::note(&format!("the fake kubelet's watch: {error}")),
            }
        });
        let heart = async {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                if let Err(error) = self.beat().await {
                    crate::note(&error.to_string());
                }
            }
        };
        futures::join!(work, heart);
    }

    /// Says that the node is Ready.
    async fn beat(&self) -> Result<(), Error> {
        let now = Timestamp::now().to_string();
        let ready = json!({"status": {"conditions": [{
            "type": "Ready", "status": "True", "reason": "Fake", "message": "pods end at once",
            "lastHeartbeatTime": now, "lastTransitionTime": now
        }]}});
        let nodes = Api::<Node>::all(self.client.clone());
        let patch = Patch::Strategic(&ready);
        nodes
            .patch_status(NODE, &PatchParams::default(), &patch)
            .await
            .map(|_| ())
            .map_err(Error::api("the fake node's heartbeat"))
    }

    async fn look_after(&self, pod: &Pod) {
        let api = Api::<Pod>::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let name = pod.name_any();
        match pods::step(pod, &self.address, &Timestamp::now().to_string()) {
            Step::Nothing => {}
            Step::Remove => {
                let at_once = DeleteParams::default().grace_period(0);
                let _ = api.delete(&name, &at_once).await; // gone already: just as well
            }
            // Its own writes come back through the watch.
            Step::Serve(_) | Step::Work(..) if !self.is_new(pod) => {}
            Step::Serve(running) => write(&api, &name, &running).await,
            Step::Work(running, done) => {
                write(&api, &name, &running).await;
                write(&api, &name, &done).await;
            }
        }
    }

    fn is_new(&self, pod: &Pod) -> bool {
        let uid = pod.uid().unwrap_or_default();
        self.started.lock().unwrap_or_else(PoisonError::into_inner).insert(uid)
    }
}

async fn write(api: &Api<Pod>, name: &str, status: &Value) {
    for tried in 1..=TRIES {
        match api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if status.is_not_found() => return,
            Err(error) if tried == TRIES => crate::note(&format!("status of pod {name}: {error}")),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
