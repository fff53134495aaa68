//! What a scan found, in the shape its readers get it.

use std::collections::BTreeMap;
use std::iter;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::expect::{Comparison, Expectation};
use crate::ports::PortSet;
use crate::scan::{AddressTally, Finding, Findings, PathTiming, Reason, ScanTiming};
use crate::services;

/// What a scan was about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The host as typed.
    pub domain: &'a str,
    /// The ports asked for.
    pub ports: &'a PortSet,
    /// Whether to give a row to every finding.
    pub details: bool,
    /// Which ports ought to be open.
    pub expectation: Option<&'a Expectation>,
    /// Addresses of the host that were not looked at.
    pub left_out: usize,
}

/// The result of one scan. The first four fields keep their meaning for ever.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The host as typed.
    pub domain: String,
    /// The lowest port asked for.
    pub from_port: u16,
    /// The highest port asked for.
    pub to_port: u16,
    /// The ports open on at least one address, in ascending order.
    pub open_ports: Vec<u16>,
    /// Whether every port asked for was scanned on every address.
    pub complete: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// How that compares with what was expected, if something was.
    #[serde(flatten)]
    pub comparison: Option<Comparison>,
    /// How long the scan took, name resolution aside, in milliseconds.
    pub elapsed_ms: f64,
    /// What was found on each address.
    pub addresses: Vec<AddressReport>,
    /// How the scan went about it.
    pub timing: TimingReport,
}

/// Why a scan took its time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimingReport {
    /// How often a port that never answered was asked.
    pub attempts: usize,
    /// The share of attempts at ports that answer which went unanswered.
    pub loss: f64,
    /// Probes in flight at once, at most.
    pub window: usize,
}

/// The way to an address that answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PathReport {
    /// The smoothed round-trip time, in milliseconds.
    pub rtt_ms: f64,
    /// How long a first attempt waited in the end, in milliseconds.
    pub timeout_ms: f64,
}

/// What was found on one address. The four counts add up to the number of
/// ports asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AddressReport {
    /// The address.
    pub address: IpAddr,
    /// The open ports, in ascending order.
    pub open_ports: OpenPorts,
    /// How many ports are closed.
    pub closed: u32,
    /// How many ports are filtered.
    pub filtered: u32,
    /// How many ports could not be scanned.
    pub not_scanned: u32,
    /// The filtered ports counted by reason, if there are any.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub filtered_by: BTreeMap<&'static str, u32>,
    /// The way to the address, if it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timing: Option<PathReport>,
    /// Set if the address accepts connections on ports that nobody uses, so that
    /// its open ports mean little.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub accepts_everything: bool,
    /// Every port that is not closed, if details were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<PortRows>,
}

/// The ports of an address that are open. They are read from the scan's own
/// findings, so that a report takes little memory, whatever it tells of.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenPorts(Findings);

/// A row for each finding on an address, likewise.
#[derive(Clone, Debug, PartialEq)]
pub struct PortRows(Findings);

/// One port that is not closed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PortReport {
    /// The port.
    pub port: u16,
    /// `open` or `filtered`.
    pub state: &'static str,
    /// Why, in nmap's words.
    pub reason: &'static str,
    /// The service that is registered for the port, if there is one.
    #[serde(flatten)]
    pub service: Option<Service>,
    /// From the attempt to its answer, in milliseconds, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
}

/// The name of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    /// The name.
    #[serde(rename = "service")]
    pub name: &'static str,
    /// How it is known, in nmap's words: `table` is a guess from the port's
    /// number.
    #[serde(rename = "service_method")]
    pub method: &'static str,
}

