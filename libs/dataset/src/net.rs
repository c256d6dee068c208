//! Where requests to addresses that a user named may go: never to this machine, its link, or a cloud's metadata service.
//!
//! Pods run with identities that such services hand out; a manifest, or a server that answers with a redirect, must not
//! make a pod ask them. [`Client`] judges each address where it is used: written out in a URL, resolved from a name, or
//! named by a redirect. Private addresses are allowed: servers inside a cluster have them.

use std::error::Error as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Method, RequestBuilder, Url};

/// Environment variable that lets named addresses be this machine's own: for tests and laptops.
pub const ALLOW_LOOPBACK: &str = "TEXTNLP_ALLOW_LOOPBACK";

/// Redirects that are followed at most.
const MAX_REDIRECTS: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server of files may be silent.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The name under which Google's metadata service is found. Only the store's own client asks it, for the pod's identity.
const GOOGLE_METADATA: &str = "metadata.google.internal";

/// Which addresses are allowed beside those of other machines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Access {
    /// Whether this machine's own are.
    pub loopback: bool,
}

impl Access {
    /// What `TEXTNLP_ALLOW_LOOPBACK=1` says.
    pub fn from_environment() -> Self {
        Self { loopback: std::env::var_os(ALLOW_LOOPBACK).is_some_and(|value| value == "1") }
    }
}

/// An address that is not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text is no address.
    #[error("`{url}` is no address: {why}; write it as https://host/path")]
    Invalid {
        /// The text, cut where it is long.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// It leads where no user may send a request.
    #[error(
        "`{host}` is {what}, which is refused: an address in a manifest must be another machine's"
    )]
    Refused {
        /// Host as it was written.
        host: String,
        /// What its address is.
        what: &'static str,
    },
    /// The name is unknown.
    #[error("`{host}` cannot be resolved: {why}")]
    Unresolved {
        /// Host as it was written.
        host: String,
        /// What the resolver says.
        why: String,
    },
    /// A server sends on to somewhere else too often.
    #[error("`{host}` redirects more than {MAX_REDIRECTS} times")]
    Redirects {
        /// Host of the first request.
        host: String,
    },
    /// There can be no client at all, such as for want of certificates.
    #[error("no HTTP client can be made: {0}")]
    Client(String),
}

impl AddressError {
    /// Whether the address itself is the reason, so that trying again cannot help.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Invalid { .. } | Self::Refused { .. })
    }

    /// The refusal inside an error of a request, if that is why it failed.
    pub fn of<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

/// What an address is that no user may name; none for those that are allowed.
fn refused(ip: IpAddr, access: Access) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => refused_v4(ip, access),
        IpAddr::V6(ip) => match embedded_v4(ip) {
            Some(ip) => refused_v4(ip, access),
            None => refused_v6(ip, access),
        },
    }
}

fn refused_v4(ip: Ipv4Addr, access: Access) -> Option<&'static str> {
    /// Alibaba Cloud, Azure and Oracle, outside the link-local range that the others use.
    const METADATA: [Ipv4Addr; 3] = [
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(192, 0, 0, 192),
    ];
    if ip.is_loopback() {
        (!access.loopback).then_some("an address of this machine")
    } else if ip.is_link_local() {
        Some("a link-local address, where metadata services are")
    } else if METADATA.contains(&ip) {
        Some("the address of a cloud's metadata service")
    } else if ip.octets()[0] == 0 || ip.is_multicast() || ip.is_broadcast() {
        Some("no address of a server")
    } else {
        None
    }
}

fn refused_v6(ip: Ipv6Addr, access: Access) -> Option<&'static str> {
    if ip.is_loopback() {
        (!access.loopback).then_some("an address of this machine")
    } else if ip.is_unicast_link_local() {
        Some("a link-local address, where metadata services are")
    } else if ip.segments()[..2] == [0xfd00, 0x0ec2] {
        Some("the address of a cloud's metadata service")
    } else if ip.is_unspecified() || ip.is_multicast() {
        Some("no address of a server")
    } else {
        None
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, or through NAT64.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = ip.segments();
    let bits = (u32::from(high) << 16) | u32::from(low);
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => Some(Ipv4Addr::from_bits(bits)),
        [0, 0, 0, 0, 0, 0] if bits > 1 => Some(Ipv4Addr::from_bits(bits)),
        _ => None,
    }
}

