//! Whole reconciliations against a scripted API server: which calls are made, in which order, and that none is made for nothing.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use kube::runtime::controller::Action;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use textnlp_crds::{GenerationJob, ModelDeployment};
use tower::{BoxError, service_fn};

use super::children::Child;
use super::fixture::*;
use super::reconcile;
use crate::context::{Context, Writers};
use crate::error::Error;
use crate::fixture;

/// Calls as `METHOD path`, with their bodies.
type Calls = Arc<Mutex<Vec<(String, Value)>>>;

/// An API server with a script: what it answers to a call, or 404; writes are echoed unless the script says otherwise.
struct Server {
    calls: Calls,
    context: Arc<Context>,
    writers: Writers,
}

impl Server {
    fn new(script: impl Fn(&str, &Value) -> Option<(u16, Value)> + Send + Sync + 'static) -> Self {
        let calls = Calls::default();
        let (seen, script) = (calls.clone(), Arc::new(script));
        let service = service_fn(move |request: Request<Body>| {
            let (seen, script) = (seen.clone(), script.clone());
            async move {
                let call = format!("{} {}", request.method(), request.uri().path());
                let bytes = request.into_body().collect_bytes().await?;
                let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                let (code, answer) = script(&call, &body).unwrap_or_else(|| match call.starts_with("GET") {
                    true if call.ends_with("/events") => (200, json!({"metadata": {}, "items": []})),
                    true => (404, json!({"kind": "Status", "code": 404, "reason": "NotFound", "message": "not found"})),
                    false => (200, body.clone()),
                });
                if !call.starts_with("GET") {
                    seen.lock().expect("no panic").push((call, body));
                }
                let response =
                    Response::builder().status(code).body(Body::from(serde_json::to_vec(&answer)?));
                Ok::<_, BoxError>(response?)
            }
        });
        let (context, writers) = fixture::context(Client::new(service, "shop"));
        let mut server = Self { calls, context, writers };
        server.caches(vec![model()], vec![]);
        server
    }

    /// What the watches have shown.
    fn caches(&mut self, models: Vec<ModelDeployment>, children: Vec<Child>) {
        fn fill<K>(writer: &mut kube::runtime::reflector::store::Writer<K>, objects: Vec<K>)
        where
            K: kube::Resource<DynamicType = ()> + Clone + 'static,
        {
            writer.apply_watcher_event(&Event::Init);
            for object in objects {
                writer.apply_watcher_event(&Event::InitApply(object));
            }
            writer.apply_watcher_event(&Event::InitDone);
        }
        fill(&mut self.writers.models, models);
        fill(&mut self.writers.jobs, vec![]);
        let pods: Vec<_> =
            children.iter().flat_map(|child| &child.pods).map(|pod| (**pod).clone()).collect();
        let jobs: Vec<_> = children.iter().map(|child| (*child.job).clone()).collect();
        jobs.iter()
            .for_each(|job| self.context.job_children_index.follow(&Event::Apply(job.clone())));
        pods.iter().for_each(|pod| self.context.job_pods_index.follow(&Event::Apply(pod.clone())));
        fill(&mut self.writers.job_children, jobs);
        fill(&mut self.writers.job_pods, pods);
    }

    async fn reconcile(&mut self, job: &GenerationJob) -> Result<Action, Error> {
        self.writers.jobs.apply_watcher_event(&Event::Apply(job.clone()));
        reconcile(Arc::new(job.clone()), self.context.clone()).await
    }

    /// The writes since the last time.
    fn writes(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut *self.calls.lock().expect("no panic"))
    }

    fn calls(&self) -> Vec<String> {
        self.writes().into_iter().map(|(call, _)| call).collect()
    }
}

/// Answers a status with the object as it is then.
fn status_written(
    job: &GenerationJob,
) -> impl Fn(&str, &Value) -> Option<(u16, Value)> + Send + Sync + 'static {
    let job = serde_json::to_value(job).expect("JSON");
    let version = AtomicU32::new(8);
    move |call, body| {
        let mut after = job.clone();
        after["metadata"]["resourceVersion"] =
            version.fetch_add(1, Ordering::Relaxed).to_string().into();
        after["status"] = body["status"].clone();
        call.ends_with("/generationjobs/tickets/status").then_some((200, after))
    }
}

const STATUS: &str =
    "PATCH /apis/textnlp.dev/v1alpha1/namespaces/shop/generationjobs/tickets/status";

#[tokio::test]
async fn a_new_job_is_frozen_first_and_prepared_then() {
    let job = job(json!({}));
    let mut server = Server::new(status_written(&job));
    let action = server.reconcile(&job).await.expect("done");
    assert_eq!(action, Action::requeue(std::time::Duration::ZERO));
    let writes = server.writes();
    assert_eq!(writes.len(), 1);
    assert_eq!(writes[0].0, STATUS);
    assert_eq!(writes[0].1["metadata"]["resourceVersion"], "7", "a stale cache must not win");
    assert_eq!(writes[0].1["status"]["attempt"], 0);

    // The cache is behind, yet the job goes on from what was written.
    server.reconcile(&job).await.expect("done");
    assert_eq!(
        server.calls(),
        [
            "PATCH /api/v1/namespaces/shop/persistentvolumeclaims/gj-tickets-4a49acf8-dataset",
            "POST /api/v1/namespaces/shop/configmaps",
            "POST /apis/batch/v1/namespaces/shop/jobs",
        ]
    );
}

