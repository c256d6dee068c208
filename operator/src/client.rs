//! The Kubernetes client, and its gate: every write is counted, and refused once the lease could be another's. I/O.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::{Either, Ready, ready};
use http::{Method, Request};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::{BoxError, Layer, Service};

use crate::metrics::Metrics;

/// How long the replica may start writes: until its lease, less the time of a call, runs out. Without an election, forever.
#[derive(Clone, Debug, Default)]
pub struct Validity(Arc<Mutex<Term>>);

#[derive(Clone, Copy, Debug, Default)]
enum Term {
    /// Not the leader.
    #[default]
    None,
    /// The leader until then, by this machine's monotonic clock.
    Until(Instant),
    /// There is no election.
    Forever,
}

impl Validity {
    /// For a single replica.
    pub fn forever() -> Self {
        Self(Arc::new(Mutex::new(Term::Forever)))
    }

    /// The lease was renewed.
    pub fn extend(&self, until: Instant) {
        *self.lock() = Term::Until(until);
    }

    /// The lease is given up, or lost.
    pub fn end(&self) {
        *self.lock() = Term::None;
    }

    /// Whether a write may start now.
    pub fn holds(&self, now: Instant) -> bool {
        match *self.lock() {
            Term::None => false,
            Term::Until(until) => now < until,
            Term::Forever => true,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Term> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write was refused on this side.
#[derive(Debug, thiserror::Error)]
#[error("not written: this replica does not hold the lease any more")]
pub struct NotLeader;

/// Makes the client. kube's own retries are off (they would repeat writes up to 15 times, for as long as a server asks
/// for); reads that stall end with the time limits of `apply.rs` and of the watches.
pub fn connect(
    mut config: Config,
    validity: Validity,
    metrics: Arc<Metrics>,
) -> Result<Client, kube::Error> {
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.write_timeout = Some(Duration::from_secs(10));
    let builder = ClientBuilder::try_from(config)?;
    Ok(builder.with_layer(&Gate { validity, metrics }).build())
}

/// Lets writes through while the lease holds. Writes of the Lease itself always pass.
#[derive(Clone)]
pub struct Gate {
    /// Whether writes may start.
    pub validity: Validity,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { inner, gate: self.clone() }
    }
}

/// A client behind a [`Gate`].
#[derive(Clone)]
pub struct Gated<S> {
    inner: S,
    gate: Gate,
}

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>>,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<
        Ready<Result<S::Response, BoxError>>,
        futures::future::MapErr<S::Future, fn(S::Error) -> BoxError>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        use futures::TryFutureExt;
        if let Some(verb) = write_verb(request.method())
            && !request.uri().path().contains("/coordination.k8s.io/")
        {
            if !self.gate.validity.holds(Instant::now()) {
                self.gate.metrics.writes_refused.inc();
                return Either::Left(ready(Err(NotLeader.into())));
            }
            self.gate.metrics.write(verb);
        }
        Either::Right(self.inner.call(request).map_err(Into::into as fn(S::Error) -> BoxError))
    }
}

fn write_verb(method: &Method) -> Option<&'static str> {
    match method.as_str() {
        "POST" => Some("create"),
        "PUT" => Some("update"),
        "PATCH" => Some("patch"),
        "DELETE" => Some("delete"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;
    use tower::{ServiceExt, service_fn};

    async fn answer(validity: &Validity, method: Method, path: &str) -> Result<u16, String> {
        let gate = Gate { validity: validity.clone(), metrics: Arc::default() };
        let inner = service_fn(|_: Request<Body>| async { Ok::<_, BoxError>(Response::new(())) });
        let request =
            Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
        let response = gate.layer(inner).oneshot(request).await;
        response.map(|response| response.status().as_u16()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn writes_pass_only_while_the_lease_holds() {
        let jobs = "/apis/batch/v1/namespaces/shop/jobs";
        let lease = "/apis/coordination.k8s.io/v1/namespaces/textnlp/leases/x";
        let validity = Validity::default();
        assert!(
            answer(&validity, Method::POST, jobs).await.is_err_and(|error| error.contains("lease"))
        );
        assert_eq!(answer(&validity, Method::GET, jobs).await, Ok(200));
        assert_eq!(answer(&validity, Method::PUT, lease).await, Ok(200));

        validity.extend(Instant::now() + Duration::from_secs(3600));
        assert_eq!(answer(&validity, Method::PATCH, jobs).await, Ok(200));
        validity.extend(Instant::now());
        assert!(answer(&validity, Method::DELETE, jobs).await.is_err());
        assert_eq!(answer(&Validity::forever(), Method::DELETE, jobs).await, Ok(200));
    }
}
