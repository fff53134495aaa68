//! What a scan found, in the shape its readers get.
//!
//! A report keeps facts (what was found) separate from effort (how long it took,
//! how often ports were asked), so that two reports of one host can be compared
//! for what they found. It is written as JSON, and read back from it.

mod digest;
mod document;
mod merge;
mod progress;
mod read;
mod reason;
mod records;
mod rows;
mod shard;
mod summary;
mod target_group;

use std::collections::BTreeMap;
use std::iter;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use self::digest::FactsDigest;
pub(crate) use self::merge::{Merge, Source};
pub(crate) use self::progress::{Meter, ProgressReport};
pub(crate) use self::read::{Form, Piece, ReadError, read};
pub(crate) use self::reason::IncompleteReason;
pub(crate) use self::records::{End, HostRecord, Record};
pub(crate) use self::rows::{OpenPorts, PortReport, PortRows, Service};
pub(crate) use self::shard::ShardLabel;
pub(crate) use self::summary::Summary;
pub(crate) use self::target_group::TargetGroup;
use crate::expect::{Comparison, Expectation};
use crate::ports::PortSet;
use crate::scan::{AddressTally, Bound, PathTiming, Reason, ScanTiming};

/// What a scan was about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// The host as typed.
    pub(crate) domain: &'a str,
    /// The ports asked for.
    pub(crate) ports: &'a PortSet,
    /// Whether every finding gets a row.
    pub(crate) details: bool,
    /// Which ports ought to be open.
    pub(crate) expectation: Option<&'a Expectation>,
    /// Addresses of the host that were not scanned because it has too many.
    pub(crate) left_out: &'a [IpAddr],
}

/// The result of one scan.
///
/// As JSON it is one flat object, see [`document::Document`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "document::Written", try_from = "document::Read")]
pub(crate) struct Report {
    /// What was found.
    pub(crate) facts: Facts,
    /// How that differs from what was expected, if something was.
    pub(crate) comparison: Option<Comparison>,
    /// What it took to find it.
    pub(crate) effort: Effort,
}

/// What was found. Equal facts may come from scans that took different times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The host as typed.
    pub(crate) domain: String,
    /// The lowest port asked for.
    pub(crate) from_port: u16,
    /// The highest port asked for.
    pub(crate) to_port: u16,
    /// The ports open on at least one address, in ascending order.
    pub(crate) open_ports: Vec<u16>,
    /// Why some ports were not scanned; `None` if all were, on every address.
    pub(crate) reason: Option<IncompleteReason>,
    /// The rule of policy that refused the host.
    pub(crate) rule: Option<String>,
    /// What was found on each address.
    pub(crate) addresses: Vec<AddressFacts>,
    /// Addresses that were not scanned because the host has too many, in ascending order.
    pub(crate) left_out: Vec<IpAddr>,
}

/// What was found on one address. The open ports and the three counts add up to
/// the number of ports asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddressFacts {
    /// The address.
    pub(crate) address: IpAddr,
    /// The open ports, in ascending order.
    pub(crate) open_ports: OpenPorts,
    /// How many ports are closed.
    pub(crate) closed: u32,
    /// How many ports are filtered.
    pub(crate) filtered: u32,
    /// How many ports could not be scanned.
    pub(crate) not_scanned: u32,
    /// The filtered ports counted by reason; reasons without a port are absent.
    pub(crate) filtered_by: BTreeMap<Reason, u32>,
    /// Whether the address accepts connections on ports that nobody uses, so that
    /// its open ports mean little.
    pub(crate) accepts_everything: bool,
    /// Every port that is not closed, if details were asked for.
    pub(crate) ports: Option<PortRows>,
}

/// What a scan took to find its facts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Effort {
    /// How long the scan took without name resolution, in milliseconds.
    pub(crate) elapsed_ms: f64,
    /// How often a port that never answered was asked.
    pub(crate) attempts: usize,
    /// The share of attempts at answering ports that got no answer.
    pub(crate) loss: f64,
    /// The largest number of probes that were in flight at once.
    pub(crate) max_in_flight: usize,
    /// What took most of the time, if the scan took long enough for that to matter.
    pub(crate) bound_by: Option<Bound>,
    /// The path to each address that answered, in the order of the addresses.
    pub(crate) paths: Vec<Option<PathEffort>>,
}

/// The path to an address that answered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PathEffort {
    /// The smoothed round-trip time, in milliseconds.
    pub(crate) rtt_ms: f64,
    /// How long a first attempt waited in the end, in milliseconds.
    pub(crate) timeout_ms: f64,
}

