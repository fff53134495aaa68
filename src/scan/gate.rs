//! Decides when the next probe of a fan-out may start, by three rules: the window,
//! limits on the rate, and pauses while this machine lacks a resource.

pub(crate) mod pacer;
mod strain;
pub(crate) mod until;
pub(crate) mod window;

use std::sync::Arc;
use std::time::Instant;

use self::pacer::Pacer;
use self::strain::Strain;
use self::window::{Admits, Window};
use super::outcome::{Answer, Reason, Shortage};

/// Lets probes of one fan-out start, or holds them back.
#[derive(Debug)]
pub(super) struct Gate {
    pacers: Vec<Arc<Pacer>>,
    window: Window,
    strain: Strain,
    /// When window or pacers let the next probe start.
    later: Option<Instant>,
}

impl Gate {
    pub(super) fn new(pacers: Vec<Arc<Pacer>>, window: Window) -> Self {
        Self { pacers, window, strain: Strain::default(), later: None }
    }

    /// Whether one more than `in_flight` probes may be in flight.
    pub(super) fn has_room(&mut self, in_flight: usize) -> bool {
        if self.strain.holds_back(in_flight, Instant::now) {
            return false;
        }
        match self.window.admits(in_flight, Instant::now()) {
            Admits::Now => true,
            Admits::After(later) => {
                self.later = later;
                false
            }
        }
    }

    /// Takes the right to start a probe from every pacer, or from none.
    pub(super) fn take(&mut self) -> bool {
        if self.pacers.is_empty() {
            return true;
        }
        let now = Instant::now();
        for (taken, pacer) in self.pacers.iter().enumerate() {
            if let Err(later) = pacer.take(now) {
                self.pacers[..taken].iter().for_each(|pacer| pacer.give_back());
                self.later = Some(later);
                return false;
            }
        }
        true
    }

    /// Gives back a right that was not used.
    pub(super) fn give_back(&self) {
        self.pacers.iter().for_each(|pacer| pacer.give_back());
    }

    /// An attempt that started at `sent` ended with this answer.
    pub(super) fn note(&mut self, answer: Answer, sent: Instant) {
        self.strain.relax();
        match answer {
            Answer::Port(_, Reason::NoResponse) => self.window.silence(sent, Instant::now()),
            // Whoever sends ICMP errors limits them (RFC 1812, section 4.3.2.8): neither
            // that one came nor that the next does not shows how much gets through.
            Answer::Icmp(..) => self.window.grow(),
            Answer::Port(..) | Answer::Short(_) => self.window.answer(),
        }
    }

    /// The window that a further pass should start with.
    pub(super) fn window_hint(&self) -> Option<usize> {
        self.window.hint()
    }

    /// An attempt failed because a resource ran out, with `in_flight` others in flight.
    pub(super) fn strain(&mut self, shortage: Shortage, in_flight: usize) {
        self.strain.pull(shortage, in_flight, Instant::now());
    }

    /// Closes for good.
    pub(super) fn close(&mut self, shortage: Shortage) {
        self.strain.give_up(shortage);
    }

    /// Why it is closed for good, if it is.
    pub(super) fn closed(&self) -> Option<Shortage> {
        self.strain.gave_up()
    }

    /// When a probe may start again, if only time is needed for that.
    pub(super) fn opens_at(&mut self) -> Option<Instant> {
        self.later.take().into_iter().chain(self.strain.resumes_at()).min()
    }
}
