//! How vantages and targets are written, in `reach.txt` and behind `--from` and `--to`.
//!
//! The notation of workloads is that of np-guard's netpol-analyzer, `shop/web[Deployment]`,
//! and kubectl's: `shop/deploy/web`, or `deploy/web` in the current namespace.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::targets::{HostAndPort, HostSpec, HostSpecError};

/// A vantage as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Peer {
    /// This process.
    Local,
    /// Another open-ports, by its URL without a slash at the end.
    Http(String),
    /// Pods, asked where they run.
    Workload(Workload),
    /// A pod of its own that looks like the workload: `as shop/deploy/web`.
    Copy(Workload),
    /// A node of the cluster: `node/worker-1`. Each `*` in its name stands for any characters.
    Node(String),
}

/// A target as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A name, an address, a network or a range, and the port behind it if there is one.
    Hosts(HostAndPort),
    /// Pods, or a Service.
    Workload(Workload),
}

/// One or several workloads of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Workload {
    /// `None`: that of kubectl's current context.
    pub(crate) namespace: Option<String>,
    /// `None`: a pod of this name, or else a workload of it.
    pub(crate) kind: Option<Kind>,
    /// Each `*` in it stands for any characters.
    pub(crate) name: String,
}

/// What a workload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Pod,
    Deployment,
    DaemonSet,
    StatefulSet,
    ReplicaSet,
    Job,
    CronJob,
    Service,
}

/// Why a word is no peer. The message follows the word, and says what to write.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum PeerError {
    #[error(
        "is no vantage; write local, a URL like http://probe.example:8080, a workload like \
         shop/web[Deployment], \"as\" and a workload, or a node like node/worker-1"
    )]
    NotAVantage,
    #[error("is no URL of a service; write one like http://probe.example:8080")]
    Url,
    #[error("is a Service, from which nothing can be asked; name its workload")]
    Service,
    #[error("is a node, which can be a vantage only; as a target write its address")]
    Node,
    #[error("is no kind of workload; the kinds are {}", Kind::names())]
    Kind,
    #[error("is no workload; write one like shop/web, shop/web[Deployment] or shop/deploy/web")]
    Workload,
    #[error("{0}")]
    Host(HostSpecError),
}

impl FromStr for Peer {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        if text == LOCAL {
            return Ok(Self::Local);
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return url(text).map(Self::Http);
        }
        if let Some(node) = node(text) {
            return if is_name(node, true) {
                Ok(Self::Node(node.to_owned()))
            } else {
                Err(PeerError::Workload)
            };
        }
        let (workload, is_copy) = match text.strip_prefix("as ") {
            Some(rest) => (rest.trim_start(), true),
            None => (text, false),
        };
        if !workload.contains('/') {
            return Err(PeerError::NotAVantage);
        }
        let workload: Workload = workload.parse()?;
        if workload.kind == Some(Kind::Service) {
            return Err(PeerError::Service);
        }
        Ok(if is_copy { Self::Copy(workload) } else { Self::Workload(workload) })
    }
}

impl FromStr for Target {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        match text.parse() {
            Ok(hosts) => Ok(Self::Hosts(hosts)),
            // A slash belongs to a network only behind an address.
            Err(error @ HostSpecError::Prefix(_)) => Err(PeerError::Host(error)),
            Err(_) if node(text).is_some() => Err(PeerError::Node),
            Err(_) if text.contains('/') => text.parse().map(Self::Workload),
            Err(error) => Err(PeerError::Host(error)),
        }
    }
}

impl FromStr for Workload {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        let (text, kind) = match text.strip_suffix(']').and_then(|text| text.rsplit_once('[')) {
            Some((text, kind)) => (text, Some(Kind::named(kind).ok_or(PeerError::Kind)?)),
            None => (text, None),
        };
        let parts: Vec<&str> = text.split('/').collect();
        let (namespace, kind, name) = match (&parts[..], kind) {
            ([first, name], None) if Kind::short(first).is_some() => {
                (None, Kind::short(first), *name)
            }
            ([namespace, name], kind) => (Some(*namespace), kind, *name),
            ([namespace, kind, name], None) => {
                (Some(*namespace), Some(Kind::short(kind).ok_or(PeerError::Kind)?), *name)
            }
            _ => return Err(PeerError::Workload),
        };
        if !namespace.is_none_or(|namespace| is_name(namespace, false)) || !is_name(name, true) {
            return Err(PeerError::Workload);
        }
        Ok(Self { namespace: namespace.map(str::to_owned), kind, name: name.to_owned() })
    }
}

