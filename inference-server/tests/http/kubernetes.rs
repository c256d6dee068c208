//! Tokens of a cluster. Its API server is a small one of the test's own; the real one comes in the end-to-end tests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use reqwest::StatusCode;
use serde_json::{Value, json};
use textnlp_inference_server::{KubernetesConfig, OidcConfig};
use tokio::net::TcpListener;

use crate::certificates::write;
use crate::issuer::{AUDIENCE, Issuer, SigningKey, now, token};
use crate::model::Kind;
use crate::server::{Server, config, greedy, json_of, ready_with, with};

#[derive(Clone, Default)]
struct Api(Arc<Mutex<Rules>>);

#[derive(Default)]
struct Rules {
    /// Users by token, and the audience of each.
    users: HashMap<String, (Value, &'static str)>,
    /// Who may do what: username and verb.
    allowed: Vec<(&'static str, &'static str)>,
    knows_no_audiences: bool,
    /// What is answered to everything.
    fault: Option<StatusCode>,
    pause: Duration,
    /// Reviews that are being answered, and the most that ever were.
    running: usize,
    most: usize,
    token_reviews: usize,
    /// What was asked of the rules.
    asked: Vec<Value>,
}

impl Api {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.0.lock().expect("no panic")
    }

    fn with_user(self, token: &str, name: &str) -> Self {
        let user = json!({"username": name});
        self.rules().users.insert(token.to_owned(), (user, "textnlp.dev"));
        self
    }

    /// A server that asks it.
    async fn served(&self) -> Server {
        self.served_with(|_| {}).await
    }

