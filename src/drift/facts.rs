//! What a report says about the ports of hosts, and what it leaves open.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::ports::PortSet;

/// The state of a port, as far as a report says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum State {
    /// Open.
    #[serde(rename = "open")]
    Open,
    /// Closed.
    #[serde(rename = "closed")]
    Closed,
    /// Filtered.
    #[serde(rename = "filtered")]
    Filtered,
    /// One of the two: the report has only their number. nmap's word.
    #[serde(rename = "closed|filtered")]
    NotOpen,
}

/// Why a report says nothing about a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gap {
    /// The port is none of those that were to be scanned.
    NotAsked,
    /// The host is none of those that were to be scanned.
    NoHost,
    /// It was to be scanned and was not, for this reason.
    NotScanned(&'static str),
    /// The report names hosts with open ports alone, and does not name this one.
    Unnamed,
    /// The report does not say which ports were to be scanned.
    PortsUnknown,
    /// The scanner could not tell open ports from others.
    Undecided,
}

/// What is known of a port.
pub(super) type Fact = Result<State, Gap>;

/// What a report says about the ports of one address, or of all addresses of a host
/// together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PortFacts {
    /// The ports that were to be scanned, if that is known.
    pub(super) asked: Option<Arc<PortSet>>,
    /// How many ports were to be scanned, if that alone is known.
    pub(super) count: Option<u32>,
    /// Disjoint sets of ports, each with what is known of it.
    pub(super) listed: Vec<(PortSet, Fact)>,
    /// What is known of the other ports that were to be scanned.
    pub(super) rest: Fact,
}

/// What a report says about a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostFacts {
    pub(super) addresses: BTreeMap<IpAddr, PortFacts>,
    /// What is known of all addresses together, where the report does not have each.
    pub(super) together: Option<PortFacts>,
    /// Why some addresses, or all, are not there.
    pub(super) gap: Option<Gap>,
}

/// What one run found, in the form in which it can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(super) hosts: BTreeMap<HostKey, HostFacts>,
    /// What is known of hosts that it does not have.
    pub(super) others: Gap,
}

/// A host as typed. Addresses come first, in numerical order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HostKey {
    Address(IpAddr),
    Name(String),
}

impl State {
    /// The word that tables have for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Filtered => "filtered",
            Self::NotOpen => "closed or filtered",
        }
    }

    /// Whether a port cannot be in both states.
    pub(super) fn contradicts(self, other: Self) -> bool {
        let is_vague = self == Self::NotOpen || other == Self::NotOpen;
        if is_vague { self == Self::Open || other == Self::Open } else { self != other }
    }

    /// The state of a name that has one address in each state.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Open, _) | (_, Self::Open) => Self::Open,
            (one, other) if one == other => one,
            _ => Self::NotOpen,
        }
    }
}

impl Gap {
    /// The name that JSON has for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotAsked => "port-not-asked",
            Self::NoHost => "host-not-asked",
            Self::NotScanned(reason) => reason,
            Self::Unnamed => "host-not-named",
            Self::PortsUnknown => "ports-not-known",
            Self::Undecided => "undecided",
        }
    }

    /// Whether a report does not say what it ought to: more was asked than it knows.
    pub(crate) fn is_shortfall(self) -> bool {
        !matches!(self, Self::NotAsked | Self::NoHost)
    }
}

impl Serialize for Gap {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl PortFacts {
    /// The sets of ports of which something is known or ought to be.
    pub(super) fn parts(&self) -> Vec<(PortSet, Fact)> {
        let mut parts = self.listed.clone();
        let Some(asked) = &self.asked else { return parts };
        let mut left = Some((**asked).clone());
        for (ports, _) in &self.listed {
            left = left.and_then(|left| left.difference(ports));
        }
        parts.extend(left.map(|left| (left, self.rest)));
        parts
    }

    /// Why a port that is in no part is in none.
    pub(super) fn outside(&self) -> Gap {
        if self.asked.is_some() { Gap::NotAsked } else { Gap::PortsUnknown }
    }

