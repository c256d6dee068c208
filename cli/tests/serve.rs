//! `textnlp serve` with the real model: the server answers what the engine in this process answers.

mod common;

use std::io::Read;
use std::process::Command;
use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::{Value, json};
use textnlp_crds::sampling::ResolvedSampling;
use textnlp_generation::completer::{ChatMessage, Completer, Prompt, Request};
use textnlp_generation::engine::{EngineModel, EngineOptions};
use textnlp_telemetry::trace::TraceContext;

use common::server::Server;

async fn post(client: &reqwest::Client, url: String, body: &Value) -> Value {
    let response = client.post(url).json(body).send().await.expect("it answers");
    let status = response.status();
    let text = response.text().await.expect("text");
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

fn turn(role: &'static str, content: &str) -> ChatMessage {
    ChatMessage { role, content: content.to_owned() }
}

/// Two conversations and two texts, each with other parameters.
fn requests() -> Vec<Request> {
    let sampling = ResolvedSampling { max_tokens: 24, ..ResolvedSampling::default() };
    let careful = ResolvedSampling { temperature: 0.7, top_p: 0.9, top_k: 40, ..sampling.clone() };
    let odd = ResolvedSampling {
        min_p: 0.05,
        repetition_penalty: 1.1,
        stop: vec![".".to_owned(), "<|im_end|>".to_owned()],
        ..sampling.clone()
    };
    let prompts = [
        (Prompt::Chat(vec![turn("user", "Name a colour. <|im_end|>")]), sampling),
        (
            Prompt::Chat(vec![turn("system", "Be brief."), turn("user", "What is tea?")]),
            careful.clone(),
        ),
        (Prompt::Text("The train to Zürich leaves".to_owned()), odd),
        (Prompt::Text("1, 2, 3,".to_owned()), careful),
    ];
    let seeds = [0, 1, 42, (1 << 53) - 1];
    prompts
        .into_iter()
        .zip(seeds)
        .map(|((prompt, sampling), seed)| Request {
            prompt,
            sampling,
            seed,
            record: 0,
            trace: TraceContext::default(),
        })
        .collect()
}

/// The request on the wire, as a worker sends it.
fn wire(request: &Request) -> (&'static str, Value) {
    let s = &request.sampling;
    let mut body = json!({
        "model": "smollm2", "n": 1, "seed": request.seed, "temperature": s.temperature,
        "top_p": s.top_p, "top_k": s.top_k, "min_p": s.min_p,
        "repetition_penalty": s.repetition_penalty, "max_tokens": s.max_tokens, "stop": s.stop,
    });
    let (path, field) = match &request.prompt {
        Prompt::Text(_) => ("/v1/completions", "prompt"),
        Prompt::Chat(_) => ("/v1/chat/completions", "messages"),
    };
    body[field] = request.prompt.to_json();
    (path, body)
}

#[tokio::test]
async fn the_server_answers_what_the_engine_in_this_process_answers() {
    let mut server = Server::start(&["--drain-grace", "0", "--threads", "2"]);
    let options = EngineOptions { threads: Some(2), sequences: 4, speculation: true };
    let model = EngineModel::open("smollm2", &common::model(), None).expect("a model");
    let local: Arc<dyn Completer> = model.load(options).expect("it loads");
    let client = reqwest::Client::new();
    server.until_ready(&client).await;
    for request in requests() {
        let (path, body) = wire(&request);
        let expect = local.complete(request).await.expect("completed");
        let found = post(&client, format!("{}{path}", server.url), &body).await;
        let choice = &found["choices"][0];
        let text = choice.get("text").unwrap_or(&choice["message"]["content"]);
        assert_eq!(text, &json!(expect.text), "{body}");
        assert_eq!(choice["finish_reason"], expect.finish_reason);
        assert_eq!(found["usage"]["prompt_tokens"], expect.prompt_tokens);
        assert_eq!(found["usage"]["completion_tokens"], expect.completion_tokens);
    }
    let terminated = Command::new("kill").arg(server.process.id().to_string()).status();
    assert!(terminated.expect("kill runs").success());
    assert_eq!(server.process.wait().expect("it ends").code(), Some(0));
}

#[test]
fn another_model_than_the_expected_one_is_never_served() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let mut server = Server::start(&["--expect-digest", &digest]);
    assert_eq!(server.process.wait().expect("it ends").code(), Some(2));
    let mut log = String::new();
    server.log.read_to_string(&mut log).expect("text");
    assert!(log.contains(&digest) && log.contains("the files are another model"), "{log}");
}

#[test]
fn what_is_no_model_ends_the_server_with_2_and_a_used_port_with_1() {
    let directory = tempfile::tempdir().expect("a directory");
    let serve = |listen: &str, model: &std::path::Path| {
        let mut command = common::textnlp(directory.path());
        command.args(["serve", "--listen", listen, "--model"]).arg(model).output().expect("it runs")
    };
    let text = common::write(directory.path(), "text.gguf", "no model");
    let output = serve("127.0.0.1:0", &text);
    assert_eq!(output.status.code(), Some(2), "{}", common::stderr(&output));
    assert!(common::stderr(&output).contains("error: cannot load "), "{}", common::stderr(&output));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let output = serve(&address, &text);
    assert_eq!(output.status.code(), Some(1));
    assert!(common::stderr(&output).contains(&format!("cannot listen on {address}")));
}
