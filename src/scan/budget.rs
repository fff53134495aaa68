//! The descriptors for probes, shared by all scans of the process.
//!
//! A socket for a probe is only made with a permit of the [`DescriptorBudget`];
//! dropping the permit gives it back. A scan that gets few permits is slower,
//! never wrong.

pub(crate) mod memory;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;

/// Permits for the descriptors that probes may use, for the whole process.
#[derive(Debug)]
pub struct DescriptorBudget {
    permits: Arc<Semaphore>,
    total: usize,
    sharers: AtomicUsize,
}

/// One fan-out's share of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<DescriptorBudget>,
    held: OwnedSemaphorePermit,
    /// Permits held for descriptors not made yet.
    spare: usize,
    waiting: Waiting,
    /// `None` once this fan-out wants no more.
    seat: Option<Seat>,
}

/// The wait for one more permit.
#[derive(Default)]
struct Waiting(Option<AcquirePermit>);

type AcquirePermit = Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send>>;

/// Counts a fan-out among those that share the budget.
#[derive(Debug)]
struct Seat(Arc<DescriptorBudget>);

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
    /// Waits for the least that a fan-out can work with: its readiness set and one
    /// socket.
    // The seat is taken before the wait, so that fan-outs with more than their share
    // start to give back at once.
    pub(super) async fn join(budget: Arc<DescriptorBudget>) -> Self {
        budget.sharers.fetch_add(1, Ordering::Relaxed);
        let seat = Seat(Arc::clone(&budget));
        let held = acquire(&budget, MIN_SHARE).await;
        Self { budget, held, spare: MIN_SHARE - 1, waiting: Waiting::default(), seat: Some(seat) }
    }

    /// Takes a permit for one more descriptor, if one is free and this fan-out's share
    /// allows it.
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

    /// Waits for a permit, which the next [`Share::try_grow`] then takes.
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

    /// Leaves the others a larger share: this fan-out wants no more descriptors. It
    /// keeps those that it holds until it gives them back.
    pub(super) fn leave(&mut self) {
        self.seat = None;
    }

    /// Whether this fan-out holds more than its share.
    pub(super) fn is_over(&self) -> bool {
        self.held.num_permits() > self.budget.fair_share()
    }

    /// Gives back the permit of a descriptor that was closed. The last one is kept,
    /// because the fan-out could not go on without it.
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
