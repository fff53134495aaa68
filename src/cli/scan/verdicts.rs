//! What people read below the results: whether the open ports are the expected ones,
//! and why hosts may not have answered.

use crate::expect::Comparison;
use crate::output::{Verdict, grouped};
use crate::report::{AddressFacts, Report};
use crate::scan::{Reason, has_route};
use crate::targets::{HostPosition, TypedOrder};

/// Whether the open ports of each host are the expected ones.
pub(super) struct Verdicts {
    /// Whether each needs the name of its host.
    several: bool,
    verdicts: Vec<(HostPosition, Verdict)>,
    met: u64,
    not_met: u64,
    unknown: u64,
}

impl Verdicts {
    /// None so far. `several` is whether several hosts are scanned.
    pub(super) fn new(several: bool) -> Self {
        Self { several, verdicts: Vec::new(), met: 0, not_met: 0, unknown: 0 }
    }

    /// Adds the verdict on a host, if something was expected of it.
    pub(super) fn add(&mut self, report: &Report, order: &TypedOrder) {
        let Some(comparison) = &report.comparison else { return };
        let host = &report.facts.domain;
        let text = |text: String| if self.several { format!("{host}: {text}") } else { text };
        let (count, verdict) = if comparison.as_expected {
            let open = ports(&report.facts.open_ports);
            (&mut self.met, Verdict::Met(text(format!("as expected: {open} open"))))
        } else if comparison.differs() {
            (&mut self.not_met, Verdict::NotMet(text(difference(comparison))))
        } else {
            let why = "not known whether as expected: some ports were not scanned";
            (&mut self.unknown, Verdict::Unknown(text(why.to_owned())))
        };
        *count += 1;
        if *count <= MOST_VERDICTS {
            self.verdicts.push((order.position(host), verdict));
        }
    }

    /// The verdicts in the order of the hosts; of very many only the number.
    pub(super) fn into_lines(mut self) -> Vec<Verdict> {
        self.verdicts.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut lines: Vec<Verdict> =
            self.verdicts.into_iter().map(|(_, verdict)| verdict).collect();
        let more = |count: u64, what: &str| {
            let more = count.saturating_sub(MOST_VERDICTS);
            (more > 0).then(|| format!("{} more hosts {what}", grouped(more)))
        };
        lines.extend(more(self.met, "as expected").map(Verdict::Met));
        lines.extend(more(self.not_met, "not as expected").map(Verdict::NotMet));
        lines.extend(more(self.unknown, "not known").map(Verdict::Unknown));
        lines
    }
}

/// What may be wrong with the addresses of a host that gave no answer at all.
pub(super) fn unanswered(report: &Report) -> impl Iterator<Item = String> + '_ {
    let host = &report.facts.domain;
    report.facts.addresses.iter().filter_map(move |facts| {
        let address = facts.address.to_string();
        let name = if *host == address { address } else { format!("{host} ({address})") };
        if is_without_route(facts) {
            return Some(format!("this machine has no route to {name}"));
        }
        match only_reason(facts)? {
            Reason::NoResponse => {
                Some(format!("no answer from {name} at all: is there a route, a VPN?"))
            }
            Reason::HostUnreach => {
                Some(format!("{name} cannot be reached: nobody there answers, or a router refuses"))
            }
            _ => None,
        }
    })
}

/// Whether nothing could be asked at any address of a host, because this machine has no
/// route to it.
pub(super) fn is_unrouted(report: &Report) -> bool {
    let addresses = &report.facts.addresses;
    !addresses.is_empty() && addresses.iter().all(is_without_route)
}

// A router, or a rule of a firewall, may have answered with the same reason.
fn is_without_route(facts: &AddressFacts) -> bool {
    only_reason(facts) == Some(Reason::NetUnreach) && !has_route(facts.address)
}

/// The reason for which every port of an address is filtered.
fn only_reason(facts: &AddressFacts) -> Option<Reason> {
    let mut reasons = facts.filtered_by.keys();
    let reason = *reasons.next()?;
    let is_only = !facts.answered() && facts.not_scanned == 0 && reasons.next().is_none();
    is_only.then_some(reason)
}

/// How the open ports differ, in words.
fn difference(Comparison { unexpected, missing, .. }: &Comparison) -> String {
    let lists = [("unexpected", unexpected), ("missing", missing)];
    let lists = lists.iter().filter(|(_, ports)| !ports.is_empty());
    let lists = lists.map(|(what, list)| format!("{what}: {}", ports(list)));
    lists.collect::<Vec<_>>().join("; ")
}

fn ports(ports: &[u16]) -> String {
    let shown: Vec<String> = ports.iter().take(MOST_PORTS).map(u16::to_string).collect();
    let more = ports.len().saturating_sub(MOST_PORTS);
    match (shown.is_empty(), more) {
        (true, _) => "no port".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {} more", shown.join(", "), grouped(more as u64)),
    }
}

