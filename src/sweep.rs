//! A scan of many hosts, as a series of batches.
//!
//! Hosts are taken from their list when there is room for them, and a host's results
//! are dropped once reported, so that memory does not grow with the number of hosts.
//! A batch has enough addresses to spread the load widely in its shuffled order.
//! Several batches run at once, so that the silent targets of one do not delay the
//! next. All share the scanner's descriptors and rate.

mod batch;
mod draw;
pub(crate) mod estimate;
pub(crate) mod forecast;
mod gathered;
mod news;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use tokio::sync::Notify;
use tokio::time::sleep_until;

use self::batch::{Batch, Visit};
use self::draw::{Ahead, Drawn, Hosts};
use self::gathered::{Attempt, Gathered};
pub(crate) use self::news::{Found, HostEnd, HostOutcome, News};
use crate::ask::{ScanOptions, SweepAsker};
use crate::host::Family;
use crate::ports::PortSet;
use crate::resolve::ResolveError;
use crate::scan::{Keep, Order, Progress, States, Totals};
use crate::targets::{AddressSet, HostList, HostListError, HostSet};

/// What to probe in a sweep.
#[derive(Clone, Debug)]
pub(crate) struct SweepPlan {
    /// The ports; each is probed on every address.
    pub(crate) ports: PortSet,
    /// Which addresses of a name.
    pub(crate) family: Family,
    /// Addresses that are not probed, even if a name resolves to them.
    pub(crate) exclude: AddressSet,
    /// How long a probe waits for an answer.
    pub(crate) timeout: Duration,
    /// When to stop. Targets still unfinished then are not scanned.
    pub(crate) until: Option<Instant>,
    /// Which verdicts to report port by port.
    pub(crate) keep: Keep,
    /// Determines the order of the targets.
    pub(crate) seed: u64,
}

/// A running sweep. Dropping it stops the probes.
pub(crate) struct Sweep {
    asker: SweepAsker,
    plan: SweepPlan,
    hosts: Option<Hosts>,
    ahead: Arc<Ahead>,
    /// Hosts for the next batches.
    gathered: Gathered,
    running: Vec<Batch>,
    /// Notified when a batch may have news.
    bell: Arc<Notify>,
    news: VecDeque<News>,
    /// The number of batches started so far.
    batches: u64,
    /// The sum over the batches that have ended.
    past: Progress,
    past_totals: Totals,
    stopped: bool,
}

impl Sweep {
    /// A sweep over `first` and then over `rest`.
    ///
    /// # Panics
    /// When polled outside a tokio runtime with I/O and time.
    #[must_use]
    pub(crate) fn new(
        asker: impl Into<SweepAsker>,
        plan: SweepPlan,
        first: HostSet,
        rest: HostList,
    ) -> Self {
        let (asker, ahead) = (asker.into(), Arc::new(Ahead::default()));
        let hosts = draw::hosts(first, rest, &asker, (plan.family, plan.until), &ahead);
        Self {
            asker,
            plan,
            hosts: Some(hosts),
            ahead,
            gathered: Gathered::default(),
            running: Vec::new(),
            bell: Arc::new(Notify::new()),
            news: VecDeque::new(),
            batches: 0,
            past: Progress::default(),
            past_totals: Totals::default(),
            stopped: false,
        }
    }

    /// Waits for news; `None` at the end of the sweep. Dropping the future loses
    /// nothing.
    pub(crate) async fn next(&mut self) -> Option<News> {
        loop {
            if let Some(news) = self.news.pop_front() {
                return Some(news);
            }
            self.go_on();
            if self.news.is_empty() && !self.wait().await {
                return None;
            }
        }
    }

    /// Waits until something is being scanned, until many news wait to be taken, or until
    /// the end of the sweep. Dropping the future loses nothing.
    pub(crate) async fn begun(&mut self) {
        loop {
            self.go_on();
            if self.has_begun() || self.news.len() >= NEWS_AHEAD || !self.wait().await {
                return;
            }
        }
    }

