//! The check that a request is for this listener, and that no page of another site
//! made a browser send it.
//!
//! A browser sends requests for every page that it shows, also from behind a
//! firewall, and also to a listener on loopback. Two things give such requests away:
//!
//! - `Host` is the name that the browser looked up. A page whose own name resolves
//!   to this listener (DNS rebinding) could read the replies. But a listener on
//!   loopback does not answer to that name.
//! - `Origin` and `Sec-Fetch-Site` describe the page. A page of another origin
//!   cannot read the reply, but could still make the service scan.
//!
//! Browsers send `Sec-Fetch-Site` to HTTPS and to loopback only, and no `Origin`
//! for what a page merely embeds. So a listener that browsers can reach otherwise
//! needs tokens, which no page of another origin has.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use hyper::header::{HOST, HeaderName, ORIGIN};
use hyper::http::uri::{Authority, Uri};
use hyper::{HeaderMap, Method, Request, Version};

use super::problems;
use super::reply::Reply;
use crate::host::Host;

/// The names that a listener answers to.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// The address of a listener that answers only to this address, to those of
    /// loopback and to the names below. `None`: it answers to any name.
    only: Option<IpAddr>,
    names: Vec<Host>,
    listen: SocketAddr,
}

impl Hosts {
    /// The names of a listener on this address, which was given `names`. On
    /// loopback, or if there are names, any other name is refused.
    #[must_use]
    pub fn new(listen: SocketAddr, names: Vec<Host>) -> Self {
        let address = listen.ip().to_canonical();
        let is_strict = address.is_loopback() || !names.is_empty();
        Self { only: is_strict.then_some(address), names, listen }
    }

    /// Where a request that was checked was sent to, for the host and port of a URL
    /// that leads here again. It has only letters, digits and `-_.:[]`.
    pub(crate) fn asked<B>(&self, request: &Request<B>) -> String {
        match target(request) {
            Ok(Some(target)) => target.to_string(),
            // Only HTTP/1.0 has no `Host`.
            _ if self.listen.ip().is_unspecified() => format!("localhost:{}", self.listen.port()),
            _ => self.listen.to_string(),
        }
    }

    /// Checks that the request is for this listener, and that no page of another
    /// site made a browser send it. Such a page may link to some routes: see `links`.
    pub(crate) fn check<B>(&self, request: &Request<B>, links: Links) -> Result<(), Box<Reply>> {
        let host = target(request).map_err(|fault| Box::new(problems::bad_host(fault)))?;
        if host.as_ref().is_some_and(|host| !self.includes(host)) {
            return Err(Box::new(problems::misdirected()));
        }
        let headers = request.headers();
        let foreign = |origin: &_| !self.is_own(origin, host.as_ref());
        let is_foreign = headers.get_all(ORIGIN).iter().any(|origin| {
            let origin = origin.to_str().ok().and_then(Origin::parse);
            origin.as_ref().is_none_or(foreign)
        });
        let of_others = ["cross-site", "same-site"];
        let is_of_others = of_others.iter().any(|site| has(headers, &SEC_FETCH_SITE, site));
        if is_foreign || is_of_others && !(links == Links::Allowed && is_link(request)) {
            return Err(Box::new(problems::cross_site()));
        }
        Ok(())
    }

    fn includes(&self, host: &Target) -> bool {
        let Some(listen) = self.only else { return true };
        let is_local = match &host.host {
            Host::Name(name) => name.eq_ignore_ascii_case("localhost"),
            // Health checks of a pod use its address, even if it was given names.
            // DNS rebinding cannot make a browser send an address as Host.
            Host::Address(address) => {
                address.is_loopback() || *address == listen || !listen.is_loopback()
            }
        };
        is_local || self.names.iter().any(|name| is_same(name, &host.host))
    }

    fn is_own(&self, origin: &Origin, host: Option<&Target>) -> bool {
        let is_target = host.is_some_and(|host| {
            // The default port depends on the scheme, which a proxy may change.
            let port = host.port.unwrap_or(origin.default_port);
            is_same(&host.host, &origin.host) && port == origin.port
        });
        is_target || self.names.iter().any(|name| is_same(name, &origin.host))
    }
}

/// Whether a page of another site may link to what a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// It only reads.
    Allowed,
    /// It scans, or there is nothing.
    Refused,
}

