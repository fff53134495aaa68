//! The metrics of one probe: what it found, and why it failed.
//!
//! There are at most 100 series, however many ports are open: a scrape that may grow
//! without bound would be dropped by Prometheus' `sample_limit` when it matters most.

use std::net::IpAddr;
use std::time::Duration;

use crate::ask::Checks;
use crate::expect::Expectation;
use crate::metrics::{Gauges, Value};
use crate::ports::PortSet;
use crate::report::{AddressFacts, IncompleteReason, Report};
use crate::request::ScanRequest;

/// A probe that has ended.
#[derive(Debug)]
pub(super) struct Probed<'a> {
    /// What was asked.
    pub(super) request: &'a ScanRequest,
    /// What the checks before the scan came to.
    pub(super) checks: &'a Checks,
    /// How long all of it took.
    pub(super) elapsed: Duration,
    pub(super) ended: Ended,
}

/// How a probe ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// With a scan.
    Scanned {
        report: Box<Report>,
        /// How many addresses of the host were not scanned.
        left_out: usize,
    },
    /// The name has no address, as this sentence says.
    NotResolved(String),
    /// A limit was reached, as this sentence says. Nothing is known about the host.
    Busy(String),
}

/// Why a probe failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// A limit was reached.
    Busy,
    /// The name has no address.
    NotResolved,
    /// A port is open that ought not to be.
    UnexpectedPort,
    /// Some ports were not scanned.
    Incomplete(IncompleteReason),
    /// Nothing answered at all.
    Unreachable,
    /// A port is not open that ought to be.
    MissingPort,
}

impl Failure {
    /// The name that metrics give it: one of [`REASONS`].
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::NotResolved => "not-resolved",
            Self::UnexpectedPort => "unexpected-port",
            Self::Incomplete(reason) if REASONS.contains(&reason.name()) => reason.name(),
            // The others are those of sweeps.
            Self::Incomplete(_) => "unknown-error",
            Self::Unreachable => "unreachable",
            Self::MissingPort => "missing-port",
        }
    }

    /// The first that applies: what is known for sure comes before what is not.
    fn of(report: &Report) -> Option<Self> {
        let comparison = report.comparison.as_ref();
        if comparison.is_some_and(|comparison| !comparison.unexpected.is_empty()) {
            return Some(Self::UnexpectedPort);
        }
        if let Some(reason) = report.facts.reason {
            return Some(Self::Incomplete(reason));
        }
        let is_missing = comparison.is_some_and(|comparison| !comparison.missing.is_empty());
        // Silence is as expected where no port ought to be open.
        let should_answer = is_missing || comparison.is_none();
        if should_answer && !report.facts.addresses.iter().any(AddressFacts::answered) {
            return Some(Self::Unreachable);
        }
        is_missing.then_some(Self::MissingPort)
    }
}