    /// Whether something is being scanned, or was.
    #[must_use]
    pub(crate) fn has_begun(&self) -> bool {
        self.batches > 0
    }

    /// Whether nothing is left to do. There may be news.
    #[must_use]
    pub(crate) fn is_over(&self) -> bool {
        self.running.is_empty() && !self.wants_hosts() && self.again().is_none()
    }

    /// The news that wait to be taken.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &News> {
        self.news.iter()
    }

    /// Stops the probes. [`Self::next`] still reports what is known of the hosts that
    /// were being scanned.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        for batch in std::mem::take(&mut self.running) {
            self.end(batch);
        }
        self.hosts = None;
    }

    /// How far the sweep is. The total is `None` until the list of hosts was read to
    /// its end.
    #[must_use]
    pub(crate) fn progress(&self) -> (Progress, Option<u64>) {
        let running = self.running.iter().map(Batch::progress);
        let mut sum = running.fold(self.past, Progress::and);
        let ahead = self.unvisited() * u64::from(self.plan.ports.len());
        let total = self.ahead.is_all_known().then_some(sum.total + ahead);
        if total != Some(sum.total) {
            // What is known of one batch says nothing about the others.
            (sum.pass, sum.at_most) = (0, None);
        }
        let until = self.plan.until.map(|until| until.saturating_duration_since(Instant::now()));
        sum.at_most = sum.at_most.into_iter().chain(until).min();
        (sum, total)
    }

    /// How many targets of the batches so far are in which state. A target without an
    /// outcome counts as not scanned.
    #[must_use]
    pub(crate) fn totals(&self) -> Totals {
        let running = self.running.iter().map(Batch::totals);
        running.fold(self.past_totals, plus)
    }

    /// The number of hosts that were read from the list and not visited yet.
    #[must_use]
    pub(crate) fn unvisited(&self) -> u64 {
        self.gathered.len() as u64 + self.ahead.hosts()
    }

    /// The checksum of the list of hosts, once that was read to its end.
    #[must_use]
    pub(crate) fn list_checksum(&self) -> Option<u64> {
        self.ahead.is_all_known().then(|| self.ahead.checksum())
    }

    /// Whether the list was read to its end and every host visited.
    #[must_use]
    pub(crate) fn is_whole(&self) -> bool {
        self.unvisited() == 0 && self.ahead.is_all_known()
    }

    /// Adds the news of running batches, and starts further ones.
    fn go_on(&mut self) {
        self.follow();
        self.start_batches();
    }

    /// Waits until there is something to do; false if nothing is left.
    async fn wait(&mut self) -> bool {
        if self.is_over() {
            return false;
        }
        let (wants, again) = (self.wants_hosts(), self.again());
        let pause = async {
            match again {
                Some(again) => sleep_until(again.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            drawn = next_of(&mut self.hosts), if wants => self.take(drawn),
            () = self.bell.notified() => {}
            () = pause => {}
        }
        true
    }

    /// Adds the news of running batches.
    fn follow(&mut self) {
        let mut at = 0;
        while at < self.running.len() {
            let finished = self.running[at].report(&mut self.news);
            if finished {
                let batch = self.running.swap_remove(at);
                self.end(batch);
            } else {
                at += 1;
            }
        }
    }

    fn end(&mut self, mut batch: Batch) {
        while batch.report_some(&mut self.news) > 0 {}
        self.past = self.past.and(batch.progress().ended());
        self.past_totals = plus(self.past_totals, batch.totals());
        batch.report_end(self.stopped, &mut self.news);
    }

    /// Starts batches while there is room, of hosts that are ready.
    fn start_batches(&mut self) {
        while !self.stopped && self.has_room() {
            while self.wants_hosts() {
                // A whole network may be refused.
                if self.news.len() >= NEWS_AHEAD {
                    return;
                }
                let Some(drawn) = next_of(&mut self.hosts).now_or_never() else { break };
                self.take(drawn);
            }
            let (options, most) = (self.options(), self.batch_size());
            match self.gathered.start(&self.asker, options, most, &self.bell) {
                Attempt::Nothing => return,
                Attempt::Started(batch) => {
                    self.running.push(batch);
                    self.batches += 1;
                }
                Attempt::TooLarge(visits, error) => {
                    let too_large = |Visit { host, .. }| {
                        News::Ended(HostEnd { host, outcome: HostOutcome::TooLarge(error) })
                    };
                    self.news.extend(visits.into_iter().map(too_large));
                }
            }
        }
    }

    /// How the next batch is scanned.
    fn options(&self) -> ScanOptions {
        ScanOptions {
            timeout: self.plan.timeout,
            deadline: self.plan.until.map(|until| until.duration_since(Instant::now())),
            rate: None,
            keep: self.plan.keep,
            states: States::Counted,
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
        let is_wanted = self.gathered.addresses() < self.batch_size() && !self.gathered.is_full();
        self.hosts.is_some() && is_wanted && !self.is_late()
    }

    /// The number of addresses at which a batch starts.
    fn batch_size(&self) -> usize {
        let addresses = TARGETS_A_BATCH / u64::from(self.plan.ports.len());
        usize::try_from(addresses).unwrap_or(usize::MAX).clamp(1, ADDRESSES_A_BATCH)
    }

    /// When to try hosts again that could not be scanned yet.
    fn again(&self) -> Option<Instant> {
        self.gathered.again().filter(|_| !self.stopped && !self.is_late())
    }

    fn is_late(&self) -> bool {
        self.plan.until.is_some_and(|until| until <= Instant::now())
    }

    /// Gathers the next host of the list, or reports why it is not scanned.
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
            // The deadline came before anything was known: the host stays unvisited.
            return;
        }
        self.ahead.pass();
        let outcome = match resolved {
            Err(error) => HostOutcome::NotResolved(error),
            Ok(mut resolved) => {
                for addresses in [&mut resolved.addresses, &mut resolved.left_out] {
                    addresses.retain(|&address| !self.plan.exclude.contains(address));
                }
                match self.asker.judge(resolved, &self.plan.ports) {
                    Err(refusal) => HostOutcome::Refused(refusal),
                    Ok(permitted) if permitted.addresses().is_empty() => return,
                    Ok(permitted) => return self.gathered.add(host, permitted),
                }
            }
        };
        self.news.push_back(News::Ended(HostEnd { host, outcome }));
    }
}

