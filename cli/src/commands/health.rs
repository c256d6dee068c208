//! `textnlp health`: whether a server is ready, for the health checks of containers without a shell.

use std::time::Duration;

use crate::args::HealthArgs;
use crate::failure::Failure;

pub(crate) fn run(args: &HealthArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    runtime.block_on(ask(&args.url, Duration::from_secs(args.timeout.into())))
}

async fn ask(url: &str, patience: Duration) -> Result<(), Failure> {
    let not_ready = |what: &dyn std::fmt::Display| Failure::failed(format!("{url}: {what}"));
    // The server is asked itself, and no proxy of the environment.
    let client = reqwest::Client::builder().no_proxy().timeout(patience).build();
    let answer = client.map_err(Failure::failed)?.get(url).send().await;
    match answer.map_err(|error| not_ready(&error.without_url()))?.status() {
        status if status.is_success() => Ok(()),
        status => Err(not_ready(&status)),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::routing::get;

    use super::*;

    /// Asks a server for a path.
    async fn check(path: &str) -> Result<(), Failure> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let slow = || tokio::time::sleep(Duration::from_secs(60));
        let app = axum::Router::new()
            .route("/ready", get(|| async { "ready" }))
            .route("/loading", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
            .route("/slow", get(slow));
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        let answer = ask(&format!("http://{address}{path}"), Duration::from_millis(500)).await;
        server.abort();
        answer
    }

    #[tokio::test]
    async fn a_server_is_healthy_when_it_says_so_in_time() {
        assert!(check("/ready").await.is_ok());
        for path in ["/loading", "/slow", "/not-there"] {
            assert_eq!(check(path).await.expect_err(path).code, 1);
        }
        let nobody = ask("http://127.0.0.1:9/readyz", Duration::from_millis(500)).await;
        assert_eq!(nobody.expect_err("nobody listens").code, 1);
    }
}
