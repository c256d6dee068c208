//! HTTPS, and certificates that change.

use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use reqwest::tls::{TlsInfo, Version};
use reqwest::{ClientBuilder, StatusCode};
use serde_json::json;
use textnlp_inference_server::{ServeError, TlsConfig};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs::default_provider};

use crate::certificates::{Authority, Pair, write};
use crate::model::{Gate, Kind};
use crate::server::{Server, config, greedy, json_of, ready_with, start};

async fn served(tls: TlsConfig) -> Server {
    let mut config = config();
    config.tls = Some(tls);
    ready_with(config, Kind::Successor).await
}

/// A client that trusts the authority alone, with a connection for each request.
fn client(authority: &Authority) -> ClientBuilder {
    let builder = reqwest::Client::builder().tls_certs_only([authority.root()]);
    builder.tls_info(true).pool_max_idle_per_host(0).timeout(Duration::from_secs(30))
}

/// The certificate that a new connection sees.
async fn seen(server: &Server, authority: &Authority) -> Vec<u8> {
    let client = client(authority).build().expect("a client");
    let request = client.get(format!("{}/healthz", server.url));
    let response = request.send().await.expect("it answers");
    let info = response.extensions().get::<TlsInfo>().expect("TLS");
    info.peer_certificate().expect("a certificate").to_vec()
}

async fn until_seen(server: &Server, authority: &Authority, pair: &Pair) {
    for _ in 0..600 {
        if seen(server, authority).await == pair.der {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the change never counted");
}

#[tokio::test]
async fn https_is_answered_in_both_versions_to_those_who_trust_the_authority() {
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let server = served(authority.issue().write(directory.path())).await;
    for version in [Version::TLS_1_2, Version::TLS_1_3] {
        let client = client(&authority).tls_version_min(version).tls_version_max(version);
        let request =
            client.build().expect("a client").post(format!("{}/v1/completions", server.url));
        let response = request.json(&greedy("a", 2)).send().await.expect("it answers");
        let body = json_of(response, StatusCode::OK).await;
        assert_eq!(body["choices"][0]["text"], json!("bc"));
    }
    let stranger = client(&Authority::new()).build().expect("a client");
    assert!(stranger.get(format!("{}/healthz", server.url)).send().await.is_err());
    let plain = server.client.get(format!("http://{}/healthz", server.address)).send().await;
    assert!(plain.is_err(), "{plain:?}");
}

#[tokio::test]
async fn of_the_protocols_that_a_client_offers_http_1_is_taken() {
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let server = served(authority.issue().write(directory.path())).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("PEM")).expect("DER");
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = tokio::net::TcpStream::connect(server.address).await.expect("it accepts");
    let name = ServerName::from(server.address.ip());
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn a_certificate_that_changes_counts_for_new_connections_and_a_pair_that_does_not_fit_never()
{
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let [first, second, third] = [(); 3].map(|()| authority.issue());
    let server = served(first.write(directory.path())).await;
    assert_eq!(seen(&server, &authority).await, first.der);
    second.write(directory.path());
    until_seen(&server, &authority, &second).await;
    // Half of a change, what is no certificate, and none at all.
    write(directory.path(), "tls.crt", &third.certificate);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(seen(&server, &authority).await, second.der);
    write(directory.path(), "tls.key", "nonsense");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(seen(&server, &authority).await, second.der);
    std::fs::remove_file(directory.path().join("tls.key")).expect("it is there");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(seen(&server, &authority).await, second.der);
    third.write(directory.path());
    until_seen(&server, &authority, &third).await;
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_cut_off() {
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let mut impatient = config();
    impatient.tls = Some(authority.issue().write(directory.path()));
    impatient.header_timeout = Duration::from_millis(500);
    let server = ready_with(impatient, Kind::Successor).await;
    let address = server.address;
    let silent = move || {
        let mut stream = TcpStream::connect(address).expect("it accepts");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        stream.read(&mut [0; 16])
    };
    let read = tokio::task::spawn_blocking(silent).await.expect("no panic");
    assert_eq!(read.expect("it is closed"), 0);
}

#[tokio::test]
async fn files_that_are_no_pair_end_the_server_at_once() {
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let (one, other) = (authority.issue(), authority.issue());
    let check = async |certificate: Option<&str>, key: Option<&str>, file: &str, part: &str| {
        let path = |name: &str, text: Option<&str>| match text {
            Some(text) => write(directory.path(), name, text),
            None => directory.path().join("nothing"),
        };
        let mut config = config();
        config.tls = Some(TlsConfig {
            certificate: path("tls.crt", certificate),
            key: path("tls.key", key),
        });
        let mut server = start(config, Gate::default(), |_| panic!("nothing is loaded")).await;
        match server.ended().await {
            Err(error @ ServeError::Certificate { .. }) => {
                let message = error.to_string();
                assert!(message.contains(file) && message.contains(part), "{message}");
            }
            other => panic!("{other:?}"),
        }
    };
    let (certificate, key) = (Some(&*one.certificate), Some(&*one.key));
    check(None, key, "nothing", "No such file").await;
    check(certificate, None, "nothing", "No such file").await;
    check(Some("nonsense"), key, "tls.crt", "expected PEM").await;
    check(certificate, Some("nonsense"), "tls.key", "expected PEM").await;
    check(certificate, Some(&other.key), "tls.crt", "another's").await;
}