/// The sum of two counts.
fn plus(one: Totals, other: Totals) -> Totals {
    Totals {
        open: one.open + other.open,
        closed: one.closed + other.closed,
        filtered: one.filtered + other.filtered,
        not_scanned: one.not_scanned + other.not_scanned,
    }
}

async fn next_of(hosts: &mut Option<Hosts>) -> Option<Result<Drawn, HostListError>> {
    hosts.as_mut()?.next().await
}

/// The limit of addresses in a batch. With a few ports, each of its fan-outs then has
/// several times as many targets as its share of the descriptors, and seldom waits
/// for its last ones only. In a service, what is kept for the addresses of all batches has
/// to stay below 16 MB.
const ADDRESSES_A_BATCH: usize = 512;

/// The limit of targets in a batch, unless one host has more: if all are open, their
/// rows take a megabyte or two.
const TARGETS_A_BATCH: u64 = 65_536;

/// The number of unfinished targets of running batches below which the next batch
/// starts: many times what the largest descriptor budget can have in flight.
const TARGETS_AHEAD: u64 = 3 * TARGETS_A_BATCH;

/// The number of waiting news at which no further host is taken: twice as many as
/// the addresses of a batch.
const NEWS_AHEAD: usize = 1024;

/// The limit of batches at once that probe, for when each has few targets, as with
/// one port or with slow names.
const MAX_BATCHES: usize = 16;

/// The number of addresses of attached networks that are looked for, or wait for it,
/// at which no batch starts: many times what the neighbour table allows at once.
const SOUGHT_AHEAD: usize = 4096;

/// The limit of batches at once, including those that only look for their addresses.
const MAX_RUNNING: usize = 256;

#[cfg(test)]
mod tests;
