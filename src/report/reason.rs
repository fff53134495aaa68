//! Why some ports were not scanned.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::scan::Shortage;

/// Why a report is incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum IncompleteReason {
    /// The scanner ran out of file descriptors.
    NoDescriptors,
    /// The kernel ran out of memory for sockets.
    NoMemory,
    /// No local port was free for another connection.
    NoSourcePorts,
    /// The node's neighbour table is full.
    NoNeighbourEntries,
    /// The scan's deadline passed.
    Deadline,
    /// An attempt failed in a way that the scanner does not know.
    UnknownError,
    /// The name has more addresses than are scanned.
    TooManyAddresses,
    /// A signal stopped the scan.
    Interrupted,
    /// The name was not looked up, so nothing is known about it.
    NotLookedUp,
    /// The name does not resolve.
    NotResolved,
    /// Policy forbids an address of the host.
    RefusedByPolicy,
    /// This machine has no route to a host, so nothing was asked there.
    NoRoute,
    /// The report on a shard is missing, or is cut.
    MissingShard,
    /// There are two reports on a shard.
    RepeatedShard,
}

impl IncompleteReason {
    /// The name that reports give it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoDescriptors => "no-descriptors",
            Self::NoMemory => "no-memory",
            Self::NoSourcePorts => "no-source-ports",
            Self::NoNeighbourEntries => "no-neighbour-entries",
            Self::Deadline => "deadline",
            Self::UnknownError => "unknown-error",
            Self::TooManyAddresses => "too-many-addresses",
            Self::Interrupted => "interrupted",
            Self::NotLookedUp => "not-looked-up",
            Self::NotResolved => "not-resolved",
            Self::RefusedByPolicy => "refused-by-policy",
            Self::NoRoute => "no-route",
            Self::MissingShard => "missing-shard",
            Self::RepeatedShard => "repeated-shard",
        }
    }
}

impl fmt::Display for IncompleteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl From<Shortage> for IncompleteReason {
    fn from(shortage: Shortage) -> Self {
        match shortage {
            Shortage::Descriptors => Self::NoDescriptors,
            Shortage::Memory => Self::NoMemory,
            Shortage::SourcePorts => Self::NoSourcePorts,
            Shortage::Neighbours => Self::NoNeighbourEntries,
            Shortage::Time => Self::Deadline,
            Shortage::UnknownError => Self::UnknownError,
        }
    }
}
