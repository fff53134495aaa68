//! What differs between an earlier report, the baseline, and a later one.
//!
//! A port that was not scanned in both runs never counts as changed: it is listed with
//! the reason for which it could not be compared. Everything here is pure; how files are
//! read is in [`read`].

mod compare;
mod facts;
mod grepable;
mod nmap;
mod read;
mod report;
#[cfg(test)]
mod tests;
mod text;

use std::net::IpAddr;

use serde::{Serialize, Serializer};

pub(crate) use self::compare::compare;
pub(crate) use self::facts::{Gap, State, Survey};
pub(crate) use self::read::{BaselineError, read};
pub(crate) use self::text::Mark;
use crate::ports::PortSet;

/// How a later report differs from an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drift {
    /// What is different, by host and port.
    pub(crate) changes: Vec<Change>,
    /// What could not be compared.
    pub(crate) not_compared: Vec<NotCompared>,
    /// Names whose addresses are others than before.
    pub(crate) moved: Vec<Moved>,
    /// How many ports of hosts were compared, each port of a host once for each address.
    pub(crate) compared: u64,
}

/// Ports of a host that were in one state and are in another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The host as typed.
    pub(crate) host: String,
    /// Its address, if the host is a name that has several.
    pub(crate) address: Option<IpAddr>,
    /// A single port if it was open or is open.
    pub(crate) ports: PortSet,
    /// The state before.
    pub(crate) from: State,
    /// The state now.
    pub(crate) to: State,
}

/// What kind of change it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A port is open that was not.
    Opened,
    /// A port was open and is not.
    Lost,
    /// Ports were closed and are filtered, or the reverse.
    Shifted,
}

/// Ports of hosts that could not be compared, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct NotCompared {
    /// The hosts as typed.
    pub(crate) hosts: Vec<String>,
    /// The ports; `None` if the report does not say which.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_list")]
    pub(crate) ports: Option<PortSet>,
    /// The report that does not have them.
    pub(crate) missing: Side,
    /// Why it does not have them.
    #[serde(rename = "reason")]
    pub(crate) gap: Gap,
}

/// One of the two reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    /// The earlier one.
    Before,
    /// The later one.
    Now,
}

/// A name whose addresses are others than before. Its ports are compared by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Moved {
    /// The name.
    pub(crate) host: String,
    /// Its addresses before.
    pub(crate) from: Vec<IpAddr>,
    /// Its addresses now.
    pub(crate) to: Vec<IpAddr>,
}

/// What two reports let one say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// What both scanned is the same, and nothing fell short.
    Same,
    /// Something changed.
    Different,
    /// Nothing is known to have changed, but a scan fell short of what it was to scan, or
    /// the reports have nothing in common.
    Unknown,
}

impl Drift {
    /// What the reports let one say.
    pub(crate) fn standing(&self) -> Standing {
        let falls_short = self.not_compared.iter().any(|not| not.gap.is_shortfall());
        match (self.changes.is_empty(), self.compared) {
            (false, _) => Standing::Different,
            (true, 0) => Standing::Unknown,
            (true, _) if falls_short => Standing::Unknown,
            (true, _) => Standing::Same,
        }
    }
}

impl Change {
    /// What kind of change it is.
    pub(crate) fn kind(&self) -> Kind {
        match (self.from, self.to) {
            (_, State::Open) => Kind::Opened,
            (State::Open, _) => Kind::Lost,
            _ => Kind::Shifted,
        }
    }
}

/// As records and documents have it.
impl Serialize for Change {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            host: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            address: Option<IpAddr>,
            #[serde(skip_serializing_if = "Option::is_none")]
            port: Option<u16>,
            #[serde(skip_serializing_if = "Option::is_none")]
            ports: Option<String>,
            from: State,
            to: State,
        }
        let single = self.ports.len() == 1;
        Written {
            host: &self.host,
            address: self.address,
            port: single.then(|| self.ports.first()),
            ports: (!single).then(|| self.ports.to_string()),
            from: self.from,
            to: self.to,
        }
        .serialize(to)
    }
}

/// The member `drift` of a document.
impl Serialize for Drift {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            same: Option<bool>,
            compared: u64,
            changes: &'a [Change],
            not_compared: &'a [NotCompared],
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            moved: &'a [Moved],
        }
        Written {
            same: self.standing().same(),
            compared: self.compared,
            changes: &self.changes,
            not_compared: &self.not_compared,
            moved: &self.moved,
        }
        .serialize(to)
    }
}

/// A line of NDJSON.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum DriftRecord<'a> {
    /// Something changed.
    Change(&'a Change),
    /// Something was not compared.
    NotCompared(&'a NotCompared),
    /// A name is compared by name.
    Moved(&'a Moved),
    /// How much there is of each, after all of these.
    Drift {
        /// Whether nothing changed, if that is known.
        same: Option<bool>,
        /// How many ports were compared.
        compared: u64,
        /// The records of changes.
        changes: usize,
        /// The records of what was not compared.
        not_compared: usize,
    },
}

impl Drift {
    /// The records of NDJSON.
    pub(crate) fn records(&self) -> impl Iterator<Item = DriftRecord<'_>> {
        let end = DriftRecord::Drift {
            same: self.standing().same(),
            compared: self.compared,
            changes: self.changes.len(),
            not_compared: self.not_compared.len(),
        };
        let changes = self.changes.iter().map(DriftRecord::Change);
        let moved = self.moved.iter().map(DriftRecord::Moved);
        let not_compared = self.not_compared.iter().map(DriftRecord::NotCompared);
        changes.chain(moved).chain(not_compared).chain([end])
    }
}

impl Standing {
    /// Whether nothing changed, if that is known.
    pub(crate) fn same(self) -> Option<bool> {
        match self {
            Self::Same => Some(true),
            Self::Different => Some(false),
            Self::Unknown => None,
        }
    }
}

fn as_list<S: Serializer>(ports: &Option<PortSet>, to: S) -> Result<S::Ok, S::Error> {
    match ports {
        Some(ports) => to.collect_str(ports),
        None => to.serialize_none(),
    }
}
