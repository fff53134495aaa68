//! Compares two surveys.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::facts::{HostFacts, HostKey, PortFacts, State, Survey, without};
use super::{Change, Drift, Gap, Moved, NotCompared, Side};
use crate::ports::PortSet;

/// How `now` differs from `before`.
pub(crate) fn compare(before: &Survey, now: &Survey) -> Drift {
    let mut comparison = Comparison::default();
    for (then, later) in pairs(before, now) {
        match (then, later) {
            (Some((_, then)), Some((key, later))) => comparison.host(key, then, later),
            (Some((key, then)), None) => comparison.one_sided(key, then, (Side::Now, now.others)),
            (None, Some((key, later))) => {
                comparison.one_sided(key, later, (Side::Before, before.others));
            }
            (None, None) => {}
        }
    }
    comparison.into_drift()
}

type Named<'a> = (&'a HostKey, &'a HostFacts);

/// The hosts of both, those that are the same together. A host is the same by its name, or
/// by an address that no other host has there.
fn pairs<'a>(before: &'a Survey, now: &'a Survey) -> Vec<(Option<Named<'a>>, Option<Named<'a>>)> {
    let mut by_address: BTreeMap<IpAddr, Option<Named<'a>>> = BTreeMap::new();
    let unnamed = before.hosts.iter().filter(|(key, _)| !now.hosts.contains_key(key));
    for then in unnamed.clone() {
        for address in then.1.addresses.keys() {
            let several = by_address.contains_key(address);
            by_address.insert(*address, (!several).then_some(then));
        }
    }
    let mut taken: BTreeSet<&HostKey> = BTreeSet::new();
    let mut pairs = Vec::with_capacity(now.hosts.len());
    for (key, later) in &now.hosts {
        let named = before.hosts.get_key_value(key);
        let reached = || {
            let reached = later.addresses.keys().find_map(|address| *by_address.get(address)?);
            reached.filter(|(key, _)| taken.insert(key))
        };
        pairs.push((named.or_else(reached), Some((key, later))));
    }
    let gone = unnamed.filter(|(key, _)| !taken.contains(key));
    pairs.extend(gone.map(|then| (Some(then), None)));
    pairs
}

/// What is known so far.
#[derive(Default)]
struct Comparison {
    changes: Vec<(HostKey, Change)>,
    not_compared: BTreeMap<(Side, Gap, Option<PortSet>), BTreeSet<HostKey>>,
    moved: Vec<Moved>,
    compared: u64,
}

impl Comparison {
    fn host(&mut self, key: &HostKey, before: &HostFacts, now: &HostFacts) {
        let sides = [(Side::Before, before), (Side::Now, now)];
        let is_named = |facts: &HostFacts| facts.together.is_some();
        let same_addresses = before.addresses.keys().eq(now.addresses.keys());
        if same_addresses && !is_named(before) && !is_named(now) {
            for (address, then) in &before.addresses {
                let shown = (before.addresses.len() > 1).then_some(*address);
                self.ports((key, shown), then, &now.addresses[address]);
            }
            for (side, facts) in sides {
                self.leave_out(key, (side, facts.gap), None);
            }
            return;
        }
        let (Some(then), Some(later)) = (before.by_name(), now.by_name()) else {
            for (side, facts) in sides {
                let other = if side == Side::Now { before } else { now };
                self.leave_out(key, (side, facts.gap), other.by_name().and_then(|by| asked(&by)));
            }
            return;
        };
        if !is_named(before) && !is_named(now) {
            let (from, to) = (before.addresses.keys(), now.addresses.keys());
            let (from, to) = (from.copied().collect(), to.copied().collect());
            self.moved.push(Moved { host: key.text(), from, to });
        }
        let first = self.changes.len();
        self.ports((key, None), &then, &later);
        let found = self.changes[first..].iter().map(|(_, change)| change.ports.clone());
        let found = found.reduce(|one, other| one.union(&other));
        // An address that is in both may have lost a port that another one has.
        for (address, then) in &before.addresses {
            let Some(later) = now.addresses.get(address) else { continue };
            let mut alone = Self::default();
            alone.ports((key, Some(*address)), then, later);
            let is_new = |ports: &PortSet| {
                found.as_ref().is_none_or(|found| found.intersection(ports).is_none())
            };
            self.changes.extend(alone.changes.into_iter().filter(|(_, new)| is_new(&new.ports)));
        }
    }

