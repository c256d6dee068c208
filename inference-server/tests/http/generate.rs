//! `/generate`: rows of a request, whole, as lines and over a socket.

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};
use textnlp_crds::job::GenerationJobSpec;
use textnlp_dataset::store::LocalStore;
use textnlp_engine::engine::EngineConfig;
use textnlp_generation::completer::{ModelFacts, Models};
use textnlp_generation::engine::EngineCompleter;
use textnlp_generation::rows::Options;
use textnlp_generation::{Cancel, Job, Progress, Source, local};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::model::{CONTEXT, DIGEST, ERROR_BYTE, Gate, Kind, fake};
use crate::server::{Server, config, greedy, json_of, ready, ready_with, with};

const RUNNING: &str = "vllm:num_requests_running{model_name=\"fake\"}";
const WAITING: &str = "vllm:num_requests_waiting{model_name=\"fake\"}";

/// Two columns, of which the second reads the first, over three records.
fn tickets() -> Value {
    json!({
        "records": [{"topic": "cats"}, {"topic": "dogs"}, {"topic": "newts"}],
        "samples_per_record": 2,
        "constants": {"tone": "dry"},
        "attributes": [{"name": "mood", "choice": {"values": ["glad", "sad"]}}],
        "sampling": {"seed": 7, "maxTokens": 9, "temperature": 1.0},
        "columns": [
            {"name": "answer", "system": "Be {{ tone }}.", "prompt": "On {{ question }}:"},
            {"name": "question", "prompt": "{{ mood }} {{ topic }}", "mode": "Completion"},
            {"name": "label", "value": "{{ topic }}/{{ mood }}"},
        ],
    })
}

/// The dataset that a run of the same columns writes: its rows and its digest.
async fn run(request: &Value) -> (Vec<Value>, String) {
    let spec = json!({
        "modelRef": {"name": "fake"},
        "samplesPerRecord": request["samples_per_record"],
        "constants": request["constants"],
        "attributes": request["attributes"],
        "sampling": request["sampling"],
        "columns": request["columns"],
    });
    let spec: GenerationJobSpec = serde_json::from_value(spec).expect("a spec");
    let model = fake(&Gate::default(), Kind::Successor, EngineConfig::default());
    let mut models = Models::default();
    models.describe(ModelFacts {
        name: "fake".to_owned(),
        digest: DIGEST.to_owned(),
        numerics: "fake-1/f32".to_owned(),
        reproducible: true,
        chat: true,
        tokenizer_digest: None,
        context_tokens: Some(CONTEXT),
    });
    let job = Arc::new(Job::compile("request", &spec, &models).expect("it compiles"));
    let records = serde_json::from_value(request["records"].clone()).expect("records");
    let directory = tempfile::tempdir().expect("a directory");
    let store = LocalStore::open(directory.path()).expect("a store");
    let options = Options::new(1, Cancel::new());
    let connect = |models: &mut Models| {
        models.connect("fake", Arc::new(EngineCompleter::of(&model)));
        Ok(())
    };
    let (source, progress) = (Source::Inline(records), Arc::new(Progress::default()));
    let finished = local::run(job, models, &source, &store, progress, &options, connect);
    let report = finished.await.expect("it runs").report;
    let lines = std::fs::read_to_string(directory.path().join("dataset.jsonl")).expect("rows");
    let rows = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (rows, report.digest)
}

