//! The handle on a running scan: its progress, its findings so far and its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::budget::memory::NoMemory;
use super::fanout::network::Network;
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
    driver: JoinSet<()>,
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

/// Marks the scan as finished when its task ends, also if the task is aborted.
struct Finish(Arc<Shared>);

impl Scan {
    /// Starts to run `passes` in a task of their own.
    pub(super) fn start<C, N>(passes: Passes<C>) -> Self
    where
        C: Fn(Arc<ScanPlan>) -> Result<N, Errno> + Clone + Send + Sync + 'static,
        N: Network + Send + 'static,
    {
        let mut scan = Self {
            shared: Arc::clone(&passes.shared),
            total: passes.plan.targets(),
            started: Instant::now(),
            until: Arc::clone(&passes.fanout_plan.until),
            driver: JoinSet::new(),
        };
        let finish = Finish(Arc::clone(&passes.shared));
        scan.driver.spawn(async move {
            let _finish = finish;
            passes.run().await;
        });
        scan
    }

    /// The deadline as it stands.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        self.until.get()
    }

    /// Moves the deadline to `until`, if that is later. False if the scan has ended,
    /// or is ending because its time is up.
    #[must_use]
    pub fn extend(&self, until: Option<Instant>) -> bool {
        self.is_running() && self.until.extend(until)
    }

    /// Whether probes may still start.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.shared.is_finished() && !self.until.has_come(Instant::now())
    }

    /// How far the scan is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let tallies = self.shared.lock();
        Progress { total: self.total, done: tallies.done(), found: tallies.found() }
    }

    /// How many addresses of attached networks are still being looked for. None of
    /// their ports was probed yet.
    #[must_use]
    pub fn sought(&self) -> usize {
        self.shared.sought()
    }

    /// The counts so far; a target without an outcome counts as not scanned.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.shared.lock().totals()
    }

    /// Notifies of every finding and of the end.
    #[must_use]
    pub fn milestones(&self) -> watch::Receiver<Milestone> {
        self.shared.milestones()
    }

    /// How long the scan took or, while it runs, has taken so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.shared.ended().map_or_else(|| self.started.elapsed(), |ended| ended - self.started)
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

    /// How often targets were probed, and how long answers took, so far.
    #[must_use]
    pub fn timing(&self) -> ScanTiming {
        self.shared.timing()
    }

    /// The tallies so far, by address in the order of the plan.
    #[must_use]
    pub fn tallies(&self) -> Vec<AddressTally> {
        self.shared.tallies()
    }

    /// The tallies so far, if there is memory for them: the findings of a scan that
    /// still runs are copied.
    ///
    /// # Errors
    /// When other scans hold that memory.
    pub fn try_tallies(&self) -> Result<Vec<AddressTally>, NoMemory> {
        self.shared.try_tallies()
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.finish();
    }
}
