//! The ports of a report.
//!
//! A report reads them from the scan's own findings, eight bytes each, and makes a
//! row only when it is written. So a report of any length takes little memory, and
//! any number of reports share one scan's findings.

use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::milliseconds;
use crate::scan::{Finding, Findings, PortState, Reason};
use crate::services;

/// The ports of an address that are open.
#[derive(Clone, Debug)]
pub(crate) struct OpenPorts(Findings);

/// A row for each finding on an address.
#[derive(Clone, Debug)]
pub(crate) struct PortRows(Findings);

/// One port that is not closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "ReadRow")]
pub(crate) struct PortReport {
    /// The port.
    pub(crate) port: u16,
    /// Open or filtered.
    pub(crate) state: PortState,
    /// Why.
    pub(crate) reason: Reason,
    /// The service that is registered for the port, if there is one.
    #[serde(flatten)]
    pub(crate) service: Option<Service>,
    /// From the attempt to its answer, in milliseconds, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rtt_ms: Option<f64>,
}

/// The name of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Service {
    /// The name.
    #[serde(rename = "service")]
    pub(crate) name: &'static str,
    /// How it is known, in nmap's words: `table` is a guess from the port's
    /// number.
    #[serde(rename = "service_method")]
    pub(crate) method: &'static str,
}

/// A row as it is read. The service is left out: it is no finding, and follows from
/// the port.
#[derive(Deserialize)]
struct ReadRow {
    port: u16,
    state: PortState,
    reason: Reason,
    rtt_ms: Option<f64>,
}

impl OpenPorts {
    /// The open ones of `findings`.
    pub(super) fn new(findings: Findings) -> Self {
        Self(findings)
    }

    /// These ports of `address`.
    pub(super) fn read(address: IpAddr, ports: &[u16]) -> Self {
        let (state, reason) = (PortState::Open, Reason::SynAck);
        let finding = |&port| Finding { address, port, state, reason, rtt: None };
        Self(Findings::new(address, ports.iter().map(finding)))
    }

    /// In ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.open_ports()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The findings that they are read from.
    pub(crate) fn findings(&self) -> &Findings {
        &self.0
    }

    /// Takes them all out.
    pub(crate) fn take(&mut self) -> Findings {
        let none = Findings::none(self.0.address());
        mem::replace(&mut self.0, none)
    }
}

impl PortRows {
    /// A row for each of `findings`.
    pub(super) fn new(findings: Findings) -> Self {
        Self(findings)
    }

    /// These rows of `address`; `None` if one has an rtt that is no time.
    pub(super) fn read(address: IpAddr, rows: &[PortReport]) -> Option<Self> {
        let findings: Option<Vec<Finding>> = rows.iter().map(|row| row.finding(address)).collect();
        findings.map(|findings| Self(Findings::new(address, findings)))
    }

    /// In ascending order of the ports.
    pub(crate) fn iter(&self) -> impl Iterator<Item = PortReport> + '_ {
        self.0.iter().map(|finding| PortReport::new(&finding))
    }

    /// The findings that they are read from.
    pub(crate) fn findings(&self) -> &Findings {
        &self.0
    }

    /// Takes them all out.
    pub(crate) fn take(&mut self) -> Findings {
        let none = Findings::none(self.0.address());
        mem::replace(&mut self.0, none)
    }
}

impl PartialEq for OpenPorts {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for OpenPorts {}

/// Rows are equal if they have the same ports in the same states for the same
/// reasons. How long the answers took is no part of what was found.
impl PartialEq for PortRows {
    fn eq(&self, other: &Self) -> bool {
        let found = |finding: Finding| (finding.port, finding.state, finding.reason);
        self.0.iter().map(found).eq(other.0.iter().map(found))
    }
}

impl Eq for PortRows {}

impl Serialize for OpenPorts {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

impl Serialize for PortRows {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

impl PortReport {
    /// The row for one finding.
    pub(crate) fn new(finding: &Finding) -> Self {
        Self {
            port: finding.port,
            state: finding.state,
            reason: finding.reason,
            service: Service::at(finding.port),
            rtt_ms: finding.rtt.map(milliseconds),
        }
    }

    pub(super) fn finding(&self, address: IpAddr) -> Option<Finding> {
        let Self { port, state, reason, rtt_ms, .. } = *self;
        let rtt = match rtt_ms {
            Some(ms) => Some(Duration::try_from_secs_f64(ms / 1e3).ok()?),
            None => None,
        };
        Some(Finding { address, port, state, reason, rtt })
    }
}

impl From<ReadRow> for PortReport {
    fn from(ReadRow { port, state, reason, rtt_ms }: ReadRow) -> Self {
        Self { port, state, reason, service: Service::at(port), rtt_ms }
    }
}

impl Service {
    /// What the number of a port lets one guess.
    pub(crate) fn at(port: u16) -> Option<Self> {
        services::registered(port).map(|name| Self { name, method: "table" })
    }
}
