//! The process's descriptors, and how scans at the same time share them.
//!
//! A descriptor for a probe exists only under a permit of the one
//! [`DescriptorBudget`]; dropping the permit gives it back. A scan that gets
//! few is slower, never wrong.

pub(crate) mod memory;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;

/// How the descriptors and the memory of a process are split between its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorPlan {
    /// The process's limit on open descriptors (`ulimit -n`).
    pub limit: usize,
    /// Client connections held at once; further ones wait in the backlog.
    pub connections: usize,
    /// Names looked up at once.
    pub lookups: usize,
    /// Descriptors that all scans share.
    pub probes: usize,
    /// Bytes that all scans share, for what they find and what they ask again.
    pub scan_memory: usize,
}

/// The limit on open descriptors leaves too few to scan with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the limit of {limit} open descriptors is too low; raise it to {} or more (ulimit -n)",
    limits::MIN_DESCRIPTORS
)]
pub struct TooFewDescriptors {
    /// The limit found.
    pub limit: usize,
}

/// Permits for the descriptors that probes may use, for the whole process.
#[derive(Debug)]
pub struct DescriptorBudget {
    permits: Arc<Semaphore>,
    total: usize,
    sharers: AtomicUsize,
}

/// What one fan-out holds of the budget; dropped, it is all free again.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<DescriptorBudget>,
    held: OwnedSemaphorePermit,
    /// Permits held for descriptors not made yet.
    spare: usize,
    waiting: Waiting,
    _seat: Seat,
}

/// A place in line for one more permit.
#[derive(Default)]
struct Waiting(Option<AcquirePermit>);

type AcquirePermit = Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send>>;

/// Counts a fan-out among those that share the budget.
#[derive(Debug)]
struct Seat(Arc<DescriptorBudget>);

/// Raises the soft limit on open descriptors to the hard limit and returns the
/// limit then in force.
///
/// # Errors
/// None that matter to a caller who can live with the soft limit: a refused
/// raise leaves it as it was.
#[must_use]
pub fn raise_descriptor_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    // `None` is RLIM_INFINITY.
    let limit = if raised.is_ok() { maximum } else { current };
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// The soft and the hard limit on open descriptors; `None` is none.
#[must_use]
pub fn descriptor_limits() -> (Option<u64>, Option<u64>) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    (current, maximum)
}

impl DescriptorPlan {
    /// Descriptors for probes where there are no clients.
    #[must_use]
    pub fn for_command(&self) -> usize {
        (self.probes + self.connections).min(limits::MAX_PROBE_DESCRIPTORS)
    }

    /// Splits `limit` descriptors.
    ///
    /// # Errors
    /// When `limit` is below [`limits::MIN_DESCRIPTORS`].
    pub fn try_new(limit: usize) -> Result<Self, TooFewDescriptors> {
        if limit < limits::MIN_DESCRIPTORS {
            return Err(TooFewDescriptors { limit });
        }
        let lookups =
            (limit / limits::DESCRIPTORS_A_LOOKUP).clamp(limits::MIN_LOOKUPS, limits::MAX_LOOKUPS);
        let free = limit - limits::OWN_DESCRIPTORS - limits::LOOKUP_DESCRIPTORS * lookups;
        let connections = (free / 3).min(limits::MAX_CONNECTIONS);
        let probes = (free - connections).min(limits::MAX_PROBE_DESCRIPTORS);
        Ok(Self { limit, connections, lookups, probes, scan_memory: usize::MAX })
    }

    /// The same with no more than fits into `memory` bytes, if there is a limit.
    // Running out would not fail a call, it would end the process: the kernel
    // charges a socket to the cgroup and, where that is full, kills. So this
    // has to hold back before, and to leave something however little there is.
    #[must_use]
    pub fn within(self, memory: Option<u64>) -> Self {
        let Some(memory) = memory else { return self };
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        let free = memory.saturating_sub(limits::PROCESS_MEMORY);
        // The largest scan is to be possible, if that takes no more than a third.
        let scan_memory = (free / 4).max(limits::LARGEST_SCAN_MEMORY.min(free / 3));
        let free = free - scan_memory;
        let connections = (free / 3 / limits::CONNECTION_MEMORY).max(limits::MIN_CONNECTIONS);
        let connections = self.connections.min(connections);
        let free = free.saturating_sub(connections * limits::CONNECTION_MEMORY);
        let probes = (free / limits::PROBE_MEMORY).max(limits::MIN_PROBE_DESCRIPTORS);
        Self { connections, probes: self.probes.min(probes), scan_memory, ..self }
    }
}

impl DescriptorBudget {
    /// A budget of `total` descriptors, at least 2.
    #[must_use]
    pub fn new(total: usize) -> Self {
        let total = total.clamp(MIN_SHARE, limits::MAX_PROBE_DESCRIPTORS);
        Self { permits: Arc::new(Semaphore::new(total)), total, sharers: AtomicUsize::new(0) }
    }

