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

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::netlink::Netlink;

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

/// The entries of a table as they were at a time.
#[derive(Clone, Debug)]
pub struct Snapshot {
    entries: Arc<HashMap<Neighbour, Entry>>,
    taken: Instant,
    overflows: u64,
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
        self.table(family).seats += 1;
        Seat { neighbours: self.clone(), family, begun: Vec::new() }
    }

    /// The table as it is, or was at a time after `since` and not long ago.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn look(&self, family: Family, since: Instant) -> io::Result<Snapshot> {
        let mut table = self.table(family);
        let now = Instant::now();
        if let Some(seen) = &table.seen
            && seen.taken > since
            && now - seen.taken < table.look_interval()
        {
            return Ok(seen.clone());
        }
        let looked = Netlink::try_new()
            .and_then(|mut netlink| Ok((netlink.entries(family)?, netlink.room(family).ok())));
        let (entries, room) = looked.inspect_err(|_| table.begun.clear())?;
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
        let mut table = self.neighbours.table(self.family);
        table.begun.insert(neighbour, Begun::new(Instant::now()));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.neighbours.table(self.family).seats -= 1;
    }
}

impl Snapshot {
    /// The entry of `neighbour`, if it has one.
    #[must_use]
    pub fn entry(&self, neighbour: Neighbour) -> Option<Entry> {
        self.entries.get(&neighbour).copied()
    }

    /// When the table was like this.
    #[must_use]
    pub fn taken(&self) -> Instant {
        self.taken
    }

    /// How often the table had been full by then.
    #[must_use]
    pub fn overflows(&self) -> u64 {
        self.overflows
    }
}

/// What this process has added to a neighbour table. Pure.
#[derive(Debug)]
struct Table {
    begun: HashMap<Neighbour, Begun>,
    seats: usize,
    /// Addresses that may be looked for at a time as the table's size has it, and
    /// as its overflows do.
    limit: usize,
    eased: usize,
    seen: Option<Snapshot>,
    /// How long the last look took.
    look: Duration,
}

/// What is known of an address that was looked for.
#[derive(Clone, Copy, Debug)]
struct Begun {
    since: Instant,
    /// Whether it was found.
    found: bool,
    /// Since when the kernel has been free to throw the entry out.
    idle: Option<Instant>,
}

impl Begun {
    fn new(since: Instant) -> Self {
        Self { since, found: false, idle: None }
    }

    /// Takes in how the entry stood at `now`; whether it still counts.
    fn note(&mut self, entry: Option<Entry>, now: Instant) -> bool {
        match entry {
            // The table may have been read while the packet was on its way to it.
            None => now - self.since < BY_THEN_ENTERED,
            Some(Entry::Incomplete) => true,
            Some(Entry::Failed) => now - self.since < BY_THEN_ENTERED,
            Some(Entry::InUse) => {
                (self.found, self.idle) = (true, None);
                true
            }
            Some(Entry::Idle) => {
                self.found = true;
                now - *self.idle.get_or_insert(now) < KEPT_WHEN_IDLE
            }
        }
    }
}

impl Table {
    fn has_room(&self) -> bool {
        let found = self.begun.values().filter(|begun| begun.found).count();
        self.begun.len() - found < self.eased && self.begun.len() < HELD * self.eased
    }

    fn fair_share(&self) -> usize {
        (self.eased / self.seats.max(1)).max(1)
    }

    fn is_under_way(&self, neighbour: &Neighbour) -> bool {
        self.begun.get(neighbour).is_some_and(|begun| !begun.found)
    }

    /// Looking is to take a twentieth of the time at most: some nodes have tables of
    /// a hundred thousand entries.
    fn look_interval(&self) -> Duration {
        LOOK_INTERVAL.max(self.look * 20)
    }

    /// Takes in the table as it was between `began` and `now`.
    fn take_in(
        &mut self,
        entries: HashMap<Neighbour, Entry>,
        room: Option<TableRoom>,
        began: Instant,
        now: Instant,
    ) -> Snapshot {
        self.look = now - began;
        self.begun.retain(|neighbour, begun| begun.note(entries.get(neighbour).copied(), began));
        let before = self.seen.as_ref().map(|seen| seen.overflows);
        let overflows = room.map_or(0, |room| room.overflows);
        if let Some(room) = room {
            self.limit = room.at_a_time();
        }
        // Somebody wanted an entry and got none: leave more room.
        self.eased = match before {
            Some(before) if overflows > before => (self.eased / 2).max(LEAST_AT_A_TIME),
            _ => self.eased + self.limit.div_ceil(RECOVERY_LOOKS),
        }
        .min(self.limit);
        let seen = Snapshot { entries: Arc::new(entries), taken: began, overflows };
        self.seen.insert(seen).clone()
    }
}

impl Default for Table {
    fn default() -> Self {
        Self {
            begun: HashMap::new(),
            seats: 0,
            limit: UNSEEN_AT_A_TIME,
            eased: UNSEEN_AT_A_TIME,
            seen: None,
            look: Duration::ZERO,
        }
    }
}

/// Addresses looked for at a time where the table's size cannot be seen: a quarter
/// of what Linux has unless told otherwise.
const UNSEEN_AT_A_TIME: usize = 256;

/// However small the table is, a scan has to get on.
const LEAST_AT_A_TIME: usize = 16;

/// However large the table is: each address is asked for by broadcast, once a
/// second, and all hosts of the network hear that.
const MOST_AT_A_TIME: usize = 1024;

/// So many times as many may be held, those among them that were found: three
/// quarters of the table. The kernel keeps an entry that is in use for 15 to 45 s.
const HELD: usize = 3;

/// Between two looks at the table. The kernel takes 3 s to give an address up.
const LOOK_INTERVAL: Duration = Duration::from_millis(40);

/// Looks until the number is what it was before an overflow: some two seconds.
const RECOVERY_LOOKS: usize = 64;

/// How long after it was begun an address surely has its entry, on a busy machine too.
const BY_THEN_ENTERED: Duration = Duration::from_millis(500);

/// How long the kernel keeps an entry that changed lately (neigh_forced_gc in
/// net/core/neighbour.c).
const KEPT_WHEN_IDLE: Duration = Duration::from_secs(5);