impl Report {
    /// The report on `subject`, from what was found on its addresses; `timing`
    /// has the paths to them in the same order.
    pub(crate) fn new(
        subject: &Subject<'_>,
        tallies: &[AddressTally],
        timing: &ScanTiming,
        elapsed: Duration,
    ) -> Self {
        let open_ports = tallies.iter().map(|tally| tally.findings.open_ports()).collect();
        let facts = Facts {
            domain: subject.domain.to_owned(),
            from_port: subject.ports.first(),
            to_port: subject.ports.last(),
            open_ports: open_on_any(open_ports).collect(),
            reason: incomplete_reason(tallies, !subject.left_out.is_empty()),
            rule: None,
            addresses: tallies
                .iter()
                .map(|tally| AddressFacts::new(tally, subject.details))
                .collect(),
            left_out: subject.left_out.to_vec(),
        };
        Self::compared(facts, Effort::new(timing, tallies.len(), elapsed), subject)
    }

    /// The report on a host that was not scanned at all.
    pub(crate) fn not_scanned(subject: &Subject<'_>, reason: IncompleteReason) -> Self {
        let Self { facts, effort, .. } =
            Self::new(subject, &[], &ScanTiming::default(), Duration::ZERO);
        Self::compared(Facts { reason: Some(reason), ..facts }, effort, subject)
    }

    /// Takes in that something was not scanned although every port has a state.
    pub(crate) fn leave_incomplete(&mut self, reason: IncompleteReason) {
        self.facts.reason = Some(reason);
        if let Some(comparison) = &mut self.comparison {
            comparison.as_expected = false;
        }
    }

    fn compared(facts: Facts, effort: Effort, subject: &Subject<'_>) -> Self {
        let comparison = subject
            .expectation
            .map(|expected| expected.compare(&facts.open_ports, facts.is_complete()));
        Self { facts, comparison, effort }
    }
}

impl Facts {
    /// Whether every port asked for was scanned on every address.
    pub(crate) fn is_complete(&self) -> bool {
        self.reason.is_none()
    }
}

impl AddressFacts {
    /// Whether the address itself gave an answer.
    pub(crate) fn answered(&self) -> bool {
        self.closed > 0 || !self.open_ports.is_empty()
    }

    /// The rows, if details were asked for.
    pub(crate) fn rows(&self) -> impl Iterator<Item = PortReport> + '_ {
        self.ports.iter().flat_map(PortRows::iter)
    }

    fn new(tally: &AddressTally, details: bool) -> Self {
        let filtered_by = Reason::ALL
            .into_iter()
            .map(|reason| (reason, tally.filtered[reason.index()]))
            .filter(|&(_, count)| count > 0)
            .collect();
        Self {
            address: tally.address,
            open_ports: OpenPorts::new(tally.findings.clone()),
            closed: tally.closed,
            filtered: tally.filtered_total(),
            not_scanned: tally.not_scanned,
            filtered_by,
            accepts_everything: tally.accepts_everything,
            ports: details.then(|| PortRows::new(tally.findings.clone())),
        }
    }
}

impl Effort {
    fn new(timing: &ScanTiming, addresses: usize, elapsed: Duration) -> Self {
        let paths = timing.paths.iter().copied().chain(iter::repeat(None)).take(addresses);
        Self {
            elapsed_ms: milliseconds(elapsed),
            attempts: timing.attempts,
            loss: (timing.loss * 1e4).round() / 1e4,
            max_in_flight: timing.max_in_flight,
            bound_by: timing.bound_by.filter(|_| elapsed >= LONG),
            paths: paths.map(|path| path.map(PathEffort::new)).collect(),
        }
    }
}

impl PathEffort {
    fn new(path: PathTiming) -> Self {
        Self { rtt_ms: milliseconds(path.rtt), timeout_ms: milliseconds(path.timeout) }
    }
}

fn incomplete_reason(tallies: &[AddressTally], is_cut: bool) -> Option<IncompleteReason> {
    match tallies.iter().find(|tally| tally.not_scanned > 0) {
        Some(AddressTally { shortage: Some(shortage), .. }) => Some((*shortage).into()),
        Some(AddressTally { shortage: None, .. }) => Some(IncompleteReason::UnknownError),
        None => is_cut.then_some(IncompleteReason::TooManyAddresses),
    }
}

/// What bounds a scan that is shorter need not be known.
pub(crate) const LONG: Duration = Duration::from_secs(1);

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

/// Milliseconds to three places: the clock is good for a microsecond.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests;
