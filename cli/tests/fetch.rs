//! `textnlp fetch` against a hub of our own: resolved, resumed, checked, cached; and what it refuses.

mod common;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use textnlp_crds::task::{Fetched, TaskFailure, Termination};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use common::{model, stderr, textnlp};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

static MODEL: LazyLock<Bytes> = LazyLock::new(|| std::fs::read(model()).unwrap().into());
static SHA256: LazyLock<String> = LazyLock::new(|| hex(&MODEL));

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hub, and the store that it sends on to, at another address.
struct Hub {
    url: String,
    state: Arc<Requests>,
    _runtime: Runtime,
}

#[derive(Default)]
struct Requests {
    /// Where files are.
    store: String,
    lists: AtomicU32,
    files: AtomicU32,
    /// Requests for files that began in the middle.
    resumed: AtomicU32,
}

impl Hub {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let bind = |address: &str| runtime.block_on(TcpListener::bind(address)).unwrap();
        let (hub, store) = (bind("127.0.0.1:0"), bind("127.0.0.2:0"));
        let state = Arc::new(Requests {
            store: format!("http://{}", store.local_addr().unwrap()),
            ..Requests::default()
        });
        let url = format!("http://{}", hub.local_addr().unwrap());
        let app = Router::new()
            .route("/api/models/{owner}/{name}/revision/{revision}", get(list))
            .route("/{owner}/{name}/resolve/{commit}/{file}", get(resolve))
            .with_state(state.clone());
        runtime.spawn(async move { axum::serve(hub, app).await.unwrap() });
        let files = Router::new().route("/files/{file}", get(file)).with_state(state.clone());
        runtime.spawn(async move { axum::serve(store, files).await.unwrap() });
        Self { url, state, _runtime: runtime }
    }
}

fn has_token(headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|value| value == "Bearer hf_secret")
}

