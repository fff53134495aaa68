//! A neighbour, and what the kernel's neighbour tables say of it.

use std::net::IpAddr;

/// An address on an attached network, and its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Neighbour {
    /// The address.
    pub address: IpAddr,
    /// The interface's index.
    pub link: u32,
}

/// One of the two neighbour tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, by ARP.
    V4,
    /// IPv6, by neighbour discovery.
    V6,
}

/// How full a neighbour table of the node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRoom {
    /// How many entries fit (gc_thresh3).
    pub max: u32,
    /// How many entries there are, including those that the kernel may remove.
    pub used: u32,
    /// How often there was no room for a new entry (table_fulls).
    pub overflows: u64,
}

/// The state of an entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The kernel is resolving the address.
    Incomplete,
    /// No host answered for the address.
    Failed,
    /// Resolved and recently used: the kernel keeps the entry.
    InUse,
    /// Resolved and unused: the kernel may remove the entry after a while.
    Idle,
}

impl Family {
    /// The family of `address`.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}
