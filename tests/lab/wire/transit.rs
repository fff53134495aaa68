//! The frames on the wire, in the order in which they arrive.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Frames on the wire, each with the instant at which it arrives.
// A heap, because jitter lets later frames arrive first. Frames that arrive at the
// same instant keep the order in which they entered.
#[derive(Debug)]
pub(crate) struct Transit<T> {
    frames: BinaryHeap<UnderWay<T>>,
    entered: u64,
}

#[derive(Debug)]
struct UnderWay<T> {
    arrives: Instant,
    number: u64,
    frame: T,
}

impl<T> Transit<T> {
    /// No frame.
    pub(crate) fn new() -> Self {
        Self { frames: BinaryHeap::new(), entered: 0 }
    }

    /// Adds `frame`.
    pub(crate) fn enter(&mut self, frame: T, arrives: Instant) {
        self.frames.push(UnderWay { arrives, number: self.entered, frame });
        self.entered += 1;
    }

    /// Removes and returns the next frame that has arrived at `now`.
    pub(crate) fn next_arrived(&mut self, now: Instant) -> Option<T> {
        self.next_arrival().filter(|&arrives| arrives <= now)?;
        self.frames.pop().map(|under_way| under_way.frame)
    }

    /// When the next frame arrives.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        self.frames.peek().map(|under_way| under_way.arrives)
    }

    /// How many frames there are.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }
}

impl<T> Ord for UnderWay<T> {
    /// The soonest is the greatest, and so the first out of the heap.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.arrives, other.number).cmp(&(self.arrives, self.number))
    }
}

impl<T> PartialOrd for UnderWay<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for UnderWay<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for UnderWay<T> {}
