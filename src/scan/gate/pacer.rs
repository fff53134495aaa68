//! A limit on probes a second. `now` is passed in; nothing here waits.
//!
//! A [`Pacer`] is a token bucket in the form of the generic cell rate algorithm
//! (ITU-T I.371). Its only state is the time at which the next probe would be due
//! if all before had kept the rate exactly, so any number of fan-outs can share
//! one without a lock.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A limit on probes a second, shared by all its holders.
#[derive(Debug)]
pub(crate) struct Pacer {
    origin: Instant,
    interval_ns: u64,
    burst_ns: u64,
    /// When the next probe is due, in nanoseconds after `origin`.
    due_ns: AtomicU64,
}

impl Pacer {
    /// A limit of `rate` probes a second from `now` on.
    pub(crate) fn new(rate: NonZeroU32, now: Instant) -> Self {
        let interval_ns = NANOS_A_SECOND / u64::from(rate.get());
        let burst_ns = nanos(BURST);
        Self { origin: now, interval_ns, burst_ns, due_ns: AtomicU64::new(0) }
    }

    /// Takes the right to start one probe.
    ///
    /// # Errors
    /// When none may start now: the time at which one may.
    pub(crate) fn take(&self, now: Instant) -> Result<(), Instant> {
        let now_ns = nanos(now.saturating_duration_since(self.origin));
        let mut due = self.due_ns.load(Ordering::Relaxed);
        loop {
            let start = due.max(now_ns);
            if start > now_ns + self.burst_ns {
                return Err(self.origin + Duration::from_nanos(start - self.burst_ns));
            }
            let next = start + self.interval_ns;
            match self.due_ns.compare_exchange_weak(due, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(current) => due = current,
            }
        }
    }

    /// How long so many probes take at this rate.
    pub(crate) fn time_for(&self, probes: u64) -> Duration {
        Duration::from_nanos(self.interval_ns.saturating_mul(probes))
    }

    /// Gives back a right that was not used.
    pub(crate) fn give_back(&self) {
        self.due_ns.fetch_sub(self.interval_ns, Ordering::Relaxed);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

const NANOS_A_SECOND: u64 = 1_000_000_000;

/// How far ahead of the exact rate probes may run: the runtime's timer has a
/// grain of 1 ms, and a rate must be reached in spite of it.
const BURST: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(rate: u32) -> NonZeroU32 {
        NonZeroU32::new(rate).unwrap()
    }

    #[test]
    fn a_probe_that_has_to_wait_may_start_at_the_time_returned() {
        let start = Instant::now();
        let pacer = Pacer::new(rate(10), start);
        pacer.take(start).unwrap();
        let next = pacer.take(start).unwrap_err();
        assert_eq!(next, start + Duration::from_millis(100) - BURST);
        assert!(pacer.take(next - Duration::from_nanos(1)).is_err());
        pacer.take(next).unwrap();
    }

    #[test]
    fn a_right_that_is_given_back_can_be_taken_again() {
        let start = Instant::now();
        let pacer = Pacer::new(rate(10), start);
        pacer.take(start).unwrap();
        pacer.give_back();
        pacer.take(start).unwrap();
        assert!(pacer.take(start).is_err());
    }

    proptest! {
        #[test]
        fn the_rate_is_reached_and_never_exceeded(
            per_second in 1u32..2_000_000,
            gaps in prop::collection::vec(0u64..3_000, 1..300),
        ) {
            let start = Instant::now();
            let pacer = Pacer::new(rate(per_second), start);
            let (mut now, mut taken) = (start, 0u64);
            for gap in gaps {
                now += Duration::from_micros(gap);
                while taken < 50_000 && pacer.take(now).is_ok() {
                    taken += 1;
                }
            }
            let elapsed = now.duration_since(start) + BURST;
            let exact = elapsed.as_nanos() / u128::from(NANOS_A_SECOND / u64::from(per_second));
            prop_assert!(u128::from(taken) <= exact + 1);
            if taken < 50_000 {
                // Idle time is not saved up, so this bound holds since the last gap.
                prop_assert!(pacer.take(now).is_err());
            }
        }

        #[test]
        fn a_steady_taker_gets_the_whole_rate(per_second in 1u32..100_000) {
            let start = Instant::now();
            let pacer = Pacer::new(rate(per_second), start);
            let (mut now, mut taken) = (start, 0u32);
            while now < start + Duration::from_secs(1) {
                match pacer.take(now) {
                    Ok(()) => taken += 1,
                    Err(later) => {
                        prop_assert!(later > now);
                        now = later;
                    }
                }
            }
            prop_assert!(taken >= per_second);
        }
    }
}
