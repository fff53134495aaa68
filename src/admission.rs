//! Which scans may run at once, and who shares one.
//!
//! A scan that asks for exactly what a running one asks for joins it: the
//! targets are probed once, and both get the whole outcome.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Quotas;
use crate::scan::{Scan, ScanPlan};

/// Admits scans within the quotas.
#[derive(Debug)]
pub struct Admission {
    quotas: Quotas,
    requests: Arc<Semaphore>,
    running: Mutex<Vec<Running>>,
}

/// A request's right to be worked on; dropped, another may have it.
#[derive(Debug)]
pub struct Entry(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// A scan that may run, or that runs already.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The scan; it stops when the last of those who share it lets go.
    pub scan: Arc<Scan>,
    /// When its first probe may have started.
    pub started: Instant,
    /// Whether another request had started it.
    pub joined: bool,
}

/// Why a scan may not run now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAdmitted {
    /// Which quota is used up.
    pub quota: Quota,
    /// When there may be room, going by how far the running scans are.
    pub retry_after: Duration,
}

/// A quota of [`Quotas`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Scans at once.
    Scans,
    /// Scans at once of this caller.
    Caller,
    /// Scans at once that probe this address.
    Target(IpAddr),
}

#[derive(Debug)]
struct Running {
    caller: String,
    plan: ScanPlan,
    started: Instant,
    scan: Weak<Scan>,
}

impl Admission {
    /// Nothing is running yet. Of requests for scans, `requests` at most are
    /// worked on at once, those that share one included.
    #[must_use]
    pub fn new(quotas: Quotas, requests: usize) -> Self {
        let requests = Arc::new(Semaphore::new(requests));
        Self { quotas, requests, running: Mutex::new(Vec::new()) }
    }

    /// Lets a request in, if there is room for it.
    ///
    /// # Errors
    /// When there is none.
    pub fn enter(&self) -> Result<Entry, NotAdmitted> {
        Arc::clone(&self.requests).try_acquire_owned().map(Entry).map_err(|_| {
            let running = self.lock();
            let retry_after = running.iter().filter_map(Running::remaining).min();
            NotAdmitted { quota: Quota::Scans, retry_after: retry_after.unwrap_or_default() }
        })
    }

    /// Joins the running scan that is the same as `plan`, or starts it, if the
    /// quotas of `caller` and of the service allow.
    ///
    /// # Errors
    /// The quota that is used up.
    pub fn admit(
        &self,
        caller: &str,
        plan: &ScanPlan,
        start: impl FnOnce() -> Scan,
    ) -> Result<Admitted, NotAdmitted> {
        let mut running = self.lock();
        running.retain(|running| running.active().is_some());
        for Running { started, scan, .. } in running.iter().filter(|other| other.plan == *plan) {
            if let Some(scan) = scan.upgrade() {
                return Ok(Admitted { scan, started: *started, joined: true });
            }
        }
        let quotas = &self.quotas;
        let check = |quota, most: usize, counts: &dyn Fn(&Running) -> bool| {
            let counted = || running.iter().filter(|running| counts(running));
            if counted().count() < most {
                return Ok(());
            }
            let remaining = counted().filter_map(Running::remaining).min();
            Err(NotAdmitted { quota, retry_after: remaining.unwrap_or_default() })
        };
        // The caller's own quota comes first: it is what the caller can change.
        check(Quota::Caller, quotas.scans_per_caller.get(), &|other| other.caller == caller)?;
        for &address in &plan.addresses {
            let probes_it = |other: &Running| other.plan.addresses.contains(&address);
            check(Quota::Target(address), quotas.scans_per_target.get(), &probes_it)?;
        }
        check(Quota::Scans, quotas.scans.get(), &|_| true)?;
        let started = Instant::now();
        let scan = Arc::new(start());
        let (caller, plan) = (caller.to_owned(), plan.clone());
        running.push(Running { caller, plan, started, scan: Arc::downgrade(&scan) });
        Ok(Admitted { scan, started, joined: false })
    }

    /// How many scans are running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.lock().iter().filter(|running| running.active().is_some()).count()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// The scan, unless it is over or nobody waits for it any more.
    fn active(&self) -> Option<Arc<Scan>> {
        self.scan.upgrade().filter(|scan| !scan.milestones().borrow().finished)
    }

    /// How long the scan will go on, if it goes on as it went.
    fn remaining(&self) -> Option<Duration> {
        let progress = self.active()?.progress();
        let elapsed = self.started.elapsed();
        let most = self.plan.deadline.map(|deadline| deadline.saturating_sub(elapsed));
        let left = progress.total.saturating_sub(progress.done) as f64;
        // Nothing done yet: as long again as it took so far, and one timeout.
        let estimate = match progress.done {
            0 => elapsed + self.plan.timeout,
            done => elapsed.mul_f64((left / done as f64).min(MOST_TIMES)),
        };
        Some(most.map_or(estimate, |most| estimate.min(most)))
    }
}

/// Bounds an estimate made from next to nothing.
const MOST_TIMES: f64 = 1e6;
