//! Where an instance of the service runs, and where the others are.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{ConfigError, ConfigErrors, Sources};
use crate::host::Host;
use crate::targets::{HostAndPort, HostSpec};

/// A name whose addresses are instances of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerName {
    /// The name, or an address.
    pub host: Host,
    /// Where they listen. `None`: where this one does.
    pub port: Option<u16>,
}

/// Where an instance runs, as it says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The name of its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The namespace of its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The node that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The zone of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

impl PeerName {
    pub(super) fn read(sources: &Sources<'_>) -> Result<Option<Self>, ConfigError> {
        sources.read("peers", PEERS, Self::parse)
    }

    fn parse(text: &str) -> Option<Self> {
        if let Ok(host) = text.parse() {
            return Some(Self { host, port: None });
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Some(Self { host: Host::Address(address.ip()), port: Some(address.port()) });
        }
        match text.parse().ok()? {
            HostAndPort { hosts: HostSpec::Name(name), port } => {
                Some(Self { host: Host::Name(name), port })
            }
            HostAndPort { hosts: HostSpec::Addresses(_), .. } => None,
        }
    }
}

impl Place {
    pub(super) fn read(sources: &Sources<'_>, errors: &mut ConfigErrors) -> Option<Self> {
        let mut word = |setting| errors.keep(sources.read(setting, WORD, parse_word));
        let (pod, namespace) = (word("pod"), word("namespace"));
        let (node, zone) = (word("node"), word("zone"));
        Some(Self { pod: pod?, namespace: namespace?, node: node?, zone: zone? })
    }
}

/// A name of Kubernetes. It may be repeated in logs and tables.
fn parse_word(text: &str) -> Option<String> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (text.len() <= 253 && text.bytes().all(is_word)).then(|| text.to_owned())
}

const PEERS: &str = "a host name with a port or without, like open-ports.shop.svc:8080";

const WORD: &str = "a name of letters, digits, hyphens, underscores and dots";
