//! Which pages of other sites may read answers (CORS, and the same for sockets): those that were named, and no others.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use textnlp_crds::task::MODEL_DIGEST_HEADER;
use tower_http::cors::{AllowHeaders, CorsLayer};

/// How long a browser remembers what it may do.
const MAX_AGE: Duration = Duration::from_secs(600);

/// The layer for pages of these origins. Keys are headers of their own, so that no page acts for a user who has not given it one.
pub(super) fn layer(origins: &[HeaderValue]) -> CorsLayer {
    let digest = HeaderName::from_static(MODEL_DIGEST_HEADER);
    CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::GET, Method::POST])
        // Clients send headers of their own.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([digest, header::RETRY_AFTER, HeaderName::from_static("x-should-retry")])
        .max_age(MAX_AGE)
}

/// Whether a request to a server of this machine alone was meant for it: a name of somebody else's that points here would make his
/// pages this server's own.
pub(super) fn is_meant(headers: &HeaderMap, origins: &[HeaderValue]) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return true;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let is_named = origins.iter().filter_map(|origin| origin.to_str().ok());
    let is_named =
        is_named.filter_map(|origin| origin.split_once("://")).any(|(_, site)| site == host);
    is_address || name == "localhost" || name.ends_with(".localhost") || is_named
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_somebody_else_has_pointed_here_is_not_ours() {
        let origins = [HeaderValue::from_static("http://models.lan:8000")];
        let check = |host: &'static str| {
            is_meant(
                &HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]),
                &origins,
            )
        };
        for host in [
            "localhost",
            "localhost:8000",
            "127.0.0.1:8000",
            "[::1]:8000",
            "a.localhost:1",
            "models.lan:8000",
        ] {
            assert!(check(host), "{host}");
        }
        for host in [
            "evil.example:8000",
            "localhost.evil.example",
            "models.lan",
            "",
            "1.2.3.4.evil.example",
        ] {
            assert!(!check(host), "{host}");
        }
    }
}
