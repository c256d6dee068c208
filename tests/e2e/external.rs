//! A job on a server that is not the operator's: any with OpenAI's API. Ours, started outside the cluster, is one; llama.cpp's
//! is another, where `LLAMA_SERVER` names the program.

use serde_json::{Value, json};
use textnlp_tests::disturb::together;
use textnlp_tests::proxy::Proxy;
use textnlp_tests::{Job, Model, Server, Space};

/// The address of this machine that pods reach.
fn host() -> String {
    std::env::var("TEXTNLP_CLUSTER_HOST").expect("TEXTNLP_CLUSTER_HOST: source target/cluster/env")
}

/// What OpenAI's API defines, of all that a worker may send.
const OPENAI: [&str; 9] =
    ["model", "messages", "prompt", "n", "seed", "temperature", "top_p", "max_tokens", "stop"];
/// What `limits.concurrency` allows.
const LIMIT: usize = 2;

fn a_job_runs_on(namespace: &str, server: &Server) {
    let _undisturbed = together();
    let proxy = Proxy::start(&host(), server.address);
    let space = Space::empty(namespace);
    space.apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"apiKey": "open-sesame"}
    }));
    let model = Model(json!({
        "apiVersion": "textnlp.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "smollm2"},
        "spec": {"source": {"external": {
            "endpoint": format!("http://{}", proxy.address), "model": "their-name",
            "secretRef": {"name": "key"}, "limits": {"concurrency": LIMIT}
        }}}
    }));
    let job = Job::small("tickets")
        .with("execution", json!({"parallelism": 2, "concurrency": 8}))
        .with("columns/0/mode", json!("Chat"));
    space.start(&model, &job);

    let done = space.until("gj/tickets", "Succeeded", |o| {
        assert_ne!(o["status"]["phase"], "Failed", "{}", space.picture());
        o["status"]["phase"] == "Succeeded"
    });
    let status = &done["status"];
    let rows = |outcome: &str| status["rows"][outcome].as_i64().unwrap_or(0);
    assert_eq!(rows("requested"), 32, "{status}");
    assert_eq!(rows("accepted") + rows("rejected") + rows("failed"), 32, "{status}");
    assert_eq!(rows("failed"), 0, "{status}");
    assert_eq!(status["model"]["reproducible"], false, "{status}");
    assert_eq!(status["model"]["numerics"], "external", "{status}");

    let requests = proxy.requests();
    let asked: Vec<_> =
        requests.iter().filter(|request| request.line.starts_with("POST")).collect();
    assert_eq!(asked.len(), 32, "one request for each row");
    for request in asked {
        assert!(request.line.starts_with("POST /v1/chat/completions "), "{}", request.line);
        assert_eq!(request.header("authorization"), Some("bearer open-sesame"));
        assert_eq!(request.header("x-textnlp-model-digest"), None);
        assert_eq!(request.body["model"], "their-name");
        let ours: Vec<&String> = request
            .body
            .as_object()
            .map(|body| body.keys().filter(|key| !OPENAI.contains(&key.as_str())).collect())
            .unwrap_or_default();
        assert!(ours.is_empty(), "not of OpenAI's API: {ours:?} in {}", request.body);
    }
    let most = proxy.most_under_way();
    assert!((1..=LIMIT).contains(&most), "{most} requests at once, {LIMIT} are allowed");
    let children: Vec<Value> = space.list("deployments,services,jobs", "textnlp.dev/model-uid");
    assert!(children.is_empty(), "an external model has no children: {children:?}");
}

#[test]
fn a_job_runs_on_an_openai_compatible_server_outside_the_cluster() {
    a_job_runs_on("external", &Server::textnlp("their-name"));
}

#[test]
fn a_job_runs_on_the_server_of_llama_cpp() {
    let program = std::env::var("LLAMA_SERVER").expect("LLAMA_SERVER: scripts/e2e.sh sets it");
    a_job_runs_on("llama-cpp", &Server::llama_cpp(&program, "their-name"));
}
