//! What was found on all hosts of a sweep, counted.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{IncompleteReason, Report, ShardLabel};
use crate::ports::PortSet;
use crate::scan::{Bound, PortState, Reason};

/// What is known when a sweep is over. Each target of the `hosts` is in one of the
/// four counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Whether every port of every host was scanned.
    pub(crate) complete: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<IncompleteReason>,
    /// Hosts that there is a report on.
    #[serde(rename = "host_count")]
    pub(crate) hosts: u64,
    /// Addresses of these hosts.
    #[serde(rename = "address_count")]
    pub(crate) addresses: u64,
    /// Addresses that answered.
    #[serde(skip)]
    pub(crate) up: u64,
    /// Targets that are open.
    pub(crate) open: u64,
    /// Targets that are closed.
    pub(crate) closed: u64,
    /// Targets that are filtered.
    pub(crate) filtered: u64,
    /// These by reason.
    #[serde(skip)]
    pub(crate) filtered_by: BTreeMap<Reason, u64>,
    /// Targets of these hosts that were not scanned.
    pub(crate) not_scanned: u64,
    /// Hosts that were not visited at all.
    pub(crate) unvisited_hosts: u64,
    /// How long it took.
    #[serde(rename = "elapsed_ms", with = "as_milliseconds")]
    pub(crate) elapsed: Duration,
    /// What most of the time was spent on, if it took long enough for that to matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bound_by: Option<Bound>,
    /// The ports of each host.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_list")]
    pub(crate) ports: Option<PortSet>,
    /// In records: the hosts that were scanned as a whole and have no record, because
    /// nothing is open. `None` if they are too many to be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nothing_open: Option<Vec<String>>,
    /// Which part of a sweep this is, if it was divided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shard: Option<ShardLabel>,
}

impl Summary {
    /// Adds a target in this state, of a host without a report.
    pub(crate) fn count_finding(&mut self, state: PortState) {
        let count = match state {
            PortState::Open => &mut self.open,
            PortState::Closed => &mut self.closed,
            PortState::Filtered => &mut self.filtered,
        };
        *count += 1;
    }

    /// Adds the report on a host to the counts.
    pub(crate) fn count(&mut self, report: &Report) {
        self.hosts += 1;
        for address in &report.facts.addresses {
            self.addresses += 1;
            self.up += u64::from(address.answered());
            self.open += address.open_ports.len() as u64;
            self.closed += u64::from(address.closed);
            self.filtered += u64::from(address.filtered);
            for (&reason, &count) in &address.filtered_by {
                *self.filtered_by.entry(reason).or_default() += u64::from(count);
            }
            self.not_scanned += u64::from(address.not_scanned);
        }
    }
}

/// Ports as they are typed.
mod as_list {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::ports::PortSet;

    pub(super) fn serialize<S: Serializer>(
        ports: &Option<PortSet>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match ports {
            Some(ports) => to.collect_str(ports),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<PortSet>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let ports = text.parse();
        ports.map(Some).map_err(|error| de::Error::custom(format_args!("ports: {error}")))
    }
}

mod as_milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::report::milliseconds;

    pub(super) fn serialize<S: Serializer>(elapsed: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(milliseconds(*elapsed))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let elapsed = f64::deserialize(from)? / 1e3;
        Duration::try_from_secs_f64(elapsed).map_err(de::Error::custom)
    }
}
