//! A scan that is running: its tasks, and what they have found so far.
//!
//! Fan-outs count by themselves and hand over whenever they pause, so that
//! nobody waits for a lock in the steady state. Readers keep a position in the
//! list of findings, which the report needs anyway: a slow reader costs no
//! memory, and several can follow one scan.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::findings::{Finding, ROW_BYTES, SortedRows};
use super::memory::{MemoryShare, NoMemory, ScanMemory};
use super::outcome::Reason;
use super::passes::Passes;
use super::paths::{PathTiming, Paths};
use super::retry::Retry;
use super::stats::EngineStats;
use super::tally::{AddressTally, Tallies, Totals};
use super::until::Until;
use super::{ScanPlan, Scanner};
use crate::ports::PortSet;

/// A running or finished scan. Dropping it stops the probes.
#[derive(Debug)]
pub struct Scan {
    shared: Arc<Shared>,
    total: u64,
    started: Instant,
    until: Arc<Until>,
    /// Ends the task, and its fan-outs with it, when dropped.
    _driver: JoinSet<()>,
}

/// How far a scan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Targets of the scan: ports times addresses.
    pub total: u64,
    /// Targets with an outcome.
    pub done: u64,
    /// Findings so far.
    pub found: usize,
}

/// What readers wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Milestone {
    /// Findings so far.
    pub found: usize,
    /// Whether the scan is over.
    pub finished: bool,
}

/// How a scan went about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScanTiming {
    /// How often a port that never answered was asked.
    pub attempts: usize,
    /// The share of attempts at ports that answer which went unanswered.
    pub loss: f64,
    /// Probes in flight at once, at most.
    pub window: usize,
    /// What is known of the ways to the addresses, in the order of the plan.
    pub paths: Vec<Option<PathTiming>>,
}

/// What the tasks of a scan and its readers share.
#[derive(Debug)]
pub(super) struct Shared {
    tallies: Mutex<Tallies>,
    timing: Mutex<ScanTiming>,
    ended: Mutex<Option<Instant>>,
    milestone: watch::Sender<Milestone>,
    /// Addresses that are being looked for.
    sought: AtomicUsize,
    pub(super) stats: Arc<EngineStats>,
    /// What the scan holds of the memory for scans, and that memory.
    memory: Option<(Arc<MemoryShare>, ScanMemory)>,
    /// The findings of a scan that is over, for all who report on it.
    sorted: OnceLock<Arc<SortedRows>>,
}

/// Tells of the end when the driving task ends, however it does.
struct Finish(Arc<Shared>);

impl Scan {
    /// Starts probing, with `memory` for what is found.
    pub(super) fn start(scanner: &Scanner, plan: &ScanPlan, memory: Option<MemoryShare>) -> Self {
        let started = Instant::now();
        let mut shared = Shared::new(plan, Arc::clone(&scanner.stats));
        shared.memory = memory.map(|share| (Arc::new(share), scanner.memory.clone()));
        let shared = Arc::new(shared);
        let fanout_plan = scanner.fanout_plan(plan);
        let until = Arc::clone(&fanout_plan.until);
        let passes = Passes {
            plan: plan.clone(),
            fanout_plan,
            fanouts: scanner.fanouts,
            neighbours: scanner.neighbours.clone(),
            shared: Arc::clone(&shared),
        };
        let finish = Finish(Arc::clone(&shared));
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let _finish = finish;
            passes.run().await;
        });
        let total = u64::from(plan.ports.len()) * plan.addresses.len() as u64;
        Self { shared, total, started, until, _driver: driver }
    }

    /// When the scan stops at the latest, as things stand.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        self.until.get()
    }

    /// Lets the scan go on until `until`, if that is later. False if the scan has
    /// ended, or is ending because its time is up.
    #[must_use]
    pub fn extend(&self, until: Option<Instant>) -> bool {
        self.is_running() && self.until.extend(until)
    }

    /// Whether probes may still start.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.shared.milestone.borrow().finished && !self.until.has_come(Instant::now())
    }

    /// How far the scan is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let tallies = self.shared.lock();
        Progress { total: self.total, done: tallies.done(), found: tallies.found() }
    }

    /// How many addresses of attached networks are being looked for: none of their
    /// ports is asked by now.
    #[must_use]
    pub fn sought(&self) -> usize {
        self.shared.sought.load(Ordering::Relaxed)
    }

    /// The counts as they stand; what has no outcome yet is not scanned.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.shared.lock().totals()
    }

    /// Tells of every finding and of the end.
    #[must_use]
    pub fn milestones(&self) -> watch::Receiver<Milestone> {
        self.shared.milestone.subscribe()
    }

    /// How long the scan took or, while it runs, has taken so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let ended = *self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.map_or_else(|| self.started.elapsed(), |ended| ended - self.started)
    }

    /// Waits for the end.
    pub async fn finished(&self) {
        let mut milestones = self.milestones();
        // The sender lives as long as `self`.
        let _ = milestones.wait_for(|milestone| milestone.finished).await;
    }

    /// Findings in the order found, from the one at `start`, `most` at most.
    #[must_use]
    pub fn findings(&self, start: usize, most: usize) -> Vec<Finding> {
        self.shared.lock().findings(start).take(most).collect()
    }

    /// How the scan goes about it, as far as it has come.
    #[must_use]
    pub fn timing(&self) -> ScanTiming {
        self.shared.timing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The tallies as they stand, address by address in the order of the plan.
    #[must_use]
    pub fn tallies(&self) -> Vec<AddressTally> {
        self.shared.tallies()
    }

    /// The same, if there is memory for what a scan that goes on has found: its
    /// findings are copied then.
    ///
    /// # Errors
    /// When other scans hold that memory.
    pub fn try_tallies(&self) -> Result<Vec<AddressTally>, NoMemory> {
        self.shared.try_tallies()
    }
}

