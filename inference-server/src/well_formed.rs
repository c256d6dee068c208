//! What HTTP asks of every request and hyper does not check.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Version, header};

use crate::error::ApiError;

/// Refuses a request without one `Host`: what stands before this server may have read another one than it does.
pub(crate) async fn well_formed(request: Request, next: Next) -> Response {
    match check(request.version(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn check(version: Version, headers: &HeaderMap) -> Result<(), ApiError> {
    let hosts = headers.get_all(header::HOST).iter().count();
    // HTTP/1.0 knows none.
    if hosts == 1 || (hosts == 0 && version < Version::HTTP_11) {
        return Ok(());
    }
    Err(ApiError::invalid("host", format!("the request has {hosts} Host headers; send one")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_request_has_one_host() {
        let check = |hosts: &[&'static str], version| {
            let value = |&host: &&'static str| (header::HOST, HeaderValue::from_static(host));
            let mut headers = HeaderMap::new();
            for (name, value) in hosts.iter().map(value) {
                headers.append(name, value);
            }
            super::check(version, &headers).is_ok()
        };
        assert!(check(&["a"], Version::HTTP_11) && check(&["a"], Version::HTTP_10));
        assert!(check(&[], Version::HTTP_10) && !check(&[], Version::HTTP_11));
        assert!(!check(&["a", "b"], Version::HTTP_11) && !check(&["a", "a"], Version::HTTP_10));
    }
}
