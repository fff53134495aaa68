//! A scan of many hosts, as a series of scans of some each.
//!
//! Hosts are drawn from their list as there is room for them, and what has been
//! told of a host is forgotten, so that memory does not follow their number. A
//! batch has so many addresses that its shuffled order spreads the load widely;
//! several run at a time, so that the silent rest of one does not hold up the
//! next. All share the scanner's descriptors and rate.

mod batch;
mod draw;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use tokio::sync::Notify;

use self::batch::{Batch, Visit};
use self::draw::{Ahead, Drawn, Hosts};
use crate::ask::{Asker, Permitted, ScanOptions};
use crate::host::Family;
use crate::policy::Refusal;
use crate::ports::PortSet;
use crate::resolve::ResolveError;
use crate::scan::{AddressTally, Finding, Keep, Order, Progress, ScanTiming};
use crate::targets::{AddressSet, HostList, HostListError, HostSet};

/// What a sweep is to probe.
#[derive(Clone, Debug)]
pub struct SweepPlan {
    /// The ports; each is probed on every address.
    pub ports: PortSet,
    /// Which addresses of a name.
    pub family: Family,
    /// Addresses that are not probed, also when a name has them.
    pub exclude: AddressSet,
    /// How long a probe waits for an answer.
    pub timeout: Duration,
    /// When to stop; what has no outcome by then is not scanned.
    pub until: Option<Instant>,
    /// Which verdicts to tell port by port.
    pub keep: Keep,
    /// What the order of the targets follows from.
    pub seed: u64,
}

/// A running sweep. Dropping it stops the probes.
pub struct Sweep {
    asker: Asker,
    plan: SweepPlan,
    hosts: Option<Hosts>,
    ahead: Arc<Ahead>,
    /// Hosts for the next batch.
    gathered: Vec<(Visit, Permitted)>,
    running: Vec<Batch>,
    /// Rung when there may be news of a batch.
    bell: Arc<Notify>,
    news: VecDeque<News>,
    /// Batches so far.
    batches: u64,
    /// Of batches that are over: targets, targets with an outcome, findings.
    past: Progress,
    stopped: bool,
}

/// What a sweep tells as it goes.
#[derive(Debug)]
pub enum News {
    /// A finding, of the kind that the plan keeps.
    Found(Found),
    /// All there is to tell about a host; nothing more follows.
    Ended(HostEnd),
    /// The list of hosts cannot be read on. What was read is still scanned.
    ListFailed(HostListError),
}

/// A finding on a host.
#[derive(Clone, Debug)]
pub struct Found {
    /// The host as typed.
    pub host: Arc<str>,
    /// What was found.
    pub finding: Finding,
    /// Whether it is the first of this port and state on the host: a name may
    /// have several addresses.
    pub first: bool,
}

/// How the visit to a host ended.
#[derive(Debug)]
pub struct HostEnd {
    /// The host as typed.
    pub host: Arc<str>,
    /// What is known of it.
    pub outcome: HostOutcome,
}

/// What is known of a host in the end.
#[derive(Debug)]
pub enum HostOutcome {
    /// It was scanned.
    Scanned {
        /// Its addresses.
        tallies: Vec<AddressTally>,
        /// How that went about, with the ways to these addresses.
        timing: ScanTiming,
        /// How many more it has.
        left_out: usize,
        /// How long that took.
        elapsed: Duration,
        /// Whether the sweep was stopped before its end.
        stopped: bool,
    },
    /// It has no addresses, or none that are known.
    NotResolved(ResolveError),
    /// It may not be scanned.
    Refused(Refusal),
}