    async fn served_with(
        &self,
        change: impl FnOnce(&mut textnlp_inference_server::ServerConfig),
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let router = Router::new()
            .route("/apis/authentication.k8s.io/v1/tokenreviews", post(review_token))
            .route("/apis/authorization.k8s.io/v1/subjectaccessreviews", post(review_access))
            .with_state(self.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        let mut config = config();
        config.kubernetes = Some(KubernetesConfig {
            namespace: "shop".into(),
            name: "smollm2".into(),
            audience: "textnlp.dev".into(),
            api_server: Some(url),
        });
        change(&mut config);
        ready_with(config, Kind::Successor).await
    }

    async fn answer(&self, review: Value, status: impl FnOnce(&mut Rules) -> Value) -> Response {
        let pause = {
            let mut rules = self.rules();
            rules.running += 1;
            rules.most = rules.most.max(rules.running);
            rules.pause
        };
        tokio::time::sleep(pause).await;
        let mut rules = self.rules();
        rules.running -= 1;
        if let Some(fault) = rules.fault {
            let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": fault.as_u16(), "message": "no", "reason": "no"});
            return (fault, Json(body)).into_response();
        }
        let status = status(&mut rules);
        (StatusCode::CREATED, Json(with(review, json!({"status": status})))).into_response()
    }
}

async fn review_token(State(api): State<Api>, Json(review): Json<Value>) -> Response {
    let spec = review["spec"].clone();
    let status = |rules: &mut Rules| {
        rules.token_reviews += 1;
        let wanted = &spec["audiences"];
        match rules.users.get(spec["token"].as_str().expect("a token")) {
            Some((user, _)) if rules.knows_no_audiences => {
                json!({"authenticated": true, "user": user})
            }
            Some((user, audience)) if *wanted == json!([audience]) => {
                json!({"authenticated": true, "user": user, "audiences": [audience]})
            }
            _ => json!({"authenticated": false, "error": "not known"}),
        }
    };
    api.answer(review.clone(), status).await
}

async fn review_access(State(api): State<Api>, Json(review): Json<Value>) -> Response {
    let spec = review["spec"].clone();
    let status = |rules: &mut Rules| {
        rules.asked.push(spec.clone());
        let asked = (spec["user"].as_str(), spec["resourceAttributes"]["verb"].as_str());
        let allowed = rules.allowed.iter().any(|&(user, verb)| asked == (Some(user), Some(verb)));
        json!({ "allowed": allowed })
    };
    api.answer(review.clone(), status).await
}

async fn get(server: &Server, path: &str, token: &str) -> reqwest::Response {
    let request = server.client.get(format!("{}{path}", server.url)).bearer_auth(token);
    request.send().await.expect("it answers")
}

async fn status(server: &Server, token: &str) -> u16 {
    get(server, "/v1/models", token).await.status().as_u16()
}

/// A cluster's token as far as this server reads it.
fn jwt(expires: u64) -> String {
    let claims = json!({"iss": "https://kubernetes.default.svc.cluster.local", "exp": expires});
    token(&json!({"alg": "RS256", "kid": "k"}), &claims, |_| b"signature".to_vec())
}

#[tokio::test]
async fn service_accounts_of_the_namespace_may_use_its_models() {
    let worker = jwt(now() + 3600);
    let api = Api::default()
        .with_user(&worker, "system:serviceaccount:shop:worker")
        .with_user("shopping", "system:serviceaccount:shopping:worker")
        .with_user("alice", "shop:alice");
    let server = api.served().await;
    for path in ["/v1/models", "/metrics", "/nothing", "/"] {
        json_of(server.get(path).await, StatusCode::UNAUTHORIZED).await;
    }
    let request = server.client.post(format!("{}/v1/completions", server.url));
    let request = request.json(&greedy("abc", 2)).bearer_auth(&worker);
    json_of(request.send().await.expect("it answers"), StatusCode::OK).await;
    assert!(api.rules().asked.is_empty(), "no rule is needed");
    // Only to use them, and only those of the very namespace.
    let body = json_of(get(&server, "/metrics", &worker).await, StatusCode::FORBIDDEN).await;
    assert_eq!(body["error"]["code"], "insufficient_scope");
    assert_eq!(status(&server, "shopping").await, 403);
    assert_eq!(status(&server, "alice").await, 403);
}

#[tokio::test]
async fn others_are_let_in_as_the_clusters_rules_say() {
    let api = Api::default().with_user("bob", "bob").with_user("prometheus", "prometheus");
    let user = json!({
        "username": "alice", "uid": "1", "groups": ["devs"], "extra": {"example.com/team": ["a"]},
    });
    api.rules().users.insert("alice".into(), (user, "textnlp.dev"));
    api.rules().users.insert("elsewhere".into(), (json!({"username": "alice"}), "other"));
    api.rules().users.insert("nameless".into(), (json!({}), "textnlp.dev"));
    api.rules().allowed = vec![("alice", "invoke"), ("prometheus", "get")];
    let server = api.served().await;
    let request = server.client.post(format!("{}/v1/completions", server.url));
    let request = request.json(&greedy("abc", 2)).bearer_auth("alice");
    json_of(request.send().await.expect("it answers"), StatusCode::OK).await;
    let asked = api.rules().asked.pop().expect("the rules were asked");
    let expect = json!({
        "user": "alice", "uid": "1", "groups": ["devs"], "extra": {"example.com/team": ["a"]},
        "resourceAttributes": {
            "group": "textnlp.dev", "resource": "modeldeployments", "namespace": "shop",
            "name": "smollm2", "verb": "invoke",
        },
    });
    assert_eq!(asked, expect);
    for (token, models, metrics) in [
        ("alice", 200, 403),
        ("bob", 403, 403),
        ("prometheus", 403, 200),
        ("elsewhere", 401, 401),
        ("nameless", 401, 401),
        ("nobody", 401, 401),
    ] {
        assert_eq!(status(&server, token).await, models, "{token}");
        assert_eq!(get(&server, "/metrics", token).await.status().as_u16(), metrics, "{token}");
    }
    let text = get(&server, "/metrics", "prometheus").await.text().await.expect("text");
    let line = "textnlp_key_tokens_total{model_name=\"fake\",key=\"kubernetes\",kind=\"prompt\"} 3";
    assert!(text.contains(line) && !text.contains("alice"), "{text}");
}

#[tokio::test]
async fn an_api_server_that_knows_no_audiences_vouches_for_nobody() {
    let api = Api::default().with_user("worker", "system:serviceaccount:shop:worker");
    api.rules().knows_no_audiences = true;
    assert_eq!(status(&api.served().await, "worker").await, 401);
}

#[tokio::test]
async fn verdicts_are_remembered_but_not_beyond_a_tokens_end() {
    let (lasting, ended) = (jwt(now() + 3600), jwt(now() - 1));
    let api = Api::default()
        .with_user(&lasting, "system:serviceaccount:shop:worker")
        .with_user(&ended, "system:serviceaccount:shop:worker");
    let server = api.served().await;
    for (token, expect, reviews) in
        [(&*lasting, 200, 1), ("nobody", 401, 1), (&*ended, 200, 5), ("-", 401, 1)]
    {
        let before = api.rules().token_reviews;
        for _ in 0..5 {
            assert_eq!(status(&server, token).await, expect, "{token}");
        }
        assert_eq!(api.rules().token_reviews - before, reviews, "{token}");
    }
    // What is not even a token is not shown to the cluster.
    let before = api.rules().token_reviews;
    for token in ["a b", &"x".repeat(17 << 10)] {
        assert_eq!(status(&server, token).await, 401);
    }
    let request = server.client.get(format!("{}/v1/models", server.url)).header("x-api-key", "k");
    assert_eq!(request.send().await.expect("it answers").status(), StatusCode::UNAUTHORIZED);
    assert_eq!(api.rules().token_reviews, before);
}

#[tokio::test]
async fn without_an_answer_of_the_api_server_callers_wait() {
    let api = Api::default().with_user("worker", "system:serviceaccount:shop:worker");
    let server = api.served().await;
    let refused = async || {
        let response = get(&server, "/v1/models", "worker").await;
        assert_eq!(response.headers()["retry-after"], "1");
        assert!(!response.headers().contains_key("x-textnlp-model-digest"));
        let body = json_of(response, StatusCode::SERVICE_UNAVAILABLE).await;
        assert_eq!(body["error"]["code"], "access_unavailable");
    };
    for fault in [500, 503, 429, 401, 403] {
        api.rules().fault = Some(StatusCode::from_u16(fault).expect("a status"));
        refused().await;
    }
    api.rules().fault = None;
    api.rules().pause = Duration::from_secs(60);
    refused().await;
    api.rules().pause = Duration::ZERO;
    assert_eq!(status(&server, "worker").await, 200);
    // Whom it let in before need not wait.
    api.rules().fault = Some(StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(status(&server, "worker").await, 200);
}

#[tokio::test]
async fn however_many_strangers_come_the_api_server_is_asked_a_few_at_once() {
    let api = Api::default();
    api.rules().pause = Duration::from_millis(100);
    let server = api.served().await;
    let tokens: Vec<String> = (0..100).map(|number| format!("stranger-{number}")).collect();
    let all = tokens.iter().map(|token| status(&server, token));
    for status in futures::future::join_all(all).await {
        assert_eq!(status, 401);
    }
    let most = api.rules().most;
    assert!((2..=16).contains(&most), "{most}");
}

#[tokio::test]
async fn each_token_goes_to_the_one_that_issued_it() {
    let directory = tempfile::tempdir().expect("a directory");
    // SHA-256 of "secret".
    let keys = "keys:\n- {name: team, sha256: 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b}\n";
    let worker = jwt(now() + 3600);
    let api = Api::default().with_user(&worker, "system:serviceaccount:shop:worker");
    let key = SigningKey::ec("e");
    let issuer = Issuer::start(&[&key]).await;
    let server = api
        .served_with(|config| {
            config.keys = Some(write(directory.path(), "keys.yaml", keys));
            config.oidc = Some(OidcConfig::new(&issuer.url, AUDIENCE));
        })
        .await;
    assert_eq!(status(&server, "secret").await, 200);
    assert_eq!(status(&server, &key.sign(&issuer.claims())).await, 200);
    let forged = SigningKey::ec("e").sign(&issuer.claims());
    assert_eq!(status(&server, &forged).await, 401);
    assert_eq!(api.rules().token_reviews, 0, "the cluster sees no token of the issuer");
    assert_eq!(status(&server, &worker).await, 200);
    assert_eq!(status(&server, "Secret").await, 401);
    assert_eq!(api.rules().token_reviews, 2);
}