async fn list(
    State(state): State<Arc<Requests>>,
    UrlPath((_, name, revision)): UrlPath<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    let number = state.lists.fetch_add(1, Ordering::Relaxed);
    let siblings = match &*name {
        "gguf" | "lying" => {
            let sha256 = if name == "gguf" { SHA256.clone() } else { "0".repeat(64) };
            json!([
                {"rfilename": "README.md", "size": 10},
                {"rfilename": "model.gguf", "size": MODEL.len(), "lfs": {"sha256": sha256}},
            ])
        }
        "gated" if !has_token(&headers) => return StatusCode::UNAUTHORIZED.into_response(),
        "gated" => {
            json!([{"rfilename": "model.gguf", "size": MODEL.len(), "lfs": {"sha256": *SHA256}}])
        }
        "pickles" => {
            json!([{"rfilename": "pytorch_model.bin", "size": 5}, {"rfilename": "config.json", "size": 2}])
        }
        "garbage" => json!([{"rfilename": "garbage.gguf", "size": 4}]),
        // The first answer fails, as servers do.
        "shaky" if number == 0 => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "shaky" => json!([]),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    if revision != "main" {
        return StatusCode::NOT_FOUND.into_response();
    }
    axum::Json(json!({"sha": COMMIT, "siblings": siblings})).into_response()
}

async fn resolve(
    State(state): State<Arc<Requests>>,
    UrlPath((_, name, commit, file)): UrlPath<(String, String, String, String)>,
    headers: HeaderMap,
) -> Response {
    assert_eq!(commit, COMMIT);
    if name == "gated" && !has_token(&headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    Redirect::temporary(&format!("{}/files/{file}?signature=hush", state.store)).into_response()
}

async fn file(
    State(state): State<Arc<Requests>>,
    UrlPath(file): UrlPath<String>,
    headers: HeaderMap,
) -> Response {
    // The token is the hub's, not the store's.
    if headers.contains_key(header::AUTHORIZATION) {
        return StatusCode::IM_A_TEAPOT.into_response();
    }
    if file == "garbage.gguf" {
        return "GGUF".into_response();
    }
    let range = headers.get(header::RANGE).and_then(|v| v.to_str().ok());
    let from: Option<usize> =
        range.and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    if state.files.fetch_add(1, Ordering::Relaxed) == 0 {
        // The first answer breaks off in the middle.
        let half = MODEL.slice(..MODEL.len() / 2);
        let broken = futures::stream::iter([Ok(half), Err(std::io::Error::other("broken"))]);
        return ([(header::CONTENT_LENGTH, MODEL.len())], Body::from_stream(broken))
            .into_response();
    }
    match from {
        None => MODEL.clone().into_response(),
        Some(from) => {
            state.resumed.fetch_add(1, Ordering::Relaxed);
            let length = MODEL.len();
            let range = format!("bytes {from}-{}/{length}", length - 1);
            (StatusCode::PARTIAL_CONTENT, [(header::CONTENT_RANGE, range)], MODEL.slice(from..))
                .into_response()
        }
    }
}

fn command(directory: &Path) -> Command {
    // Kubernetes makes the file; a pod only writes it.
    std::fs::write(directory.join("answer.json"), "").unwrap();
    let mut command = textnlp(directory);
    command
        .env_remove("TEXTNLP_MODEL_SOURCE")
        .env("TEXTNLP_ALLOW_LOOPBACK", "1")
        .arg("fetch")
        .args(["--mounts", "mounts", "--termination-file", "answer.json"]);
    command
}

fn fetch(directory: &Path, source: &Value) -> Output {
    command(directory).env("TEXTNLP_MODEL_SOURCE", source.to_string()).output().unwrap()
}

fn answer(directory: &Path) -> Termination {
    let text = std::fs::read_to_string(directory.join("answer.json")).unwrap();
    Termination::read(&text).expect("a termination message")
}

fn fetched(directory: &Path, output: &Output) -> Fetched {
    assert!(output.status.success(), "{}", stderr(output));
    match answer(directory) {
        Termination::Fetched(fetched) => fetched,
        other => panic!("{other:?}"),
    }
}

fn refused(directory: &Path, output: &Output) -> (String, i32, String) {
    match answer(directory) {
        Termination::Failed(TaskFailure { reason, message }) => {
            (reason, output.status.code().unwrap(), message)
        }
        other => panic!("{other:?}"),
    }
}

fn models(directory: &Path) -> std::path::PathBuf {
    directory.join("mounts/var/lib/textnlp/models")
}

#[test]
fn a_repository_is_fetched_once_also_when_the_line_breaks() {
    let hub = Hub::start();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let source = json!({"huggingFace": {"repo": "me/gguf", "endpoint": hub.url}});
    let found = fetched(at, &fetch(at, &source));
    assert_eq!(hub.state.resumed.load(Ordering::Relaxed), 1, "the rest was fetched, not the whole");
    assert_eq!(found.model.architecture.as_deref(), Some("llama"));
    assert_eq!(found.model.chat_template, Some(true));
    assert_eq!((found.model.context_tokens, found.path.len()), (Some(8192), 32));
    assert!(found.model.parameters.unwrap() > 130_000_000 && found.bytes >= MODEL.len() as i64);
    let inspected = textnlp(at)
        .args(["model", "inspect", "--json"])
        .arg(models(at).join(&found.path))
        .output()
        .unwrap();
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(found.model.digest.as_deref(), inspected["digest"].as_str());
    let origin = std::fs::read(models(at).join(&found.path).join("textnlp-source.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&origin).unwrap()["commit"], COMMIT);

    // Again: nothing is asked. With the file damaged: it is fetched again.
    let lists = hub.state.lists.load(Ordering::Relaxed);
    assert_eq!(fetched(at, &fetch(at, &source)), found);
    assert_eq!(hub.state.lists.load(Ordering::Relaxed), lists);
    std::fs::write(models(at).join(&found.path).join("model.gguf"), "GGUF").unwrap();
    assert_eq!(fetched(at, &fetch(at, &source)).model, found.model);
    assert_eq!(hub.state.lists.load(Ordering::Relaxed), lists + 1);
    let left: Vec<_> =
        std::fs::read_dir(models(at)).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left.len(), 2, "the model and the lock: {left:?}");
}

#[test]
fn a_gated_repository_needs_a_token_which_only_the_hub_sees() {
    let hub = Hub::start();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let mut source = json!({"huggingFace": {"repo": "me/gated", "endpoint": hub.url}});
    let output = fetch(at, &source);
    let (reason, code, message) = refused(at, &output);
    assert_eq!((reason.as_str(), code), ("ModelUnauthorized", 1), "{message}");
    source["huggingFace"]["secretRef"] = json!({"name": "hub"});
    let output = fetch(at, &source);
    assert!(refused(at, &output).2.contains("the Secret's key token cannot be read"));
    let secret = at.join("mounts/etc/textnlp/secrets/model");
    std::fs::create_dir_all(&secret).unwrap();
    std::fs::write(secret.join("token"), "hf_secret\n").unwrap();
    let output = fetch(at, &source);
    fetched(at, &output);
    assert!(!stderr(&output).contains("hf_secret") && !stderr(&output).contains("hush"));
}

#[test]
fn what_is_no_model_is_refused_for_good_and_leaves_nothing() {
    let hub = Hub::start();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let check = |source: Value, expect: (&str, i32), words: &str| {
        let output = fetch(at, &source);
        let (reason, code, message) = refused(at, &output);
        assert_eq!((reason.as_str(), code), expect, "{message}");
        assert!(message.contains(words), "{message}");
    };
    let repo =
        |name: &str| json!({"huggingFace": {"repo": format!("me/{name}"), "endpoint": hub.url}});
    check(repo("pickles"), ("InvalidModel", 2), "Python pickles only");
    check(repo("shaky"), ("InvalidModel", 2), "has no model");
    check(repo("missing"), ("ModelNotFound", 2), "(404)");
    check(repo("garbage"), ("InvalidModel", 2), "damaged");
    check(repo("lying"), ("DigestMismatch", 2), "not 0000000000");
    let mut source = repo("gguf");
    source["huggingFace"]["revision"] = json!("v9");
    check(source, ("ModelNotFound", 2), "revision/v9");
    let file = format!("{}/files/model.gguf", hub.state.store);
    check(json!({"url": {"url": file, "sha256": "1".repeat(64)}}), ("DigestMismatch", 2), "1111");
    check(
        json!({"url": {"url": "http://169.254.169.254/m.gguf", "sha256": "1".repeat(64)}}),
        ("InvalidSource", 2),
        "link-local",
    );
    check(json!({"file": {"path": "/x.gguf"}}), ("InvalidSource", 2), "no files of your machine");
    let left: Vec<_> =
        std::fs::read_dir(models(at)).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".lock")), "{left:?}");
}