    /// Compares the ports of an address, or of a host by name.
    fn ports(&mut self, host: (&HostKey, Option<IpAddr>), before: &PortFacts, now: &PortFacts) {
        let (key, _) = host;
        let (then, later) = (before.parts(), now.parts());
        for (ports, from) in &then {
            for (others, to) in &later {
                let Some(both) = ports.intersection(others) else { continue };
                match (*from, *to) {
                    (Ok(from), Ok(to)) => {
                        self.compared += u64::from(both.len());
                        if from.contradicts(to) {
                            self.change(host, both, (from, to));
                        }
                    }
                    (_, Err(gap)) => self.leave_out(key, (Side::Now, Some(gap)), Some(both)),
                    (Err(gap), _) => self.leave_out(key, (Side::Before, Some(gap)), Some(both)),
                }
            }
        }
        let unasked = [(Side::Now, &then, &later, now), (Side::Before, &later, &then, before)];
        for (side, parts, others, facts) in unasked {
            for (ports, _) in parts {
                if let Some(alone) = without(ports, others) {
                    self.leave_out(key, (side, Some(facts.outside())), Some(alone));
                }
            }
        }
    }

    fn change(
        &mut self,
        (key, address): (&HostKey, Option<IpAddr>),
        ports: PortSet,
        (from, to): (State, State),
    ) {
        let mut add = |ports| {
            let change = Change { host: key.text(), address, ports, from, to };
            self.changes.push((key.clone(), change));
        };
        if from == State::Open || to == State::Open {
            let single = |port| PortSet::try_range(port, port).expect("a port of a set");
            ports.iter().map(single).for_each(add);
        } else {
            add(ports);
        }
    }

    /// A host that only one report has.
    fn one_sided(&mut self, key: &HostKey, facts: &HostFacts, (side, gap): (Side, Gap)) {
        let ports = facts.by_name().and_then(|facts| asked(&facts));
        self.leave_out(key, (side, Some(gap)), ports);
    }

    fn leave_out(
        &mut self,
        key: &HostKey,
        (side, gap): (Side, Option<Gap>),
        ports: Option<PortSet>,
    ) {
        let Some(gap) = gap else { return };
        let hosts = self.not_compared.entry((side, gap, ports)).or_default();
        hosts.insert(key.clone());
    }

    fn into_drift(mut self) -> Drift {
        let port = |change: &Change| (change.ports.first(), change.address);
        self.changes.sort_by(|(one, first), (other, second)| {
            one.cmp(other).then_with(|| port(first).cmp(&port(second)))
        });
        Drift {
            changes: self.changes.into_iter().map(|(_, change)| change).collect(),
            not_compared: joined(self.not_compared),
            moved: self.moved,
            compared: self.compared,
        }
    }
}

/// Every port that a report has something on.
fn asked(facts: &PortFacts) -> Option<PortSet> {
    facts.asked.as_deref().cloned()
}

/// The sets of ports that the same hosts lack for the same reason, as one.
fn joined(found: BTreeMap<(Side, Gap, Option<PortSet>), BTreeSet<HostKey>>) -> Vec<NotCompared> {
    let mut of_hosts: BTreeMap<(Side, Gap, BTreeSet<HostKey>), Option<PortSet>> = BTreeMap::new();
    for ((side, gap, ports), hosts) in found {
        of_hosts
            .entry((side, gap, hosts))
            .and_modify(|joined| {
                *joined = match (joined.take(), &ports) {
                    (Some(one), Some(other)) => Some(one.union(other)),
                    _ => None,
                };
            })
            .or_insert(ports);
    }
    let not_compared = of_hosts.into_iter().map(|((missing, gap, hosts), ports)| {
        let hosts = hosts.iter().map(HostKey::text).collect();
        NotCompared { hosts, ports, missing, gap }
    });
    not_compared.collect()
}
