//! What a fan-out does when this machine runs out of a resource: it keeps fewer
//! probes in flight, pauses, and gives up if that does not help. Pure.

use std::time::{Duration, Instant};

use crate::limits;
use crate::scan::outcome::Shortage;

#[derive(Debug, Default)]
pub(crate) struct Strain {
    /// The most probes allowed in flight; `None` is no limit.
    window: Option<usize>,
    resume: Option<Instant>,
    /// The first failure since the last outcome.
    since: Option<Instant>,
    gave_up: Option<Shortage>,
}

impl Strain {
    /// An attempt failed because a resource ran out, with `in_flight` others in flight.
    pub(crate) fn pull(&mut self, shortage: Shortage, in_flight: usize, now: Instant) {
        self.window = Some((in_flight / 2).max(1));
        self.resume = Some(now + PAUSE);
        let since = *self.since.get_or_insert(now);
        // Probes in flight may still end, and so free the resource.
        if in_flight == 0 && now.duration_since(since) >= limits::SHORTAGE_PATIENCE {
            self.gave_up = Some(shortage);
        }
    }

    /// Ends the fan-out at once.
    pub(crate) fn give_up(&mut self, shortage: Shortage) {
        self.gave_up = Some(shortage);
    }

    /// A probe ended: there is room for one more than before.
    pub(crate) fn relax(&mut self) {
        self.since = None;
        if let Some(window) = &mut self.window {
            *window += 1;
        }
    }

    /// Whether no further attempt may start now.
    pub(crate) fn holds_back(&mut self, in_flight: usize, now: impl FnOnce() -> Instant) -> bool {
        if self.gave_up.is_some() || self.window.is_some_and(|window| in_flight >= window) {
            return true;
        }
        self.resume = self.resume.filter(|&resume| resume > now());
        self.resume.is_some()
    }

    /// When attempts may start again, if a pause is on.
    pub(crate) fn resumes_at(&self) -> Option<Instant> {
        self.resume.filter(|_| self.gave_up.is_none())
    }

    /// The shortage that lasted too long.
    pub(crate) fn gave_up(&self) -> Option<Shortage> {
        self.gave_up
    }
}

/// Long enough for other processes to get on, short beside a probe's timeout.
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_halves_the_window_and_outcomes_widen_it() {
        let start = Instant::now();
        let mut strain = Strain::default();
        assert!(!strain.holds_back(1_000_000, || start));
        strain.pull(Shortage::Descriptors, 100, start);
        assert!(strain.holds_back(0, || start));
        let later = start + PAUSE;
        assert!(!strain.holds_back(49, || later) && strain.holds_back(50, || later));
        strain.relax();
        assert!(!strain.holds_back(50, || later));
    }

    #[test]
    fn only_a_shortage_that_lasts_and_lets_nothing_through_ends_the_fan_out() {
        let start = Instant::now();
        let lasting = start + limits::SHORTAGE_PATIENCE;
        let mut strain = Strain::default();
        strain.pull(Shortage::Memory, 0, start);
        strain.pull(Shortage::Memory, 3, lasting);
        assert_eq!(strain.gave_up(), None, "probes are still in flight");
        strain.relax();
        strain.pull(Shortage::Memory, 0, lasting);
        assert_eq!(strain.gave_up(), None, "an outcome came in between");
        strain.pull(Shortage::Memory, 0, lasting + limits::SHORTAGE_PATIENCE);
        assert_eq!(strain.gave_up(), Some(Shortage::Memory));
        assert!(strain.holds_back(0, || lasting) && strain.resumes_at().is_none());
    }
}
