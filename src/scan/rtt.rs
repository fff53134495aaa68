//! How long an answer takes on the way to an address, and so how long to wait
//! for one.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::limits;

/// Smoothed round-trip time and its variation, as RFC 6298 has it. Pure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct RttEstimator {
    /// `None` before the first sample.
    smoothed: Option<Smoothed>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Smoothed {
    rtt: Duration,
    variation: Duration,
}

/// The way to one address, as all fan-outs of a scan see it.
#[derive(Debug, Default)]
pub(super) struct Path {
    estimator: Mutex<RttEstimator>,
    /// In microseconds; 0 before the first sample.
    timeout_us: AtomicU32,
    samples: AtomicU32,
}

/// What is known of the way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathTiming {
    /// The smoothed round-trip time.
    pub rtt: Duration,
    /// How long a first attempt waits.
    pub timeout: Duration,
}

impl RttEstimator {
    /// Takes a measured round-trip time into account.
    pub(super) fn sample(&mut self, rtt: Duration) {
        self.smoothed = Some(match self.smoothed {
            None => Smoothed { rtt, variation: rtt / 2 },
            Some(Smoothed { rtt: smoothed, variation }) => Smoothed {
                variation: variation * 3 / 4 + smoothed.abs_diff(rtt) / 4,
                rtt: smoothed * 7 / 8 + rtt / 8,
            },
        });
    }

    /// The smoothed round-trip time.
    pub(super) fn rtt(&self) -> Option<Duration> {
        self.smoothed.map(|smoothed| smoothed.rtt)
    }

    /// How long to wait for an answer: the rtt and four times its variation, or
    /// what this machine alone may delay it by.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let Smoothed { rtt, variation } = self.smoothed?;
        Some((rtt + (variation * 4).max(limits::MIN_MARGIN)).min(limits::MAX_TIMEOUT))
    }
}

impl Path {
    /// Takes a measured round-trip time into account. True if it is the first.
    // An answer after a second may be to a SYN that Linux repeated by itself,
    // and so tells nothing about the rtt (Karn's algorithm, RFC 6298, section 3).
    pub(super) fn sample(&self, rtt: Duration) -> bool {
        if rtt >= SYN_REPEATED {
            return false;
        }
        let count = self.samples.fetch_add(1, Ordering::Relaxed);
        // Once the estimate is good, few samples keep it so.
        if count >= ALL_SAMPLES && !count.is_multiple_of(SPARSE_SAMPLES) {
            return false;
        }
        let mut estimator = self.estimator.lock().unwrap_or_else(PoisonError::into_inner);
        estimator.sample(rtt);
        let us = estimator.timeout().map_or(0, |timeout| timeout.as_micros());
        let us = u32::try_from(us).unwrap_or(u32::MAX);
        self.timeout_us.swap(us, Ordering::Relaxed) == 0
    }

    /// How long a first attempt should wait; `None` before the first answer.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let us = self.timeout_us.load(Ordering::Relaxed);
        (us > 0).then(|| Duration::from_micros(us.into()))
    }

    /// What is known so far.
    pub(super) fn timing(&self) -> Option<PathTiming> {
        let estimator = *self.estimator.lock().unwrap_or_else(PoisonError::into_inner);
        Some(PathTiming { rtt: estimator.rtt()?, timeout: estimator.timeout()? })
    }
}

/// Linux repeats a SYN after 1 s (TCP_TIMEOUT_INIT).
const SYN_REPEATED: Duration = Duration::from_secs(1);

/// So many samples are all taken; then one in [`SPARSE_SAMPLES`].
const ALL_SAMPLES: u32 = 64;
const SPARSE_SAMPLES: u32 = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_sample_is_the_rtt_and_waits_three_times_as_long() {
        let mut estimator = RttEstimator::default();
        assert_eq!((estimator.rtt(), estimator.timeout()), (None, None));
        estimator.sample(Duration::from_millis(200));
        assert_eq!(estimator.rtt(), Some(Duration::from_millis(200)));
        assert_eq!(estimator.timeout(), Some(Duration::from_millis(600)));
    }

    #[test]
    fn an_answer_to_a_repeated_syn_is_no_sample() {
        let path = Path::default();
        assert!(!path.sample(Duration::from_millis(1030)));
        assert_eq!(path.timing(), None);
        assert!(path.sample(Duration::from_millis(30)));
        assert!(!path.sample(Duration::from_millis(30)));
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
                let timeout = estimator.timeout().unwrap();
                prop_assert!((limits::MIN_MARGIN..=limits::MAX_TIMEOUT).contains(&timeout));
            }
            let steady = Duration::from_micros(steady);
            for _ in 0..100 {
                estimator.sample(steady);
            }
            let timeout = estimator.timeout().unwrap();
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
            prop_assert!(far.timeout().unwrap() + Duration::from_micros(1) >= near.timeout().unwrap());
        }
    }
}
