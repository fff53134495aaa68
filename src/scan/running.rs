//! A scan that is running, as its caller sees it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Scanner;
use super::budget::memory::{MemoryShare, NoMemory};
use super::findings::rows::Finding;
use super::findings::tally::{AddressTally, Totals};
use super::findings::{Milestone, ScanTiming, Shared};
use super::gate::until::Until;
use super::passes::Passes;
use super::plan::ScanPlan;

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

impl Drop for Finish {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.0.milestone.send_modify(|milestone| milestone.finished = true);
    }
}
