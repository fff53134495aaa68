//! What ought to be so on each host, one claim at a time, and whether it is. The formats
//! for CI systems write these.
//!
//! A claim about something that was not scanned is unknown. No format may show an unknown
//! claim as passed, and a run with one must not look green.

mod drift;
mod reach;
mod rule;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

pub(super) use self::reach::in_words;
pub(crate) use self::rule::Rule;
use super::judge::Closing;
use crate::expect::Origin;
use crate::ports::PortSet;
use crate::report::{AddressFacts, Facts, IncompleteReason, Report, Summary};
use crate::scan::PortState;

/// The claims about one host, or about the run as a whole.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group<'a> {
    /// The host, if it is about one.
    pub(crate) host: Option<&'a str>,
    /// Where the claims were written.
    pub(crate) origin: Option<Origin<'a>>,
    /// How long it took to judge them.
    pub(crate) elapsed: Duration,
    /// In the order of the ports.
    pub(crate) checks: Vec<Check>,
}

/// A claim, and whether it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What ought to be so.
    pub(crate) claim: Claim,
    /// Whether it is.
    pub(crate) judgement: Judgement,
}

/// What ought to be so. It reads the same in every run, so that CI systems know it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// This port is open.
    Open(u16),
    /// This port is not open.
    NotOpen(u16),
    /// No port is open but those that other claims name.
    NothingElse,
    /// Something is expected of the host.
    Expected,
    /// These ports are in the state in which they were.
    Same {
        /// The ports.
        ports: PortSet,
        /// The address of the host, if it has several.
        address: Option<IpAddr>,
    },
    /// All ports are in the state in which they were, but those that other claims name.
    NothingElseChanged,
    /// Both reports have all ports.
    Compared,
    /// This target, with its port, is reached.
    Reaches(String),
    /// This target, with its port, is not reached.
    DoesNotReach(String),
    /// Everything was scanned.
    Whole,
    /// Something was judged.
    Judged,
}

/// Whether a claim is true, with a sentence if that is not simply so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is.
    Holds,
    /// It is not.
    Broken(Rule, String),
    /// Nobody knows: something was not scanned.
    Unknown(String),
    /// Nobody asked.
    NotJudged(String),
}

impl Group<'_> {
    /// What is claimed about the host of `report`, as far as something is expected of it.
    pub(crate) fn of<'a>(report: &'a Report, origin: Option<Origin<'a>>) -> Group<'a> {
        let elapsed = Duration::try_from_secs_f64(report.effort.elapsed_ms / 1e3);
        Group {
            host: Some(&report.facts.domain),
            origin,
            elapsed: elapsed.unwrap_or_default(),
            checks: checks(report),
        }
    }

    /// A host of which something is expected, and on which there is no report.
    pub(crate) fn unvisited<'a>(
        host: &'a str,
        origin: Option<Origin<'a>>,
        why: &Summary,
    ) -> Group<'a> {
        let judgement = match why.reason {
            Some(reason) => Judgement::Unknown(format!("{host} was not scanned ({reason})")),
            None => Judgement::NotJudged(format!("{host} is excluded, or in another shard")),
        };
        let checks = vec![Check { claim: Claim::NothingElse, judgement }];
        Group { host: Some(host), origin, elapsed: Duration::ZERO, checks }
    }

    /// The run as a whole, in which so many hosts were judged.
    pub(super) fn whole<'a>(
        closing: &Closing<'_>,
        judged: u64,
        origin: Option<Origin<'a>>,
    ) -> Group<'a> {
        let whole = match &closing.incomplete {
            None => Judgement::Holds,
            Some(why) => Judgement::Unknown(why.clone()),
        };
        let mut checks = vec![Check { claim: Claim::Whole, judgement: whole }];
        if judged == 0 {
            let why = "nothing is expected of any host".to_owned();
            let judgement = Judgement::Broken(Rule::NothingExpected, why);
            checks.push(Check { claim: Claim::Judged, judgement });
        }
        Group { host: None, origin, elapsed: closing.elapsed, checks }
    }
}

impl Check {
    /// The rule that it breaks.
    pub(super) fn broken(&self) -> Option<(Rule, &str)> {
        match &self.judgement {
            Judgement::Broken(rule, why) => Some((*rule, why)),
            Judgement::Unknown(why) => Some((Rule::NotScanned, why)),
            Judgement::Holds | Judgement::NotJudged(_) => None,
        }
    }
}

