//! What is under way on the wire, soonest to arrive first. Pure.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Frames under way, each with the instant it arrives at.
// A heap, because jitter lets later frames arrive first; those that arrive at
// the same instant keep the order they entered in.
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
    /// Nothing under way.
    pub(crate) fn new() -> Self {
        Self { frames: BinaryHeap::new(), entered: 0 }
    }

    /// Sends `frame` on its way.
    pub(crate) fn enter(&mut self, frame: T, arrives: Instant) {
        self.frames.push(UnderWay { arrives, number: self.entered, frame });
        self.entered += 1;
    }

    /// Takes out the next frame that has arrived by `now`.
    pub(crate) fn next_arrived(&mut self, now: Instant) -> Option<T> {
        self.next_arrival().filter(|&arrives| arrives <= now)?;
        self.frames.pop().map(|under_way| under_way.frame)
    }

    /// When the next frame arrives.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        self.frames.peek().map(|under_way| under_way.arrives)
    }

    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }
}

impl<T> Ord for UnderWay<T> {
    /// Greatest, and so first out of the heap, is the soonest.
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
