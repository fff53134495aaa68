//! From rules to cells: which vantage is judged on which ports of which target, and what
//! every vantage is asked.
//!
//! Every vantage is asked about all hosts and ports that rules name, because a denial
//! counts only if somebody else could open the port. Judged is only what rules mention.

mod builder;

use std::collections::BTreeSet;
use std::sync::Arc;

use self::builder::Builder;
use super::answers::NotAsked;
use super::peer::{Peer, Target};
use super::rules::{Expected, Rules};
use super::vantage::{TargetHost, Vantage};
use crate::host::Host;
use crate::ports::PortSet;
use crate::targets::{AddressSet, HostAndPort, HostSpec};

/// A vantage of a run.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) name: String,
    pub(crate) group: Option<String>,
    /// Why nothing can be asked there, if that is known already.
    pub(crate) vantage: Result<Arc<dyn Vantage>, NotAsked>,
}

/// A target of a run.
#[derive(Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) group: Option<String>,
    /// Why nothing can be asked there, if that is known already.
    pub(crate) host: Result<TargetHost, NotAsked>,
}

/// What is wanted of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) rules: Rules,
    /// Further vantages and targets. Each pair of them has cells, which nobody judges.
    pub(crate) from: Vec<Peer>,
    pub(crate) to: Vec<Target>,
    /// Ports of each target besides those of its rules.
    pub(crate) ports: Option<PortSet>,
    /// Whether what no rule mentions ought to be denied.
    pub(crate) is_strict: bool,
}

/// What each vantage and target as written stands for.
#[derive(Clone, Default)]
pub(crate) struct Resolved {
    pub(crate) seats: Vec<(Peer, Vec<Seat>)>,
    pub(crate) columns: Vec<(Target, Vec<Column>)>,
}

/// The cells of a run.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) seats: Vec<Seat>,
    pub(crate) columns: Vec<Column>,
    /// The ports that are asked of every host.
    pub(crate) ports: PortSet,
    /// In the order of the vantages, and for each in that of the targets.
    pub(crate) pairs: Vec<Pair>,
}

/// The cells of one vantage and one target, by their positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) seat: usize,
    pub(crate) column: usize,
    /// Disjoint.
    pub(crate) parts: Vec<Part>,
}

/// Some ports of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) ports: PortSet,
    /// What they ought to be; `None` if nobody said so.
    pub(crate) expected: Option<Expected>,
    /// The line that says so.
    pub(crate) line: Option<usize>,
}

impl Wanted {
    /// Every vantage and every target as written, each once.
    pub(crate) fn peers(&self) -> (Vec<Peer>, Vec<Target>) {
        let rules = self.rules.rules.iter();
        let from = rules.clone().filter_map(|rule| rule.from.as_ref()).chain(&self.from);
        let to = rules.filter_map(|rule| rule.to.as_ref()).chain(&self.to);
        (each_once(from), each_once(to))
    }

    /// The namespaces of all workloads; `None` is that of kubectl's context.
    pub(crate) fn namespaces(&self) -> BTreeSet<Option<String>> {
        let (from, to) = self.peers();
        let vantages = from.iter().filter_map(Peer::workload);
        let targets = to.iter().filter_map(|target| match target {
            Target::Workload(workload) => Some(workload),
            Target::Hosts(_) => None,
        });
        vantages.chain(targets).map(|workload| workload.namespace.clone()).collect()
    }
}

fn each_once<'a, T: Clone + PartialEq + 'a>(all: impl Iterator<Item = &'a T>) -> Vec<T> {
    all.fold(Vec::new(), |mut known, one| {
        if !known.contains(one) {
            known.push(one.clone());
        }
        known
    })
}

impl Column {
    /// The hosts that a target without a cluster stands for.
    ///
    /// # Errors
    /// When they are too many.
    pub(crate) fn of_hosts(target: &HostAndPort) -> Result<Vec<Self>, String> {
        let ports = target.port.and_then(|port| PortSet::from_ports([port]));
        let column = |name: String, host| {
            let (ports, group) = (ports.clone(), None);
            let host = TargetHost { name: name.clone(), group, host, ports, witness: None };
            Self { name, group: None, host: Ok(host) }
        };
        match &target.hosts {
            HostSpec::Name(name) => Ok(vec![column(name.clone(), Host::Name(name.clone()))]),
            HostSpec::Addresses(range) => {
                let set = AddressSet::new(vec![*range], &AddressSet::default());
                if set.len() > MOST_TARGETS {
                    let (count, first) = (set.len(), range.first());
                    return Err(format!(
                        "the network or range from {first} has {count} addresses, and \
                         {MOST_TARGETS} can be asked"
                    ));
                }
                let addresses = (0..set.len()).filter_map(|position| set.nth(position));
                Ok(addresses
                    .map(|address| column(address.to_string(), Host::Address(address)))
                    .collect())
            }
        }
    }
}

impl Plan {
    /// Combines what is wanted with what vantages and targets stand for.
    ///
    /// # Errors
    /// Every contradiction between rules, and everything of which no port is known.
    pub(crate) fn try_new(wanted: &Wanted, resolved: &Resolved) -> Result<Self, Vec<String>> {
        Builder::new(wanted, resolved).build()
    }

    /// Whether a vantage is the workload that a target is.
    pub(crate) fn is_itself(&self, seat: usize, column: usize) -> bool {
        is_itself(&self.seats[seat], &self.columns[column])
    }

    /// How many cells there are.
    pub(crate) fn cells(&self) -> u64 {
        let parts = self.pairs.iter().flat_map(|pair| &pair.parts);
        parts.map(|part| u64::from(part.ports.len())).sum()
    }

    /// The hosts to ask about, each once.
    pub(crate) fn hosts(&self) -> Vec<Host> {
        let hosts = self.columns.iter().filter_map(|column| column.host.as_ref().ok());
        let mut hosts: Vec<(String, Host)> =
            hosts.map(|target| (target.host.to_string(), target.host.clone())).collect();
        hosts.sort_by(|one, other| one.0.cmp(&other.0));
        hosts.dedup_by(|one, other| one.0 == other.0);
        hosts.into_iter().map(|(_, host)| host).collect()
    }
}

fn is_itself(seat: &Seat, column: &Column) -> bool {
    let name = seat.name.strip_prefix("as ").unwrap_or(&seat.name);
    name == column.name && column.group.is_some()
}

/// A /16 can be asked as a whole; a table of more is nothing that a person or CI reads.
const MOST_TARGETS: u64 = 1 << 16;

#[cfg(test)]
mod tests;
