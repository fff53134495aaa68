//! Counters of the engine over the life of the process, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use super::outcome::{Outcome, PortState, Verdict};

/// Counters of all scans of a process.
#[derive(Debug, Default)]
pub struct EngineStats {
    in_flight: AtomicU64,
    states: [AtomicU64; 3],
    rtt_buckets: [AtomicU64; RTT_BUCKETS.len() + 1],
    rtt_sum_us: AtomicU64,
    errors: [AtomicU64; ERRNOS.len() + 1],
}

/// Round-trip times: how many fell into which bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct RttCounts {
    /// For each bound of [`RTT_BUCKETS`], and then beyond the last, how many
    /// were above the bound before and not above this one.
    pub counts: [u64; RTT_BUCKETS.len() + 1],
    /// Their sum.
    pub sum: Duration,
}

/// What one fan-out has counted since it last handed over.
#[derive(Debug, Default)]
pub(super) struct Observations {
    states: [u64; 3],
    rtt_buckets: [u64; RTT_BUCKETS.len() + 1],
    rtt_sum_us: u64,
}

/// One fan-out's part of the probes in flight.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    reported: u64,
}

/// Upper bounds of the rtt buckets in microseconds: loopback, a rack, a
/// campus, a continent, the globe, and SYNs that were repeated after 1 and 3 s.
pub const RTT_BUCKETS: [u64; 14] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    4_000_000,
];

/// Resource errors that are counted by name; others are counted together.
const ERRNOS: [(Errno, &str); 6] = [
    (Errno::MFILE, "EMFILE"),
    (Errno::NFILE, "ENFILE"),
    (Errno::NOBUFS, "ENOBUFS"),
    (Errno::NOMEM, "ENOMEM"),
    (Errno::ADDRNOTAVAIL, "EADDRNOTAVAIL"),
    (Errno::AGAIN, "EAGAIN"),
];

impl EngineStats {
    /// Probes in flight, as the fan-outs last reported.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Ports with their state known, by state.
    pub fn ports(&self, state: PortState) -> u64 {
        self.states[state as usize].load(Ordering::Relaxed)
    }

    /// Round-trip times of all answers.
    pub fn rtt(&self) -> RttCounts {
        RttCounts {
            counts: std::array::from_fn(|i| self.rtt_buckets[i].load(Ordering::Relaxed)),
            sum: Duration::from_micros(self.rtt_sum_us.load(Ordering::Relaxed)),
        }
    }

    /// Resource errors by the name of their errno.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let names = ERRNOS.iter().map(|&(_, name)| name).chain(["other"]);
        names.zip(&self.errors).map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }

    /// Counts ports whose state follows from no single answer.
    pub(super) fn count_ports(&self, state: PortState, count: u64) {
        self.states[state as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn count_error(&self, errno: Errno) {
        let known = ERRNOS.iter().position(|&(known, _)| known == errno);
        self.errors[known.unwrap_or(ERRNOS.len())].fetch_add(1, Ordering::Relaxed);
    }
}

impl Observations {
    pub(super) fn record(&mut self, outcome: &Outcome) {
        if let Verdict::Port(state, _) = outcome.verdict {
            self.states[state as usize] += 1;
        }
        if let Some(rtt) = outcome.rtt {
            let us = u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
            self.rtt_buckets[RTT_BUCKETS.partition_point(|&bound| bound < us)] += 1;
            self.rtt_sum_us += us;
        }
    }

    pub(super) fn hand_over(&mut self, stats: &EngineStats) {
        let counted = self.states.iter_mut().zip(&stats.states);
        for (part, whole) in counted.chain(self.rtt_buckets.iter_mut().zip(&stats.rtt_buckets)) {
            if *part > 0 {
                whole.fetch_add(std::mem::take(part), Ordering::Relaxed);
            }
        }
        stats.rtt_sum_us.fetch_add(std::mem::take(&mut self.rtt_sum_us), Ordering::Relaxed);
    }
}

impl InFlight {
    /// Reports how many there are now.
    pub(super) fn report(&mut self, stats: &EngineStats, now: usize) {
        let now = now as u64;
        // Wraps around zero in between, and comes out right.
        stats.in_flight.fetch_add(now.wrapping_sub(self.reported), Ordering::Relaxed);
        self.reported = now;
    }
}
