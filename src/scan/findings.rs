//! What a scan has found so far, shared by its tasks and its readers.
//!
//! Each fan-out counts by itself and hands its counts over when it pauses, so that
//! a busy fan-out does not wait for a lock. A reader keeps a position in the list
//! of findings, which the report needs anyway. So a slow reader takes no memory,
//! and any number of readers can follow one scan.

pub(crate) mod rows;
pub(crate) mod stage;
pub(crate) mod states;
pub(crate) mod tally;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use self::rows::{ROW_BYTES, SortedRows};
use self::stage::{Attempts, Stage};
use self::states::{Moment, StateMap, StateRun};
use self::tally::{AddressTally, Tallies};
use super::bound::Bound;
use super::budget::memory::{MemoryShare, NoMemory, ScanMemory};
use super::outcome::Reason;
use super::paths::PathTiming;
use super::plan::ScanPlan;
use super::stats::EngineStats;

/// What readers are notified of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Milestone {
    /// Findings so far.
    pub found: usize,
    /// Whether the scan is over.
    pub finished: bool,
}

/// How often a scan asked, and how long answers took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScanTiming {
    /// How often a port that never answered was asked.
    pub attempts: usize,
    /// The share of attempts at ports that answer which went unanswered.
    pub loss: f64,
    /// The most probes that were in flight at once.
    pub max_in_flight: usize,
    /// What took most of the time; `None` before the first pass has ended.
    pub bound_by: Option<Bound>,
    /// What is known of the paths to the addresses, in the order of the plan.
    pub paths: Vec<Option<PathTiming>>,
}

/// What the tasks of a scan and its readers share.
#[derive(Debug)]
pub(super) struct Shared {
    tallies: Mutex<Tallies>,
    timing: Mutex<ScanTiming>,
    stage: Mutex<Stage>,
    ended: Mutex<Option<Instant>>,
    milestone: watch::Sender<Milestone>,
    /// Addresses that are being looked for.
    sought: AtomicUsize,
    pub(super) stats: Arc<EngineStats>,
    /// This scan's share of the memory for all scans, and that memory.
    memory: Option<(Arc<MemoryShare>, ScanMemory)>,
    /// The findings of a finished scan, shared by all its reports.
    sorted: OnceLock<Arc<SortedRows>>,
}

impl Shared {
    /// Nothing found yet. `memory` is the scan's share of the memory for all scans,
    /// and that memory.
    pub(super) fn new(
        plan: &Arc<ScanPlan>,
        stats: Arc<EngineStats>,
        memory: Option<(MemoryShare, ScanMemory)>,
    ) -> Self {
        Self {
            tallies: Mutex::new(Tallies::whole(plan)),
            timing: Mutex::new(ScanTiming::default()),
            stage: Mutex::default(),
            ended: Mutex::new(None),
            milestone: watch::Sender::new(Milestone::default()),
            sought: AtomicUsize::new(0),
            stats,
            memory: memory.map(|(share, whole)| (Arc::new(share), whole)),
            sorted: OnceLock::new(),
        }
    }

    pub(super) fn tallies(&self) -> Vec<AddressTally> {
        // Read before the lock is taken: the end is set after the last findings.
        let finished = self.milestone.borrow().finished;
        let tallies = self.lock();
        let share = || self.memory.as_ref().map(|(share, _)| Arc::clone(share));
        let sort = || Arc::new(tallies.sorted(share()));
        let sorted = if finished { Arc::clone(self.sorted.get_or_init(sort)) } else { sort() };
        tallies.by_address(&sorted)
    }

    pub(super) fn try_tallies(&self) -> Result<(Vec<AddressTally>, Option<StateMap>), NoMemory> {
        let Some((_, memory)) = self.memory.as_ref().filter(|_| !self.milestone.borrow().finished)
        else {
            return Ok((self.tallies(), None));
        };
        let tallies = self.lock();
        let states = tallies.states();
        let of_states = states.map_or(0, StateMap::bytes);
        let memory = Arc::new(memory.take(tallies.found() * ROW_BYTES + of_states)?);
        let sorted = Arc::new(tallies.sorted(Some(Arc::clone(&memory))));
        Ok((tallies.by_address(&sorted), states.map(|states| states.copy(memory))))
    }

    /// The runs of an address's ports from `from` on, `most` at most; none if the plan keeps
    /// no states.
    pub(super) fn state_runs(
        &self,
        address: u16,
        from: u16,
        most: usize,
        moment: Moment,
    ) -> Vec<StateRun> {
        let tallies = self.lock();
        tallies.states().map_or_else(Vec::new, |states| states.runs(address, from, most, moment))
    }

    /// Notifies of every finding and of the end.
    pub(super) fn milestones(&self) -> watch::Receiver<Milestone> {
        self.milestone.subscribe()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.milestone.borrow().finished
    }

    /// When the scan ended, if it has.
    pub(super) fn ended(&self) -> Option<Instant> {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the scan as finished, and notifies its readers.
    pub(super) fn finish(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.milestone.send_modify(|milestone| milestone.finished = true);
    }

    /// How many addresses are being looked for.
    pub(super) fn sought(&self) -> usize {
        self.sought.load(Ordering::Relaxed)
    }

    pub(super) fn timing(&self) -> ScanTiming {
        self.timing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    // A fan-out that panics while it hands over leaves valid counts; targets that
    // are missing from them count as not scanned.
    pub(super) fn lock(&self) -> MutexGuard<'_, Tallies> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what `part` has found, and notifies the readers.
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

    /// Adds to the addresses that are being looked for, and notifies the readers.
    pub(super) fn seek(&self, addresses: usize) {
        self.sought.fetch_add(addresses, Ordering::Relaxed);
        self.milestone.send_modify(|_| {});
    }

    /// Takes away from the addresses that are being looked for.
    pub(super) fn leave_off(&self, addresses: usize) {
        self.sought.fetch_sub(addresses, Ordering::Relaxed);
    }

    /// Counts all ports of an unreachable address as filtered.
    pub(super) fn write_off(&self, address: u16, reason: Reason) {
        let found = {
            let mut tallies = self.lock();
            tallies.write_off(address, reason);
            tallies.found()
        };
        self.milestone.send_modify(|milestone| milestone.found = found);
    }

    /// Begins a pass over `targets`.
    pub(super) fn begin_pass(&self, pass: u32, targets: u64) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        *stage = stage.next(pass, targets);
    }

    /// Adds to the attempts of the present pass.
    pub(super) fn note_attempts(&self, attempts: Attempts) {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner).attempts.add(attempts);
    }

    /// The present pass.
    pub(super) fn stage(&self) -> Stage {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the timing by that of the passes so far.
    pub(super) fn note_timing(&self, timing: ScanTiming) {
        *self.timing.lock().unwrap_or_else(PoisonError::into_inner) = timing;
    }
}
