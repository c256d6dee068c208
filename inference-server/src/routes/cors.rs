//! Which pages of other sites may read answers (CORS, and the same for sockets): those that were named, and no others.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use textnlp_crds::task::MODEL_DIGEST_HEADER;
use tower_http::cors::CorsLayer;

/// How long a browser remembers what it may do.
const MAX_AGE: Duration = Duration::from_secs(600);

/// The layer for pages of these origins. Keys are headers of their own, so that no page acts for a user who has not given it one.
pub(super) fn layer(origins: &[HeaderValue]) -> CorsLayer {
    let digest = HeaderName::from_static(MODEL_DIGEST_HEADER);
    CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("x-api-key"),
            digest.clone(),
        ])
        .expose_headers([digest, header::RETRY_AFTER])
        .max_age(MAX_AGE)
}

/// Whether a socket may be opened: a browser asks no leave for sockets as it does for requests, and a page of any site would reach a
/// server of this machine.
pub(super) fn may_open(headers: &HeaderMap, origins: &[HeaderValue]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let site = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let own = site.is_some_and(|(_, site)| !host.is_empty() && site.as_bytes() == host);
    own || origins.contains(origin)
}
