//! How many addresses of attached networks may be looked for at a time.
//!
//! An address on an attached network is reached by its link-layer address, which
//! the kernel first has to find out (ARP, neighbour discovery). While it does, and
//! as long as an address that answered is in use, the address holds an entry of
//! the neighbour table. That table has room for 1,024 entries unless told otherwise
//! (gc_thresh3) and belongs to the whole node, all pods of it. Full, the kernel
//! drops packets without a word: ours, and those of everybody else.
//!
//! All scans of the process share one [`Neighbours`], which counts what they add
//! to the table. The counts follow the table itself, so a scan that is dropped
//! leaves none behind.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::netlink::Netlink;
pub use super::table::Snapshot;
use super::table::{LEAST_AT_A_TIME, MOST_AT_A_TIME, Table};

/// The neighbours that scans of this process look for.
#[derive(Clone, Debug, Default)]
pub struct Neighbours(Arc<[Mutex<Table>; 2]>);

/// An address and the interface behind which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Neighbour {
    /// The address.
    pub address: IpAddr,
    /// The interface's index.
    pub link: u32,
}

/// Which of the two neighbour tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, by ARP.
    V4,
    /// IPv6, by neighbour discovery.
    V6,
}

/// How much room a neighbour table has, on the whole node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRoom {
    /// Entries that it may have (gc_thresh3).
    pub max: u32,
    /// Entries that it has, those that may be thrown away among them.
    pub used: u32,
    /// How often an entry was wanted and there was no room (table_fulls).
    pub overflows: u64,
}

/// How an entry of the table stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The link-layer address is being looked for.
    Incomplete,
    /// Nobody answered for the address.
    Failed,
    /// Known, and used lately: the kernel keeps the entry.
    InUse,
    /// Known, and free to be thrown away after a while.
    Idle,
}

/// A scan's share of the addresses that may be looked for at a time.
#[derive(Debug)]
pub struct Seat {
    neighbours: Neighbours,
    family: Family,
    /// What this scan looks for.
    begun: Vec<Neighbour>,
}

impl Family {
    /// The family of `address`.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl TableRoom {
    /// What the kernel says of the table; any user may ask, in any namespace.
    ///
    /// # Errors
    /// When the kernel cannot be asked, or has no such table.
    pub fn observe(family: Family) -> io::Result<Self> {
        Netlink::try_new()?.room(family)
    }

    /// How many addresses scans may look for at a time.
    // The kernel makes room by throwing out entries that failed or that were idle
    // for 5 s (neigh_forced_gc in net/core/neighbour.c). A quarter that it cannot
    // throw out leaves most of the table to all others.
    #[must_use]
    pub fn at_a_time(&self) -> usize {
        (self.max as usize / 4).clamp(LEAST_AT_A_TIME, MOST_AT_A_TIME)
    }
}

impl Neighbours {
    /// Those of `addresses` that have to be found on an attached network before a
    /// packet can leave for them, in the same order. Where the kernel cannot be asked, there are none.
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

    /// A share of the addresses that may be looked for. Dropped, others may have it.
    #[must_use]
    pub fn seat(&self, family: Family) -> Seat {
        self.table(family).sit_down();
        Seat { neighbours: self.clone(), family, begun: Vec::new() }
    }

    /// The table as it is, or was at a time after `since` and not long ago.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
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

    // A panic leaves counts that are still counts: the next look mends them.
    fn table(&self, family: Family) -> MutexGuard<'_, Table> {
        self.0[family as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Whether one more address may be looked for.
    #[must_use]
    pub fn has_room(&mut self) -> bool {
        let table = self.neighbours.table(self.family);
        self.begun.retain(|neighbour| table.is_under_way(neighbour));
        table.has_room() && self.begun.len() < table.fair_share()
    }

    /// Counts `neighbour` among those that are looked for, from now on until the
    /// table says otherwise.
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