    /// How many descriptors there are to share.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// How many of them are in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.total - self.permits.available_permits()
    }

    fn fair_share(&self) -> usize {
        (self.total / self.sharers.load(Ordering::Relaxed).max(1)).max(MIN_SHARE)
    }
}

impl Share {
    /// Waits in line for the least that a fan-out can work with: its readiness
    /// set and one socket.
    // The seat is taken before the wait, so that those who hold more than
    // their part start to give back at once.
    pub(super) async fn join(budget: Arc<DescriptorBudget>) -> Self {
        budget.sharers.fetch_add(1, Ordering::Relaxed);
        let seat = Seat(Arc::clone(&budget));
        let held = acquire(&budget, MIN_SHARE).await;
        Self { budget, held, spare: MIN_SHARE - 1, waiting: Waiting::default(), _seat: seat }
    }

    /// Takes a permit for one more descriptor, if there is one to take and it
    /// is within this fan-out's part.
    pub(super) fn try_grow(&mut self) -> bool {
        if self.spare > 0 {
            self.spare -= 1;
            return true;
        }
        if self.held.num_permits() >= self.budget.fair_share() {
            return false;
        }
        match Arc::clone(&self.budget.permits).try_acquire_owned() {
            Ok(permit) => self.held.merge(permit),
            Err(_) => return false,
        }
        self.waiting = Waiting::default();
        true
    }

    /// Waits in line for a permit that the next [`Share::try_grow`] takes.
    pub(super) fn poll_grow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.held.num_permits() >= self.budget.fair_share() {
            return Poll::Pending;
        }
        let budget = &self.budget;
        let waiting = self.waiting.0.get_or_insert_with(|| {
            let budget = Arc::clone(budget);
            Box::pin(async move { acquire(&budget, 1).await })
        });
        let permit = ready!(waiting.as_mut().poll(cx));
        self.held.merge(permit);
        self.spare += 1;
        self.waiting = Waiting::default();
        Poll::Ready(())
    }

    /// Whether this fan-out holds more than its part.
    pub(super) fn is_over(&self) -> bool {
        self.held.num_permits() > self.budget.fair_share()
    }

    /// Gives back the permit of a descriptor that was closed, or keeps it for
    /// the next one where the fan-out could not go on without.
    pub(super) fn shrink(&mut self) {
        if self.held.num_permits() > MIN_SHARE {
            drop(self.held.split(1));
        } else {
            self.spare += 1;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.sharers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Waiting").field(&self.0.is_some()).finish()
    }
}

async fn acquire(budget: &DescriptorBudget, count: usize) -> OwnedSemaphorePermit {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    Arc::clone(&budget.permits)
        .acquire_many_owned(count)
        .await
        .expect("the budget's semaphore is never closed")
}

/// A readiness set and one socket.
const MIN_SHARE: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_on_memory_is_never_planned_beyond() {
        let plan = DescriptorPlan::try_new(1 << 20).unwrap();
        assert_eq!(plan.within(None), plan);
        let DescriptorPlan { connections, probes, .. } = plan.within(Some(u64::MAX));
        assert_eq!((connections, probes), (plan.connections, plan.probes));
        for megabytes in 16..1024 {
            let limit = megabytes << 20;
            let DescriptorPlan { connections, probes, scan_memory, .. } = plan.within(Some(limit));
            let planned = limits::PROCESS_MEMORY
                + scan_memory
                + connections * limits::CONNECTION_MEMORY
                + probes * limits::PROBE_MEMORY;
            assert!(planned as u64 <= limit, "{megabytes} MB");
            assert!(probes > connections, "{megabytes} MB");
        }
    }

    #[test]
    fn the_largest_scan_fits_into_a_small_container() {
        let plan = DescriptorPlan::try_new(1 << 20).unwrap();
        assert!(plan.within(Some(96 << 20)).scan_memory >= limits::LARGEST_SCAN_MEMORY);
        // And others beside it, in one that is as large as ours.
        let DescriptorPlan { probes, scan_memory, .. } = plan.within(Some(128 << 20));
        let all_ports_of_one = usize::from(u16::MAX) * limits::TARGET_MEMORY;
        assert!(scan_memory >= limits::LARGEST_SCAN_MEMORY + 2 * all_ports_of_one);
        assert!(probes > 8_000, "{probes} probes");
    }

    #[test]
    fn the_least_that_works_is_planned_however_little_memory_there_is() {
        let plan = DescriptorPlan::try_new(1 << 20).unwrap().within(Some(0));
        assert_eq!(
            (plan.connections, plan.probes),
            (limits::MIN_CONNECTIONS, limits::MIN_PROBE_DESCRIPTORS)
        );
        let few = DescriptorPlan::try_new(limits::MIN_DESCRIPTORS).unwrap();
        assert_eq!(few.within(Some(0)), DescriptorPlan { scan_memory: 0, ..few });
    }
}