impl Report {
    /// The report on `subject`, from what was found on its addresses; `timing`
    /// has the ways to them in the same order.
    #[must_use]
    pub fn new(
        subject: &Subject<'_>,
        tallies: &[AddressTally],
        timing: &ScanTiming,
        elapsed: Duration,
    ) -> Self {
        let Subject { domain, ports, details, expectation, left_out } = *subject;
        let shortage = tallies.iter().find(|tally| tally.not_scanned > 0);
        let reason = match shortage {
            Some(tally) => Some(tally.shortage.map_or("unknown-error", |short| short.name())),
            None if left_out > 0 => Some("too-many-addresses"),
            None => None,
        };
        let paths = timing.paths.iter().copied().chain(iter::repeat(None));
        let addresses: Vec<AddressReport> = tallies
            .iter()
            .zip(paths)
            .map(|(tally, path)| AddressReport::new(tally, path, details))
            .collect();
        let open_ports = tallies.iter().map(|tally| tally.findings.open_ports()).collect();
        let open_ports: Vec<u16> = open_on_any(open_ports).collect();
        let complete = reason.is_none();
        Self {
            domain: domain.to_owned(),
            from_port: ports.first(),
            to_port: ports.last(),
            comparison: expectation.map(|expected| expected.compare(&open_ports, complete)),
            open_ports,
            complete,
            reason,
            elapsed_ms: milliseconds(elapsed),
            addresses,
            timing: TimingReport {
                attempts: timing.attempts,
                loss: (timing.loss * 1e4).round() / 1e4,
                window: timing.window,
            },
        }
    }

    /// The report on a host that was not scanned at all.
    #[must_use]
    pub fn not_scanned(subject: &Subject<'_>, reason: &'static str) -> Self {
        let mut report = Self::new(subject, &[], &ScanTiming::default(), Duration::ZERO);
        report.complete = false;
        report.reason = Some(reason);
        report.comparison = subject.expectation.map(|expected| expected.compare(&[], false));
        report
    }
}

impl AddressReport {
    /// Whether the address itself gave an answer.
    #[must_use]
    pub fn answered(&self) -> bool {
        self.closed > 0 || !self.open_ports.is_empty()
    }

    /// The rows, if details were asked for.
    pub fn rows(&self) -> impl Iterator<Item = PortReport> + '_ {
        self.ports.iter().flat_map(PortRows::iter)
    }

    fn new(tally: &AddressTally, path: Option<PathTiming>, details: bool) -> Self {
        let filtered_by = Reason::ALL
            .iter()
            .map(|reason| (reason.name(), tally.filtered[reason.index()]))
            .filter(|&(_, count)| count > 0)
            .collect();
        Self {
            address: tally.address,
            open_ports: OpenPorts(tally.findings.clone()),
            closed: tally.closed,
            filtered: tally.filtered_total(),
            not_scanned: tally.not_scanned,
            filtered_by,
            timing: path.map(|path| PathReport {
                rtt_ms: milliseconds(path.rtt),
                timeout_ms: milliseconds(path.timeout),
            }),
            accepts_everything: tally.accepts_everything,
            ports: details.then(|| PortRows(tally.findings.clone())),
        }
    }
}

impl OpenPorts {
    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.open_ports()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// What they are found in.
    #[must_use]
    pub fn findings(&self) -> &Findings {
        &self.0
    }

    /// Takes them all out.
    pub(crate) fn take(&mut self) -> Findings {
        let none = Findings::none(self.0.address());
        std::mem::replace(&mut self.0, none)
    }
}

impl PortRows {
    /// In ascending order of the ports.
    pub fn iter(&self) -> impl Iterator<Item = PortReport> + '_ {
        self.0.iter().map(|finding| PortReport::new(&finding))
    }

    /// Takes them all out.
    pub(crate) fn take(&mut self) -> Findings {
        let none = Findings::none(self.0.address());
        std::mem::replace(&mut self.0, none)
    }
}

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
    #[must_use]
    pub fn new(finding: &Finding) -> Self {
        Self {
            port: finding.port,
            state: finding.state.name(),
            reason: finding.reason.name(),
            service: Service::at(finding.port),
            rtt_ms: finding.rtt.map(milliseconds),
        }
    }
}

impl Service {
    /// What the number of a port lets one guess.
    #[must_use]
    pub fn at(port: u16) -> Option<Self> {
        services::registered(port).map(|name| Self { name, method: "table" })
    }
}

/// The ports that are open on at least one of several addresses, each once and in
/// ascending order.
pub(crate) fn open_on_any<I: Iterator<Item = u16>>(addresses: Vec<I>) -> impl Iterator<Item = u16> {
    let mut addresses: Vec<iter::Peekable<I>> =
        addresses.into_iter().map(Iterator::peekable).collect();
    iter::from_fn(move || {
        let next = addresses.iter_mut().filter_map(|ports| ports.peek().copied()).min()?;
        for ports in &mut addresses {
            ports.next_if_eq(&next);
        }
        Some(next)
    })
}

/// Milliseconds to three places: a microsecond is what the clock is good for.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
