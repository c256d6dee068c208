//! Tokens of an OIDC issuer.

use std::time::Duration;

use aws_lc_rs::hmac;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use textnlp_inference_server::{OidcConfig, ServeError};

use crate::certificates::{Authority, write};
use crate::issuer::{AUDIENCE, Issuer, SigningKey, now, token};
use crate::model::{Gate, Kind};
use crate::server::{Server, config, greedy, json_of, ready_with, start, with};

fn oidc(issuer: &Issuer) -> OidcConfig {
    OidcConfig::new(&issuer.url, AUDIENCE)
}

async fn served(oidc: OidcConfig) -> Server {
    let mut config = config();
    config.oidc = Some(oidc);
    ready_with(config, Kind::Successor).await
}

async fn get(server: &Server, path: &str, token: &str) -> Response {
    let request = server.client.get(format!("{}{path}", server.url)).bearer_auth(token);
    request.send().await.expect("it answers")
}

async fn status(server: &Server, token: &str) -> StatusCode {
    get(server, "/v1/models", token).await.status()
}

#[tokio::test]
async fn a_token_of_the_issuer_opens_what_its_scopes_say() {
    let (rsa, ec) = (SigningKey::rsa("r"), SigningKey::ec("e"));
    let issuer = Issuer::start(&[&rsa, &ec]).await;
    let server = served(oidc(&issuer)).await;
    for path in ["/v1/models", "/metrics", "/nothing", "/"] {
        json_of(server.get(path).await, StatusCode::UNAUTHORIZED).await;
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).await.status(), StatusCode::OK, "{path}");
    }
    for key in [&rsa, &ec] {
        let token = key.sign(&issuer.claims());
        let request = server.client.post(format!("{}/v1/completions", server.url));
        let request = request.json(&greedy("abc", 2)).bearer_auth(&token);
        json_of(request.send().await.expect("it answers"), StatusCode::OK).await;
        let body = json_of(get(&server, "/metrics", &token).await, StatusCode::FORBIDDEN).await;
        assert_eq!(body["error"]["code"], "insufficient_scope");
    }
    let scoped = |scope: Value| ec.sign(&with(issuer.claims(), json!({"scope": scope})));
    assert_eq!(status(&server, &scoped("openid".into())).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&server, &scoped("metrics".into())).await, StatusCode::FORBIDDEN);
    let metrics = get(&server, "/metrics", &scoped("openid metrics".into())).await;
    let text = metrics.text().await.expect("text");
    for line in [
        "textnlp_key_requests_total{model_name=\"fake\",key=\"oidc\",status=\"200\"} 2",
        "textnlp_key_tokens_total{model_name=\"fake\",key=\"oidc\",kind=\"prompt\"} 6",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    assert!(!text.contains("alice"), "as many names as the issuer likes must not become series");
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token_the_answer_is_the_same() {
    let (rsa, ec) = (SigningKey::rsa("r"), SigningKey::ec("e"));
    let (other_rsa, other_ec) = (SigningKey::rsa("r"), SigningKey::ec("e"));
    let issuer = Issuer::start(&[&rsa, &ec]).await;
    let server = served(oidc(&issuer)).await;
    let good = issuer.claims();
    let changed = |change: Value| ec.sign(&with(good.clone(), change));
    let without = |claim: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().expect("an object").remove(claim);
        ec.sign(&claims)
    };
    let headed = |change: Value| {
        let header = with(ec.header(), change);
        token(&header, &good, |message| ec.signature(message))
    };
    // The public key as the secret: what a server that lets the token choose would check with.
    let confused = |key: &SigningKey| {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &key.public());
        let header = with(key.header(), json!({"alg": "HS256"}));
        token(&header, &good, |message| hmac::sign(&secret, message).as_ref().to_vec())
    };
    let genuine = ec.sign(&good);
    let (message, signature) = genuine.rsplit_once('.').expect("three parts");
    let other = ec.sign(&with(good.clone(), json!({"sub": "mallory"})));
    let (other_message, _) = other.rsplit_once('.').expect("three parts");
    let second = |seconds: i64| now().saturating_add_signed(seconds);
    for (what, token) in [
        ("another issuer", changed(json!({"iss": "https://other.example"}))),
        ("several issuers", changed(json!({"iss": [issuer.url]}))),
        ("an issuer with a slash", changed(json!({"iss": format!("{}/", issuer.url)}))),
        ("another audience", changed(json!({"aud": "other"}))),
        ("other audiences", changed(json!({"aud": ["a", "b"]}))),
        ("expired", changed(json!({"exp": second(-120)}))),
        ("for ever", changed(json!({"exp": "never"}))),
        ("not yet", changed(json!({"nbf": second(120)}))),
        ("an nbf that is no time", changed(json!({"nbf": "now"}))),
        ("an empty subject", changed(json!({"sub": ""}))),
        ("no issuer", without("iss")),
        ("no audience", without("aud")),
        ("no end", without("exp")),
        ("no subject", without("sub")),
        ("no algorithm", token(&json!({"alg": "none", "kid": "e"}), &good, |_| Vec::new())),
        ("no algorithm, no id", token(&json!({"alg": "none"}), &good, |_| Vec::new())),
        ("RSA's public key as a secret", confused(&rsa)),
        ("EC's public key as a secret", confused(&ec)),
        ("an algorithm that is not allowed", headed(json!({"alg": "ES384"}))),
        ("an algorithm of another kind of key", headed(json!({"alg": "RS256"}))),
        ("a key of another kind", headed(json!({"kid": "r"}))),
        ("a key that is not known", headed(json!({"kid": "x"}))),
        ("an extension that must be understood", headed(json!({"crit": ["x"], "x": 1}))),
        ("another's RSA key", other_rsa.sign(&good)),
        ("another's EC key", other_ec.sign(&good)),
        ("another's signature", format!("{other_message}.{signature}")),
        ("no signature", format!("{message}.")),
        ("two parts", message.to_owned()),
        ("four parts", format!("{genuine}.{signature}")),
        ("no JSON", "e30.bm9uc2Vuc2U.e30".to_owned()),
        ("too long", format!("{genuine}{}", "a".repeat(17 << 10))),
    ] {
        let response = get(&server, "/v1/models", &token).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{what}");
        assert!(!response.headers().contains_key("x-textnlp-model-digest"), "{what}");
        let body = json_of(response, StatusCode::UNAUTHORIZED).await;
        let expect = "a valid API key is needed: send it as `Authorization: Bearer KEY`";
        assert_eq!(body["error"]["message"], expect, "{what}");
    }
    // What is right with them, clocks that are apart included.
    for (what, token) in [
        ("genuine", genuine),
        ("several audiences", changed(json!({"aud": ["a", AUDIENCE]}))),
        ("just expired", changed(json!({"exp": second(-30)}))),
        ("soon", changed(json!({"nbf": second(30)}))),
        (
            "no id where there is no choice",
            token(&json!({"alg": "ES256"}), &good, |m| ec.signature(m)),
        ),
        ("long", changed(json!({"groups": "g".repeat(8 << 10)}))),
    ] {
        assert_eq!(status(&server, &token).await, StatusCode::OK, "{what}");
    }
}