    /// What is known of a name that has this address and `other`.
    fn with(&self, other: &Self) -> Self {
        let mut listed = Vec::new();
        let (ours, theirs) = (self.parts(), other.parts());
        for (ports, fact) in &ours {
            for (others, other) in &theirs {
                let both = ports.intersection(others).map(|both| (both, together(*fact, *other)));
                listed.extend(both);
            }
        }
        for (parts, others, gap) in
            [(&ours, &theirs, other.outside()), (&theirs, &ours, self.outside())]
        {
            for (ports, fact) in parts {
                let alone = without(ports, others);
                listed.extend(alone.map(|alone| (alone, together(*fact, Err(gap)))));
            }
        }
        let asked = match (&self.asked, &other.asked) {
            (Some(ours), Some(theirs)) if ours == theirs => Some(Arc::clone(ours)),
            (Some(ours), Some(theirs)) => Some(Arc::new(ours.union(theirs))),
            _ => None,
        };
        Self { asked, count: None, listed, rest: Err(Gap::NotAsked) }
    }
}

impl HostFacts {
    /// A host of which nothing is known.
    pub(super) fn unknown(gap: Gap) -> Self {
        Self { gap: Some(gap), ..Self::default() }
    }

    /// What is known of all its addresses together; `None` if it has none.
    pub(super) fn by_name(&self) -> Option<PortFacts> {
        if let Some(together) = &self.together {
            return Some(together.clone());
        }
        let mut addresses = self.addresses.values();
        let first = addresses.next()?.clone();
        let mut all = addresses.fold(first, |all, next| all.with(next));
        // An address that was left out may have any port open.
        if let Some(gap) = self.gap {
            let listed = all.parts().into_iter();
            all.listed = listed.map(|(ports, fact)| (ports, together(fact, Err(gap)))).collect();
        }
        Some(all)
    }
}

impl Survey {
    /// One that has no host yet.
    pub(crate) fn new() -> Self {
        Self { hosts: BTreeMap::new(), others: Gap::NoHost }
    }

    /// Of hosts that it does not have, this is why.
    pub(crate) fn leave_out(&mut self, gap: Gap) {
        self.others = gap;
    }

    /// Adds a host. If it is there already, addresses are added to it.
    pub(super) fn add(&mut self, host: &str, facts: HostFacts) {
        let HostFacts { addresses, together, gap } = facts;
        let known = self.hosts.entry(HostKey::of(host)).or_default();
        known.addresses.extend(addresses);
        known.together = together.or(known.together.take());
        known.gap = gap.or(known.gap);
    }

    /// Takes in which ports were to be scanned on every host.
    pub(super) fn set_asked(&mut self, asked: &Arc<PortSet>) {
        for host in self.hosts.values_mut() {
            for facts in host.addresses.values_mut().chain(host.together.as_mut()) {
                // Another number means another set.
                if facts.count.is_none_or(|count| count == asked.len()) {
                    facts.asked = Some(Arc::clone(asked));
                }
            }
        }
    }
}

impl HostKey {
    pub(super) fn of(host: &str) -> Self {
        host.parse().map_or_else(|_| Self::Name(host.to_owned()), Self::Address)
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::Name(name) => name.clone(),
        }
    }
}

/// The sets by what is known of them. A port that is in several counts in the first.
pub(super) fn disjoint(listed: BTreeMap<Fact, Vec<PortSet>>) -> Vec<(PortSet, Fact)> {
    let mut parts: Vec<(PortSet, Fact)> = Vec::with_capacity(listed.len());
    for (fact, sets) in listed {
        let ports = PortSet::union_of(&sets).and_then(|ports| without(&ports, &parts));
        parts.extend(ports.map(|ports| (ports, fact)));
    }
    parts
}

/// The ports of none of these parts.
pub(super) fn without(ports: &PortSet, parts: &[(PortSet, Fact)]) -> Option<PortSet> {
    parts.iter().try_fold(ports.clone(), |left, (part, _)| left.difference(part))
}

/// What is known of a name's port if this is known of two addresses.
fn together(one: Fact, other: Fact) -> Fact {
    match (one, other) {
        (Ok(State::Open), _) | (_, Ok(State::Open)) => Ok(State::Open),
        (Ok(one), Ok(other)) => Ok(one.with(other)),
        (Err(gap), _) | (_, Err(gap)) => Err(gap),
    }
}
