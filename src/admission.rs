//! How many requests and scans there are at once, of one caller and of all.
//!
//! A request that asks exactly what a running scan asks joins that scan: the
//! targets are probed once, and both requests get the outcome. Each keeps its own
//! deadline.

mod sweep;

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::caller::Account;
use crate::scan::{NoMemory, Scan, ScanPlan};

/// The limits on scans at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Of all callers together.
    pub scans: NonZeroUsize,
    /// Of one caller, those that it joined included.
    pub scans_per_caller: NonZeroUsize,
    /// Of one address.
    pub scans_per_target: NonZeroUsize,
}

/// Admits requests and scans within the quotas.
#[derive(Debug)]
pub(crate) struct Admission {
    quotas: Quotas,
    /// The limit of requests at once.
    requests: usize,
    state: Mutex<State>,
}

/// A request's right to be worked on. Dropping it makes room for another request.
#[derive(Debug)]
pub(crate) struct Entry {
    admission: Arc<Admission>,
    number: u64,
}

/// A scan that was admitted: started for the request, or joined by it.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    /// The scan. It stops when the last request that shares it drops it.
    pub(crate) scan: Arc<Scan>,
    /// The deadline of the request.
    pub(crate) until: Option<Instant>,
}

/// Why a request, or its scan, is not admitted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAdmitted {
    /// Which quota is used up.
    pub(crate) quota: Quota,
    /// When there may be room, estimated from how far the running scans are.
    pub(crate) retry_after: Duration,
}

/// A limit that can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quota {
    /// Requests at once.
    Requests,
    /// Requests at once of this caller.
    CallerRequests,
    /// Scans at once.
    Scans,
    /// Scans at once of this caller, those that it joined included.
    CallerScans,
    /// Scans at once of this address.
    Target(IpAddr),
    /// Memory for the findings of all scans.
    Memory(NoMemory),
}

#[derive(Debug, Default)]
struct State {
    /// The requests whose entry was not dropped yet.
    requests: Vec<Request>,
    running: Vec<Running>,
    /// The number of the last entry.
    entries: u64,
}

#[derive(Debug)]
struct Request {
    number: u64,
    account: Account,
    /// `None` until its scan is admitted.
    waits_for: Option<Awaited>,
}

/// What a request waits for, or whose end it has seen.
#[derive(Clone, Debug)]
enum Awaited {
    /// A scan.
    Scan { scan: Weak<Scan>, until: Option<Instant> },
    /// A sweep of its own.
    Sweep { until: Instant },
    /// A watch of its own, which nobody knows the end of.
    Watch,
}

#[derive(Debug)]
struct Running {
    plan: ScanPlan,
    started: Instant,
    scan: Weak<Scan>,
    /// Whether it is a batch of a sweep.
    is_batch: bool,
}

impl NotAdmitted {
    /// There is no memory left for the report.
    #[must_use]
    pub(crate) fn no_memory(error: NoMemory) -> Self {
        Self { quota: Quota::Memory(error), retry_after: Duration::ZERO }
    }
}

