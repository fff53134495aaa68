//! What a report of ours says about the ports of its host.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::facts::{Fact, Gap, HostFacts, PortFacts, State, Survey};
use crate::ports::PortSet;
use crate::report::{AddressFacts, IncompleteReason, Report, Summary};
use crate::scan::PortState;

impl Survey {
    /// Adds what a report says.
    pub(crate) fn add_report(&mut self, report: &Report) {
        self.add(&report.facts.domain, host(report));
    }

    /// Takes in what is known only at the end of a run: why hosts were not visited, and
    /// which `ports` were to be scanned.
    pub(crate) fn end(&mut self, summary: &Summary, ports: Option<&PortSet>) {
        if let Some(reason) = summary.reason
            && (summary.unvisited_hosts > 0 || !is_of_hosts(reason))
        {
            self.leave_out(Gap::NotScanned(reason.name()));
        }
        if let Some(ports) = ports {
            self.set_asked(&Arc::new(ports.clone()));
        }
    }
}

/// Whether a run is incomplete for this reason only because of hosts that its report names.
fn is_of_hosts(reason: IncompleteReason) -> bool {
    use IncompleteReason::*;
    let of_hosts = [TooManyAddresses, NotLookedUp, NotResolved, RefusedByPolicy, NoRoute];
    of_hosts.contains(&reason)
}

fn host(Report { facts, .. }: &Report) -> HostFacts {
    let reason = facts.reason.map_or(UNKNOWN, IncompleteReason::name);
    let too_many = IncompleteReason::TooManyAddresses;
    let gap = if facts.addresses.is_empty() {
        Some(reason)
    } else {
        // Reports of earlier versions do not have the addresses that were left out.
        let is_part = !facts.left_out.is_empty() || facts.reason == Some(too_many);
        is_part.then_some(too_many.name())
    };
    let gap = gap.map(Gap::NotScanned);
    let range = PortSet::try_range(facts.from_port, facts.to_port).ok().map(Arc::new);
    let addresses = facts.addresses.iter().map(|address| {
        let mut ports = ports(address, reason);
        // The range that a report names may have ports that were not asked for.
        ports.asked = range.clone().filter(|range| ports.count == Some(range.len()));
        if facts.reason == Some(IncompleteReason::NoRoute) {
            (ports.listed, ports.rest) = (Vec::new(), Err(Gap::NotScanned(reason)));
        }
        (address.address, ports)
    });
    HostFacts { addresses: addresses.collect::<BTreeMap<_, _>>(), together: None, gap }
}

fn ports(address: &AddressFacts, reason: &'static str) -> PortFacts {
    let open = PortSet::from_ports(address.open_ports.iter());
    let rows = address.rows().filter(|row| row.state == PortState::Filtered);
    let filtered = PortSet::from_ports(rows.map(|row| row.port));
    let filtered_rows = filtered.as_ref().map_or(0, PortSet::len);
    let open_count = u32::try_from(address.open_ports.len()).unwrap_or(u32::MAX);
    let counts = [open_count, address.closed, address.filtered, address.not_scanned];
    let rest = match (address.not_scanned, address.closed, address.filtered > filtered_rows) {
        (0, 0, _) => Ok(State::Filtered),
        (0, _, false) => Ok(State::Closed),
        (0, _, true) => Ok(State::NotOpen),
        _ => Err(Gap::NotScanned(reason)),
    };
    let listed = [(open, State::Open), (filtered, State::Filtered)].into_iter();
    let listed = listed.filter_map(|(ports, state)| Some((ports?, Fact::Ok(state))));
    PortFacts {
        asked: None,
        count: counts.into_iter().reduce(u32::saturating_add),
        listed: listed.collect(),
        rest,
    }
}

/// The reason of a report that gives none.
pub(super) const UNKNOWN: &str = "unknown";
