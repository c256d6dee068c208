//! What a worker shows to a server: an external one its key, our own the token of the pod's account, and neither the other's.

mod common;

use std::path::PathBuf;

use common::server::{Behaviour, DIGEST, Server};
use textnlp_dataset::net::Access;
use textnlp_generation::completer::{Completion, CompletionError, Prompt, Request};
use textnlp_generation::http::{Endpoint, HttpCompleter, Server as Whose};
use textnlp_generation::metrics::RequestMetrics;
use textnlp_generation::{Cancel, Completer, Error};
use textnlp_telemetry::trace::TraceContext;

async fn connect(url: String, server: Whose, loopback: bool) -> Result<HttpCompleter, Error> {
    let endpoint = Endpoint { name: "parrot".into(), model: "llama-3".into(), url, server };
    let access = Access { loopback };
    HttpCompleter::connect(endpoint, access, RequestMetrics::default(), Cancel::new()).await
}

async fn complete(completer: &HttpCompleter) -> Result<Completion, CompletionError> {
    let request = Request {
        prompt: Prompt::Text("Once".into()),
        sampling: Default::default(),
        seed: 5,
        record: 0,
        trace: TraceContext::default(),
    };
    completer.complete(request).await
}

fn wants(key: &str) -> Behaviour {
    Behaviour { key: Some(key.into()), silent: true, ..Behaviour::default() }
}

fn own(server: &Server, token: PathBuf) -> Whose {
    let pods = Some(server.address.to_string());
    Whose::Own { pods, digest: DIGEST.to_owned(), token: Some(token) }
}

#[tokio::test]
async fn a_server_that_refuses_a_token_is_asked_again_with_the_one_that_is_in_the_file_now() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "old").unwrap();
    let server = Server::start(wants("new")).await;
    let completer = connect(server.url(), own(&server, token.clone()), false).await.unwrap();
    let refused = complete(&completer).await.unwrap_err().to_string();
    assert!(refused.contains("kubectl textnlp retry"), "{refused}");
    std::fs::write(&token, "new").unwrap();
    complete(&completer).await.unwrap();
    assert_eq!(server.parrots.headers.lock().unwrap()["authorization"], "Bearer new");
}

#[tokio::test]
async fn a_token_that_cannot_be_read_is_named() {
    let server = Server::start(Behaviour::default()).await;
    let token = own(&server, "/no/such/token".into());
    let completer = connect(server.url(), token, false).await.unwrap();
    let refused = complete(&completer).await.unwrap_err().to_string();
    assert!(refused.contains("the token for the model's servers, /no/such/token"), "{refused}");
}

#[tokio::test]
async fn an_external_server_gets_its_key_and_no_parameters_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("apiKey");
    std::fs::write(&key, "hush\n").unwrap();
    let server = Server::start(wants("hush")).await;
    let external =
        || Whose::External { key: Some(key.clone()), limits: Default::default(), workers: 2 };
    let url = format!("{}/v1/", server.url());
    // An address of this machine is refused unless it is allowed.
    let error = connect(url.clone(), external(), false).await.err().unwrap();
    assert_eq!((error.reason(), error.exit_code()), ("ModelNotFound", 2));
    let completer = connect(url, external(), true).await.unwrap();
    let done = complete(&completer).await.unwrap();
    assert_eq!((done.prompt_tokens, done.completion_tokens), (0, 0));
    let bodies = server.parrots.bodies.lock().unwrap();
    let keys: Vec<&String> = bodies[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["model", "prompt", "n", "seed", "temperature", "top_p", "max_tokens"]);
    assert_eq!(bodies[0]["model"], "llama-3");
    let headers = server.parrots.headers.lock().unwrap();
    assert!(headers.get("x-textnlp-model-digest").is_none());
}