impl Sweep {
    /// A sweep over `first` and what `rest` goes on with.
    ///
    /// # Panics
    /// When polled outside a tokio runtime with I/O and time.
    #[must_use]
    pub fn new(asker: Asker, plan: SweepPlan, first: HostSet, rest: HostList) -> Self {
        let (ahead, resolver) = (Arc::new(Ahead::default()), asker.resolver().clone());
        let hosts = draw::hosts(first, rest, resolver, (plan.family, plan.until), &ahead);
        Self {
            asker,
            plan,
            hosts: Some(hosts),
            ahead,
            gathered: Vec::new(),
            running: Vec::new(),
            bell: Arc::new(Notify::new()),
            news: VecDeque::new(),
            batches: 0,
            past: Progress { total: 0, done: 0, found: 0 },
            stopped: false,
        }
    }

    /// Waits for something to tell; `None` once all is told. Waiting can be
    /// given up without missing anything.
    pub async fn next(&mut self) -> Option<News> {
        loop {
            if let Some(news) = self.news.pop_front() {
                return Some(news);
            }
            self.follow();
            self.start_batches();
            if !self.news.is_empty() {
                continue;
            }
            let wants = self.wants_hosts();
            if self.running.is_empty() && !wants {
                return None;
            }
            tokio::select! {
                drawn = next_of(&mut self.hosts), if wants => self.take(drawn),
                () = self.bell.notified() => {}
            }
        }
    }

    /// Ends the probes. What is known of hosts that were being scanned is still
    /// told by [`Self::next`].
    pub fn stop(&mut self) {
        self.stopped = true;
        for batch in std::mem::take(&mut self.running) {
            self.end(batch);
        }
        self.hosts = None;
    }

    /// How far the sweep is; the total is `None` while the list of hosts is not
    /// read to its end.
    #[must_use]
    pub fn progress(&self) -> (Progress, Option<u64>) {
        let mut sum = self.past;
        for Progress { total, done, found } in self.running.iter().map(Batch::progress) {
            sum.total += total;
            sum.done += done;
            sum.found += found;
        }
        let ahead = self.unvisited() * u64::from(self.plan.ports.len());
        let total = self.ahead.is_all_known().then_some(sum.total + ahead);
        (sum, total)
    }

    /// Hosts that are known of and whose scan has not started.
    #[must_use]
    pub fn unvisited(&self) -> u64 {
        self.gathered.len() as u64 + self.ahead.hosts()
    }

