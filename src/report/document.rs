//! A report as JSON: the names and the order of its fields, which programs rely on.

use std::collections::BTreeMap;
use std::iter;
use std::net::IpAddr;

use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use super::{
    AddressFacts, Effort, Facts, IncompleteReason, OpenPorts, PathEffort, PortReport, PortRows,
    Report,
};
use crate::expect::Comparison;
use crate::scan::{Bound, Reason};

/// One flat object. The first four fields keep their meaning for ever. Fields of
/// later versions are ignored when a report is read.
#[derive(Serialize, Deserialize)]
pub(super) struct Document<Address> {
    domain: String,
    from_port: u16,
    to_port: u16,
    open_ports: Vec<u16>,
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<IncompleteReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_expected: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unexpected: Option<Vec<u16>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Vec<u16>>,
    elapsed_ms: f64,
    addresses: Vec<Address>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    addresses_left_out: Vec<IpAddr>,
    timing: Timing,
}

/// What is written: ports and rows are made one by one.
pub(super) type Written = Document<Address<OpenPorts, PortRows>>;

/// What is read.
pub(super) type Read = Document<Address<Vec<u16>, Vec<PortReport>>>;

#[derive(Serialize, Deserialize)]
pub(super) struct Address<Ports, Rows> {
    address: IpAddr,
    open_ports: Ports,
    closed: u32,
    filtered: u32,
    not_scanned: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", serialize_with = "by_name")]
    filtered_by: BTreeMap<Reason, u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timing: Option<PathEffort>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    accepts_everything: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<Rows>,
}

#[derive(Serialize, Deserialize)]
struct Timing {
    attempts: usize,
    loss: f64,
    /// The old name of `max_in_flight`, deprecated: it was never the window.
    window: Option<usize>,
    max_in_flight: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_by: Option<Bound>,
}

/// Why a document is not a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Contradiction {
    #[error("a report is either complete or has a reason")]
    Completeness,
    #[error("as_expected, unexpected and missing only stand together")]
    Comparison,
    #[error("ports are not in ascending order")]
    Order,
    #[error("rtt_ms is not a time")]
    Rtt,
    #[error("timing has no max_in_flight")]
    InFlight,
}

impl From<Report> for Written {
    fn from(Report { facts, comparison, effort }: Report) -> Self {
        let (as_expected, unexpected, missing) = match comparison {
            Some(Comparison { as_expected, unexpected, missing }) => {
                (Some(as_expected), Some(unexpected), Some(missing))
            }
            None => (None, None, None),
        };
        Self {
            complete: facts.is_complete(),
            domain: facts.domain,
            from_port: facts.from_port,
            to_port: facts.to_port,
            open_ports: facts.open_ports,
            reason: facts.reason,
            rule: facts.rule,
            as_expected,
            unexpected,
            missing,
            elapsed_ms: effort.elapsed_ms,
            addresses: facts
                .addresses
                .into_iter()
                .zip(effort.paths.into_iter().chain(iter::repeat(None)))
                .map(|(facts, path)| Address::new(facts, path))
                .collect(),
            addresses_left_out: facts.left_out,
            timing: Timing {
                attempts: effort.attempts,
                loss: effort.loss,
                window: Some(effort.max_in_flight),
                max_in_flight: Some(effort.max_in_flight),
                bound_by: effort.bound_by,
            },
        }
    }
}

impl TryFrom<Read> for Report {
    type Error = Contradiction;

    fn try_from(read: Read) -> Result<Self, Contradiction> {
        if read.complete == read.reason.is_some() {
            return Err(Contradiction::Completeness);
        }
        let comparison = match (read.as_expected, read.unexpected, read.missing) {
            (None, None, None) => None,
            (Some(as_expected), Some(unexpected), Some(missing)) => {
                Some(Comparison { as_expected, unexpected, missing })
            }
            _ => return Err(Contradiction::Comparison),
        };
        let Timing { attempts, loss, window, max_in_flight, bound_by } = read.timing;
        let effort = Effort {
            elapsed_ms: read.elapsed_ms,
            attempts,
            loss,
            max_in_flight: max_in_flight.or(window).ok_or(Contradiction::InFlight)?,
            bound_by,
            paths: read.addresses.iter().map(|address| address.timing).collect(),
        };
        let addresses: Result<Vec<AddressFacts>, Contradiction> =
            read.addresses.into_iter().map(AddressFacts::try_from).collect();
        let facts = Facts {
            domain: read.domain,
            from_port: read.from_port,
            to_port: read.to_port,
            open_ports: ascending(read.open_ports)?,
            reason: read.reason,
            rule: read.rule,
            addresses: addresses?,
            left_out: read.addresses_left_out,
        };
        Ok(Self { facts, comparison, effort })
    }
}

impl Address<OpenPorts, PortRows> {
    fn new(facts: AddressFacts, timing: Option<PathEffort>) -> Self {
        Self {
            address: facts.address,
            open_ports: facts.open_ports,
            closed: facts.closed,
            filtered: facts.filtered,
            not_scanned: facts.not_scanned,
            filtered_by: facts.filtered_by,
            timing,
            accepts_everything: facts.accepts_everything,
            ports: facts.ports,
        }
    }
}

impl TryFrom<Address<Vec<u16>, Vec<PortReport>>> for AddressFacts {
    type Error = Contradiction;

    fn try_from(read: Address<Vec<u16>, Vec<PortReport>>) -> Result<Self, Contradiction> {
        let address = read.address;
        let open_ports = OpenPorts::read(address, &ascending(read.open_ports)?);
        let ports = match read.ports {
            Some(rows) if !rows.is_sorted_by(|one, next| one.port < next.port) => {
                return Err(Contradiction::Order);
            }
            Some(rows) => Some(PortRows::read(address, &rows).ok_or(Contradiction::Rtt)?),
            None => None,
        };
        Ok(Self {
            address,
            open_ports,
            closed: read.closed,
            filtered: read.filtered,
            not_scanned: read.not_scanned,
            filtered_by: read.filtered_by,
            accepts_everything: read.accepts_everything,
            ports,
        })
    }
}

fn ascending(ports: Vec<u16>) -> Result<Vec<u16>, Contradiction> {
    let is_ascending = ports.is_sorted_by(|one, next| one < next);
    if is_ascending { Ok(ports) } else { Err(Contradiction::Order) }
}

/// Writes the counts in the alphabetical order of the reasons' names.
fn by_name<S: Serializer>(counts: &BTreeMap<Reason, u32>, to: S) -> Result<S::Ok, S::Error> {
    let by_name: BTreeMap<&str, u32> =
        counts.iter().map(|(reason, &count)| (reason.name(), count)).collect();
    to.collect_map(by_name)
}
