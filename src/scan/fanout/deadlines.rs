//! A queue of deadlines by slot, soonest first. Pure.
//!
//! Probes of a fan-out share a timeout, so their deadlines come nearly in
//! order: a linked list over the slots inserts and removes in constant time
//! and, once grown, allocates nothing.

use std::time::Instant;

/// The deadlines of the slots that have a probe in flight.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    links: Vec<Link>,
    soonest: Option<u32>,
    latest: Option<u32>,
    len: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Link {
    /// `None` for a slot without a probe in flight.
    deadline: Option<Instant>,
    sooner: Option<u32>,
    later: Option<u32>,
}

impl Deadlines {
    /// How many probes are in flight.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `slot` has a probe in flight.
    pub(crate) fn holds(&self, slot: u32) -> bool {
        self.links.get(slot as usize).is_some_and(|link| link.deadline.is_some())
    }

    /// The soonest deadline and its slot.
    pub(crate) fn first(&self) -> Option<(u32, Instant)> {
        let slot = self.soonest?;
        self.links[slot as usize].deadline.map(|deadline| (slot, deadline))
    }

    /// Adds a slot that is not in the queue.
    pub(crate) fn insert(&mut self, slot: u32, deadline: Instant) {
        debug_assert!(!self.holds(slot), "a slot has one probe in flight");
        if self.links.len() <= slot as usize {
            self.links.resize(slot as usize + 1, Link::default());
        }
        let mut sooner = self.latest;
        let mut later = None;
        while let Some(other) = sooner
            && self.links[other as usize].deadline > Some(deadline)
        {
            later = sooner;
            sooner = self.links[other as usize].sooner;
        }
        self.links[slot as usize] = Link { deadline: Some(deadline), sooner, later };
        self.join(sooner, Some(slot));
        self.join(Some(slot), later);
        self.len += 1;
    }

    /// Takes a slot out of the queue; one that is not in it is left alone.
    pub(crate) fn remove(&mut self, slot: u32) {
        if self.holds(slot) {
            let Link { sooner, later, .. } = std::mem::take(&mut self.links[slot as usize]);
            self.join(sooner, later);
            self.len -= 1;
        }
    }

    /// Sets every deadline anew.
    pub(crate) fn retime(&mut self, deadline: impl Fn(u32) -> Instant) {
        let mut queue = Vec::with_capacity(self.len);
        while let Some((slot, _)) = self.first() {
            self.remove(slot);
            queue.push((deadline(slot), slot));
        }
        queue.sort_unstable();
        for (deadline, slot) in queue {
            self.insert(slot, deadline);
        }
    }

    /// Makes two slots, or a slot and an end of the queue, neighbours.
    fn join(&mut self, sooner: Option<u32>, later: Option<u32>) {
        match sooner {
            Some(slot) => self.links[slot as usize].later = later,
            None => self.soonest = later,
        }
        match later {
            Some(slot) => self.links[slot as usize].sooner = sooner,
            None => self.latest = sooner,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_soonest_deadline_is_always_first(
            steps in prop::collection::vec((0u32..12, prop::option::of(0u64..50)), 0..200),
        ) {
            let start = Instant::now();
            let mut deadlines = Deadlines::default();
            let mut model = BTreeMap::new();
            for (slot, due) in steps {
                deadlines.remove(slot);
                model.remove(&slot);
                if let Some(due) = due {
                    let due = start + Duration::from_millis(due);
                    deadlines.insert(slot, due);
                    model.insert(slot, due);
                }
                prop_assert_eq!(deadlines.len(), model.len());
                prop_assert_eq!(deadlines.holds(slot), due.is_some());
                prop_assert_eq!(
                    deadlines.first().map(|(_, due)| due),
                    model.values().min().copied()
                );
            }
            let later = |slot: u32| start + Duration::from_millis(u64::from(slot * 7 % 12));
            deadlines.retime(later);
            for (slot, due) in &mut model {
                *due = later(*slot);
            }
            let mut drained = Vec::new();
            while let Some((slot, due)) = deadlines.first() {
                deadlines.remove(slot);
                prop_assert_eq!(model.remove(&slot), Some(due));
                drained.push(due);
            }
            prop_assert!(drained.is_sorted() && model.is_empty() && deadlines.is_empty());
        }
    }
}
