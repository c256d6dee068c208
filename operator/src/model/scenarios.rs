//! Whole reconciliations against an API server that keeps what is written: which calls are made, in which order, and that a
//! converged model causes none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use textnlp_crds::ModelDeployment;
use tower::{BoxError, service_fn};

use super::caches::filled;
use super::fixture::{NAME, deployment, fetched};
use super::scale::SCALER;
use super::{fetch, reconcile};
use crate::context::{Context, Writers};
use crate::fixture;
use crate::meta::FIELD_MANAGER;

/// Objects by their path, and the writes so far as `METHOD path manager`.
#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    writes: Vec<String>,
}

/// An API server for one model.
struct Cluster {
    state: Arc<Mutex<State>>,
    context: Arc<Context>,
    _writers: Writers,
}

impl Cluster {
    fn new() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let kept = state.clone();
        let service = service_fn(move |request: Request<Body>| {
            let kept = kept.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await?;
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let answer = kept.lock().expect("no panic").write(&parts, body);
                let bytes = serde_json::to_vec(&answer)?;
                Ok::<_, BoxError>(Response::builder().status(200).body(Body::from(bytes))?)
            }
        });
        let (context, mut writers) = fixture::context(Client::new(service, "shop"));
        writers.jobs.apply_watcher_event(&Event::Init);
        writers.jobs.apply_watcher_event(&Event::InitDone);
        Self { state, context, _writers: writers }
    }

    /// One reconciliation, with caches that have caught up; returns its writes, shortened.
    async fn reconcile(&self) -> Vec<String> {
        let (model, children) = {
            let mut state = self.state.lock().expect("no panic");
            state.writes.clear();
            let model = state.object(MODEL).clone();
            (model, state.objects.values().cloned().collect::<Vec<_>>())
        };
        let model: ModelDeployment = serde_json::from_value(model).expect("a model");
        self.context.written_models.forget(&model);
        reconcile(Arc::new(model), &self.context, &filled::caches(&children))
            .await
            .expect("it goes well");
        self.state.lock().expect("no panic").writes.clone()
    }

    /// Changes an object as somebody else would.
    fn change(&self, path: &str, change: impl FnOnce(&mut Value)) {
        change(self.state.lock().expect("no panic").object(path));
    }
}

impl State {
    fn object(&mut self, path: &str) -> &mut Value {
        self.objects.get_mut(path).unwrap_or_else(|| panic!("{path} is not there"))
    }

    /// Takes a write: apply replaces what is there, but keeps replicas, managers and status, as their owners do.
    fn write(&mut self, parts: &http::request::Parts, body: Value) -> Value {
        let query = parts.uri.query().unwrap_or_default();
        let manager = if query.contains(SCALER) { " scaler" } else { "" };
        let path = parts.uri.path().to_owned();
        let short = path.replace(NAME, "NAME");
        let short = short.rsplit("/namespaces/shop/").next().unwrap_or_default();
        self.writes.push(format!("{} {short}{manager}", parts.method));
        if parts.method == "DELETE" {
            self.objects.remove(&path);
            return json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 200});
        }
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        let place = match path.strip_suffix("/status") {
            Some(owner) => owner.to_owned(),
            None if parts.method == "POST" => format!("{path}/{name}"),
            None => path.clone(),
        };
        let before = self.objects.get(&place).cloned().unwrap_or(Value::Null);
        let mut after = if before.is_null() { body.clone() } else { before };
        if path.ends_with("/status") {
            after["status"] = body["status"].clone();
        } else if manager.is_empty() {
            let replicas = after["spec"]["replicas"].clone();
            for (key, value) in body.as_object().into_iter().flatten() {
                fixture::merge(&mut after[key], value.clone());
            }
            if !replicas.is_null() {
                after["spec"]["replicas"] = replicas;
            }
        } else {
            after["spec"]["replicas"] = body["spec"]["replicas"].clone();
        }
        if place.contains("/deployments/") {
            let owner = if manager.is_empty() && body["spec"].get("replicas").is_some() {
                FIELD_MANAGER
            } else {
                SCALER
            };
            let fields = json!({"f:spec": {"f:replicas": {}}});
            after["metadata"]["managedFields"] =
                json!([{"manager": owner, "operation": "Apply", "fieldsV1": fields}]);
        }
        after["metadata"]["uid"] = after["metadata"]["uid"].as_str().unwrap_or(&place).into();
        self.objects.insert(place, after.clone());
        after
    }
}

