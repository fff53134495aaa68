//! Which rules are about which pair, and which of several wins.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Column, Pair, Part, Plan, Resolved, Seat, Wanted, is_itself};
use crate::matrix::peer::{Peer, Target};
use crate::matrix::rules::{Expected, Rule};
use crate::ports::PortSet;
use crate::targets::{AddressRange, HostAndPort, HostSpec};

pub(super) struct Builder<'a> {
    wanted: &'a Wanted,
    seats: Vec<Seat>,
    columns: Vec<Column>,
    /// The positions that a vantage or a target as written stands for.
    seats_of: Vec<(Peer, Vec<usize>)>,
    columns_of: Vec<(Target, Vec<usize>)>,
    /// The pairs that have cells whether or not a rule mentions them.
    listed: BTreeSet<(usize, usize)>,
    errors: Vec<String>,
}

/// A rule about a pair, before it is known which of several wins.
#[derive(Clone, Copy)]
struct Claimed<'a> {
    rule: &'a Rule,
    rank: u8,
}

impl<'a> Builder<'a> {
    pub(super) fn new(wanted: &'a Wanted, resolved: &Resolved) -> Self {
        let (mut seats, mut columns) = (Vec::new(), Vec::new());
        let mut known = HashMap::new();
        let seats_of = resolved.seats.iter().map(|(peer, of_peer)| {
            let positions = of_peer.iter().map(|seat| {
                *known.entry(seat.name.clone()).or_insert_with(|| {
                    seats.push(seat.clone());
                    seats.len() - 1
                })
            });
            (peer.clone(), positions.collect())
        });
        let seats_of = seats_of.collect();
        let mut known = HashMap::new();
        let columns_of = resolved.columns.iter().map(|(target, of_target)| {
            let positions = of_target.iter().map(|column| {
                let host = column.host.as_ref().ok().map(|target| target.host.to_string());
                let position = *known.entry((column.name.clone(), host)).or_insert_with(|| {
                    columns.push(column.clone());
                    columns.len() - 1
                });
                add_ports(&mut columns[position], column);
                position
            });
            (target.clone(), positions.collect())
        });
        let columns_of = columns_of.collect();
        let (listed, errors) = (BTreeSet::new(), Vec::new());
        let mut builder = Self { wanted, seats, columns, seats_of, columns_of, listed, errors };
        builder.listed = builder.listed();
        builder
    }

    fn listed(&self) -> BTreeSet<(usize, usize)> {
        let mut listed = BTreeSet::new();
        for peer in &self.wanted.from {
            for target in &self.wanted.to {
                let columns = self.columns_of(Some(target));
                for seat in self.seats_of(Some(peer)) {
                    listed.extend(columns.iter().map(|&column| (seat, column)));
                }
            }
        }
        listed
    }

    pub(super) fn build(mut self) -> Result<Plan, Vec<String>> {
        let by_pair = self.by_pair();
        let all = self.all_ports(&by_pair);
        let mut pairs = Vec::new();
        for ((seat, column), claims) in by_pair {
            let parts = self.parts((seat, column), claims, all[column].as_ref());
            pairs.push(Pair { seat, column, parts });
        }
        if self.columns.is_empty() || self.seats.is_empty() {
            self.errors.push("there is nothing to ask".into());
        }
        let sets: Vec<PortSet> = all.into_iter().flatten().collect();
        self.errors.dedup();
        match PortSet::union_of(&sets) {
            Some(ports) if self.errors.is_empty() => {
                let Self { seats, columns, .. } = self;
                Ok(Plan { seats, columns, ports, pairs })
            }
            _ => {
                if self.errors.is_empty() {
                    self.errors.push("no port is named: give ports with -p".into());
                }
                Err(self.errors)
            }
        }
    }