/// Reads an address that a user named and judges what can be judged without resolving a name.
pub fn check(url: &str, access: Access) -> Result<Url, AddressError> {
    let invalid = |why: &str| AddressError::Invalid {
        url: url.chars().take(200).collect(),
        why: why.to_owned(),
    };
    let parsed = Url::parse(url).map_err(|error| invalid(&error.to_string()))?;
    if !["http", "https"].contains(&parsed.scheme()) {
        return Err(invalid("its scheme is neither http nor https"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(AddressError::Invalid {
            url: parsed.host_str().unwrap_or_default().to_owned(),
            why: "it holds a user name or a password; credentials belong in a Secret".to_owned(),
        });
    }
    check_host(&parsed, access)?;
    Ok(parsed)
}

fn check_host(url: &Url, access: Access) -> Result<(), AddressError> {
    let host = url.host_str().unwrap_or_default();
    let what = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => refused(ip, access),
        Err(_) if host.trim_end_matches('.').eq_ignore_ascii_case(GOOGLE_METADATA) => {
            Some("the name of a cloud's metadata service")
        }
        Err(_) => None,
    };
    match what {
        Some(what) => Err(AddressError::Refused { host: host.to_owned(), what }),
        None => Ok(()),
    }
}

/// Resolves names, and gives out only addresses that are allowed. One that is not spoils the name: a name that leads to
/// both is no mistake.
#[derive(Debug, Clone, Copy)]
struct GuardedResolver(Access);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let access = self.0;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let lookup = tokio::net::lookup_host((host.as_str(), 0)).await;
            let found: Vec<SocketAddr> = match lookup.map(Iterator::collect) {
                Ok(found) => found,
                Err(error) => {
                    return Err(AddressError::Unresolved { host, why: error.to_string() }.into());
                }
            };
            let own = host.eq_ignore_ascii_case(GOOGLE_METADATA);
            match found.iter().find_map(|address| refused(address.ip(), access)) {
                Some(what) if !own => Err(AddressError::Refused { host, what }.into()),
                _ => Ok(Box::new(found.into_iter()) as Addrs),
            }
        })
    }
}

fn redirect(attempt: Attempt<'_>, access: Access) -> reqwest::redirect::Action {
    let first = attempt.previous().first().and_then(Url::host_str).unwrap_or_default().to_owned();
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error(AddressError::Redirects { host: first });
    }
    match check(attempt.url().as_str(), access) {
        Ok(_) => attempt.follow(),
        Err(error) => attempt.error(error),
    }
}

/// An HTTP client for addresses that users name.
#[derive(Debug, Clone)]
pub struct Client {
    inner: reqwest::Client,
    access: Access,
}

impl Client {
    /// A client for files: it follows redirects to allowed addresses.
    pub fn new(access: Access) -> Result<Self, AddressError> {
        let redirects = Policy::custom(move |attempt| redirect(attempt, access));
        Self::build(access, |builder| builder.redirect(redirects).read_timeout(READ_TIMEOUT))
    }

    /// A client with settings of the caller's: timeouts, no redirects.
    pub fn build(
        access: Access,
        settings: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<Self, AddressError> {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("textnlp/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .dns_resolver(GuardedResolver(access));
        let inner = settings(builder)
            .build()
            .map_err(|error| AddressError::Client(error.source().unwrap_or(&error).to_string()))?;
        Ok(Self { inner, access })
    }

    /// Begins a request.
    pub fn request(&self, method: Method, url: &str) -> Result<RequestBuilder, AddressError> {
        Ok(self.inner.request(method, check(url, self.access)?))
    }

    /// The client itself, for a caller that has checked its addresses.
    pub(crate) fn into_inner(self) -> reqwest::Client {
        self.inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_its_link_and_metadata_services_are_refused_however_they_are_written()
     {
        let check = |url: &str, expect: Option<&str>| {
            let found = super::check(url, Access::default());
            match (expect, &found) {
                (None, Ok(_)) => {}
                (Some(expect), Err(error)) => {
                    assert!(error.to_string().contains(expect), "{url}: {error}");
                    assert!(error.is_refusal());
                }
                _ => panic!("{url}: {found:?}"),
            }
        };
        check("https://models.example.com/v1", None);
        check("http://10.1.2.3:8000", None);
        check("http://192.168.0.4", None);
        check("http://[fd12:3456::1]/", None);
        let machine = Some("an address of this machine");
        for url in [
            "http://127.0.0.1:9000",
            "http://127.1",
            "http://0x7f000001",
            "http://2130706433",
            "http://[::1]",
            "http://[::ffff:127.0.0.1]",
            "http://[64:ff9b::7f00:1]",
        ] {
            check(url, machine);
        }
        check("http://169.254.169.254/latest", Some("link-local"));
        check("http://[fe80::1]", Some("link-local"));
        check("http://[::ffff:169.254.170.2]", Some("link-local"));
        check("http://100.100.100.200", Some("metadata service"));
        check("http://168.63.129.16", Some("metadata service"));
        check("http://[fd00:ec2::254]", Some("metadata service"));
        check("http://Metadata.Google.Internal./", Some("metadata service"));
        check("http://0.0.0.0", Some("no address of a server"));
        check("http://[::]", Some("no address of a server"));
        check("http://255.255.255.255", Some("no address of a server"));
        check("file:///etc/passwd", Some("neither http nor https"));
        check("nonsense", Some("is no address"));
        let error = super::check("https://me:secret@example.com", Access::default()).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn loopback_is_allowed_where_it_was_asked_for_and_nothing_else_is() {
        let access = Access { loopback: true };
        assert!(check("http://127.0.0.1:9000", access).is_ok());
        assert!(check("http://[::1]", access).is_ok());
        assert!(check("http://169.254.169.254", access).is_err());
    }

    #[test]
    fn a_name_that_resolves_to_this_machine_is_refused_with_the_reason() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = Client::new(Access::default()).unwrap();
            let request = client.request(Method::GET, "http://localhost:9/").unwrap();
            let error = request.send().await.unwrap_err();
            let refusal = AddressError::of(&error).expect("the reason is in the chain");
            assert!(refusal.is_refusal(), "{refusal}");
        });
    }
}