/// The verdicts of one kind that are printed; the others are counted.
const MOST_VERDICTS: u64 = 16;

/// The ports that a verdict names.
const MOST_PORTS: usize = 24;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::report::{IncompleteReason, Subject};
    use crate::scan::{AddressTally, Findings, ScanTiming};

    fn report(host: &str, expected: &str, open: &[u16], is_whole: bool) -> Report {
        let address = "192.0.2.1".parse().unwrap();
        let finding = |&port| crate::scan::Finding {
            address,
            port,
            state: crate::scan::PortState::Open,
            reason: Reason::SynAck,
            rtt: None,
        };
        let tally = AddressTally {
            address,
            findings: Findings::new(address, open.iter().map(finding)),
            open: u32::try_from(open.len()).unwrap(),
            closed: 1,
            filtered: Default::default(),
            not_scanned: u32::from(!is_whole),
            shortage: None,
            accepts_everything: false,
        };
        let (ports, expectation) = ("1-65535".parse().unwrap(), expected.parse().unwrap());
        let expectation = Some(&expectation);
        let subject =
            Subject { domain: host, ports: &ports, details: false, expectation, left_out: &[] };
        Report::new(&subject, &[tally], &ScanTiming::default(), Duration::ZERO)
    }

    fn lines(several: bool, reports: &[Report]) -> Vec<Verdict> {
        let mut verdicts = Verdicts::new(several);
        for report in reports {
            verdicts.add(report, &TypedOrder::default());
        }
        verdicts.into_lines()
    }

    #[test]
    fn a_verdict_names_the_ports() {
        for (expected, open, is_whole, verdict) in [
            ("22,443", &[22, 443][..], true, Verdict::Met("as expected: 22, 443 open".into())),
            ("none", &[], true, Verdict::Met("as expected: no port open".into())),
            (
                "22",
                &[8080, 9090],
                true,
                Verdict::NotMet("unexpected: 8080, 9090; missing: 22".into()),
            ),
            ("22", &[], false, Verdict::NotMet("missing: 22".into())),
            (
                "22",
                &[22],
                false,
                Verdict::Unknown(
                    "not known whether as expected: some ports were not scanned".into(),
                ),
            ),
        ] {
            assert_eq!(lines(false, &[report("web", expected, open, is_whole)]), [verdict]);
        }
        let many: Vec<u16> = (1..=1030).collect();
        let [Verdict::NotMet(text)] = &lines(false, &[report("web", "none", &many, true)])[..]
        else {
            panic!("many are unexpected")
        };
        assert!(text.ends_with("23, 24 and 1,006 more"), "{text}");
    }

    #[test]
    fn several_hosts_are_named_and_very_many_are_counted() {
        let host = |number: usize| report(&format!("web{number:02}"), "22", &[22], true);
        let hosts: Vec<Report> = (0..20).rev().map(host).collect();
        let lines = lines(true, &hosts);
        assert_eq!(lines.len(), 17);
        assert_eq!(lines[0], Verdict::Met("web04: as expected: 22 open".into()));
        assert_eq!(lines[16], Verdict::Met("4 more hosts as expected".into()));
        let nothing = Subject {
            domain: "gone",
            ports: &"22".parse().unwrap(),
            details: false,
            expectation: None,
            left_out: &[],
        };
        let nothing = Report::not_scanned(&nothing, IncompleteReason::NotResolved);
        assert_eq!(super::Verdicts::new(true).into_lines(), []);
        assert!(!is_unrouted(&nothing) && unanswered(&nothing).next().is_none());
    }

    #[test]
    fn an_address_that_gave_no_answer_is_named_with_what_may_be_wrong() {
        let with = |reason: Reason, closed| {
            let mut filtered = [0; Reason::ALL.len()];
            filtered[reason.index()] = 7;
            let address: IpAddr = "127.0.0.1".parse().unwrap();
            let tally = AddressTally {
                address,
                findings: Findings::none(address),
                open: 0,
                closed,
                filtered,
                not_scanned: 0,
                shortage: None,
                accepts_everything: false,
            };
            let ports = "1-7".parse().unwrap();
            let subject = Subject {
                domain: "web",
                ports: &ports,
                details: false,
                expectation: None,
                left_out: &[],
            };
            let report = Report::new(&subject, &[tally], &ScanTiming::default(), Duration::ZERO);
            unanswered(&report).collect::<Vec<String>>()
        };
        assert_eq!(
            with(Reason::NoResponse, 0),
            ["no answer from web (127.0.0.1) at all: is there a route, a VPN?"]
        );
        assert!(with(Reason::HostUnreach, 0)[0].starts_with("web (127.0.0.1) cannot be reached"));
        assert!(with(Reason::NoResponse, 1).is_empty(), "it refused a port");
        // There is a route to loopback, so somebody else gave that reason.
        assert!(with(Reason::NetUnreach, 0).is_empty());
    }
}