/// The host that a request is for.
#[derive(Debug)]
struct Target {
    host: Host,
    port: Option<u16>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => f.write_str(name)?,
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The origin of a page: RFC 6454, section 6.2.
#[derive(Debug)]
struct Origin {
    host: Host,
    port: u16,
    default_port: u16,
}

impl Origin {
    /// `None` for `null`, and for schemes except HTTP and HTTPS.
    fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let default_port = match uri.scheme_str()? {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let Target { host, port } = parse(uri.authority()?.as_str())?;
        Some(Self { host, port: port.unwrap_or(default_port), default_port })
    }
}

/// RFC 9112, sections 3.2 and 3.2.2: the host of an absolute target takes
/// precedence over the field, which must be there once all the same. HTTP/1.0 has
/// no such field.
fn target<B>(request: &Request<B>) -> Result<Option<Target>, &'static str> {
    let mut fields = request.headers().get_all(HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (Some(_), Some(_)) => return Err("must be given once, not several times"),
        (None, _) if request.version() >= Version::HTTP_11 => return Err("is missing"),
        (field, _) => field,
    };
    let field = match field {
        Some(field) => {
            let parsed = field.to_str().ok().and_then(parse);
            Some(parsed.ok_or("must be a host, with or without a port")?)
        }
        None => None,
    };
    match request.uri().authority() {
        Some(authority) => {
            let parsed = parse(authority.as_str());
            parsed.map(Some).ok_or("in the target must be a host, with or without a port")
        }
        None => Ok(field),
    }
}

/// A host with or without a port: RFC 9110, section 7.2.
fn parse(text: &str) -> Option<Target> {
    let authority: Authority = text.parse().ok()?;
    let host = authority.host();
    // The rest must be a port. This refuses user information, among others.
    let port = match authority.as_str().strip_prefix(host)? {
        "" | ":" => None,
        rest => Some(rest.strip_prefix(':')?.parse().ok()?),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    Some(Target { host: host.parse().ok()?, port })
}

fn is_same(one: &Host, other: &Host) -> bool {
    match (one, other) {
        (Host::Address(one), Host::Address(other)) => one == other,
        (Host::Name(one), Host::Name(other)) => {
            let bare = |name: &'_ str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            bare(one) == bare(other)
        }
        _ => false,
    }
}

/// Whether somebody followed a link or typed the address.
fn is_link<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let is_shown =
        has(headers, &SEC_FETCH_MODE, "navigate") && has(headers, &SEC_FETCH_DEST, "document");
    is_shown && matches!(*request.method(), Method::GET | Method::HEAD)
}

fn has(headers: &HeaderMap, name: &HeaderName, value: &str) -> bool {
    headers.get_all(name).iter().any(|given| given == value)
}

/// <https://www.w3.org/TR/fetch-metadata/>
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

#[cfg(test)]
mod tests {
    use super::*;

    fn status(hosts: &Hosts, target: &str, fields: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let links = match request.uri().path() {
            "/open-ports" => Links::Refused,
            _ => Links::Allowed,
        };
        hosts.check(&request, links).map_or_else(|refusal| refusal.status().as_u16(), |()| 200)
    }

    fn hosts(listen: &str, names: &[&str]) -> Hosts {
        let names = names.iter().map(|name| name.parse().unwrap()).collect();
        Hosts::new(listen.parse().unwrap(), names)
    }

    #[test]
    fn a_listener_on_loopback_answers_only_to_names_of_this_host() {
        let strict = hosts("127.0.0.5:8080", &[]);
        let named = hosts("[::1]:8080", &["scan.example.com", "10.0.0.1"]);
        let open = hosts("[::]:8080", &[]);
        let open_named = hosts("0.0.0.0:8080", &["scan.example.com"]);
        for (host, statuses) in [
            ("localhost", [200, 200, 200, 200]),
            ("LocalHost.:9090", [200, 200, 200, 200]),
            ("localhost:", [200, 200, 200, 200]),
            ("127.0.0.1:8080", [200, 200, 200, 200]),
            ("127.9.9.9", [200, 200, 200, 200]),
            ("[::1]:8080", [200, 200, 200, 200]),
            ("[::ffff:127.0.0.1]", [200, 200, 200, 200]),
            ("scan.example.com", [421, 200, 200, 200]),
            ("Scan.Example.COM.:8080", [421, 200, 200, 200]),
            ("10.0.0.1:8080", [421, 200, 200, 200]),
            ("10.0.0.2", [421, 421, 200, 200]),
            ("0.0.0.0:8080", [421, 421, 200, 200]),
            ("rebound.example", [421, 421, 200, 421]),
            ("localhost.example", [421, 421, 200, 421]),
            ("x.localhost", [421, 421, 200, 421]),
            ("open-ports.scan.svc.cluster.local", [421, 421, 200, 421]),
            ("", [400; 4]),
            ("localhost:http", [400; 4]),
            ("localhost:65536", [400; 4]),
            ("user@localhost", [400; 4]),
            ("localhost/path", [400; 4]),
            ("localhost, evil.example", [400; 4]),
            ("::1", [400; 4]),
            ("a b", [400; 4]),
        ] {
            let all = [&strict, &named, &open, &open_named];
            assert_eq!(all.map(|hosts| status(hosts, "/", &[("host", host)])), statuses, "{host}");
        }
    }

