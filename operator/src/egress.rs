//! Where pods may talk to: what NetworkPolicies say of ports, and what addresses say of theirs. Pure.

use k8s_openapi::api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// A port of a policy; the protocol is `TCP` or `UDP`.
pub(crate) fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(number.into())),
        protocol: Some(protocol.into()),
        end_port: None,
    }
}

/// The way to whoever is known by a name: DNS, and these ports of any address.
pub(crate) fn by_name(ports: impl IntoIterator<Item = u16>) -> NetworkPolicyEgressRule {
    let dns = [port("UDP", 53), port("TCP", 53)];
    let ports = dns.into_iter().chain(ports.into_iter().map(|number| port("TCP", number)));
    NetworkPolicyEgressRule { ports: Some(ports.collect()), to: None }
}

/// Whether an address is one of `https`, and its port; none if it is no address of HTTP with a host.
pub(crate) fn port_of(address: &str) -> Option<(bool, u16)> {
    let address: http::Uri = address.parse().ok()?;
    address.host()?;
    let (is_https, usual) = match address.scheme_str()? {
        "http" => (false, 80),
        "https" => (true, 443),
        _ => return None,
    };
    Some((is_https, address.port_u16().unwrap_or(usual)))
}