impl Peer {
    /// The workload that it is, or that it is a copy of.
    pub(crate) fn workload(&self) -> Option<&Workload> {
        match self {
            Self::Workload(workload) | Self::Copy(workload) => Some(workload),
            Self::Local | Self::Http(_) | Self::Node(_) => None,
        }
    }

    /// Whether it is several, by a `*`.
    pub(crate) fn is_pattern(&self) -> bool {
        match self {
            Self::Node(name) => name.contains('*'),
            peer => peer.workload().is_some_and(Workload::is_pattern),
        }
    }
}

impl Workload {
    /// Whether it is several, by a `*`.
    pub(crate) fn is_pattern(&self) -> bool {
        self.name.contains('*')
    }

    /// Whether its name, with its `*`, is that of `name`.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        is_like(name, &self.name)
    }
}

/// Whether `name` is `pattern`, in which each `*` stands for any characters.
pub(crate) fn is_like(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl Kind {
    const ALL: [(Self, &'static str, &'static [&'static str]); 8] = [
        (Self::Pod, "Pod", &["po"]),
        (Self::Deployment, "Deployment", &["deploy"]),
        (Self::DaemonSet, "DaemonSet", &["ds"]),
        (Self::StatefulSet, "StatefulSet", &["sts"]),
        (Self::ReplicaSet, "ReplicaSet", &["rs"]),
        (Self::Job, "Job", &[]),
        (Self::CronJob, "CronJob", &["cj"]),
        (Self::Service, "Service", &["svc"]),
    ];

    /// The name in brackets, as Kubernetes has it.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, name, _)| name)
    }

    /// The kind with this name, in letters of any case.
    fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(_, known, _)| known.eq_ignore_ascii_case(name)).map(|(kind, ..)| *kind)
    }

    /// The kind that kubectl calls so before a slash: `deploy`, `deployment`, `deployments`.
    fn short(name: &str) -> Option<Self> {
        let all = Self::ALL.iter();
        let mut all = all.filter(|(.., short)| short.contains(&name));
        let short = all.next().map(|(kind, ..)| *kind);
        let is_lower = name.bytes().all(|byte| byte.is_ascii_lowercase());
        let one = name.strip_suffix('s').unwrap_or(name);
        short.or_else(|| Self::named(name).or_else(|| Self::named(one)).filter(|_| is_lower))
    }

    fn names() -> String {
        Self::ALL.map(|(_, name, _)| name).join(", ")
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str(LOCAL),
            Self::Http(url) => f.write_str(url),
            Self::Workload(workload) => workload.fmt(f),
            Self::Copy(workload) => write!(f, "as {workload}"),
            Self::Node(name) => write!(f, "{NODE}{name}"),
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.namespace, self.kind) {
            (Some(namespace), Some(kind)) => {
                write!(f, "{namespace}/{}[{}]", self.name, kind.name())
            }
            (Some(namespace), None) => write!(f, "{namespace}/{}", self.name),
            (None, kind) => {
                let kind = kind.map_or("", Kind::name).to_ascii_lowercase();
                write!(f, "{kind}/{}", self.name)
            }
        }
    }
}

/// The name behind `node/`, if that is all there is.
fn node(text: &str) -> Option<&str> {
    text.strip_prefix(NODE).filter(|name| !name.contains(['/', '[']))
}

/// A URL without a path, a query or a user.
fn url(text: &str) -> Result<String, PeerError> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let (_, authority) = text.split_once("://").ok_or(PeerError::Url)?;
    let port = match authority.parse::<HostAndPort>() {
        Ok(HostAndPort { hosts: HostSpec::Name(_), .. }) => true,
        Ok(HostAndPort { hosts: HostSpec::Addresses(range), .. }) => range.span() == 0,
        Err(_) => false,
    };
    if port { Ok(text.to_owned()) } else { Err(PeerError::Url) }
}