#[tokio::test]
async fn a_flood_of_unknown_keys_fetches_them_once() {
    let (key, stranger) = (SigningKey::ec("e"), SigningKey::ec("x"));
    let issuer = Issuer::start(&[&key]).await;
    let server = served(oidc(&issuer)).await;
    let token = stranger.sign(&issuer.claims());
    let all = (0..100).map(|_| status(&server, &token));
    for status in futures::future::join_all(all).await {
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(issuer.fetches(), 1);
    assert_eq!(status(&server, &key.sign(&issuer.claims())).await, StatusCode::OK);
}

#[tokio::test]
async fn a_new_key_counts_when_a_token_names_it_and_an_old_one_no_more() {
    let (old, new) = (SigningKey::ec("old"), SigningKey::rsa("new"));
    let issuer = Issuer::start(&[&old]).await;
    let server = served(OidcConfig { refresh_gap: Duration::ZERO, ..oidc(&issuer) }).await;
    let [by_old, by_new] = [&old, &new].map(|key| key.sign(&issuer.claims()));
    assert_eq!(status(&server, &by_old).await, StatusCode::OK);
    assert_eq!(status(&server, &by_new).await, StatusCode::UNAUTHORIZED);
    // While the issuer says nothing of use, the last keys stay.
    for nonsense in [b"<html>".to_vec(), b"{\"keys\": []}".to_vec(), vec![b' '; 10 << 20]] {
        issuer.answer(nonsense);
        assert_eq!(status(&server, &by_new).await, StatusCode::UNAUTHORIZED);
        assert_eq!(status(&server, &by_old).await, StatusCode::OK);
    }
    issuer.publish(&[&new]);
    assert_eq!(status(&server, &by_new).await, StatusCode::OK);
    assert_eq!(status(&server, &by_old).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_issuer_whose_keys_cannot_be_trusted_or_had_makes_callers_wait() {
    let key = SigningKey::ec("e");
    let check = async |what: &str, change: &dyn Fn(&Issuer)| {
        let issuer = Issuer::start(&[&key]).await;
        change(&issuer);
        let server = served(oidc(&issuer)).await;
        let response = get(&server, "/v1/models", &key.sign(&issuer.claims())).await;
        assert_eq!(response.headers()["retry-after"], "1", "{what}");
        assert!(!response.headers().contains_key("x-textnlp-model-digest"), "{what}");
        let body = json_of(response, StatusCode::SERVICE_UNAVAILABLE).await;
        assert_eq!(body["error"]["code"], "access_unavailable", "{what}");
        // Who is no caller of the issuer's need not wait.
        assert_eq!(status(&server, "secret").await, StatusCode::UNAUTHORIZED, "{what}");
    };
    check("keys of 10 MiB", &|issuer| {
        // They are right but for their size.
        let keys = json!({"keys": [key.jwk()], "padding": "x".repeat(10 << 20)});
        issuer.answer(keys.to_string().into_bytes());
    })
    .await;
    check("another issuer's document", &|issuer| {
        issuer.discover("issuer", format!("{}/", issuer.url).into());
    })
    .await;
    check("keys without TLS", &|issuer| {
        issuer.discover("jwks_uri", "http://keys.example/keys".into());
    })
    .await;
    check("keys elsewhere", &|issuer| {
        issuer.discover("jwks_uri", format!("{}/nothing", issuer.url).into());
    })
    .await;
    check("no keys", &|issuer| issuer.publish(&[])).await;
}

#[tokio::test]
async fn an_issuer_over_tls_is_known_by_its_authority() {
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let key = SigningKey::ec("e");
    let issuer = Issuer::start_with(&authority.issue(), &[&key]).await;
    let token = key.sign(&issuer.claims());
    for (pem, expect) in
        [(&authority.pem, StatusCode::OK), (&Authority::new().pem, StatusCode::SERVICE_UNAVAILABLE)]
    {
        let ca = Some(write(directory.path(), "ca.crt", pem));
        let server = served(OidcConfig { ca, ..oidc(&issuer) }).await;
        assert_eq!(status(&server, &token).await, expect);
    }
}

#[tokio::test]
async fn keys_and_tokens_open_the_same_server() {
    let directory = tempfile::tempdir().expect("a directory");
    // SHA-256 of "secret".
    let keys = "keys:\n- {name: team, sha256: 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b}\n";
    let key = SigningKey::ec("e");
    let issuer = Issuer::start(&[&key]).await;
    let mut config = config();
    config.keys = Some(write(directory.path(), "keys.yaml", keys));
    config.oidc = Some(oidc(&issuer));
    let server = ready_with(config, Kind::Successor).await;
    for (token, expect) in [
        ("secret", StatusCode::OK),
        (&key.sign(&issuer.claims()), StatusCode::OK),
        ("Secret", StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(status(&server, token).await, expect, "{token}");
    }
}

#[tokio::test]
async fn an_issuer_that_can_never_work_ends_the_server_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let nonsense = write(directory.path(), "ca.crt", "nonsense");
    let ca = |ca| OidcConfig { ca: Some(ca), ..OidcConfig::new("https://a.example", AUDIENCE) };
    for (oidc, part) in [
        (OidcConfig::new("http://a.example", AUDIENCE), "https://"),
        (OidcConfig::new("https://a.example?x=1", AUDIENCE), "query"),
        (OidcConfig::new("a.example", AUDIENCE), "a.example"),
        (ca(nonsense), "ca.crt"),
        (ca("/nothing/ca.crt".into()), "/nothing/ca.crt"),
    ] {
        let mut config = config();
        config.oidc = Some(oidc);
        let mut server = start(config, Gate::default(), |_| panic!("nothing is loaded")).await;
        match server.ended().await {
            Err(ServeError::Access(message)) => assert!(message.contains(part), "{message}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_does_not_spoil_the_fetch_for_others() {
    let key = SigningKey::ec("e");
    let issuer = Issuer::start(&[&key]).await;
    let server = served(oidc(&issuer)).await;
    let token = key.sign(&issuer.claims());
    for _ in 0..20 {
        let wait = Duration::from_micros(300);
        let _ = tokio::time::timeout(wait, status(&server, &token)).await;
    }
    assert_eq!(status(&server, &token).await, StatusCode::OK);
    assert_eq!(issuer.fetches(), 1);
}
