//! The probes of a fan-out that are in flight, and the deadline of each.
//!
//! Deadlines follow from what is known of the paths. Once an address has answered,
//! its probes in flight may need to wait less or more than was planned: then all
//! deadlines are set anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::deadlines::Deadlines;
use crate::scan::paths::{Paths, Purpose};

/// The probes in flight.
pub(crate) struct Waits {
    paths: Arc<Paths>,
    purpose: Purpose,
    deadlines: Deadlines,
    /// The revision of the paths that the deadlines follow from, and when they were
    /// set.
    timed_by: (u32, Instant),
    max_in_flight: usize,
}

impl Waits {
    pub(crate) fn new(paths: Arc<Paths>, purpose: Purpose, now: Instant) -> Self {
        let (timed_by, deadlines) = ((paths.revision(), now), Deadlines::default());
        Self { paths, purpose, deadlines, timed_by, max_in_flight: 0 }
    }

    /// How many probes are in flight.
    pub(crate) fn len(&self) -> usize {
        self.deadlines.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }

    /// The most probes that were in flight at once.
    pub(crate) fn max_in_flight(&self) -> usize {
        self.max_in_flight
    }

    /// Whether the probe of `slot` is in flight.
    pub(crate) fn holds(&self, slot: u32) -> bool {
        self.deadlines.holds(slot)
    }

    /// Adds the probe of `slot`, which asked `address` at `started`.
    pub(crate) fn insert(&mut self, slot: u32, address: u16, started: Instant) {
        self.deadlines.insert(slot, started + self.paths.wait(address, self.purpose));
        self.max_in_flight = self.max_in_flight.max(self.len());
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        self.deadlines.remove(slot);
    }

    /// Takes out the probe with the soonest deadline, if that has passed.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<u32> {
        let (slot, _) = self.deadlines.first().filter(|&(_, deadline)| deadline <= now)?;
        self.deadlines.remove(slot);
        Some(slot)
    }

    /// Whether more is known of the paths than the deadlines follow from.
    pub(crate) fn is_outdated(&self) -> bool {
        self.paths.revision() != self.timed_by.0
    }

    /// Sets all deadlines anew if they are outdated. `probe` gives the address of a
    /// slot's probe, and when it started.
    // Many addresses may answer one after another; sorting all deadlines for each
    // of them would cost more than it saves.
    pub(crate) fn retime(&mut self, now: Instant, probe: impl Fn(u32) -> (u16, Instant)) {
        let Self { paths, purpose, deadlines, timed_by, .. } = self;
        let revision = paths.revision();
        if revision == timed_by.0 || now < timed_by.1 + RETIME_EVERY {
            return;
        }
        *timed_by = (revision, now);
        deadlines.retime(|slot| {
            let (address, started) = probe(slot);
            started + paths.wait(address, *purpose)
        });
    }

    /// When the next deadline comes, or the deadlines may be set anew.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let (_, deadline) = self.deadlines.first()?;
        let retime = self.is_outdated().then(|| self.timed_by.1 + RETIME_EVERY);
        Some(retime.map_or(deadline, |retime| retime.min(deadline)))
    }
}

/// To sort 20,000 deadlines takes some 2 ms, which is too much for every answer
/// of a sweep; no wait is shorter than ten times this.
const RETIME_EVERY: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::paths::Answered;
    use crate::scan::plan::Target;

    #[test]
    fn deadlines_follow_what_is_learnt_of_a_path() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let paths = Arc::new(Paths::new(&[[192, 0, 2, 1].into()], ms(2_000), None));
        let mut waits = Waits::new(Arc::clone(&paths), Purpose::State, start);
        waits.insert(7, 0, start);
        let first = start + ms(500);
        assert_eq!((waits.wake_at(), waits.is_outdated()), (Some(first), false));

        let rtt = Duration::from_micros(100);
        let target = Target { address: 0, port: 22 };
        (0..3).for_each(|_| paths.sample(target, Answered::Accepted, rtt, || Some(rtt)));
        let wait = paths.wait(0, Purpose::State);
        assert!(waits.is_outdated() && wait < ms(200));
        assert_eq!(waits.wake_at(), Some(start + RETIME_EVERY));
        // Not too often.
        waits.retime(start + RETIME_EVERY / 2, |_| (0, start));
        assert!(waits.is_outdated());
        waits.retime(start + RETIME_EVERY, |_| (0, start));
        assert_eq!((waits.wake_at(), waits.is_outdated()), (Some(start + wait), false));

        assert_eq!(waits.take_expired(start + wait - ms(1)), None);
        assert_eq!(waits.take_expired(start + wait), Some(7));
        assert!(waits.is_empty() && waits.wake_at().is_none());
        assert_eq!(waits.max_in_flight(), 1);
    }
}