    #[test]
    fn a_host_in_the_target_takes_precedence_over_the_field() {
        let strict = hosts("127.0.0.1:8080", &[]);
        let local = &[("host", "localhost")];
        assert_eq!(status(&strict, "http://evil.example/livez", local), 421);
        assert_eq!(
            status(&strict, "http://localhost:8080/livez", &[("host", "evil.example")]),
            200
        );
        assert_eq!(status(&strict, "http://localhost:8080/livez", &[]), 400);
        assert_eq!(status(&strict, "http://user@localhost/livez", local), 400);
    }

    #[test]
    fn a_url_leads_to_the_host_that_was_asked() {
        let asked = |listen, version, field: Option<&str>| {
            let request = Request::builder().uri("/").version(version);
            let request = match field {
                Some(field) => request.header("host", field),
                None => request,
            };
            hosts(listen, &[]).asked(&request.body(()).unwrap())
        };
        for (field, wanted) in [
            ("localhost:9090", "localhost:9090"),
            ("Scan.example.com.", "Scan.example.com"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[::1]:8080", "[::1]:8080"),
            ("[2001:DB8::0:1]", "[2001:db8::1]"),
        ] {
            assert_eq!(asked("0.0.0.0:8080", Version::HTTP_11, Some(field)), wanted);
        }
        for (listen, wanted) in [
            ("127.0.0.5:8081", "127.0.0.5:8081"),
            ("[::]:8082", "localhost:8082"),
            ("[fd00::1]:8083", "[fd00::1]:8083"),
        ] {
            assert_eq!(asked(listen, Version::HTTP_10, None), wanted);
        }
    }

    #[test]
    fn an_origin_is_foreign_unless_it_is_the_host_of_the_request() {
        let open = hosts("0.0.0.0:8080", &[]);
        let named = hosts("0.0.0.0:8080", &["scan.example.com"]);
        for (host, origin, statuses) in [
            ("localhost:8080", "http://localhost:8080", [200, 200]),
            ("localhost:8080", "http://LOCALHOST:8080", [200, 200]),
            ("localhost:8080", "http://localhost:3000", [403, 403]),
            ("localhost:8080", "http://localhost", [403, 403]),
            ("localhost", "https://localhost", [200, 200]),
            ("localhost:443", "https://localhost", [200, 200]),
            ("10.0.0.1", "http://10.0.0.1", [200, 200]),
            ("10.0.0.1", "https://scan.example.com", [403, 200]),
            ("10.0.0.1", "http://evil.example", [403, 403]),
            ("10.0.0.1", "null", [403, 403]),
            ("10.0.0.1", "", [403, 403]),
            ("10.0.0.1", "chrome-extension://10.0.0.1", [403, 403]),
            ("10.0.0.1", "http://10.0.0.1 http://10.0.0.1", [403, 403]),
        ] {
            let fields = [("host", host), ("origin", origin)];
            let all = [&open, &named].map(|hosts| status(hosts, "/livez", &fields));
            assert_eq!(all, statuses, "{origin} at {host}");
        }
        let two = [("host", "a"), ("origin", "http://a"), ("origin", "http://evil.example")];
        assert_eq!(status(&open, "/livez", &two), 403);
    }

    #[test]
    fn pages_of_other_sites_may_only_link_and_only_to_what_does_not_scan() {
        let open = hosts("0.0.0.0:8080", &[]);
        for (site, mode, dest, statuses) in [
            ("none", "navigate", "document", [200, 200]),
            ("same-origin", "cors", "empty", [200, 200]),
            ("cross-site", "no-cors", "image", [403, 403]),
            ("cross-site", "cors", "empty", [403, 403]),
            ("same-site", "cors", "empty", [403, 403]),
            ("cross-site", "navigate", "iframe", [403, 403]),
            ("cross-site", "navigate", "document", [200, 403]),
            ("same-site", "navigate", "document", [200, 403]),
        ] {
            let fields = [
                ("host", "scan.example"),
                ("sec-fetch-site", site),
                ("sec-fetch-mode", mode),
                ("sec-fetch-dest", dest),
            ];
            let all = ["/", "/open-ports?domain=10.0.0.1&toPort=1"]
                .map(|target| status(&open, target, &fields));
            assert_eq!(all, statuses, "{site}, {mode}, {dest}");
        }
    }
}