    /// Whether every host was visited and none stays behind.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.unvisited() == 0 && self.ahead.is_all_known()
    }

    /// Moves what running batches have found into the news.
    fn follow(&mut self) {
        let mut at = 0;
        while at < self.running.len() {
            let finished = self.running[at].tell(&mut self.news);
            if finished {
                let batch = self.running.swap_remove(at);
                self.end(batch);
            } else {
                at += 1;
            }
        }
    }

    fn end(&mut self, mut batch: Batch) {
        while batch.tell_some(&mut self.news) > 0 {}
        let Progress { total, done, found } = batch.progress();
        self.past.total += total;
        self.past.done += done;
        self.past.found += found;
        batch.tell_end(self.stopped, &mut self.news);
    }

    /// Starts as many batches as there is room for, with hosts that need no
    /// waiting for.
    fn start_batches(&mut self) {
        while self.has_room() {
            while self.wants_hosts() {
                // All of a network may be refused.
                if self.news.len() >= NEWS_AHEAD {
                    return;
                }
                let Some(drawn) = next_of(&mut self.hosts).now_or_never() else { break };
                self.take(drawn);
            }
            // Fewer hosts than could be: better than to wait for a name.
            let (visits, permitted) = std::mem::take(&mut self.gathered).into_iter().unzip();
            let Some(permitted) = Permitted::all_of(permitted) else { return };
            let scan = self.asker.start(&permitted, self.options());
            self.running.push(Batch::new(scan, visits, permitted.addresses(), &self.bell));
            self.batches += 1;
        }
    }

    /// How the next batch is scanned.
    fn options(&self) -> ScanOptions {
        ScanOptions {
            timeout: self.plan.timeout,
            deadline: self.plan.until.map(|until| until.duration_since(Instant::now())),
            rate: None,
            keep: self.plan.keep,
            order: Order::Shuffled(self.plan.seed.wrapping_add(self.batches)),
        }
    }

    fn has_room(&self) -> bool {
        let (mut probing, mut unfinished, mut sought) = (0, 0, 0);
        for batch in &self.running {
            let Progress { total, done, .. } = batch.progress();
            let waits = batch.sought() as u64 * u64::from(self.plan.ports.len());
            let left = (total - done).saturating_sub(waits);
            probing += usize::from(left > 0 || waits == 0);
            unfinished += left;
            sought += batch.sought();
        }
        let has_room = probing < MAX_BATCHES && sought < SOUGHT_AHEAD;
        has_room && self.running.len() < MAX_RUNNING && unfinished < TARGETS_AHEAD
    }

    fn wants_hosts(&self) -> bool {
        let ports = u64::from(self.plan.ports.len());
        let gathered: usize = self.gathered.iter().map(|(visit, _)| visit.addresses.len()).sum();
        let addresses = (TARGETS_A_BATCH / ports).clamp(1, ADDRESSES_A_BATCH);
        self.hosts.is_some() && (gathered as u64) < addresses && !self.is_late()
    }

    fn is_late(&self) -> bool {
        self.plan.until.is_some_and(|until| until <= Instant::now())
    }

    /// Takes in what the list has next.
    fn take(&mut self, drawn: Option<Result<Drawn, HostListError>>) {
        let Drawn { host, resolved } = match drawn {
            None => {
                self.hosts = None;
                return;
            }
            Some(Err(error)) => return self.news.push_back(News::ListFailed(error)),
            Some(Ok(drawn)) => drawn,
        };
        if matches!(resolved, Err(ResolveError::Late { .. } | ResolveError::NotLookedUp { .. }))
            && self.is_late()
        {
            // The time was up before anything was known: it stays unvisited.
            return;
        }
        self.ahead.pass();
        let outcome = match resolved {
            Err(error) => HostOutcome::NotResolved(error),
            Ok(mut resolved) => {
                resolved.addresses.retain(|&address| !self.plan.exclude.contains(address));
                match self.asker.judge(resolved, &self.plan.ports) {
                    Err(refusal) => HostOutcome::Refused(refusal),
                    Ok(permitted) if permitted.addresses().is_empty() => return,
                    Ok(permitted) => {
                        let addresses = permitted.addresses().to_vec();
                        let visit = Visit { host, addresses, left_out: permitted.left_out() };
                        return self.gathered.push((visit, permitted));
                    }
                }
            }
        };
        self.news.push_back(News::Ended(HostEnd { host, outcome }));
    }
}

async fn next_of(hosts: &mut Option<Hosts>) -> Option<Result<Drawn, HostListError>> {
    hosts.as_mut()?.next().await
}

/// Addresses that are scanned together at most: a probe in 256 goes to the same
/// one, and what the engine keeps for each stays small.
const ADDRESSES_A_BATCH: u64 = 256;

/// Targets of a batch at most, unless one host has more: should all of them be
/// open, their rows take a megabyte or two.
const TARGETS_A_BATCH: u64 = 65_536;

/// Targets that running batches have left, below which the next one starts:
/// more than the largest descriptor budget can have in flight, many times over.
const TARGETS_AHEAD: u64 = 3 * TARGETS_A_BATCH;

/// News that wait to be told while hosts are drawn: as many as a batch has
/// addresses, several times over.
const NEWS_AHEAD: usize = 1024;

/// Batches at once at most, when each has few targets, as with slow names.
const MAX_BATCHES: usize = 16;

/// Addresses of attached networks that are looked for or wait for that, above which
/// no batch is started: many times what the neighbour table lets go on at once.
const SOUGHT_AHEAD: usize = 4096;

/// Batches at once at most, those among them that only look for their addresses.
const MAX_RUNNING: usize = 256;

#[cfg(test)]
mod tests;