#[tokio::test]
async fn a_converged_job_is_only_read() {
    let job = job(json!({}));
    let mut server = Server::new(status_written(&job));
    server.reconcile(&job).await.expect("done");
    server.writes();
    server.caches(vec![model()], vec![child(&job, super::children::Step::Prepare, json!({}))]);
    for _ in 0..3 {
        server.reconcile(&job).await.expect("done");
    }
    assert_eq!(server.calls(), [""; 0]);
}

#[tokio::test]
async fn a_model_that_is_missing_is_told_once_and_nothing_is_made() {
    let job = job(json!({}));
    let mut server = Server::new(status_written(&job));
    server.caches(vec![], vec![]);
    server.reconcile(&job).await.expect("done");
    server.reconcile(&job).await.expect("done");
    let writes = server.writes();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert_eq!(writes[0].1["status"]["phase"], "Pending");
    assert_eq!(writes[0].1["status"]["conditions"][0]["reason"], "ModelNotFound");
}

#[tokio::test]
async fn a_quota_that_refuses_a_child_becomes_a_condition() {
    let job = with_status(job(json!({})), begun(json!({})));
    let written = status_written(&job);
    let mut server = Server::new(move |call, body| {
        let quota = json!({"kind": "Status", "code": 403, "reason": "Forbidden",
            "message": "jobs.batch \"x\" is forbidden: exceeded quota: few, requested: count/jobs.batch=1"});
        if call == "POST /apis/batch/v1/namespaces/shop/jobs" {
            Some((403, quota))
        } else {
            written(call, body)
        }
    });
    server.reconcile(&job).await.expect("done");
    let writes = server.writes();
    let status = &writes.last().expect("a status").1["status"];
    assert_eq!(status["conditions"][0]["reason"], "QuotaExceeded");
    assert_eq!(status["phase"], "Preparing");
}

#[tokio::test]
async fn a_job_of_that_name_that_is_not_ours_is_not_adopted() {
    let job = with_status(job(json!({})), begun(json!({})));
    let written = status_written(&job);
    let mut server = Server::new(move |call, body| match call {
        "POST /apis/batch/v1/namespaces/shop/jobs" => Some((
            409,
            json!({"kind": "Status", "code": 409, "reason": "AlreadyExists", "message": "exists"}),
        )),
        "GET /apis/batch/v1/namespaces/shop/jobs/gj-tickets-4a49acf8-prepare-0" => Some((
            200,
            json!({"metadata": {"name": "gj-tickets-4a49acf8-prepare-0"}, "spec": {"template": {}}}),
        )),
        _ => written(call, body),
    });
    server.reconcile(&job).await.expect("done");
    let writes = server.writes();
    let condition = &writes.last().expect("a status").1["status"]["conditions"][0];
    assert_eq!(condition["reason"], "NameTaken");
    assert!(
        condition["message"]
            .as_str()
            .is_some_and(|message| message.contains("gj-tickets-4a49acf8-prepare-0"))
    );
}

#[tokio::test]
async fn a_server_that_fails_is_an_error_that_is_tried_again() {
    let job = job(json!({}));
    let mut server = Server::new(|_, _| {
        Some((
            500,
            json!({"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcd"}),
        ))
    });
    let error = server.reconcile(&job).await.expect_err("it fails");
    assert_eq!(error.reason(), "ServerError");
    let mut conflict = Server::new(|_, _| {
        Some((
            409,
            json!({"kind": "Status", "code": 409, "reason": "Conflict", "message": "changed"}),
        ))
    });
    assert!(conflict.reconcile(&job).await.expect_err("it fails").is_conflict());
}

#[tokio::test]
async fn progress_is_written_within_the_budget_and_put_off_beyond_it() {
    let base = job(json!({}));
    let server_job = with_status(base.clone(), begun(json!({})));
    let mut server = Server::new(status_written(&server_job));
    let at = |completed: &str| {
        let status = json!({"status": {"completedIndexes": completed, "active": 1}});
        vec![prepare_done(&base), generate(&base, status)]
    };
    server.caches(vec![model()], at(""));
    server.reconcile(&server_job).await.expect("done");
    assert_eq!(server.calls(), [STATUS], "what matters is written whatever the budget");
    server.caches(vec![model()], at("0"));
    server.reconcile(&server_job).await.expect("done");
    assert_eq!(server.calls(), [STATUS]);
    // Spends what the budget has until an hour from now.
    let later = std::time::Instant::now() + std::time::Duration::from_secs(3600);
    assert!(server.context.shared.budget.take(later));
    server.caches(vec![model()], at("0-1"));
    server.reconcile(&server_job).await.expect("done");
    assert_eq!(server.calls(), [""; 0], "the budget is spent");
}
