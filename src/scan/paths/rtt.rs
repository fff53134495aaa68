//! How long answers take, and so how long to wait for one. Pure.

use std::time::Duration;

use crate::limits;

/// Smoothed round-trip time and its variation, as RFC 6298 has it. Pure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct RttEstimator {
    /// `None` before the first sample.
    smoothed: Option<Smoothed>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Smoothed {
    rtt: Duration,
    variation: Duration,
}

/// Round-trip times of answers that took about the same.
///
/// Answers can come from nearer than the host: a firewall refuses in its name, a
/// proxy accepts. So the slowest answers that agree are the host's. A later one
/// starts anew, and much faster ones count for nothing. Pure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cluster {
    estimator: RttEstimator,
    /// Answers that agree, up to [`STRONG`].
    agreeing: u8,
    slowest: Duration,
}

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sampled {
    /// It agrees with those before.
    Agrees,
    /// It is the first, or later than all before, which count no more.
    Anew,
    /// It came from much nearer, and counts for nothing.
    Nearer,
}

impl RttEstimator {
    /// Takes a measured round-trip time into account.
    fn sample(&mut self, rtt: Duration) {
        self.smoothed = Some(match self.smoothed {
            None => Smoothed { rtt, variation: rtt / 2 },
            Some(Smoothed { rtt: smoothed, variation }) => Smoothed {
                variation: variation * 3 / 4 + smoothed.abs_diff(rtt) / 4,
                rtt: smoothed * 7 / 8 + rtt / 8,
            },
        });
    }

    /// The smoothed round-trip time.
    fn rtt(&self) -> Option<Duration> {
        self.smoothed.map(|smoothed| smoothed.rtt)
    }

    /// How long to wait for an answer: the rtt and four times its variation, or
    /// `margin` if that is more.
    fn timeout(&self, margin: Duration) -> Option<Duration> {
        let Smoothed { rtt, variation } = self.smoothed?;
        Some((rtt + (variation * 4).max(margin)).min(limits::MAX_TIMEOUT))
    }
}

impl Cluster {
    /// Takes a measured round-trip time into account.
    pub(crate) fn sample(&mut self, rtt: Duration) -> Sampled {
        if self.timeout().is_some_and(|timeout| rtt > timeout) {
            *self = Self::default();
        }
        let is_nearer = |smoothed: Duration| rtt + limits::MIN_MARGIN < smoothed / 2;
        if self.estimator.rtt().is_some_and(is_nearer) {
            return Sampled::Nearer;
        }
        let sampled = if self.agreeing == 0 { Sampled::Anew } else { Sampled::Agrees };
        self.estimator.sample(rtt);
        self.agreeing = (self.agreeing + 1).min(STRONG);
        self.slowest = self.slowest.max(rtt);
        sampled
    }

    /// Whether enough answers agree.
    pub(crate) fn is_strong(&self) -> bool {
        self.agreeing >= STRONG
    }

    /// The slowest of the answers that agree.
    pub(crate) fn slowest(&self) -> Duration {
        self.slowest
    }

    /// The smoothed round-trip time.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.estimator.rtt()
    }

    /// How long to wait for an answer that agrees.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout_with(limits::MIN_MARGIN)
    }

    /// The same for the first of several attempts.
    pub(crate) fn brief_timeout(&self) -> Option<Duration> {
        self.timeout_with(limits::FIRST_MARGIN)
    }

    fn timeout_with(&self, margin: Duration) -> Option<Duration> {
        self.estimator.timeout(margin).map(|timeout| timeout.max(self.slowest))
    }
}

/// A proxy near the scanner mostly accepts on one port or two, say for HTTP and
/// HTTPS. Ordinary hosts that have anything open soon show three.
pub(crate) const STRONG: u8 = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_sample_is_the_rtt_and_waits_three_times_as_long() {
        let mut estimator = RttEstimator::default();
        assert_eq!((estimator.rtt(), estimator.timeout(limits::MIN_MARGIN)), (None, None));
        estimator.sample(Duration::from_millis(200));
        assert_eq!(estimator.rtt(), Some(Duration::from_millis(200)));
        assert_eq!(estimator.timeout(limits::MIN_MARGIN), Some(Duration::from_millis(600)));
    }

    #[test]
    fn a_firewall_near_by_does_not_hide_how_far_the_host_is() {
        let (near, far) = (Duration::from_micros(100), Duration::from_millis(300));
        for samples in [[near, near, far, far, far], [far, near, far, near, far]] {
            let mut cluster = Cluster::default();
            for (taken, sample) in samples.into_iter().enumerate() {
                assert!(!cluster.is_strong(), "after {taken} of {samples:?}");
                cluster.sample(sample);
            }
            assert!(cluster.is_strong());
            assert_eq!((cluster.rtt(), cluster.slowest()), (Some(far), far));
        }
    }

    #[test]
    fn a_later_answer_makes_strong_evidence_weak() {
        let mut cluster = Cluster::default();
        for _ in 0..20 {
            cluster.sample(Duration::from_millis(10));
        }
        assert!(cluster.is_strong());
        cluster.sample(Duration::from_millis(400));
        cluster.sample(Duration::from_millis(10));
        assert!(!cluster.is_strong());
        assert_eq!(cluster.rtt(), Some(Duration::from_millis(400)));
    }

    #[test]
    fn answers_that_vary_as_on_a_wireless_link_agree() {
        let mut cluster = Cluster::default();
        for rtt in [40, 70, 25, 90].map(Duration::from_millis) {
            cluster.sample(rtt);
        }
        assert!(cluster.is_strong());
        assert_eq!(cluster.slowest(), Duration::from_millis(90));
    }

    proptest! {
        #[test]
        fn the_timeout_is_bounded_and_covers_a_steady_rtt(
            history in prop::collection::vec(0u64..5_000_000, 0..40),
            steady in 0u64..900_000,
        ) {
            let mut estimator = RttEstimator::default();
            for us in history {
                estimator.sample(Duration::from_micros(us));
                let timeout = estimator.timeout(limits::MIN_MARGIN).unwrap();
                prop_assert!((limits::MIN_MARGIN..=limits::MAX_TIMEOUT).contains(&timeout));
            }
            let steady = Duration::from_micros(steady);
            for _ in 0..100 {
                estimator.sample(steady);
            }
            let timeout = estimator.timeout(limits::MIN_MARGIN).unwrap();
            prop_assert!(timeout >= steady);
            // The history is forgotten.
            prop_assert!(timeout <= steady * 2 + limits::MIN_MARGIN);
        }

        #[test]
        fn longer_rtts_never_shorten_the_timeout(
            samples in prop::collection::vec(0u64..1_000_000, 1..30),
            extra in 0u64..1_000_000,
        ) {
            let (mut near, mut far) = (RttEstimator::default(), RttEstimator::default());
            for us in samples {
                near.sample(Duration::from_micros(us));
                far.sample(Duration::from_micros(us + extra));
            }
            prop_assert!(far.timeout(limits::MIN_MARGIN).unwrap() + Duration::from_micros(1)
                >= near.timeout(limits::MIN_MARGIN).unwrap());
        }
    }
}
