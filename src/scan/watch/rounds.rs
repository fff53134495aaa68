//! Which port is asked when. `now` is passed in; nothing here waits.
//!
//! A round asks every port once, and begins on time, whatever the probes of earlier
//! rounds wait for. Ports whose turn did not come before the next round are missed, and
//! come first in it: if there is too little of something, all ports are asked less often.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The rounds of a watch over ports that are numbered from 0.
#[derive(Debug)]
pub(crate) struct Rounds {
    every: Duration,
    ports: u32,
    /// When the next round begins.
    next: Instant,
    /// How many ports of the present round have not been asked yet.
    left: u32,
    /// The port whose turn it is.
    turn: u32,
    begun: u64,
    /// Ports in doubt, with the time to ask them once more, soonest first.
    again: VecDeque<(Instant, u32)>,
    /// Which ports are among them.
    is_again: Vec<bool>,
}

/// What was missed when a round began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missed {
    /// Probes of the round before that were not sent.
    pub(crate) unsent: u64,
    /// Probes of rounds that did not begin, because this process did not run.
    pub(crate) late: u64,
}

impl Rounds {
    /// Rounds over `ports`, the first at `now`.
    pub(crate) fn new(ports: u32, every: Duration, now: Instant) -> Self {
        let (again, is_again) = (VecDeque::new(), vec![false; ports as usize]);
        Self { every, ports, next: now, left: 0, turn: 0, begun: 0, again, is_again }
    }

    /// How many rounds have begun.
    pub(crate) fn begun(&self) -> u64 {
        self.begun
    }

    /// Begins the next round if it is time, and returns what was missed until then.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<Missed> {
        let behind = now.checked_duration_since(self.next)?;
        let skipped = behind.as_nanos() / self.every.as_nanos().max(1);
        let skipped = u32::try_from(skipped).unwrap_or(u32::MAX);
        self.next += self.every.saturating_mul(skipped.saturating_add(1));
        let (unsent, late) = (self.left.into(), u64::from(skipped) * u64::from(self.ports));
        self.left = self.ports;
        self.begun += 1;
        Some(Missed { unsent, late })
    }

    /// The next port to ask; it stays the next until it [was asked](Self::asked).
    pub(crate) fn due(&self, now: Instant) -> Option<u32> {
        self.due_again(now).or_else(|| (self.left > 0).then_some(self.turn))
    }

    /// The port that was due was asked.
    pub(crate) fn asked(&mut self, now: Instant) {
        if let Some(port) = self.due_again(now) {
            self.again.pop_front();
            self.is_again[port as usize] = false;
        } else if self.left > 0 {
            self.left -= 1;
            self.turn = (self.turn + 1) % self.ports;
        }
    }

    /// Whether a port's next turn may be far.
    pub(crate) fn are_sparse(&self) -> bool {
        self.every > ONCE_MORE
    }

    /// Has a port in doubt asked once more, before its next turn if that may be far.
    pub(crate) fn doubt(&mut self, port: u32, now: Instant) {
        if self.are_sparse() && !self.is_again[port as usize] {
            self.is_again[port as usize] = true;
            self.again.push_back((now + ONCE_MORE, port));
        }
    }

    /// When the next round begins.
    pub(crate) fn next_round(&self) -> Instant {
        self.next
    }

    /// When there is something to ask next.
    pub(crate) fn wake_at(&self) -> Instant {
        let again = self.again.front().map(|&(at, _)| at);
        again.map_or(self.next, |again| again.min(self.next))
    }

    fn due_again(&self, now: Instant) -> Option<u32> {
        self.again.front().filter(|&&(at, _)| at <= now).map(|&(_, port)| port)
    }
}

/// How soon a port in doubt is asked once more: eight such probes take as long as one
/// waits for a near host, and are less than most networks lose at once.
const ONCE_MORE: Duration = Duration::from_millis(25);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Asks what is due, `most` ports at most.
    fn ask(rounds: &mut Rounds, now: Instant, most: usize) -> Vec<u32> {
        let asked = std::iter::from_fn(|| {
            let port = rounds.due(now)?;
            rounds.asked(now);
            Some(port)
        });
        asked.take(most).collect()
    }

    #[test]
    fn rounds_begin_on_time_and_late_ones_are_counted() {
        let start = Instant::now();
        let mut rounds = Rounds::new(3, 20 * MS, start);
        assert_eq!(rounds.begin(start), Some(Missed::default()));
        assert_eq!(ask(&mut rounds, start, 9), [0, 1, 2]);
        assert_eq!(rounds.begin(start + 19 * MS), None);
        // Late by less than a round: the next one is on time again.
        assert_eq!(rounds.begin(start + 39 * MS), Some(Missed::default()));
        assert_eq!(ask(&mut rounds, start + 39 * MS, 9), [0, 1, 2]);
        assert_eq!(rounds.wake_at(), start + 40 * MS);
        assert_eq!(rounds.begin(start + 85 * MS), Some(Missed { unsent: 0, late: 6 }));
        assert_eq!((rounds.begun(), rounds.wake_at()), (3, start + 100 * MS));
    }

    #[test]
    fn ports_whose_turn_did_not_come_are_missed_and_come_first() {
        let start = Instant::now();
        let mut rounds = Rounds::new(4, 20 * MS, start);
        rounds.begin(start);
        assert_eq!(ask(&mut rounds, start, 3), [0, 1, 2]);
        assert_eq!(rounds.begin(start + 20 * MS), Some(Missed { unsent: 1, late: 0 }));
        assert_eq!(ask(&mut rounds, start + 20 * MS, 3), [3, 0, 1]);
        rounds.begin(start + 40 * MS);
        assert_eq!(ask(&mut rounds, start + 40 * MS, 9), [2, 3, 0, 1]);
    }

    #[test]
    fn a_port_in_doubt_is_asked_before_its_turn_if_that_is_far() {
        let start = Instant::now();
        let mut rounds = Rounds::new(2, 1000 * MS, start);
        rounds.begin(start);
        assert_eq!(ask(&mut rounds, start, 9), [0, 1]);
        rounds.doubt(1, start);
        rounds.doubt(1, start + MS);
        assert_eq!(rounds.wake_at(), start + ONCE_MORE);
        assert_eq!(ask(&mut rounds, start + ONCE_MORE, 9), [1]);
        assert_eq!(rounds.wake_at(), start + 1000 * MS);
        let mut dense = Rounds::new(2, 20 * MS, start);
        dense.doubt(1, start);
        assert_eq!(dense.wake_at(), start);
    }

    proptest! {
        #[test]
        fn every_probe_of_every_round_is_sent_or_counted_as_missed(
            ports in 1u32..20,
            steps in prop::collection::vec((0u32..90, 0usize..25), 1..60),
        ) {
            let start = Instant::now();
            let mut rounds = Rounds::new(ports, 20 * MS, start);
            let (mut now, mut sent, mut missed) = (start, 0u64, 0u64);
            for (gap, most) in steps {
                now += MS * gap;
                if let Some(Missed { unsent, late }) = rounds.begin(now) {
                    missed += unsent + late;
                }
                sent += ask(&mut rounds, now, most).len() as u64;
            }
            let begun = if rounds.begun() == 0 { 0 } else {
                let passed = rounds.wake_at().duration_since(start).as_millis() / 20;
                u64::try_from(passed).unwrap()
            };
            prop_assert_eq!(sent + missed + u64::from(rounds.left), begun * u64::from(ports));
        }
    }
}
