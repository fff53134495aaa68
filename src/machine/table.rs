//! How many entries of a neighbour table this process has caused, and how many more it
//! may. Without I/O: `netlink.rs` reads the table.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::neighbour::{Entry, Neighbour, TableRoom};

/// The entries of a table at a given time.
#[derive(Clone, Debug)]
pub struct Snapshot {
    entries: Arc<HashMap<Neighbour, Entry>>,
    taken: Instant,
    overflows: u64,
}

impl Snapshot {
    /// The entry of `neighbour`, if it has one.
    #[must_use]
    pub fn entry(&self, neighbour: Neighbour) -> Option<Entry> {
        self.entries.get(&neighbour).copied()
    }

    /// When the table was read.
    #[must_use]
    pub fn taken(&self) -> Instant {
        self.taken
    }

    /// How often the table had been full so far.
    #[must_use]
    pub fn overflows(&self) -> u64 {
        self.overflows
    }
}

/// The addresses that this process resolves, or has resolved and that still have an
/// entry.
#[derive(Debug)]
pub(super) struct Table {
    begun: HashMap<Neighbour, Begun>,
    seats: usize,
    /// How many addresses may be resolved at a time, by the size of the table.
    limit: usize,
    /// The same, lower for a while after the table was full.
    eased: usize,
    seen: Option<Snapshot>,
    /// How long the last look took.
    look: Duration,
}

/// What is known of an address since its resolution began.
#[derive(Clone, Copy, Debug)]
struct Begun {
    since: Instant,
    /// Whether it was resolved.
    found: bool,
    /// Since when the entry is one that the kernel may remove.
    idle: Option<Instant>,
}

