//! Probes that were not sent in time: counted at once, reported now and then. No I/O, and
//! no clock.

use std::time::{Duration, Instant};

use super::{MissedReason, WatchNews};

/// What a watch has missed so far.
#[derive(Debug)]
pub(super) struct Shortfall {
    total: u64,
    untold: Vec<(MissedReason, u64)>,
    /// When there may be news of it.
    tell_at: Instant,
}

impl Shortfall {
    /// Nothing so far; the first news may come at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { total: 0, untold: Vec::new(), tell_at: now }
    }

    /// How many probes were missed.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Adds so many probes.
    pub(super) fn add(&mut self, reason: MissedReason, probes: u64) {
        if probes == 0 {
            return;
        }
        self.total += probes;
        match self.untold.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += probes,
            None => self.untold.push((reason, probes)),
        }
    }

    /// What was not told yet, if it is time.
    pub(super) fn news(&mut self, now: Instant) -> impl Iterator<Item = WatchNews> + use<> {
        let is_time = now >= self.tell_at && !self.untold.is_empty();
        if is_time {
            self.tell_at = now + TELL_EVERY;
        }
        let told = if is_time { std::mem::take(&mut self.untold) } else { Vec::new() };
        told.into_iter().map(|(reason, probes)| WatchNews::Missed { probes, reason })
    }
}

/// How often missed probes are reported.
pub(super) const TELL_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missed_probe_is_told_once_and_not_too_often() {
        let start = Instant::now();
        let mut shortfall = Shortfall::new(start);
        let news = |shortfall: &mut Shortfall, ms| {
            let news = shortfall.news(start + Duration::from_millis(ms));
            news.map(|it| match it {
                WatchNews::Missed { probes, reason } => (reason.name(), probes),
                WatchNews::Changed(_) => unreachable!("there is no other news"),
            })
            .collect::<Vec<_>>()
        };
        shortfall.add(MissedReason::Late, 0);
        assert_eq!(news(&mut shortfall, 0), []);
        shortfall.add(MissedReason::Late, 2);
        shortfall.add(MissedReason::Rate, 1);
        shortfall.add(MissedReason::Late, 3);
        assert_eq!(news(&mut shortfall, 1), [("late", 5), ("rate", 1)]);
        shortfall.add(MissedReason::Late, 4);
        assert_eq!(news(&mut shortfall, 1000), []);
        assert_eq!(news(&mut shortfall, 1001), [("late", 4)]);
        assert_eq!((news(&mut shortfall, 9000), shortfall.total()), (vec![], 10));
    }
}