impl Probed<'_> {
    /// Why it failed; `None` if it did not.
    pub(super) fn failure(&self) -> Option<Failure> {
        match &self.ended {
            Ended::Scanned { report, .. } => Failure::of(report),
            Ended::NotResolved(_) => Some(Failure::NotResolved),
            Ended::Busy(_) => Some(Failure::Busy),
        }
    }

    /// The report, if there was a scan.
    pub(super) fn report(&self) -> Option<&Report> {
        match &self.ended {
            Ended::Scanned { report, .. } => Some(report),
            Ended::NotResolved(_) | Ended::Busy(_) => None,
        }
    }

    /// All metrics.
    pub(super) fn gauges(&self) -> Gauges {
        let mut gauges = Gauges::default();
        self.add_known(&mut gauges);
        self.add_counts(&mut gauges);
        self.add_ports(&mut gauges);
        gauges
    }

    /// What blackbox_exporter has as well.
    fn add_known(&self, gauges: &mut Gauges) {
        let seconds = |duration: Duration| Value::Seconds(duration.as_secs_f64());
        let resolving = self.checks.resolving.unwrap_or_default();
        let address = self.main_address();
        let protocol = address.map_or(0, |address| if address.is_ipv4() { 4 } else { 6 });
        let hash = address.map_or(0, |address| u64::from(hash(address)));
        for (name, help, value) in [
            (
                "probe_success",
                "Whether every port was scanned and all is as expected",
                Value::flag(self.failure().is_none()),
            ),
            ("probe_duration_seconds", "How long the probe took", seconds(self.elapsed)),
            (
                "probe_timeout_seconds",
                "How long the probe may take",
                seconds(self.request.deadline),
            ),
            (
                "probe_dns_lookup_time_seconds",
                "How long it took to look the name up",
                seconds(resolving),
            ),
            (
                "probe_ip_protocol",
                "The IP version of the first address, 4 or 6, or 0 if there is none",
                Value::Whole(protocol),
            ),
            (
                "probe_ip_addr_hash",
                "The hash of that address, which shows whether it has changed",
                Value::Whole(hash),
            ),
            (
                "probe_failed_due_to_regex",
                "Always 0: what a port sends is not read",
                Value::flag(false),
            ),
        ] {
            gauges.one(name, help, value);
        }
    }

    fn add_counts(&self, gauges: &mut Gauges) {
        let report = self.report();
        let is_complete = report.is_some_and(|report| report.facts.is_complete());
        let help = "Whether every port of every address was scanned";
        gauges.one("probe_complete", help, Value::flag(is_complete));
        let help = "Ports by state, added up over the addresses";
        gauges.each("probe_ports", help, "state", counted(self.ports_by_state()));
        let help = "Addresses of the host by what came back from them";
        gauges.each("probe_addresses", help, "state", counted(self.addresses_by_state()));
        let failure = self.failure().map(Failure::name);
        let reasons = REASONS.map(|reason| (reason, u64::from(failure == Some(reason))));
        let help = "Why the probe failed: the first reason that applies has 1";
        gauges.each("probe_failure", help, "reason", counted(reasons));
        let comparison = report.and_then(|report| report.comparison.as_ref());
        let count = |ports: &[u16]| Value::Whole(ports.len() as u64);
        if let Some(comparison) = comparison {
            let help = "Ports that are open and ought not to be";
            gauges.one("probe_ports_unexpected", help, count(&comparison.unexpected));
            let help = "Ports that ought to be open and were not found open";
            gauges.one("probe_ports_missing", help, count(&comparison.missing));
        }
    }

    fn add_ports(&self, gauges: &mut Gauges) {
        let comparison = self.report().and_then(|report| report.comparison.as_ref());
        let unexpected = comparison.map_or(&[][..], |comparison| &comparison.unexpected[..]);
        let first = unexpected.iter().take(MOST_UNEXPECTED);
        let first = first.map(|port| (port.to_string(), Value::flag(true)));
        let help = "The first ports that are open and ought not to be";
        gauges.each("probe_unexpected_port", help, "port", first);
        let is_cut = unexpected.len() > MOST_UNEXPECTED;
        let help = "Whether there are more of them";
        gauges.one("probe_unexpected_ports_truncated", help, Value::flag(is_cut));
        let help = "Whether a port is open, for the expected ports or if there are few";
        gauges.each("probe_port_open", help, "port", self.port_by_port());
    }

    /// The listed ports, except those about which nothing is known.
    fn port_by_port(&self) -> Vec<(String, Value)> {
        let (Some(report), Some(listed)) = (self.report(), self.listed_ports()) else {
            return Vec::new();
        };
        let open = &report.facts.open_ports;
        let known = listed.iter().filter_map(|port| {
            let is_open = open.binary_search(&port).is_ok();
            let is_known = is_open || report.facts.is_complete();
            is_known.then(|| (port.to_string(), Value::flag(is_open)))
        });
        known.collect()
    }

    /// All ports if they are few, or else those that ought to be open.
    fn listed_ports(&self) -> Option<&PortSet> {
        let expectation = self.request.expectation.as_ref();
        let expected = expectation.and_then(Expectation::ports);
        [Some(&self.request.ports), expected]
            .into_iter()
            .flatten()
            .find(|ports| ports.len() <= MOST_LISTED)
    }

    fn ports_by_state(&self) -> [(&'static str, u64); 4] {
        let Some(report) = self.report() else {
            // Of a host whose addresses are not known, as if it had one.
            let asked = u64::from(self.request.ports.len());
            return [("open", 0), ("closed", 0), ("filtered", 0), ("not-scanned", asked)];
        };
        let addresses = &report.facts.addresses;
        let total = |count: fn(&AddressFacts) -> u64| -> u64 { addresses.iter().map(count).sum() };
        [
            ("open", total(|address| address.open_ports.len() as u64)),
            ("closed", total(|address| address.closed.into())),
            ("filtered", total(|address| address.filtered.into())),
            ("not-scanned", total(|address| address.not_scanned.into())),
        ]
    }

    fn addresses_by_state(&self) -> [(&'static str, u64); 5] {
        let (addresses, left_out) = match &self.ended {
            Ended::Scanned { report, left_out } => (&report.facts.addresses[..], *left_out),
            Ended::NotResolved(_) | Ended::Busy(_) => (&[][..], 0),
        };
        ADDRESS_STATES.map(|state| {
            let count = addresses.iter().filter(|address| address_state(address) == state).count();
            (state, if state == LEFT_OUT { left_out as u64 } else { count as u64 })
        })
    }

    /// The address that blackbox_exporter would probe: the first of IPv6, or else the first.
    fn main_address(&self) -> Option<IpAddr> {
        let addresses = &self.checks.addresses;
        addresses.iter().find(|address| address.is_ipv6()).or(addresses.first()).copied()
    }
}

/// What came back from an address.
pub(super) fn address_state(address: &AddressFacts) -> &'static str {
    if address.accepts_everything {
        "accepts-everything"
    } else if address.answered() {
        "answered"
    } else if address.not_scanned > 0 {
        "not-scanned"
    } else {
        "silent"
    }
}