impl Claim {
    /// The port that it is about.
    pub(super) fn port(&self) -> Option<u16> {
        match self {
            Self::Open(port) | Self::NotOpen(port) => Some(*port),
            Self::Same { ports, .. } if ports.len() == 1 => Some(ports.first()),
            _ => None,
        }
    }

    /// What it is about: a port of `host`, several, or the host.
    pub(super) fn target(&self, host: &str) -> String {
        let target = target(host, self.port());
        match self {
            Self::Same { ports, address } => {
                let several =
                    if ports.len() == 1 { String::new() } else { format!(": ports {ports}") };
                let at = address.map_or(String::new(), |address| format!(" ({address})"));
                format!("{target}{several}{at}")
            }
            Self::Reaches(target) | Self::DoesNotReach(target) => format!("{host} => {target}"),
            _ => target,
        }
    }

    /// What kind of thing it is about.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Reaches(_) | Self::DoesNotReach(_) => "port",
            _ if self.port().is_some() => "port",
            _ => "host",
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(port) => write!(f, "port {port} is open"),
            Self::NotOpen(port) => write!(f, "port {port} is not open"),
            Self::NothingElse => f.write_str("no other port is open"),
            Self::Expected => f.write_str("something is expected"),
            Self::Same { ports, address } => {
                let at = address.map_or(String::new(), |address| format!(" of {address}"));
                match ports.len() {
                    1 => write!(f, "port {ports}{at} is as before"),
                    _ => write!(f, "ports {ports}{at} are as before"),
                }
            }
            Self::NothingElseChanged => f.write_str("no other port changed"),
            Self::Compared => f.write_str("every port was compared"),
            Self::Reaches(target) => write!(f, "reaches {target}"),
            Self::DoesNotReach(target) => write!(f, "does not reach {target}"),
            Self::Whole => f.write_str("everything was scanned"),
            Self::Judged => f.write_str("something was judged"),
        }
    }
}

impl Rule {
    /// Every rule.
    pub(super) const ALL: [Self; 10] = [
        Self::UnexpectedPort,
        Self::MissingPort,
        Self::NotScanned,
        Self::PortOpened,
        Self::PortLost,
        Self::PortsShifted,
        Self::NothingExpected,
        Self::UnexpectedReach,
        Self::MissingReach,
        Self::Unproved,
    ];

    /// Its name, which never changes.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::UnexpectedPort => "unexpected-port",
            Self::MissingPort => "missing-port",
            Self::NotScanned => "not-scanned",
            Self::PortOpened => "opened-port",
            Self::PortLost => "lost-port",
            Self::PortsShifted => "shifted-ports",
            Self::NothingExpected => "nothing-expected",
            Self::UnexpectedReach => "unexpected-reach",
            Self::MissingReach => "missing-reach",
            Self::Unproved => "unproved",
        }
    }

    /// What is wrong, in a few words.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::UnexpectedPort => "Unexpected open port",
            Self::MissingPort => "Expected port is not open",
            Self::NotScanned => "Not scanned",
            Self::PortOpened => "Port opened",
            Self::PortLost => "Port is open no longer",
            Self::PortsShifted => "Ports answer differently",
            Self::NothingExpected => "Nothing is expected",
            Self::UnexpectedReach => "Reached, and ought to be denied",
            Self::MissingReach => "Not reached, and ought to be",
            Self::Unproved => "As expected, but unproved",
        }
    }

    /// What that means.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::UnexpectedPort => {
                "A port is open that is not among the expected ports of its host. Close it, or \
                 expect it."
            }
            Self::MissingPort => {
                "A port that is expected to be open is closed or filtered. Start its service, let \
                 connections through, or expect it no longer."
            }
            Self::NotScanned => {
                "Something was not scanned, so it is not known whether it is as expected. This is \
                 no finding about a port; scan again."
            }
            Self::PortOpened => "A port is open that was closed or filtered in the earlier report.",
            Self::PortLost => "A port is closed or filtered that was open in the earlier report.",
            Self::PortsShifted => {
                "Ports were closed and are filtered, or the reverse: a firewall may have changed."
            }
            Self::NothingExpected => {
                "Nothing is expected of any host that was scanned, so nothing was judged."
            }
            Self::UnexpectedReach => {
                "A vantage reaches a port that a rule denies. Mend the policy, or the rule."
            }
            Self::MissingReach => {
                "A vantage does not reach a port that a rule allows. Mend the policy, start the \
                 service, or change the rule."
            }
            Self::Unproved => {
                "A port is denied as expected, but nobody could open it, not even its own host: it \
                 would look the same if nothing listened there."
            }
        }
    }
}