/// The events of a streamed answer.
async fn events(server: &Server, body: &Value) -> Vec<Value> {
    let response = server.post("/generate", &with(body.clone(), json!({"stream": true}))).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let text = response.text().await.expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn the_rows_and_their_digest_are_those_of_a_job() {
    let server = ready().await;
    let request = tickets();
    let (rows, digest) = run(&request).await;
    let answer = json_of(server.post("/generate", &request).await, StatusCode::OK).await;
    assert_eq!(answer["rows"], json!(rows));
    assert_eq!(rows.len(), 6);
    let summary = &answer["summary"];
    assert_eq!(summary["digest"], digest);
    let counts = json!({"requested": 6, "accepted": 6, "rejected": 0, "failed": 0});
    assert_eq!((&summary["rows"], &summary["passed"]), (&counts, &json!(true)));
    assert_eq!(summary["usage"]["requests"], 12);
    assert_eq!(summary["model"]["digest"], DIGEST);
    let streamed = events(&server, &request).await;
    assert_eq!(streamed.last(), Some(&json!({"summary": summary})));
    let streamed: Vec<_> = streamed.iter().filter_map(|event| event.get("row")).collect();
    assert_eq!(json!(streamed), json!(rows));
}

#[tokio::test]
async fn a_row_that_fails_or_is_rejected_is_told_apart_from_the_accepted_ones() {
    let server = ready().await;
    let body = json!({
        "records": [{"t": "a"}, {"t": "x".repeat(CONTEXT)}, {"t": "b"}, {}, {"t": "a"}],
        "sampling": {"maxTokens": 3, "temperature": 0},
        "columns": [{"name": "out", "prompt": "{{ t }}", "mode": "Completion"}],
        "validation": {
            "filters": [{"name": "not-b", "expression": "row.t != 'b'"}],
            "metrics": [{"metric": "charCount", "column": "out"}],
            "deduplicate": {"column": "out"},
        },
    });
    let answer = json_of(server.post("/generate", &body).await, StatusCode::OK).await;
    let ids = |list: &str| -> Vec<&str> {
        let rows = answer[list].as_array().expect("rows").iter();
        rows.filter_map(|row| row["id"].as_str()).collect()
    };
    assert_eq!(ids("rows"), ["0-0"]);
    assert_eq!(ids("rejected"), ["2-0", "4-0"]);
    assert_eq!(ids("failed"), ["1-0", "3-0"]);
    let counts = json!({"requested": 5, "accepted": 1, "rejected": 2, "failed": 2});
    assert_eq!(answer["summary"]["rows"], counts);
    assert_eq!(answer["summary"]["scores"][0]["value"], 3.0);
    assert_eq!(answer["rows"][0]["out"], "bcd");
}

#[tokio::test]
async fn without_records_a_row_is_made_from_nothing() {
    let server = ready().await;
    let body = json!({
        "samples_per_record": 3,
        "sampling": {"maxTokens": 2},
        "columns": [{"name": "out", "prompt": "a"}],
    });
    let answer = json_of(server.post("/generate", &body).await, StatusCode::OK).await;
    assert_eq!(answer["rows"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn a_request_that_cannot_work_is_refused_with_its_own_names() {
    let server = ready().await;
    let columns = json!([{"name": "out", "prompt": "{{ t }}"}]);
    let good = json!({"records": [{"t": "a"}], "columns": columns});
    for (change, status, param, part) in [
        (json!({"columns": []}), 400, "columns", "1"),
        (json!({"columns": [{"name": "out"}]}), 400, "columns[0]", "prompt"),
        (json!({"columns": [{"name": "out", "prompt": "{{ u }}"}]}), 400, "columns[0]", "u"),
        (json!({"columns": [{"name": "out", "prompt": "{{"}]}), 400, "columns[0].prompt", ""),
        (json!({"columns": [{"name": "t", "prompt": "a"}]}), 400, "columns[0].name", "field"),
        (
            json!({"columns": [{"name": "o", "prompt": "a", "modelRef": {"name": "other"}}]}),
            400,
            "columns[0].modelRef",
            "other",
        ),
        (json!({"samples_per_record": 0}), 400, "samples_per_record", "1"),
        (json!({"samples_per_record": 1_001}), 400, "records", "stream"),
        (json!({"sampling": {"temprature": 1}}), 400, "sampling.temprature", "temperature"),
        (json!({"validation": {"metrics": [{"metric": "bleu"}]}}), 400, "validation", ""),
        (json!({"mask_pii": {"fields": ["nothing"]}}), 400, "mask_pii.fields[0]", "nothing"),
        (json!({"records": [{"id": 3}]}), 400, "records", "id"),
        (json!({"records": ["text"]}), 400, "records[0]", "map"),
        (json!({"output": {}}), 400, "output", "unknown field"),
        (json!({"model": "other"}), 404, "model", "other"),
    ] {
        let response = server.post("/generate", &with(good.clone(), change.clone())).await;
        let body = json_of(response, StatusCode::from_u16(status).expect("a status")).await;
        let found = body["error"]["param"].as_str().unwrap_or_default();
        assert!(found.starts_with(param), "{change}: {body}");
        let message = body["error"]["message"].as_str().expect("a text");
        assert!(message.contains(part) && !message.contains("spec."), "{change}: {body}");
    }
    let pinned = server.client.post(format!("{}/generate", server.url)).json(&good);
    let response = pinned.header("x-textnlp-model-digest", "sha256:00").send().await;
    json_of(response.expect("it answers"), StatusCode::PRECONDITION_FAILED).await;
}

/// Waits until the model has nothing to do, while it may make steps.
async fn until_idle(server: &Server) {
    for _ in 0..300 {
        server.gate.allow(1);
        tokio::time::sleep(Duration::from_millis(5)).await;
        if server.metric(RUNNING).await + server.metric(WAITING).await == 0.0 {
            return;
        }
    }
    panic!("the model still works for nobody");
}

/// A request of many rows that take long.
fn long() -> Value {
    json!({
        "samples_per_record": 100,
        "sampling": {"maxTokens": 400, "temperature": 0},
        "columns": [{"name": "out", "prompt": "a", "mode": "Completion"}],
    })
}

#[tokio::test]
async fn a_client_that_goes_stops_its_rows() {
    let server = ready().await;
    server.gate.close();
    let url = format!("{}/generate", server.url);
    for body in [long(), with(long(), json!({"stream": true}))] {
        let waiting = tokio::spawn(server.client.post(&url).json(&body).send());
        while server.metric(RUNNING).await + server.metric(WAITING).await == 0.0 {
            server.gate.allow(1);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        waiting.abort();
        // A streamed answer has begun, and its response with it.
        drop(waiting.await);
        until_idle(&server).await;
    }
    server.gate.open();
    let generated = server.metric("vllm:generation_tokens_total{model_name=\"fake\"}").await;
    assert!(generated < 2.0 * 100.0 * 400.0, "{generated}");
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn socket(server: &Server) -> Socket {
    let url = format!("ws://{}/generate", server.address);
    tokio_tungstenite::connect_async(url).await.expect("it opens").0
}

/// All messages until the server closes, and its close code.
async fn messages(socket: &mut Socket) -> (Vec<Value>, u16) {
    let mut events = Vec::new();
    while let Some(message) = socket.next().await {
        match message.expect("no error") {
            Message::Text(text) => events.push(serde_json::from_str(&text).expect("JSON")),
            Message::Close(frame) => return (events, frame.expect("a frame").code.into()),
            _ => {}
        }
    }
    panic!("the server does not close");
}

#[tokio::test]
async fn a_socket_gets_the_events_of_one_request_and_is_closed() {
    let server = ready().await;
    let request = tickets();
    let lines = events(&server, &request).await;
    let mut socket = socket(&server).await;
    socket.send(Message::Ping("p".into())).await.expect("it takes it");
    socket.send(Message::text(request.to_string())).await.expect("it takes it");
    let (found, code) = messages(&mut socket).await;
    assert_eq!((found, code), (lines, 1000));
}

#[tokio::test]
async fn a_socket_with_a_wrong_request_is_told_why() {
    let server = ready().await;
    for (request, code) in [("{", "invalid_json"), ("{\"columns\": []}", "invalid_value")] {
        let mut socket = socket(&server).await;
        socket.send(Message::text(request)).await.expect("it takes it");
        let (found, close) = messages(&mut socket).await;
        assert_eq!((&found[0]["error"]["code"], close), (&json!(code), 1008));
    }
    let mut socket = socket(&server).await;
    server.gate.close();
    for _ in 0..2 {
        socket.send(Message::text(long().to_string())).await.expect("it takes it");
    }
    let (found, close) = messages(&mut socket).await;
    assert_eq!((&found[0]["error"]["code"], close), (&json!("second_request"), 1008));
    until_idle(&server).await;
}

#[tokio::test]
async fn a_socket_that_is_closed_stops_its_rows() {
    let server = ready().await;
    server.gate.close();
    let mut socket = socket(&server).await;
    socket.send(Message::text(long().to_string())).await.expect("it takes it");
    while server.metric(RUNNING).await + server.metric(WAITING).await == 0.0 {
        server.gate.allow(1);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(socket);
    until_idle(&server).await;
}

#[tokio::test]
async fn what_is_no_socket_or_comes_from_a_page_of_another_site_is_refused() {
    let server = ready().await;
    let body = json_of(server.get("/generate").await, StatusCode::UPGRADE_REQUIRED).await;
    assert_eq!(body["error"]["code"], "upgrade_required");
    let url = format!("ws://{}/generate", server.address);
    for (origin, opens) in [("https://elsewhere.example", false), (server.url.as_str(), true)] {
        let mut request = url.as_str().into_client_request().expect("a request");
        request.headers_mut().insert("origin", origin.parse().expect("a value"));
        match tokio_tungstenite::connect_async(request).await {
            Ok(_) => assert!(opens, "{origin}"),
            Err(SocketError::Http(response)) => {
                assert!(!opens && response.status() == StatusCode::FORBIDDEN, "{origin}");
            }
            Err(error) => panic!("{origin}: {error}"),
        }
    }
}

#[tokio::test]
async fn rows_that_would_fill_the_memory_are_refused() {
    let server = ready().await;
    let long = "x".repeat(500_000);
    let copy = |name: &str| json!({"name": name, "value": "{{ t }}"});
    let many = json!({"records": [{"t": long}], "samples_per_record": 200, "columns": [copy("a")]});
    let huge = json!({"records": [{"t": "x".repeat(1_000_000)}], "columns": [copy("a"), copy("b"), copy("c"), copy("d")]});
    let records = json!({"records": vec![json!({}); 100_001], "columns": [copy("a")]});
    for (body, param) in [(many, "stream"), (huge, "columns"), (records, "records")] {
        let answer = json_of(server.post("/generate", &body).await, StatusCode::BAD_REQUEST).await;
        assert_eq!(answer["error"]["param"], param, "{answer}");
    }
}

#[tokio::test]
async fn a_short_line_makes_fewer_rows_at_once() {
    let mut config = config();
    (config.capacity, config.sequences) = (3, 1);
    let server = ready_with(config, Kind::Successor).await;
    let body = json!({"samples_per_record": 20, "sampling": {"maxTokens": 2}, "columns": [{"name": "out", "prompt": "a"}]});
    let answer = json_of(server.post("/generate", &body).await, StatusCode::OK).await;
    assert_eq!(answer["summary"]["rows"]["accepted"], 20);
}

#[tokio::test]
async fn a_model_that_fails_in_the_midst_of_rows_ends_every_kind_of_answer() {
    let server = ready().await;
    let fails = char::from(ERROR_BYTE);
    let body = json!({
        "records": [{"t": "a"}, {"t": fails}],
        "sampling": {"maxTokens": 2, "temperature": 0},
        "columns": [{"name": "out", "prompt": "{{ t }}", "mode": "Completion"}],
    });
    let answer = server.post("/generate", &body).await;
    let answer = json_of(answer, StatusCode::INTERNAL_SERVER_ERROR).await;
    assert_eq!(answer["error"]["code"], "model_failed");
    // Three failed steps in a row would end the engine.
    server.complete(&greedy("a", 1)).await;
    let lines = events(&server, &body).await;
    assert_eq!(lines.last().expect("an end")["error"]["code"], "model_failed");
    server.complete(&greedy("a", 1)).await;
    let mut socket = socket(&server).await;
    socket.send(Message::text(body.to_string())).await.expect("it takes it");
    let (found, close) = messages(&mut socket).await;
    assert_eq!((found.last(), close), (lines.last(), 1008));
}

#[tokio::test]
async fn a_server_without_keys_does_nothing_for_pages_of_other_sites_and_names_that_are_not_its_own()
 {
    let server = ready().await;
    let body = json!({"model": "fake", "prompt": "a", "max_tokens": 1});
    for (name, value, allowed) in [
        ("origin", "https://elsewhere.example", false),
        ("origin", server.url.as_str(), true),
        ("host", "elsewhere.example", false),
        ("host", "localhost", true),
    ] {
        let request = server.client.post(format!("{}/v1/completions", server.url)).json(&body);
        let status = request.header(name, value).send().await.expect("it answers").status();
        let expect = if allowed { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(status, expect, "{name}: {value}");
    }
}