fn counted<const COUNT: usize>(
    counts: [(&'static str, u64); COUNT],
) -> impl Iterator<Item = (String, Value)> {
    counts.into_iter().map(|(text, count)| (text.to_owned(), Value::Whole(count)))
}

/// FNV-1a of the bytes of an address.
fn hash(address: IpAddr) -> u32 {
    let step = |hash: u32, &byte: &u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    match address {
        IpAddr::V4(address) => address.octets().iter().fold(0x811c_9dc5, step),
        IpAddr::V6(address) => address.octets().iter().fold(0x811c_9dc5, step),
    }
}

/// Every reason of a failure, so that an alert can name it.
const REASONS: [&str; 12] = [
    "busy",
    "not-resolved",
    "unexpected-port",
    "missing-port",
    "unreachable",
    "deadline",
    "no-descriptors",
    "no-memory",
    "no-source-ports",
    "no-neighbour-entries",
    "too-many-addresses",
    "unknown-error",
];

const ADDRESS_STATES: [&str; 5] =
    ["answered", "accepts-everything", "silent", "not-scanned", LEFT_OUT];

/// The addresses beyond the most that are scanned.
const LEFT_OUT: &str = "left-out";

/// The most unexpected ports that have a series: enough to see what kind of host it is.
const MOST_UNEXPECTED: usize = 16;

/// The most ports that have a series of their own. All other series together are 48.
const MOST_LISTED: u32 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hash_as_in_blackbox_exporter() {
        // What blackbox_exporter 0.23 prints for them.
        for (address, expected) in [("127.0.0.1", 3_668_918_509), ("::1", 1_751_717_746)] {
            assert_eq!(hash(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn every_failure_has_a_name_of_the_list() {
        for failure in [
            Failure::Busy,
            Failure::NotResolved,
            Failure::UnexpectedPort,
            Failure::MissingPort,
            Failure::Unreachable,
            Failure::Incomplete(IncompleteReason::Deadline),
            Failure::Incomplete(IncompleteReason::TooManyAddresses),
            Failure::Incomplete(IncompleteReason::NoRoute),
        ] {
            assert!(REASONS.contains(&failure.name()), "{failure:?}");
        }
    }
}