impl Shared {
    pub(super) fn new(plan: &ScanPlan, stats: Arc<EngineStats>) -> Self {
        Self {
            tallies: Mutex::new(Tallies::new(plan)),
            timing: Mutex::new(ScanTiming::default()),
            ended: Mutex::new(None),
            milestone: watch::Sender::new(Milestone::default()),
            sought: AtomicUsize::new(0),
            stats,
            memory: None,
            sorted: OnceLock::new(),
        }
    }

    pub(super) fn tallies(&self) -> Vec<AddressTally> {
        // Before the lock is taken: the last findings come before the end does.
        let finished = self.milestone.borrow().finished;
        let tallies = self.lock();
        let share = || self.memory.as_ref().map(|(share, _)| Arc::clone(share));
        let sort = || Arc::new(tallies.sorted(share()));
        let sorted = if finished { Arc::clone(self.sorted.get_or_init(sort)) } else { sort() };
        tallies.by_address(&sorted)
    }

    pub(super) fn try_tallies(&self) -> Result<Vec<AddressTally>, NoMemory> {
        let Some((_, memory)) = self.memory.as_ref().filter(|_| !self.milestone.borrow().finished)
        else {
            return Ok(self.tallies());
        };
        let tallies = self.lock();
        let copy = memory.take(tallies.found() * ROW_BYTES)?;
        let sorted = Arc::new(tallies.sorted(Some(Arc::new(copy))));
        Ok(tallies.by_address(&sorted))
    }

    // A fan-out that panics while it hands over leaves counts that are still
    // counts: what is missing is told as not scanned.
    pub(super) fn lock(&self) -> MutexGuard<'_, Tallies> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what `part` has found, and tells of it.
    pub(super) fn absorb(&self, part: &mut Tallies) {
        let news = part.found() > 0;
        let found = {
            let mut tallies = self.lock();
            tallies.absorb(part);
            tallies.found()
        };
        if news {
            self.milestone.send_modify(|milestone| milestone.found = found);
        }
    }

    /// Notes that addresses are being looked for, and tells of it.
    pub(super) fn seek(&self, addresses: usize) {
        self.sought.fetch_add(addresses, Ordering::Relaxed);
        self.milestone.send_modify(|_| {});
    }

    /// Notes that addresses are not looked for any more.
    pub(super) fn leave_off(&self, addresses: usize) {
        self.sought.fetch_sub(addresses, Ordering::Relaxed);
    }

    /// Gives all `ports` of an address that cannot be reached their verdict.
    pub(super) fn write_off(&self, address: IpAddr, ports: &PortSet, reason: Reason) {
        let found = {
            let mut tallies = self.lock();
            tallies.write_off(address, ports, reason);
            tallies.found()
        };
        self.milestone.send_modify(|milestone| milestone.found = found);
    }

    /// Notes how the passes so far went.
    pub(super) fn note_timing(&self, retry: &Retry, window: usize, paths: &Paths) {
        let mut timing = self.timing.lock().unwrap_or_else(PoisonError::into_inner);
        timing.attempts = retry.passes().max(1);
        timing.loss = retry.loss();
        timing.window = timing.window.max(window);
        timing.paths = paths.timings();
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.0.milestone.send_modify(|milestone| milestone.finished = true);
    }
}