impl Admission {
    /// Admits scans within `quotas`, and `requests` at once, those that share a
    /// scan included.
    #[must_use]
    pub(crate) fn new(quotas: Quotas, requests: usize) -> Self {
        Self { quotas, requests, state: Mutex::default() }
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// The limit that is reached: half of all requests for one account, or all.
    // A request whose scan has ended, and whose reply is still being read, counts
    // for its own account only, so that slow readers keep no other caller out. With
    // these there may be a sixth more requests than the limit, and no more, so that
    // connections are left for everything else.
    pub(crate) fn enter(self: &Arc<Self>, account: &Account) -> Result<Entry, NotAdmitted> {
        let mut state = self.lock();
        let now = Instant::now();
        let own = state.requests.iter().filter(|request| request.account == *account).count();
        let working = state.requests.iter().filter(|request| request.is_worked_on(now)).count();
        let refused = |quota| {
            let remaining = state.running.iter().filter_map(Running::remaining).min();
            Err(NotAdmitted { quota, retry_after: remaining.unwrap_or_default() })
        };
        if own >= self.requests.div_ceil(2) {
            return refused(Quota::CallerRequests);
        }
        if working >= self.requests || state.requests.len() >= self.requests + self.requests / 6 {
            return refused(Quota::Requests);
        }
        state.entries += 1;
        let (number, account) = (state.entries, account.clone());
        state.requests.push(Request { number, account, waits_for: None });
        Ok(Entry { admission: Arc::clone(self), number })
    }

    /// Joins the running scan that asks the same as `plan`, or calls `start`, within
    /// the quotas. Joining a scan extends its deadline to that of `plan`, if that is
    /// later.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(crate) fn admit(
        &self,
        entry: &Entry,
        plan: &ScanPlan,
        start: impl FnOnce() -> Result<Scan, NoMemory>,
    ) -> Result<Admitted, NotAdmitted> {
        let mut state = self.lock();
        let State { requests, running, .. } = &mut *state;
        running.retain(|running| running.active().is_some());
        let started = Instant::now();
        let until = plan.deadline.map(|deadline| started + deadline);
        // The caller's own quota comes first: it is what the caller can change.
        self.check_caller(entry, requests, running)?;
        let alike = |other: &&Running| !other.is_batch && other.plan.asks_the_same_as(plan);
        let joined = running.iter().filter(alike).find_map(|other| {
            let scan = other.active()?;
            scan.extend(until).then_some(scan)
        });
        let admitted = match joined {
            Some(scan) => Admitted { scan, until },
            None => {
                self.check_targets(&plan.addresses, running)?;
                self.check_count(requests, running)?;
                let scan = Arc::new(start().map_err(|error| no_room(error, running))?);
                let (plan, scan_of) = (plan.clone(), Arc::downgrade(&scan));
                running.push(Running { plan, started, scan: scan_of, is_batch: false });
                // The scan's own clock started a moment later.
                let until = scan.until();
                Admitted { scan, until }
            }
        };
        if let Some(request) = requests.iter_mut().find(|other| other.number == entry.number) {
            let (scan, until) = (Arc::downgrade(&admitted.scan), admitted.until);
            request.waits_for = Some(Awaited::Scan { scan, until });
        }
        Ok(admitted)
    }

    /// How many scans are running, each sweep and each watch counted as one.
    #[must_use]
    pub(crate) fn running(&self) -> usize {
        let state = self.lock();
        count(&state.requests, &state.running)
    }

    /// Checks the caller's limit of scans. Joining a scan counts like starting one.
    fn check_caller(
        &self,
        entry: &Entry,
        requests: &[Request],
        running: &[Running],
    ) -> Result<(), NotAdmitted> {
        let now = Instant::now();
        let caller = requests.iter().find(|request| request.number == entry.number);
        let Some(account) = caller.map(|request| &request.account) else { return Ok(()) };
        let own = requests.iter().filter(|request| request.account == *account);
        let awaited: Vec<&Awaited> = own.filter_map(|request| request.awaited(now)).collect();
        if awaited.len() < self.quotas.scans_per_caller.get() {
            return Ok(());
        }
        let remaining = awaited.iter().filter_map(|awaited| awaited.remaining(running, now)).min();
        Err(NotAdmitted { quota: Quota::CallerScans, retry_after: remaining.unwrap_or_default() })
    }

