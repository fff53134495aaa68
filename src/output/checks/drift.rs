//! What differs from an earlier report, as claims that it is as before.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Check, Claim, Group, Judgement, Rule};
use crate::drift::{Change, Drift, Kind, NotCompared};
use crate::expect::Origin;

impl Group<'_> {
    /// What changed on each host, and then what is known of the others.
    pub(crate) fn of_drift<'a>(drift: &'a Drift, baseline: Option<Origin<'a>>) -> Vec<Group<'a>> {
        let group =
            |host, checks| Group { host, origin: baseline, elapsed: Duration::ZERO, checks };
        let hosts = drift.changes.chunk_by(|one, other| one.host == other.host);
        let hosts = hosts.map(|of_host| {
            group(Some(of_host[0].host.as_str()), of_host.iter().map(Check::of_change).collect())
        });
        hosts.chain([group(None, rest(drift))]).collect()
    }
}

impl Check {
    fn of_change(change: &Change) -> Self {
        let Change { host, address, ports, from, to } = change;
        let rule = match change.kind() {
            Kind::Opened => Rule::PortOpened,
            Kind::Lost => Rule::PortLost,
            Kind::Shifted => Rule::PortsShifted,
        };
        let claim = Claim::Same { ports: ports.clone(), address: *address };
        let (from, to) = (from.name(), to.name());
        let why = match ports.len() {
            1 => format!("{} was {from}, and is {to}", claim.target(host)),
            _ => format!("{} were {from}, and are {to}", claim.target(host)),
        };
        Self { claim, judgement: Judgement::Broken(rule, why) }
    }
}

/// What is known of ports that did not change.
fn rest(drift: &Drift) -> Vec<Check> {
    let (short, unasked): (Vec<&NotCompared>, Vec<&NotCompared>) =
        drift.not_compared.iter().partition(|not| not.gap.is_shortfall());
    let judgement = match drift.compared {
        0 => Judgement::Unknown("no port could be compared".to_owned()),
        _ if !short.is_empty() => Judgement::Unknown(texts(&short)),
        _ => Judgement::Holds,
    };
    let mut checks = vec![Check { claim: Claim::NothingElseChanged, judgement }];
    if !unasked.is_empty() {
        let judgement = Judgement::NotJudged(texts(&unasked));
        checks.push(Check { claim: Claim::Compared, judgement });
    }
    checks
}

/// The first few of what was not compared, and how many there are.
fn texts(not_compared: &[&NotCompared]) -> String {
    let first = not_compared.iter().take(MOST_NAMED);
    let first = first.map(|not| not.text().trim_start_matches("? ").to_owned());
    let mut text = first.collect::<Vec<_>>().join("; ");
    let more = not_compared.len().saturating_sub(MOST_NAMED);
    if more > 0 {
        write!(text, "; and {more} more").expect("to a string");
    }
    text
}

/// What is named of what was not compared: a report may lack many hosts for many reasons,
/// and the message of a test case is read as a line.
const MOST_NAMED: usize = 4;