const MODEL: &str = "/apis/textnlp.dev/v1alpha1/namespaces/shop/modeldeployments/smollm2";

#[tokio::test]
async fn a_model_is_fetched_then_served_and_then_causes_no_write() {
    let cluster = Cluster::new();
    let model = deployment(json!({
        "source": {"persistentVolumeClaim": {"claimName": "models", "path": "smollm2.gguf"}}, "replicas": 2,
    }));
    let model = serde_json::to_value(model).expect("JSON");
    cluster.state.lock().expect("no panic").objects.insert(MODEL.into(), model);

    assert_eq!(
        cluster.reconcile().await,
        [
            "PATCH serviceaccounts/NAME",
            "PATCH networkpolicies/NAME",
            "PATCH services/NAME",
            "PATCH services/NAME-pods",
            "PATCH poddisruptionbudgets/NAME",
            "POST jobs",
            "PATCH modeldeployments/smollm2/status",
        ]
    );
    assert_eq!(cluster.reconcile().await, [""; 0], "it waits for the fetch Job");

    let job = cluster
        .state
        .lock()
        .expect("no panic")
        .objects
        .keys()
        .find(|path| path.contains("/jobs/"))
        .cloned();
    cluster.change(&job.expect("a fetch Job"), |job| {
        job["metadata"]["annotations"][fetch::FETCHED] =
            serde_json::to_string(&fetched()).expect("JSON").into();
    });
    assert_eq!(
        cluster.reconcile().await,
        [
            "PATCH deployments/NAME",
            "PATCH deployments/NAME scaler",
            "PATCH deployments/NAME",
            "PATCH modeldeployments/smollm2/status",
        ]
    );
    let servers = format!("/apis/apps/v1/namespaces/shop/deployments/{NAME}");
    cluster.change(&servers, |servers| {
        assert_eq!(servers["spec"]["replicas"], 2);
        servers["status"] = json!({"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2});
    });
    assert_eq!(cluster.reconcile().await, ["PATCH modeldeployments/smollm2/status"]);
    cluster.change(MODEL, |model| {
        assert_eq!(model["status"]["conditions"][0]["reason"], "Serving");
    });
    assert_eq!(cluster.reconcile().await, [""; 0], "it has converged");
}

#[tokio::test]
async fn a_model_that_now_runs_elsewhere_leaves_nothing_behind() {
    let cluster = Cluster::new();
    let model = deployment(json!({"source": {"huggingFace": {"repo": "a/b"}}}));
    let model = serde_json::to_value(model).expect("JSON");
    cluster.state.lock().expect("no panic").objects.insert(MODEL.into(), model);
    let first = cluster.reconcile().await;
    assert!(first.contains(&"PATCH persistentvolumeclaims/NAME-cache".to_owned()), "{first:?}");

    cluster.change(MODEL, |model| {
        model["spec"]["source"] = json!({"external": {"endpoint": "http://a", "model": "b"}});
    });
    let mut gone = cluster.reconcile().await;
    gone.retain(|write| write.starts_with("DELETE"));
    gone.iter_mut()
        .for_each(|write| write.truncate(write.find("-fetch-").map_or(write.len(), |at| at + 6)));
    gone.sort();
    assert_eq!(
        gone,
        [
            "DELETE jobs/NAME-fetch",
            "DELETE networkpolicies/NAME",
            "DELETE persistentvolumeclaims/NAME-cache",
            "DELETE poddisruptionbudgets/NAME",
            "DELETE serviceaccounts/NAME",
            "DELETE services/NAME",
            "DELETE services/NAME-pods",
        ]
    );
}
