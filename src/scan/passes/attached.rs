//! Addresses of attached networks: each is looked for before its ports are probed.
//!
//! A packet to such an address waits in the kernel until the link-layer address is
//! known (ARP, neighbour discovery). The table for that is small, so few addresses
//! are looked for at a time (see [`Neighbours`]), with one attempt at one port
//! each. Once an address is found, all its ports are probed while the kernel
//! remembers it. If nobody answers for an address, all its ports are filtered as
//! unreachable: no packet could leave for any of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::limits;
use crate::machine::neighbours::{Entry, Family, Neighbour, Neighbours, Seat, Snapshot};
use crate::scan::connect;
use crate::scan::findings::Shared;
use crate::scan::gate::pacer::Pacer;
use crate::scan::gate::until::Until;
use crate::scan::outcome::{PortState, Reason, Shortage};
use crate::scan::plan::{ScanPlan, Target};

/// What a search for attached addresses works with.
#[derive(Clone, Debug)]
pub(super) struct SearchPlan {
    pub(super) plan: Arc<ScanPlan>,
    pub(super) neighbours: Neighbours,
    pub(super) until: Arc<Until>,
    pub(super) pacers: Vec<Arc<Pacer>>,
    pub(super) shared: Arc<Shared>,
}

/// An address of the plan on an attached network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attached {
    /// Its index in the plan.
    pub(super) address: u16,
    pub(super) neighbour: Neighbour,
}

/// A search for the attached addresses of a scan. Dropping it ends the search.
#[derive(Debug)]
pub(super) struct Search {
    found: mpsc::UnboundedReceiver<u16>,
    seekers: JoinSet<Option<Shortage>>,
}

impl SearchPlan {
    /// Starts to look for `attached`. Addresses for which nobody answers get their
    /// verdict at once.
    pub(super) fn start(self, attached: &[Attached]) -> Search {
        let (report, found) = mpsc::unbounded_channel();
        let mut seekers = JoinSet::new();
        for family in [Family::V4, Family::V6] {
            let of_family = |it: &&Attached| Family::of(it.neighbour.address) == family;
            let waiting: VecDeque<Attached> = attached.iter().filter(of_family).copied().collect();
            if waiting.is_empty() {
                continue;
            }
            self.shared.seek(waiting.len());
            let seeker = Seeker {
                search: self.clone(),
                family,
                waiting,
                asked: Vec::new(),
                attempts: 0,
                refused_since: None,
                seen: None,
                found: report.clone(),
            };
            seekers.spawn(seeker.run());
        }
        Search { found, seekers }
    }
}

impl Search {
    /// The addresses found since the last call, at least one; `None` once the search
    /// is over.
    pub(crate) async fn next(&mut self) -> Option<Vec<u16>> {
        let mut found = vec![self.found.recv().await?];
        while let Ok(another) = self.found.try_recv() {
            found.push(another);
        }
        Some(found)
    }

    /// Why some addresses were not looked for, if so.
    pub(crate) async fn shortage(mut self) -> Option<Shortage> {
        let mut shortage = None;
        while let Some(ended) = self.seekers.join_next().await {
            match ended {
                Ok(its) => shortage = shortage.or(its),
                // Nothing else cancels these tasks.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        shortage
    }
}

/// Looks for the addresses of one family.
struct Seeker {
    search: SearchPlan,
    family: Family,
    waiting: VecDeque<Attached>,
    asked: Vec<Asked>,
    attempts: u32,
    /// Since when no attempt could be made because a resource ran out.
    refused_since: Option<Instant>,
    /// The table as last seen.
    seen: Option<Snapshot>,
    found: mpsc::UnboundedSender<u16>,
}

/// An address that the kernel looks for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    attached: Attached,
    at: Instant,
    /// How often the table had been full when it was asked.
    overflows: u64,
    /// The look that did not show its entry.
    missed: Option<Instant>,
}

impl Seeker {
    async fn run(mut self) -> Option<Shortage> {
        let mut seat = Some(self.search.neighbours.seat(self.family));
        let mut pause = SHORTEST_PAUSE;
        self.seen = self.search.neighbours.look(self.family, Instant::now()).ok();
        while !(self.waiting.is_empty() && self.asked.is_empty()) {
            let now = Instant::now();
            if self.search.until.has_come(now) {
                return Some(Shortage::Time);
            }
            let mut wake = now + LONGEST_PAUSE;
            if let Some(seat) = &mut seat {
                let before = self.attempts;
                match self.ask_some(seat) {
                    Ok(()) => {}
                    Err(Held::Until(later)) => wake = wake.min(later),
                    Err(Held::Short(shortage)) => {
                        if self.is_refused_for(limits::SHORTAGE_PATIENCE) {
                            return Some(shortage);
                        }
                    }
                }
                if self.attempts != before {
                    pause = SHORTEST_PAUSE;
                }
            }
            match &seat {
                Some(_) if self.waiting.is_empty() => seat = None,
                None if !self.waiting.is_empty() => {
                    seat = Some(self.search.neighbours.seat(self.family));
                }
                _ => {}
            }
            // Most neighbours answer within a millisecond.
            wake = wake.min(now + pause).min(self.search.until.get().unwrap_or(wake));
            pause = (pause * 2).min(LONGEST_PAUSE);
            sleep_until(wake.into()).await;
            if self.judge() == Room::None {
                pause = LONGEST_PAUSE;
                if self.is_refused_for(limits::NEIGHBOUR_PATIENCE) {
                    return Some(Shortage::Neighbours);
                }
            }
        }
        None
    }