impl Begun {
    /// Notes the state of the entry at `now`; returns whether it still counts.
    fn note(&mut self, entry: Option<Entry>, now: Instant) -> bool {
        match entry {
            // The table may have been read before the packet caused the entry.
            None => now - self.since < ENTERED_AFTER,
            Some(Entry::Incomplete) => true,
            Some(Entry::Failed) => now - self.since < ENTERED_AFTER,
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
    pub(super) fn sit_down(&mut self) {
        self.seats += 1;
    }

    pub(super) fn stand_up(&mut self) {
        self.seats -= 1;
    }

    /// Counts `neighbour` from `now` on, until the table shows otherwise.
    pub(super) fn begin(&mut self, neighbour: Neighbour, now: Instant) {
        self.begun.insert(neighbour, Begun { since: now, found: false, idle: None });
    }

    /// The table as it was last read, if that was after `since` and not long ago.
    // Reading must not take more than a twentieth of the time: some nodes have tables of
    // a hundred thousand entries.
    pub(super) fn seen_between(&self, since: Instant, now: Instant) -> Option<Snapshot> {
        let interval = LOOK_INTERVAL.max(self.look * 20);
        let fresh = |seen: &&Snapshot| seen.taken > since && now - seen.taken < interval;
        self.seen.as_ref().filter(fresh).cloned()
    }

    /// Whether one more address may be resolved.
    pub(super) fn has_room(&self) -> bool {
        let found = self.begun.values().filter(|begun| begun.found).count();
        self.begun.len() - found < self.eased && self.begun.len() < HELD * self.eased
    }

    /// How many addresses each scan may resolve at a time.
    pub(super) fn fair_share(&self) -> usize {
        (self.eased / self.seats.max(1)).max(1)
    }

    /// Whether `neighbour` is being resolved.
    pub(super) fn is_under_way(&self, neighbour: &Neighbour) -> bool {
        self.begun.get(neighbour).is_some_and(|begun| !begun.found)
    }

    /// Updates the counts with the table as it was read between `began` and `now`.
    pub(super) fn take_in(
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
        // Some program's entry found no room: leave more of it.
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

/// Addresses resolved at a time if the size of the table cannot be read: a quarter of
/// Linux's default.
const UNSEEN_AT_A_TIME: usize = 256;

/// A scan has to make progress, however small the table is.
pub(super) const LEAST_AT_A_TIME: usize = 16;

/// The limit for large tables: an address is resolved by a broadcast a second, which
/// every host of the network receives.
pub(super) const MOST_AT_A_TIME: usize = 1024;

/// How many times as many entries may be held, including those of resolved addresses:
/// three quarters of the table. The kernel keeps an entry in use for 15 to 45 s.
const HELD: usize = 3;

/// The time between two looks at the table. The kernel gives an address up after 3 s.
const LOOK_INTERVAL: Duration = Duration::from_millis(40);

/// How many looks it takes until `eased` is back at `limit`: some two seconds.
const RECOVERY_LOOKS: usize = 64;

/// An address surely has its entry after this, even on a busy machine.
const ENTERED_AFTER: Duration = Duration::from_millis(500);

/// How long the kernel keeps an entry that recently changed (neigh_forced_gc in
/// net/core/neighbour.c).
const KEPT_WHEN_IDLE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn neighbour(host: usize) -> Neighbour {
        let [high, low] = u16::try_from(host).unwrap().to_be_bytes();
        Neighbour { address: IpAddr::from([10, 0, high, low]), link: 1 }
    }

    fn entries(hosts: impl IntoIterator<Item = usize>, entry: Entry) -> HashMap<Neighbour, Entry> {
        hosts.into_iter().map(|host| (neighbour(host), entry)).collect()
    }

    fn room(max: u32, overflows: u64) -> Option<TableRoom> {
        Some(TableRoom { max, used: 0, overflows })
    }

    /// Looks for as many addresses as there is room for, from `first` on.
    fn fill(table: &mut Table, first: usize, now: Instant) -> usize {
        let mut next = first;
        while table.has_room() {
            table.begin(neighbour(next), now);
            next += 1;
        }
        next - first
    }

    #[test]
    fn a_quarter_of_the_table_is_used_and_is_free_again_when_the_kernel_gives_up() {
        let start = Instant::now();
        let mut table = Table::default();
        assert_eq!(fill(&mut table, 0, start), 256);
        let later = start + Duration::from_secs(1);
        table.take_in(entries(0..256, Entry::Incomplete), room(1024, 0), later, later);
        assert_eq!(fill(&mut table, 256, later), 0);
        let given_up = start + Duration::from_secs(3);
        let mut seen = entries(0..100, Entry::Failed);
        seen.extend(entries(100..256, Entry::Incomplete));
        table.take_in(seen, room(1024, 0), given_up, given_up);
        assert_eq!(fill(&mut table, 256, given_up), 100);
    }

    #[test]
    fn a_resolved_address_counts_until_the_kernel_may_remove_it() {
        let start = Instant::now();
        let mut table = Table::default();
        let mut begun = 0;
        for second in 0..10 {
            let now = start + Duration::from_secs(second);
            begun += fill(&mut table, begun, now);
            table.take_in(entries(0..begun, Entry::InUse), room(1024, 0), now, now);
        }
        assert_eq!(begun, 768, "three quarters of the table");
        let idle = start + Duration::from_secs(40);
        table.take_in(entries(0..begun, Entry::Idle), room(1024, 0), idle, idle);
        assert!(!table.has_room());
        let free = idle + KEPT_WHEN_IDLE;
        table.take_in(entries(0..begun, Entry::Idle), room(1024, 0), free, free);
        assert_eq!(fill(&mut table, begun, free), 256);
    }

    #[test]
    fn an_address_that_never_got_an_entry_does_not_count_for_long() {
        let start = Instant::now();
        let mut table = Table::default();
        assert_eq!(fill(&mut table, 0, start), 256);
        table.take_in(HashMap::new(), room(1024, 0), start, start);
        assert!(!table.has_room(), "the entries may still come");
        let later = start + ENTERED_AFTER;
        table.take_in(HashMap::new(), room(1024, 0), later, later);
        assert_eq!(fill(&mut table, 0, later), 256);
    }

    #[test]
    fn an_overflow_leaves_others_more_room_for_a_while() {
        let now = Instant::now();
        let mut table = Table::default();
        table.take_in(HashMap::new(), room(1024, 7), now, now);
        assert_eq!(table.fair_share(), 256);
        table.take_in(HashMap::new(), room(1024, 8), now, now);
        assert_eq!(table.fair_share(), 128);
        for _ in 0..RECOVERY_LOOKS {
            table.take_in(HashMap::new(), room(1024, 8), now, now);
        }
        assert_eq!(table.fair_share(), 256);
    }

    #[test]
    fn scans_share_what_the_size_of_the_table_allows() {
        let now = Instant::now();
        for (max, at_a_time) in [(16, 16), (1024, 256), (2048, 512), (1 << 20, 1024)] {
            let mut table = Table::default();
            for _ in 0..=RECOVERY_LOOKS {
                table.take_in(HashMap::new(), room(max, 0), now, now);
            }
            table.sit_down();
            assert_eq!(table.fair_share(), at_a_time);
            table.sit_down();
            assert_eq!(table.fair_share(), at_a_time / 2);
            table.stand_up();
            assert_eq!(table.fair_share(), at_a_time);
        }
    }
}
