//! What bounds the time of a scan: where its fan-outs spent theirs. Pure.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What a scan spent most of its time on, and so what would have to change for it to
/// be faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// Work of this machine.
    Processor,
    /// Every probe was sent, and some had still to be answered or to time out.
    Timeouts,
    /// The network had to answer before more probes were sent.
    Window,
    /// Every descriptor that the scan could have was in use.
    Descriptors,
    /// The limit on probes a second.
    Rate,
    /// The search for addresses of attached networks.
    Neighbours,
}

/// How long the fan-outs of a scan were held up by what, together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Times([Duration; Bound::ALL.len()]);

/// Measures how long one fan-out is held up, and by what.
#[derive(Debug)]
pub(super) struct HeldUp {
    by: Bound,
    since: Option<Instant>,
    times: Times,
}

impl Bound {
    const ALL: [Self; 6] = [
        Self::Processor,
        Self::Timeouts,
        Self::Window,
        Self::Descriptors,
        Self::Rate,
        Self::Neighbours,
    ];
}

impl Times {
    pub(super) fn add(&mut self, bound: Bound, time: Duration) {
        self.0[bound as usize] += time;
    }

    pub(super) fn absorb(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(whole, part)| *whole += part);
    }

    pub(super) fn total(&self) -> Duration {
        self.0.iter().sum()
    }

    /// What took most of the time; `None` before any was spent.
    pub(super) fn longest(&self) -> Option<Bound> {
        let spent = |bound: &Bound| self.0[*bound as usize];
        Bound::ALL.into_iter().max_by_key(spent).filter(|bound| spent(bound) > Duration::ZERO)
    }
}

impl HeldUp {
    /// Notes what keeps the next probe from starting.
    pub(super) fn by(&mut self, by: Bound) {
        self.by = by;
    }

    /// Nothing can be done from now on.
    pub(super) fn begin(&mut self) {
        self.since = Some(Instant::now());
    }

    /// Something may be possible again.
    pub(super) fn end(&mut self) {
        if let Some(since) = self.since.take() {
            self.times.add(self.by, since.elapsed());
        }
    }

    pub(super) fn times(&self) -> &Times {
        &self.times
    }
}

impl Default for HeldUp {
    fn default() -> Self {
        Self { by: Bound::Processor, since: None, times: Times::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_is_bound_by_what_took_most_of_its_time() {
        let second = Duration::from_secs(1);
        let mut times = Times::default();
        assert_eq!(times.longest(), None);
        times.add(Bound::Processor, second);
        times.add(Bound::Descriptors, second * 2);
        let mut other = Times::default();
        other.add(Bound::Rate, second * 3);
        assert_eq!(
            (times.longest(), other.longest()),
            (Some(Bound::Descriptors), Some(Bound::Rate))
        );
        other.absorb(&times);
        other.absorb(&times);
        assert_eq!((other.longest(), other.total()), (Some(Bound::Descriptors), second * 9));
    }
}
