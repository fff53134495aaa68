//! How many addresses of attached networks may be resolved at a time.
//!
//! An address on an attached network is reached by its link-layer address, which the
//! kernel first has to resolve (ARP, neighbour discovery). The address takes an entry
//! of the neighbour table while it is resolved, and while a resolved address is in use.
//! By default the table has room for 1,024 entries (gc_thresh3). It belongs to the
//! whole node, with all its pods. When it is full, the kernel silently drops packets:
//! ours, and those of everybody else.
//!
//! All scans of the process share one [`Neighbours`], which counts the entries that
//! they cause. The counts are checked against the table itself, so a dropped scan
//! leaves none behind.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub use super::neighbour::{Entry, Family, Neighbour, TableRoom};
use super::netlink::Netlink;
pub use super::table::Snapshot;
use super::table::{LEAST_AT_A_TIME, MOST_AT_A_TIME, Table};

/// The neighbours that scans of this process resolve.
#[derive(Clone, Debug, Default)]
pub struct Neighbours(Arc<[Mutex<Table>; 2]>);

/// A scan's share of the addresses that may be resolved at a time.
#[derive(Debug)]
pub struct Seat {
    neighbours: Neighbours,
    family: Family,
    /// The neighbours that this scan is resolving.
    begun: Vec<Neighbour>,
}

impl TableRoom {
    /// Reads the state of the table from the kernel. Any user may, in any namespace.
    ///
    /// # Errors
    /// When the kernel does not answer, or has no such table.
    pub fn observe(family: Family) -> io::Result<Self> {
        Netlink::try_new()?.room(family)
    }

    /// How many addresses scans may resolve at a time.
    // To make room, the kernel removes entries that failed or that were idle for 5 s
    // (neigh_forced_gc in net/core/neighbour.c). A quarter that it cannot remove leaves
    // most of the table to everybody else.
    #[must_use]
    pub fn at_a_time(&self) -> usize {
        (self.max as usize / 4).clamp(LEAST_AT_A_TIME, MOST_AT_A_TIME)
    }
}

impl Neighbours {
    /// Those of `addresses` that the kernel has to resolve on an attached network before
    /// it can send them a packet, in the same order. Empty if the kernel does not answer.
    #[must_use]
    pub fn unresolved(&self, addresses: &[IpAddr]) -> Vec<Neighbour> {
        let mut netlink = None;
        let mut neighbours = Vec::new();
        for &address in addresses.iter().filter(|address| !address.is_loopback()) {
            let netlink: &mut Netlink = match &mut netlink {
                Some(netlink) => netlink,
                None => match Netlink::try_new() {
                    Ok(made) => netlink.insert(made),
                    Err(_) => return Vec::new(),
                },
            };
            neighbours.extend(netlink.neighbour(address).ok().flatten());
        }
        let Some(mut netlink) = netlink.filter(|_| !neighbours.is_empty()) else {
            return Vec::new();
        };
        for family in [Family::V4, Family::V6] {
            if neighbours.iter().any(|neighbour| Family::of(neighbour.address) == family)
                && let Ok(entries) = netlink.entries(family)
            {
                let is_known = |neighbour: &Neighbour| {
                    matches!(entries.get(neighbour), Some(Entry::InUse | Entry::Idle))
                };
                neighbours.retain(|neighbour| !is_known(neighbour));
            }
        }
        neighbours
    }

    /// A share of the addresses that may be resolved, given back on drop.
    #[must_use]
    pub fn seat(&self, family: Family) -> Seat {
        self.table(family).sit_down();
        Seat { neighbours: self.clone(), family, begun: Vec::new() }
    }

    /// The table as it is now, or as it recently was, but after `since`.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn look(&self, family: Family, since: Instant) -> io::Result<Snapshot> {
        let mut table = self.table(family);
        let now = Instant::now();
        if let Some(seen) = table.seen_between(since, now) {
            return Ok(seen);
        }
        let looked = Netlink::try_new()
            .and_then(|mut netlink| Ok((netlink.entries(family)?, netlink.room(family).ok())));
        let (entries, room) = looked?;
        Ok(table.take_in(entries, room, now, Instant::now()))
    }

    // After a panic the counts may be wrong, until the next look corrects them.
    fn table(&self, family: Family) -> MutexGuard<'_, Table> {
        self.0[family as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Whether one more address may be resolved.
    #[must_use]
    pub fn has_room(&mut self) -> bool {
        let table = self.neighbours.table(self.family);
        self.begun.retain(|neighbour| table.is_under_way(neighbour));
        table.has_room() && self.begun.len() < table.fair_share()
    }

    /// Counts `neighbour` as being resolved, until the table shows otherwise.
    pub fn begin(&mut self, neighbour: Neighbour) {
        self.begun.push(neighbour);
        self.neighbours.table(self.family).begin(neighbour, Instant::now());
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.neighbours.table(self.family).stand_up();
    }
}