/// `host:port`, or the host alone.
pub(super) fn target(host: &str, port: Option<u16>) -> String {
    match port {
        // An IPv6 address takes brackets, as in a URL (RFC 3986, section 3.2.2).
        Some(port) if host.contains(':') => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn checks(Report { facts, comparison, .. }: &Report) -> Vec<Check> {
    let host = &facts.domain;
    let Some(comparison) = comparison else {
        let judgement = match why_not_scanned(facts) {
            Some(why) => Judgement::Unknown(format!("{host}: {why}")),
            None => Judgement::NotJudged(format!("nothing is expected of {host}")),
        };
        return vec![Check { claim: Claim::Expected, judgement }];
    };
    let open =
        facts.open_ports.iter().map(|&port| match comparison.unexpected.binary_search(&port) {
            Ok(_) => {
                let why = format!("{} is open and not expected", target(host, Some(port)));
                let judgement = Judgement::Broken(Rule::UnexpectedPort, why);
                Check { claim: Claim::NotOpen(port), judgement }
            }
            Err(_) => Check { claim: Claim::Open(port), judgement: Judgement::Holds },
        });
    let missing = comparison.missing.iter().map(|&port| {
        let target = target(host, Some(port));
        let judgement = match instead_of_open(facts, port) {
            Some(state) => {
                Judgement::Broken(Rule::MissingPort, format!("{target} is expected, and {state}"))
            }
            None => {
                let why = why_not_scanned(facts).unwrap_or_default();
                Judgement::Unknown(format!("it is not known whether {target} is open: {why}"))
            }
        };
        Check { claim: Claim::Open(port), judgement }
    });
    let mut checks: Vec<Check> = open.chain(missing).collect();
    checks.sort_by_key(|check| check.claim.port());
    let claim = Claim::NothingElse;
    if let Some(why) = why_not_scanned(facts) {
        let judgement = Judgement::Unknown(format!("{host}: {why}"));
        checks.push(Check { claim, judgement });
    } else if comparison.unexpected.is_empty() {
        checks.push(Check { claim, judgement: Judgement::Holds });
    }
    checks
}

/// Why something on the host was not scanned, in words.
fn why_not_scanned(facts: &Facts) -> Option<String> {
    let reason = facts.reason?;
    if let Some(rule) = &facts.rule {
        return Some(format!("not scanned ({reason}: {rule})"));
    }
    let ports: u64 = facts.addresses.iter().map(|address| u64::from(address.not_scanned)).sum();
    Some(match ports {
        0 if facts.addresses.is_empty() => format!("not scanned ({reason})"),
        0 => format!("not all was scanned ({reason})"),
        1 => format!("1 port was not scanned ({reason})"),
        _ => format!("{ports} ports were not scanned ({reason})"),
    })
}

/// How it is known that `port` is not open: its state, on all addresses. `None` if that
/// is not known.
fn instead_of_open(facts: &Facts, port: u16) -> Option<&'static str> {
    let has_state = |address: &AddressFacts| {
        address.not_scanned == 0 || address.rows().any(|row| row.port == port)
    };
    let is_known = match facts.reason {
        None => true,
        // An address that was left out may have it open.
        Some(_) if !facts.left_out.is_empty() => false,
        // The states are those of a machine that could not ask.
        Some(IncompleteReason::NoRoute) => false,
        Some(_) => !facts.addresses.is_empty() && facts.addresses.iter().all(has_state),
    };
    if !is_known {
        return None;
    }
    let is_filtered = |address: &AddressFacts| {
        let is_row = |state| address.rows().any(|row| row.port == port && row.state == state);
        address.closed == 0 || is_row(PortState::Filtered)
    };
    let is_closed = |address: &AddressFacts| address.filtered == 0;
    Some(match &facts.addresses[..] {
        addresses if addresses.iter().all(is_closed) => "closed",
        addresses if addresses.iter().all(is_filtered) => "filtered",
        _ => "closed or filtered",
    })
}
