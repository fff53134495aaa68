//! Sweeps: each counts as one scan of its caller, and its batches count for their
//! addresses. A watch counts as one scan, too.
//!
//! A batch starts only with addresses that are below their limit. The others are left
//! to a later batch, and no batch waits while it holds some. So sweeps of the same
//! network get along, in any order.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::{Admission, Awaited, Entry, NotAdmitted, Quota, Running, State};
use crate::scan::{NoMemory, Scan, ScanPlan};

impl Admission {
    /// Admits the sweep of a request, which ends by `until`. It counts as one scan
    /// until the request's entry is dropped, or that time has come.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(crate) fn admit_sweep(&self, entry: &Entry, until: Instant) -> Result<(), NotAdmitted> {
        self.admit_as(entry, Awaited::Sweep { until })
    }

    /// Admits the watch of a request. It counts as one scan until the request's entry is
    /// dropped, but not as one of its addresses: it has no end that others could wait for.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(crate) fn admit_watch(&self, entry: &Entry) -> Result<(), NotAdmitted> {
        self.admit_as(entry, Awaited::Watch)
    }

    fn admit_as(&self, entry: &Entry, awaited: Awaited) -> Result<(), NotAdmitted> {
        let mut state = self.lock();
        let State { requests, running, .. } = &mut *state;
        running.retain(|running| running.active().is_some());
        self.check_caller(entry, requests, running)?;
        self.check_count(requests, running)?;
        if let Some(request) = requests.iter_mut().find(|other| other.number == entry.number) {
            request.waits_for = Some(awaited);
        }
        Ok(())
    }

    /// Whether one of `addresses` has reached its limit of scans.
    pub(crate) fn is_any_busy(&self, addresses: &[IpAddr]) -> bool {
        self.check_targets(addresses, &self.lock().running).is_err()
    }

    /// Calls `start` for a batch of an admitted sweep, unless one of its addresses has
    /// reached its limit.
    ///
    /// # Errors
    /// That limit, or that of memory.
    pub(crate) fn admit_batch(
        &self,
        plan: &ScanPlan,
        start: impl FnOnce() -> Result<Scan, NoMemory>,
    ) -> Result<Arc<Scan>, NotAdmitted> {
        let mut state = self.lock();
        let running = &mut state.running;
        running.retain(|running| running.active().is_some());
        self.check_targets(&plan.addresses, running)?;
        let started = Instant::now();
        let scan = Arc::new(start().map_err(|error| super::no_room(error, running))?);
        running.push(Running {
            plan: plan.clone(),
            started,
            scan: Arc::downgrade(&scan),
            is_batch: true,
        });
        Ok(scan)
    }

    /// Checks whether one more scan of each of `addresses` may run.
    pub(super) fn check_targets(
        &self,
        addresses: &[IpAddr],
        running: &[Running],
    ) -> Result<(), NotAdmitted> {
        let most = self.quotas.scans_per_target.get();
        for &address in addresses {
            let of_address = || running.iter().filter(|running| running.probes(address));
            if of_address().filter(|running| running.active().is_some()).count() >= most {
                let remaining = of_address().filter_map(Running::remaining).min();
                let retry_after = remaining.unwrap_or_default();
                return Err(NotAdmitted { quota: Quota::Target(address), retry_after });
            }
        }
        Ok(())
    }
}
