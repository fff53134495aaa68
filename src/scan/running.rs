//! The handle on a running scan: its progress, its findings so far and its end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::budget::memory::NoMemory;
use super::fanout::network::Network;
use super::findings::rows::Finding;
use super::findings::stage::Stage;
#[cfg(feature = "server")]
use super::findings::states::StateMap;
use super::findings::states::{Moment, StateRun};
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
    /// How long it takes if no port answers.
    longest: Duration,
    started: Instant,
    until: Arc<Until>,
    /// Ends the task, and its fan-outs with it, when dropped.
    driver: JoinSet<()>,
}

/// How far a scan is, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Targets of the scan: ports times addresses.
    pub total: u64,
    /// Targets with an outcome.
    pub done: u64,
    /// Findings so far.
    pub found: usize,
    /// Targets that were asked at least once, or need not be asked. Those that are
    /// not done wait for an answer, or for the next attempt.
    pub asked: u64,
    /// Targets that are not done although an attempt at them has ended.
    pub silent: u64,
    /// Attempts so far, in all passes.
    pub attempts: u64,
    /// The present pass, from 1; 0 if there is none, or if scans are in several.
    pub pass: u32,
    /// The targets that the present pass asks again, if it is not the first.
    pub again: Again,
    /// How much longer it takes if no port answers, where that is known.
    pub at_most: Option<Duration>,
}

/// Silent targets that are asked again in one pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Again {
    /// How many there are.
    pub total: u64,
    /// How many were asked.
    pub asked: u64,
    /// For how many that attempt has ended.
    pub ended: u64,
}

/// Marks the scan as finished when its task ends, also if the task is aborted.
struct Finish(Arc<Shared>);

impl Scan {
    /// Starts to run `passes` in a task of their own. They take `longest` if no port
    /// answers.
    pub(super) fn start<C, N>(passes: Passes<C>, longest: Duration) -> Self
    where
        C: Fn(Arc<ScanPlan>) -> Result<N, Errno> + Clone + Send + Sync + 'static,
        N: Network + Send + 'static,
    {
        let mut scan = Self {
            shared: Arc::clone(&passes.shared),
            total: passes.plan.targets(),
            longest,
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
        let (done, found) = {
            let tallies = self.shared.lock();
            (tallies.done(), tallies.found())
        };
        let stage = self.shared.stage();
        let progress = Progress { found, ..Progress::at(stage, self.total, done) };
        if self.shared.is_finished() {
            return progress.ended();
        }
        Progress { at_most: self.at_most(stage.pass), ..progress }
    }

    /// How much longer the scan takes if no port answers.
    // A third pass means that packets get lost: then there may be many more.
    fn at_most(&self, pass: u32) -> Option<Duration> {
        let is_bound = pass <= 2 && self.shared.sought() == 0;
        let longest = is_bound.then(|| self.longest.checked_sub(self.elapsed())).flatten();
        let until = self.until().map(|until| until.saturating_duration_since(Instant::now()));
        longest.into_iter().chain(until).min()
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
        self.shared.try_tallies().map(|(tallies, _)| tallies)
    }

    /// The same and, of a scan that still runs and keeps states, those at that moment.
    ///
    /// # Errors
    /// The same.
    #[cfg(feature = "server")]
    pub(crate) fn try_tallies_and_states(
        &self,
    ) -> Result<(Vec<AddressTally>, Option<StateMap>), NoMemory> {
        self.shared.try_tallies()
    }

    /// The addresses of the plan.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.shared.lock().addresses().to_vec()
    }

    /// What is known of the ports of one address from `from` on: `most` runs at most, in
    /// ascending order. `address` is an index of the plan's addresses. There are none if
    /// the plan only counts states.
    #[must_use]
    pub fn state_runs(
        &self,
        address: u16,
        from: u16,
        most: usize,
        moment: Moment,
    ) -> Vec<StateRun> {
        self.shared.state_runs(address, from, most, moment)
    }
}

impl Progress {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self.total == 0 || other.total == 0 {
            return if self.total == 0 { other } else { self };
        }
        Self {
            total: self.total + other.total,
            done: self.done + other.done,
            found: self.found + other.found,
            asked: self.asked + other.asked,
            silent: self.silent + other.silent,
            attempts: self.attempts + other.attempts,
            pass: 0,
            again: Again {
                total: self.again.total + other.again.total,
                asked: self.again.asked + other.again.asked,
                ended: self.again.ended + other.again.ended,
            },
            at_most: None,
        }
    }

    /// The same once the scan has ended.
    #[must_use]
    pub fn ended(self) -> Self {
        Self { silent: 0, pass: 0, again: Again::default(), at_most: None, ..self }
    }

    /// In the pass `stage`, with `done` of `total` targets done.
    fn at(stage: Stage, total: u64, done: u64) -> Self {
        let Stage { pass, targets, attempts, before } = stage;
        let left = total - done;
        let in_flight = attempts.started.saturating_sub(attempts.ended);
        let (silent, again) = match pass {
            0 => (0, Again::default()),
            1 => (attempts.silent.min(left), Again::default()),
            _ => {
                let (asked, ended) = (attempts.started.min(targets), attempts.ended.min(targets));
                (left, Again { total: targets, asked, ended })
            }
        };
        let waiting = if pass == 1 { in_flight } else { 0 };
        Self {
            total,
            done,
            found: 0,
            asked: (done + silent + waiting).min(total),
            silent,
            attempts: before + attempts.started,
            pass,
            again,
            at_most: None,
        }
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::findings::stage::Attempts;

    fn stage(pass: u32, targets: u64, attempts: [u64; 3], before: u64) -> Stage {
        let [started, ended, silent] = attempts;
        Stage { pass, targets, attempts: Attempts { started, ended, silent }, before }
    }

    #[test]
    fn what_was_asked_and_still_waits_is_counted_in_each_pass() {
        let before = Progress::at(Stage::default(), 100, 0);
        assert_eq!(before, Progress { total: 100, ..Progress::default() });
        // Ten have answered, and of twenty nothing is known yet.
        let first = Progress::at(stage(1, 100, [60, 40, 30], 0), 100, 10);
        assert_eq!((first.asked, first.silent, first.attempts), (60, 30, 60));
        assert_eq!((first.pass, first.again), (1, Again::default()));
        // Of 40 silent ones 25 are asked again so far, and five have answered.
        let second = Progress::at(stage(2, 40, [25, 15, 10], 100), 100, 65);
        assert_eq!((second.asked, second.silent, second.attempts), (100, 35, 125));
        assert_eq!((second.pass, second.again), (2, Again { total: 40, asked: 25, ended: 15 }));
    }

    #[test]
    fn several_scans_are_in_no_pass_together_and_one_keeps_its_own() {
        let first = Progress::at(stage(1, 100, [60, 40, 30], 0), 100, 10);
        let at_most = Some(Duration::from_secs(1));
        let second = Progress::at(stage(2, 40, [25, 15, 10], 100), 100, 65);
        let second = Progress { at_most, found: 3, ..second };
        assert_eq!(second.and(Progress::default()), second);
        assert_eq!(Progress::default().and(second), second);
        let both = first.and(second);
        assert_eq!((both.total, both.done, both.found, both.asked), (200, 75, 3, 160));
        assert_eq!((both.silent, both.attempts, both.again), (65, 185, second.again));
        assert_eq!((both.pass, both.at_most), (0, None));
        let ended = second.ended();
        assert_eq!((ended.silent, ended.pass, ended.again), (0, 0, Again::default()));
        assert_eq!((ended.done, ended.at_most), (65, None));
    }
}