/// Whether it can be the name of a Kubernetes object (RFC 1123, with dots).
fn is_name(name: &str, with_stars: bool) -> bool {
    let is_allowed = |byte: u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || matches!(byte, b'-' | b'.')
            || (with_stars && byte == b'*')
    };
    !name.is_empty() && name.bytes().all(is_allowed)
}

const LOCAL: &str = "local";
const NODE: &str = "node/";

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(namespace: Option<&str>, kind: Option<Kind>, name: &str) -> Workload {
        Workload { namespace: namespace.map(str::to_owned), kind, name: name.into() }
    }

    #[test]
    fn workloads_are_written_as_np_guard_or_kubectl_writes_them() {
        use Kind::*;
        for (text, namespace, kind, name) in [
            ("shop/web[Deployment]", Some("shop"), Some(Deployment), "web"),
            ("shop/web[deployment]", Some("shop"), Some(Deployment), "web"),
            ("shop/deploy/web", Some("shop"), Some(Deployment), "web"),
            ("shop/web", Some("shop"), None, "web"),
            ("shop/*", Some("shop"), None, "*"),
            ("deploy/web", None, Some(Deployment), "web"),
            ("deployments/web", None, Some(Deployment), "web"),
            ("sts/db-*", None, Some(StatefulSet), "db-*"),
            ("svc/db", None, Some(Service), "db"),
            ("services/db", None, Some(Service), "db"),
            ("deploy/web[Pod]", Some("deploy"), Some(Pod), "web"),
        ] {
            let read: Workload = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read, workload(namespace, kind, name), "{text}");
            assert_eq!(read.to_string().parse(), Ok(read.clone()), "{read}");
        }
        for text in ["shop", "shop/", "/web", "a/b/c/d", "shop/Web", "shop/web[Thing]", "s*/w"] {
            assert!(text.parse::<Workload>().is_err(), "{text}");
        }
    }

    #[test]
    fn vantages_are_this_process_services_and_workloads() {
        assert_eq!("local".parse(), Ok(Peer::Local));
        for url in ["http://127.0.0.1:8080", "https://probe.example", "http://[::1]:8080"] {
            assert_eq!(format!("{url}/").parse(), Ok(Peer::Http(url.into())));
        }
        let web = workload(Some("shop"), Some(Kind::Deployment), "web");
        assert_eq!("shop/deploy/web".parse(), Ok(Peer::Workload(web.clone())));
        let copy = Peer::Copy(web);
        assert_eq!("as shop/deploy/web".parse(), Ok(copy.clone()));
        assert_eq!(copy.to_string().parse(), Ok(copy));
        for text in ["node/worker-1", "node/*"] {
            assert_eq!(text.parse::<Peer>().map(|node| node.to_string()), Ok(text.into()));
        }
        for (text, error) in [
            ("web", PeerError::NotAVantage),
            ("as web", PeerError::NotAVantage),
            ("http://", PeerError::Url),
            ("http://user@web", PeerError::Url),
            ("http://web/open-ports", PeerError::Url),
            ("shop/svc/web", PeerError::Service),
            ("shop/web[Thing]", PeerError::Kind),
            ("node/", PeerError::Workload),
        ] {
            assert_eq!(text.parse::<Peer>(), Err(error), "{text}");
        }
    }

    #[test]
    fn targets_are_hosts_and_workloads() {
        for text in ["db.internal", "db.internal:5432", "10.0.0.0/8", "10.0.0.1-9", "::1"] {
            assert_eq!(text.parse(), Ok(Target::Hosts(text.parse().unwrap())), "{text}");
        }
        for text in ["shop/web", "shop/svc/web", "svc/web", "shop/*"] {
            assert_eq!(text.parse(), Ok(Target::Workload(text.parse().unwrap())), "{text}");
        }
        assert!(matches!("10.0.0.0/33".parse::<Target>(), Err(PeerError::Host(_))));
        assert!(matches!("-web".parse::<Target>(), Err(PeerError::Host(_))));
        assert_eq!("node/worker-1".parse::<Target>(), Err(PeerError::Node));
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, is_meant) in [
            ("*", "web", true),
            ("web", "web", true),
            ("web", "web-1", false),
            ("web-*", "web-1", true),
            ("web-*", "web", false),
            ("*-1", "web-1", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
        ] {
            let pattern = workload(None, None, pattern);
            assert_eq!(pattern.has_name(name), is_meant, "{pattern} {name}");
        }
    }
}
