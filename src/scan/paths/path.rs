//! What is known of the path to one address, from its answers and its silence.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::rtt::Cluster;
use super::{Answered, NO_SILENCE, PathTiming, duration, microseconds};

/// The path to one address, as all fan-outs of a scan see it.
#[derive(Debug, Default)]
pub(super) struct Path {
    /// Whether the address is this host's loopback: nobody stands between.
    loopback: bool,
    known: Mutex<Known>,
    /// How long the evidence lets an attempt wait, in microseconds: 0 without
    /// any.
    pub(super) strong: AtomicU32,
    /// How long strong evidence lets the first of several attempts wait.
    pub(super) brief: AtomicU32,
    pub(super) weak: AtomicU32,
    accepted: AtomicU32,
    refused: AtomicU32,
    /// The shortest wait that ended in silence in this pass, in microseconds.
    pub(super) shortest: AtomicU32,
    /// The longest that a whole pass waited, in microseconds.
    pub(super) longest: AtomicU32,
    /// Passes that ended with silent ports.
    pub(super) passes: AtomicU32,
}

#[derive(Debug, Default)]
pub(super) struct Known {
    accepted: Cluster,
    refused: Cluster,
    /// The shortest wait that ended in silence, for each pass that had one.
    waits: Vec<Duration>,
}

impl Path {
    pub(super) fn new(loopback: bool) -> Self {
        Self { loopback, shortest: AtomicU32::new(NO_SILENCE), ..Self::default() }
    }

    /// Whether an answer that took `rough` or less could teach anything.
    // Once the estimate is good, few samples keep it so; but a late one counts.
    pub(super) fn wants(&self, answered: Answered, rough: Duration) -> bool {
        let (count, timeout) = match answered {
            Answered::Accepted => (&self.accepted, &self.strong),
            Answered::Refused => (&self.refused, &self.weak),
        };
        let count = count.fetch_add(1, Ordering::Relaxed);
        count < ALL_SAMPLES
            || count.is_multiple_of(SPARSE_SAMPLES)
            || duration(timeout).is_some_and(|timeout| rough > timeout)
    }

    /// Takes a measured round-trip time into account. True if waits changed.
    pub(super) fn sample(&self, answered: Answered, rtt: Duration) -> bool {
        let mut known = self.known();
        let before = self.evidence(&known);
        match answered {
            Answered::Accepted => known.accepted.sample(rtt),
            Answered::Refused => known.refused.sample(rtt),
        };
        let (strong, weak) = self.evidence(&known);
        let brief = known.accepted.brief_timeout();
        self.brief.store(brief.map_or(0, microseconds), Ordering::Relaxed);
        self.strong.store(strong.map_or(0, microseconds), Ordering::Relaxed);
        self.weak.store(weak.map_or(0, microseconds), Ordering::Relaxed);
        let weaker_or_stronger = before.0.is_some() != strong.is_some();
        weaker_or_stronger || before.1.is_some() != weak.is_some()
    }

    pub(super) fn end_pass(&self) {
        let shortest = self.shortest.swap(NO_SILENCE, Ordering::Relaxed);
        if shortest == NO_SILENCE {
            return;
        }
        self.known().waits.push(Duration::from_micros(shortest.into()));
        self.passes.fetch_add(1, Ordering::Relaxed);
        self.longest.fetch_max(shortest, Ordering::Relaxed);
    }

    pub(super) fn timing(&self) -> Option<PathTiming> {
        let known = self.known();
        let cluster = known.best();
        Some(PathTiming { rtt: cluster.rtt()?, timeout: cluster.timeout()? })
    }

    /// How long strong and weak evidence let an attempt wait.
    fn evidence(&self, known: &Known) -> (Option<Duration>, Option<Duration>) {
        let weak = known.accepted.timeout().max(known.refused.timeout());
        let strong = known.accepted.timeout().filter(|_| known.accepted.is_strong());
        (strong.or(weak.filter(|_| self.loopback)), weak)
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Passes that waited as long as the slowest answer takes, or `ceiling`.
    pub(super) fn useful_passes(&self, ceiling: Duration) -> usize {
        let needed = self.best().slowest().min(ceiling);
        self.waits.iter().filter(|&&wait| wait >= needed).count()
    }

    /// The strongest evidence: answers of open ports, if there are any.
    fn best(&self) -> &Cluster {
        if self.accepted.rtt().is_some() { &self.accepted } else { &self.refused }
    }
}

/// So many samples are all taken.
const ALL_SAMPLES: u32 = 64;
/// After [`ALL_SAMPLES`], one in so many is taken.
const SPARSE_SAMPLES: u32 = 16;