#[test]
fn a_file_at_an_address_is_fetched_and_checked() {
    let hub = Hub::start();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let file = format!("{}/files/smollm2.gguf?x=1", hub.state.store);
    let found = fetched(at, &fetch(at, &json!({"url": {"url": file, "sha256": *SHA256}})));
    assert!(models(at).join(&found.path).join("smollm2.gguf").is_file());
    // Without the allowance for tests, this machine is no place for a user's address.
    let output = command(at)
        .env_remove("TEXTNLP_ALLOW_LOOPBACK")
        .env(
            "TEXTNLP_MODEL_SOURCE",
            json!({"url": {"url": format!("{}/files/a.gguf", hub.state.store), "sha256": *SHA256}})
                .to_string(),
        )
        .output()
        .unwrap();
    let (reason, code, message) = refused(at, &output);
    assert_eq!((reason.as_str(), code), ("InvalidSource", 2));
    assert!(message.contains("an address of this machine"), "{message}");
}

#[test]
fn a_claim_is_looked_at_and_never_left() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let claim = models(at);
    std::fs::create_dir_all(claim.join("sub")).unwrap();
    std::fs::hard_link(model(), claim.join("sub/m.gguf"))
        .or_else(|_| std::fs::copy(model(), claim.join("sub/m.gguf")).map(drop))
        .unwrap();
    std::os::unix::fs::symlink("/etc", claim.join("out")).unwrap();
    std::fs::write(claim.join("cut.gguf"), &MODEL[..100_000]).unwrap();
    let look = |path: &str| command(at).args(["--offline", path]).output().unwrap();
    let output = look("sub/m.gguf");
    let found = fetched(at, &output);
    assert_eq!((found.path.as_str(), found.bytes), ("sub/m.gguf", MODEL.len() as i64));
    assert_eq!(fetched(at, &look("sub")).model, found.model);
    let formats = ["--offline", "sub", "--quantization", "Int8", "--kv-cache", "int8"];
    let other = fetched(at, &command(at).args(formats).output().unwrap()).model;
    assert_eq!(other.numerics.as_deref(), Some("cpu-1/to-int8+kv8"));
    assert_eq!(other.dtype.as_deref(), Some("to-int8+kv8"));
    assert_eq!(other.digest, found.model.digest);
    for (path, expect, words) in [
        ("nothing", ("ModelNotFound", 2), "there is nothing at `nothing` in the claim"),
        ("../x", ("InvalidSource", 2), "leads out of the claim"),
        ("out/passwd", ("InvalidSource", 2), "through a symbolic link"),
        ("cut.gguf", ("InvalidModel", 2), "cut.gguf"),
    ] {
        let output = look(path);
        let (reason, code, message) = refused(at, &output);
        assert_eq!((reason.as_str(), code), expect, "{message}");
        assert!(message.contains(words), "{message}");
    }
}
