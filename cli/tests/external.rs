//! `textnlp run` with a model at a server that is not ours.

mod common;

use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use common::{stderr, textnlp, write};

type Bodies = Arc<Mutex<Vec<Value>>>;

async fn complete(
    State(bodies): State<Bodies>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if headers.get("authorization").is_none_or(|key| key != "Bearer hush") {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": {"message": "wrong key"}})))
            .into_response();
    }
    let said = format!("You said {}", body["messages"][0]["content"].as_str().expect("a prompt"));
    bodies.lock().expect("no panic").push(body);
    Json(json!({"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}))
        .into_response()
}

#[test]
fn a_local_run_asks_an_external_server_with_the_key_of_a_file() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let bodies = Bodies::default();
    let app =
        Router::new().route("/v1/chat/completions", post(complete)).with_state(bodies.clone());
    runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });

    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    write(
        at,
        "job.yaml",
        format!(
            "apiVersion: textnlp.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {{name: theirs}}\nspec:\n  source:\n    external: {{endpoint: \"{url}/v1\", model: llama-3, secretRef: {{name: key}}, limits: {{concurrency: 2}}}}\n---\n\
         apiVersion: textnlp.dev/v1alpha1\nkind: GenerationJob\nmetadata: {{name: hello}}\nspec:\n  modelRef: {{name: theirs}}\n  source: {{inline: {{records: [{{x: a}}, {{x: b}}]}}}}\n  columns: [{{name: reply, prompt: \"{{{{ x }}}}\"}}]\n"
        ),
    );
    let run = || -> Command {
        let mut command = textnlp(at);
        command
            .env_remove("TEXTNLP_ALLOW_LOOPBACK")
            .env_remove("TEXTNLP_API_KEY_FILE")
            .args(["run", "job.yaml", "--json"]);
        command
    };
    let output = run().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("TEXTNLP_API_KEY_FILE"), "{}", stderr(&output));

    let key = write(at, "key", "hush\n");
    let output = run().env("TEXTNLP_API_KEY_FILE", &key).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("an address of this machine"), "{}", stderr(&output));

    let allowed = || {
        let mut command = run();
        command.env("TEXTNLP_API_KEY_FILE", &key).env("TEXTNLP_ALLOW_LOOPBACK", "1");
        command
    };
    let output = allowed().output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["rows"]["accepted"], 2);
    assert_eq!(
        report["model"],
        json!({"name": "theirs", "digest": "external", "numerics": "external"})
    );
    let rows = std::fs::read_to_string(at.join("hello/dataset.jsonl")).unwrap();
    assert!(rows.contains("You said a") && rows.contains("You said b"), "{rows}");
    let bodies = bodies.lock().unwrap();
    assert!(bodies.iter().all(|body| body["model"] == "llama-3" && body.get("top_k").is_none()));
    drop(bodies);

    write(at, "key", "other");
    let output = allowed().args(["--output", "again"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("wrong key") && !said.contains("other"), "{said}");
    let output = allowed().arg("--dry-run").output().unwrap();
    assert!(stderr(&output).contains("use --preview instead"), "{}", stderr(&output));
}