    /// The rules about each pair that has cells.
    fn by_pair(&self) -> BTreeMap<(usize, usize), Vec<Claimed<'a>>> {
        let mut pairs: BTreeMap<(usize, usize), Vec<Claimed<'a>>> = BTreeMap::new();
        for rule in &self.wanted.rules.rules {
            let (from, to) = (rank_of_peer(rule.from.as_ref()), rank_of_target(rule.to.as_ref()));
            for seat in self.seats_of(rule.from.as_ref()) {
                for &column in &self.columns_of(rule.to.as_ref()) {
                    // Whatever reaches a workload: it reaches itself.
                    if from.min(to) < EXACT && self.is_itself(seat, column) {
                        continue;
                    }
                    let claimed = Claimed { rule, rank: from + to };
                    pairs.entry((seat, column)).or_default().push(claimed);
                }
            }
        }
        for &pair in &self.listed {
            pairs.entry(pair).or_default();
        }
        if self.wanted.is_strict {
            for seat in 0..self.seats.len() {
                for column in 0..self.columns.len() {
                    if !self.is_itself(seat, column) {
                        pairs.entry((seat, column)).or_default();
                    }
                }
            }
        }
        pairs
    }

    /// The ports that are asked of each target: those that rules name, those of -p, and
    /// those that it is known to have.
    fn all_ports(
        &self,
        pairs: &BTreeMap<(usize, usize), Vec<Claimed<'_>>>,
    ) -> Vec<Option<PortSet>> {
        let mut sets: Vec<Vec<PortSet>> = Vec::new();
        for column in &self.columns {
            let known = column.host.as_ref().ok().and_then(|target| target.ports.clone());
            sets.push(known.into_iter().chain(self.wanted.ports.clone()).collect());
        }
        for ((_, column), claims) in pairs {
            let named = claims.iter().filter_map(|claimed| claimed.rule.claim.ports.clone());
            sets[*column].extend(named);
        }
        sets.iter().map(|sets| PortSet::union_of(sets)).collect()
    }

    /// What is expected of a pair, port by port. The more exact rule wins.
    fn parts(
        &mut self,
        (seat, column): (usize, usize),
        mut claims: Vec<Claimed<'a>>,
        all: Option<&PortSet>,
    ) -> Vec<Part> {
        claims.sort_by_key(|claimed| std::cmp::Reverse(claimed.rank));
        let mut parts: Vec<(Part, u8)> = Vec::new();
        for Claimed { rule, rank } in claims {
            let line = rule.line;
            let Some(ports) = rule.claim.ports.as_ref().or(all) else {
                let name = &self.columns[column].name;
                self.errors.push(format!(
                    "line {line}: no port of {name} is named; give ports with -p, or in another \
                     rule about it"
                ));
                continue;
            };
            let mut left = Some(ports.clone());
            for (part, of_rank) in &parts {
                let Some(mine) = left.clone() else { break };
                let Some(both) = mine.intersection(&part.ports) else { continue };
                if *of_rank == rank && part.expected != Some(rule.claim.expected) {
                    let (seat, column) = (&self.seats[seat].name, &self.columns[column].name);
                    let other = part.line.unwrap_or_default();
                    self.errors.push(format!(
                        "line {line}: contradicts line {other} about {seat} => {column} : TCP {both}"
                    ));
                }
                left = mine.difference(&part.ports);
            }
            if let Some(ports) = left {
                let expected = Some(rule.claim.expected);
                parts.push((Part { ports, expected, line: Some(line) }, rank));
            }
        }
        let mut parts: Vec<Part> = parts.into_iter().map(|(part, _)| part).collect();
        parts.extend(self.rest((seat, column), &parts, all));
        parts.sort_by_key(|part| part.ports.first());
        parts
    }

    /// The ports of a pair that no rule mentions, if they have cells.
    fn rest(
        &self,
        (seat, column): (usize, usize),
        parts: &[Part],
        all: Option<&PortSet>,
    ) -> Option<Part> {
        let is_listed = self.listed.contains(&(seat, column));
        let expected =
            (self.wanted.is_strict && !self.is_itself(seat, column)).then_some(Expected::Denied);
        if !is_listed && expected.is_none() {
            return None;
        }
        let named: Vec<PortSet> = parts.iter().map(|part| part.ports.clone()).collect();
        let ports = match PortSet::union_of(&named) {
            Some(named) => all?.difference(&named)?,
            None => all?.clone(),
        };
        Some(Part { ports, expected, line: None })
    }

    fn seats_of(&self, peer: Option<&Peer>) -> Vec<usize> {
        match peer {
            None => (0..self.seats.len()).collect(),
            Some(peer) => positions(&self.seats_of, peer),
        }
    }

    fn columns_of(&self, target: Option<&Target>) -> Vec<usize> {
        match target {
            None => (0..self.columns.len()).collect(),
            Some(target) => positions(&self.columns_of, target),
        }
    }

    fn is_itself(&self, seat: usize, column: usize) -> bool {
        is_itself(&self.seats[seat], &self.columns[column])
    }
}

fn positions<T: PartialEq>(known: &[(T, Vec<usize>)], wanted: &T) -> Vec<usize> {
    known.iter().find(|(one, _)| one == wanted).map(|(_, of)| of.clone()).unwrap_or_default()
}

/// A target may be written with several ports, in several rules.
fn add_ports(column: &mut Column, other: &Column) {
    if let (Ok(target), Ok(other)) = (&mut column.host, &other.host) {
        target.ports = match (target.ports.take(), &other.ports) {
            (Some(one), Some(other)) => Some(one.union(other)),
            (one, other) => one.or_else(|| other.clone()),
        };
    }
}

// A rule about one thing outranks a rule about many, on both sides.

fn rank_of_peer(peer: Option<&Peer>) -> u8 {
    match peer {
        None => 0,
        Some(peer) if peer.is_pattern() => 1,
        Some(_) => EXACT,
    }
}

fn rank_of_target(target: Option<&Target>) -> u8 {
    let is_one = |range: &AddressRange| range.span() == 0;
    match target {
        None => 0,
        Some(Target::Workload(workload)) if workload.is_pattern() => 1,
        Some(Target::Hosts(HostAndPort { hosts: HostSpec::Addresses(range), .. }))
            if !is_one(range) =>
        {
            1
        }
        Some(_) => EXACT,
    }
}

const EXACT: u8 = 2;