    /// Checks whether one more scan or sweep may run at all.
    fn check_count(&self, requests: &[Request], running: &[Running]) -> Result<(), NotAdmitted> {
        if count(requests, running) < self.quotas.scans.get() {
            return Ok(());
        }
        let now = Instant::now();
        let scans = running.iter().filter(|it| !it.is_batch).filter_map(Running::remaining);
        let sweeps = requests.iter().filter_map(|request| request.sweeps_until(now));
        let sweeps = sweeps.map(|until| until.saturating_duration_since(now));
        let remaining = scans.chain(sweeps).min();
        Err(NotAdmitted { quota: Quota::Scans, retry_after: remaining.unwrap_or_default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.admission.lock().requests.retain(|request| request.number != self.number);
    }
}

impl Request {
    /// Whether more is left to do than to send the reply.
    fn is_worked_on(&self, now: Instant) -> bool {
        self.waits_for.is_none() || self.awaited(now).is_some()
    }

    /// What the request waits for, if that still runs for it.
    fn awaited(&self, now: Instant) -> Option<&Awaited> {
        self.waits_for.as_ref().filter(|awaited| awaited.runs(now))
    }

    /// When the sweep of the request ends, if it has one that runs.
    fn sweeps_until(&self, now: Instant) -> Option<Instant> {
        match self.awaited(now)? {
            Awaited::Sweep { until } => Some(*until),
            Awaited::Scan { .. } | Awaited::Watch => None,
        }
    }

    /// Whether it has a sweep or a watch that runs.
    fn runs_its_own(&self, now: Instant) -> bool {
        matches!(self.awaited(now), Some(Awaited::Sweep { .. } | Awaited::Watch))
    }
}

impl Awaited {
    // The scan is asked, not the code that replies: while a client does not read,
    // that code does not run, and could not report the end. A sweep waits for its
    // reader, so only its deadline ends it then.
    fn runs(&self, now: Instant) -> bool {
        match self {
            Self::Scan { scan, until } => {
                let in_time = until.is_none_or(|until| now < until);
                in_time && scan.upgrade().is_some_and(|scan| scan.is_running())
            }
            Self::Sweep { until } => now < *until,
            Self::Watch => true,
        }
    }

    /// How long it will go on, at most.
    fn remaining(&self, running: &[Running], now: Instant) -> Option<Duration> {
        match self {
            Self::Scan { scan, .. } => {
                running.iter().find(|other| other.scan.ptr_eq(scan))?.remaining()
            }
            Self::Sweep { until } => Some(until.saturating_duration_since(now)),
            Self::Watch => None,
        }
    }
}

impl Running {
    fn probes(&self, address: IpAddr) -> bool {
        // The addresses of a batch are in order, and may be many.
        if self.is_batch {
            self.plan.addresses.binary_search(&address).is_ok()
        } else {
            self.plan.addresses.contains(&address)
        }
    }

    /// The scan, unless it has ended or no request waits for it any more.
    fn active(&self) -> Option<Arc<Scan>> {
        self.scan.upgrade().filter(|scan| scan.is_running())
    }

    /// How long the scan will go on, if it keeps its pace.
    fn remaining(&self) -> Option<Duration> {
        let scan = self.active()?;
        let progress = scan.progress();
        let elapsed = self.started.elapsed();
        let most = scan.until().map(|until| until.saturating_duration_since(Instant::now()));
        let left = progress.total.saturating_sub(progress.done) as f64;
        // Nothing done yet: as long again as it took so far, and one timeout.
        let estimate = match progress.done {
            0 => elapsed + self.plan.timeout,
            done => elapsed.mul_f64((left / done as f64).min(MOST_TIMES)),
        };
        Some(most.map_or(estimate, |most| estimate.min(most)))
    }
}

/// How many scans, sweeps and watches run.
fn count(requests: &[Request], running: &[Running]) -> usize {
    let now = Instant::now();
    let others = requests.iter().filter(|request| request.runs_its_own(now));
    let scans = running.iter().filter(|it| !it.is_batch && it.active().is_some());
    scans.count() + others.count()
}

/// There is no memory for a scan now.
fn no_room(error: NoMemory, running: &[Running]) -> NotAdmitted {
    let remaining = running.iter().filter_map(Running::remaining).min();
    NotAdmitted { quota: Quota::Memory(error), retry_after: remaining.unwrap_or_default() }
}

/// Bounds an estimate made from next to nothing.
const MOST_TIMES: f64 = 1e6;

#[cfg(test)]
mod tests;