    /// Makes the kernel look for as many addresses as there is room for.
    fn ask_some(&mut self, seat: &mut Seat) -> Result<(), Held> {
        while let Some(&attached) = self.waiting.front()
            && seat.has_room()
        {
            self.take_from_pacers()?;
            self.waiting.pop_front();
            // A different port for each address, so that no port gets them all.
            let port = self
                .search
                .plan
                .ports
                .nth(self.attempts % self.search.plan.ports.len())
                .unwrap_or(1);
            self.attempts = self.attempts.wrapping_add(1);
            seat.begin(attached.neighbour);
            let target = Target { address: attached.address, port };
            match connect::knock(&self.search.plan.socket_addr(target)) {
                Ok(()) => {}
                Err(errno) => match Shortage::of(errno) {
                    // The probes will meet the same error, and know what it means.
                    Shortage::UnknownError => {
                        self.report_found(attached.address);
                        continue;
                    }
                    shortage => {
                        self.search.shared.stats.count_error(errno);
                        self.waiting.push_front(attached);
                        return Err(Held::Short(shortage));
                    }
                },
            }
            let overflows = self.seen.as_ref().map_or(0, Snapshot::overflows);
            self.asked.push(Asked { attached, at: Instant::now(), overflows, missed: None });
        }
        Ok(())
    }

    /// Whether nothing has gone on for so long.
    fn is_refused_for(&mut self, patience: Duration) -> bool {
        let now = Instant::now();
        now - *self.refused_since.get_or_insert(now) >= patience
    }

    fn take_from_pacers(&self) -> Result<(), Held> {
        let now = Instant::now();
        for (taken, pacer) in self.search.pacers.iter().enumerate() {
            if let Err(later) = pacer.take(now) {
                self.search.pacers[..taken].iter().for_each(|pacer| pacer.give_back());
                return Err(Held::Until(later));
            }
        }
        Ok(())
    }

    /// Reads the neighbour table, and ends the search for addresses that were found,
    /// or for which nobody answers.
    // The kernel gives an address up after 3 s. A scan with a shorter timeout does
    // not wait for that: nobody answered within the time that it has.
    fn judge(&mut self) -> Room {
        // While nothing is asked, a look that another scan took lately will do.
        let lately = Instant::now().checked_sub(LONGEST_PAUSE);
        let since = self.asked.iter().map(|asked| asked.at).max().or(lately);
        let since = since.unwrap_or_else(Instant::now);
        let seen = match self.search.neighbours.look(self.family, since) {
            Ok(seen) => seen,
            Err(error) => {
                let shortage = Errno::from_io_error(&error).map(Shortage::of);
                if shortage.is_some_and(|shortage| shortage != Shortage::UnknownError) {
                    return Room::None;
                }
                // The engine can also do without, if not as well.
                let asked = self.asked.drain(..).map(|asked| asked.attached);
                for attached in asked.chain(self.waiting.drain(..)).collect::<Vec<_>>() {
                    self.report_found(attached.address);
                }
                return Room::Some;
            }
        };
        let mut room = Room::Some;
        let mut unreachable = Vec::new();
        for asked in std::mem::take(&mut self.asked) {
            let Asked { attached, at, overflows, missed } = asked;
            let Attached { address, neighbour } = attached;
            match seen.entry(neighbour) {
                Some(Entry::InUse | Entry::Idle) => self.report_found(address),
                Some(Entry::Failed) => unreachable.push(address),
                Some(Entry::Incomplete) if at.elapsed() >= self.search.plan.timeout => {
                    unreachable.push(address);
                }
                Some(Entry::Incomplete) => self.asked.push(asked),
                None if seen.overflows() > overflows => {
                    self.waiting.push_front(attached);
                    room = Room::None;
                }
                // A long table comes in parts, and an entry that goes away in between
                // can hide another.
                None if missed.is_none_or(|missed| missed == seen.taken()) => {
                    self.asked.push(Asked { missed: Some(seen.taken()), ..asked });
                }
                // The attempt never came to need an entry, say for a filter of this
                // host. The probes will show.
                None => self.report_found(address),
            }
        }
        if seen.taken() > since {
            self.seen = Some(seen);
        }
        self.write_off(&unreachable);
        room
    }

    fn report_found(&mut self, address: u16) {
        self.refused_since = None;
        self.search.shared.leave_off(1);
        // The scan may be over by now.
        let _ = self.found.send(address);
    }

    fn write_off(&mut self, unreachable: &[u16]) {
        if unreachable.is_empty() {
            return;
        }
        self.refused_since = None;
        self.search.shared.leave_off(unreachable.len());
        for &address in unreachable {
            self.search.shared.write_off(address, Reason::HostUnreach);
        }
        let ports = u64::from(self.search.plan.ports.len()) * unreachable.len() as u64;
        self.search.shared.stats.count_ports(PortState::Filtered, ports);
    }
}

impl Drop for Seeker {
    fn drop(&mut self) {
        self.search.shared.leave_off(self.waiting.len() + self.asked.len());
    }
}

/// Whether the neighbour table had room for every attempt, and could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Some,
    None,
}

/// Why an attempt cannot be made now.
enum Held {
    Until(Instant),
    Short(Shortage),
}

/// The first look at the table after an attempt: a neighbour takes some 0.1 ms to
/// answer, and the runtime's timer has a grain of 1 ms.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// Between looks when nothing happens: short beside the 3 s that the kernel takes to
/// give an address up.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
