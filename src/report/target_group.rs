//! Open ports as Prometheus discovers its targets: over HTTP (`http_sd_configs`) and
//! from a file (`file_sd_configs`), in one form.
//!
//! <https://prometheus.io/docs/prometheus/latest/http_sd/>

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::{AddressFacts, Report, Service};

/// One open port, with what is known about it. Each has a group of its own, because
/// labels belong to groups.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct TargetGroup {
    /// First, so that groups are in the order of addresses and ports.
    #[serde(skip)]
    order: (IpAddr, u16),
    targets: [String; 1],
    labels: Labels,
}

/// Values are text, and names begin with `__meta_`: Prometheus keeps only what its
/// relabelling takes over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Labels {
    #[serde(rename = "__meta_open_ports_host")]
    host: String,
    #[serde(rename = "__meta_open_ports_address")]
    address: String,
    #[serde(rename = "__meta_open_ports_port")]
    port: String,
    #[serde(rename = "__meta_open_ports_service", skip_serializing_if = "Option::is_none")]
    service: Option<&'static str>,
    /// There if the address accepts connections on ports that nobody uses.
    #[serde(
        rename = "__meta_open_ports_accepts_everything",
        skip_serializing_if = "Option::is_none"
    )]
    accepts_everything: Option<&'static str>,
}

impl TargetGroup {
    /// The open ports of a host, address by address.
    pub(crate) fn all_of(report: &Report) -> impl Iterator<Item = Self> + '_ {
        let Report { facts, .. } = report;
        let of_address = move |address: &AddressFacts| {
            let ports: Vec<u16> = address.open_ports.iter().collect();
            let (ip, accepts_everything) = (address.address, address.accepts_everything);
            ports
                .into_iter()
                .map(move |port| Self::new(&facts.domain, ip, port, accepts_everything))
        };
        facts.addresses.iter().flat_map(of_address)
    }

    fn new(host: &str, address: IpAddr, port: u16, accepts_everything: bool) -> Self {
        Self {
            order: (address, port),
            targets: [SocketAddr::new(address, port).to_string()],
            labels: Labels {
                host: host.to_owned(),
                address: address.to_string(),
                port: port.to_string(),
                service: Service::at(port).map(|service| service.name),
                accepts_everything: accepts_everything.then_some("true"),
            },
        }
    }
}
