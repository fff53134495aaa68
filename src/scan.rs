//! The scan engine: finds out which ports of some addresses are open.
//!
//! A [`Scanner`] holds what all scans of the process share: the descriptor
//! budget, the memory for findings and the counters. A [`Scan`] runs in passes.
//! A pass probes a list of targets with one fan-out per core; the targets that
//! stay silent are the list of the next pass. A [`Watch`] has rounds instead, which
//! overlap and have no end. The engine returns data. It never prints, logs or reads
//! the environment.
//!
//! ```text
//! plan ──► passes ──► fanout ──► connect ──► outcome ──► findings
//!          when to    gate:      sockets     state or    what readers
//!          ask again  how fast               shortage    follow
//!                     paths: how
//!                     long to wait
//! ```

mod bound;
mod budget;
mod connect;
mod fanout;
mod findings;
mod gate;
mod outcome;
mod passes;
mod paths;
mod plan;
mod running;
mod stats;
mod watch;

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::bound::Bound;
pub use self::budget::DescriptorBudget;
pub(crate) use self::budget::memory::MemoryShare;
pub use self::budget::memory::NoMemory;
use self::budget::memory::ScanMemory;
use self::connect::Sockets;
use self::fanout::FanoutPlan;
use self::findings::Shared;
pub use self::findings::rows::{Finding, Findings};
pub(crate) use self::findings::states::StateMap;
pub use self::findings::states::{Moment, Standing, StateRun};
pub use self::findings::tally::{AddressTally, Totals};
pub use self::findings::{Milestone, ScanTiming};
use self::gate::pacer::Pacer;
use self::gate::until::Until;
pub use self::outcome::{PortState, Reason, Shortage};
use self::passes::Passes;
pub use self::paths::PathTiming;
use self::paths::{Networks, Paths, Purpose};
pub use self::plan::{Keep, Order, ScanPlan, States};
pub use self::running::{Again, Progress, Scan};
pub use self::stats::{EngineStats, RTT_BUCKETS, RttCounts};
pub use self::watch::{Change, Known, MissedReason, Watch, WatchCounts, WatchNews};
use crate::limits;
use crate::machine::neighbours::Neighbours;

/// Whether this host has a route to `address`.
#[must_use]
pub fn has_route(address: IpAddr) -> bool {
    connect::route::unreachable(address).is_none()
}

/// Runs scans, and shares this process's resources between them.
#[derive(Clone, Debug)]
pub struct Scanner {
    budget: Arc<DescriptorBudget>,
    fanouts: NonZeroUsize,
    /// A limit each on the probes of all scans of this handle.
    pacers: Vec<Arc<Pacer>>,
    memory: ScanMemory,
    stats: Arc<EngineStats>,
    neighbours: Neighbours,
    /// What scans learn from each other about networks, if they do.
    networks: Option<Arc<Networks>>,
}

impl Scanner {
    /// A scanner that uses `descriptors` at most, and `fanouts` tasks a scan.
    #[must_use]
    pub fn new(descriptors: usize, fanouts: NonZeroUsize) -> Self {
        Self {
            budget: Arc::new(DescriptorBudget::new(descriptors)),
            fanouts,
            pacers: Vec::new(),
            memory: ScanMemory::new(usize::MAX),
            stats: Arc::new(EngineStats::default()),
            neighbours: Neighbours::default(),
            networks: None,
        }
    }

    /// The same, with one more ceiling on probes a second, over all scans of what is
    /// returned.
    #[must_use]
    pub fn with_rate(mut self, rate: NonZeroU32) -> Self {
        self.pacers.push(Arc::new(Pacer::new(rate, Instant::now())));
        self
    }

    /// The same, with a limit of `bytes` for the findings and silent targets of all
    /// scans.
    #[must_use]
    pub fn with_memory(self, bytes: usize) -> Self {
        Self { memory: ScanMemory::new(bytes), ..self }
    }

    /// The same for the scans of one sweep: the answers of a network's hosts bound
    /// how long its silent addresses are waited for.
    #[must_use]
    pub fn for_sweep(&self) -> Self {
        Self { networks: Some(Arc::default()), ..self.clone() }
    }

    /// Takes `bytes` of the memory of scans for something that a scan needs.
    ///
    /// # Errors
    /// When scans hold too much of it.
    #[cfg(feature = "server")]
    pub(crate) fn take_memory(&self, bytes: usize) -> Result<MemoryShare, NoMemory> {
        self.memory.take(bytes)
    }

    /// The budget that the scans share.
    #[must_use]
    pub fn budget(&self) -> &DescriptorBudget {
        &self.budget
    }

    /// The counters of all scans.
    #[must_use]
    pub fn stats(&self) -> &EngineStats {
        &self.stats
    }

    /// Starts to probe every port of every address, without a limit on memory.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    #[must_use]
    pub fn start(&self, plan: &ScanPlan) -> Scan {
        Scan::start(self.passes(plan, None, Sockets::try_new), self.longest(plan))
    }

    /// Starts to probe every port of every address, if there is memory for all that
    /// may be found.
    ///
    /// # Errors
    /// When other scans hold too much of the memory, or there is too little for
    /// this scan at any time.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub fn try_start(&self, plan: &ScanPlan) -> Result<Scan, NoMemory> {
        let targets = plan.addresses.len().saturating_mul(plan.ports.len() as usize);
        let bytes = targets.saturating_mul(limits::TARGET_MEMORY);
        let memory = self.memory.take(bytes.saturating_add(StateMap::bytes_for(plan)))?;
        let passes = self.passes(plan, Some(memory), Sockets::try_new);
        Ok(Scan::start(passes, self.longest(plan)))
    }

    /// Starts to watch every port of every address: asks each port once `every` so often.
    /// The plan's deadline means nothing.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    #[must_use]
    pub fn watch(&self, plan: &ScanPlan, every: Duration) -> Watch {
        let fanout_plan =
            FanoutPlan { until: Arc::new(Until::new(None)), ..self.fanout_plan(plan) };
        Watch::start(Arc::new(plan.clone()), fanout_plan, every, Sockets::try_new)
    }

    /// Probes every port of every address and returns what was found, by address in
    /// the order of the plan. Dropping the future stops the probes.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub async fn scan(&self, plan: &ScanPlan) -> Vec<AddressTally> {
        let scan = self.start(plan);
        scan.finished().await;
        scan.tallies()
    }

    /// How long a scan takes if no port answers and no other scan runs.
    #[must_use]
    pub fn worst_case(&self, plan: &ScanPlan) -> Duration {
        let probes = plan.targets();
        let rounds = u32::try_from(self.rounds(probes, probes)).unwrap_or(u32::MAX);
        let silent = plan.timeout.saturating_mul(rounds);
        let paced = plan.rate.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64(probes as f64 / f64::from(rate.get()))
        });
        silent.max(paced + plan.timeout).min(plan.deadline.unwrap_or(Duration::MAX))
    }

    /// Like [`Self::worst_case`], for a reader who is not to be promised too much.
    // With a limit on speed the second pass takes as long as the first. Without one, a
    // scan of 65,535 silent ports took 8.4 s where the worst case is 8.
    fn longest(&self, plan: &ScanPlan) -> Duration {
        let own = plan.rate.map(|rate| Pacer::new(rate, Instant::now()));
        let pacers = own.iter().chain(self.pacers.iter().map(Arc::as_ref));
        let paced = pacers.map(|pacer| pacer.time_for(2 * plan.targets())).max();
        let plan = ScanPlan { rate: None, deadline: None, ..plan.clone() };
        let silent = self.worst_case(&plan);
        let paced = paced.unwrap_or_default().saturating_add(plan.timeout);
        silent.saturating_add(silent / 4).max(paced)
    }

    /// How many tasks a scan has.
    #[cfg(feature = "server")]
    #[must_use]
    pub(crate) fn fanouts(&self) -> NonZeroUsize {
        self.fanouts
    }

    /// The most probes that are in flight at a time if no other scan runs.
    #[must_use]
    pub(crate) fn window(&self) -> u64 {
        // Each fan-out's readiness set takes a descriptor.
        self.budget.total().saturating_sub(self.fanouts.get()).max(1) as u64
    }

    /// How many silent probes have to wait one after the other, if no more than
    /// `at_once` of `probes` are in flight at a time.
    #[must_use]
    pub(crate) fn rounds(&self, probes: u64, at_once: u64) -> u64 {
        probes.div_ceil(self.window().min(at_once.max(1)))
    }

    /// The passes over `plan`, with `memory` for what they find. `connect` gives each
    /// fan-out its network.
    fn passes<C>(&self, plan: &ScanPlan, memory: Option<MemoryShare>, connect: C) -> Passes<C> {
        let plan = Arc::new(plan.clone());
        let memory = memory.map(|share| (share, self.memory.clone()));
        Passes {
            fanout_plan: self.fanout_plan(&plan),
            fanouts: self.fanouts,
            neighbours: self.neighbours.clone(),
            connect,
            shared: Arc::new(Shared::new(&plan, Arc::clone(&self.stats), memory)),
            plan,
        }
    }

    fn fanout_plan(&self, plan: &ScanPlan) -> FanoutPlan {
        let now = Instant::now();
        let own = plan.rate.map(|rate| Arc::new(Pacer::new(rate, now)));
        FanoutPlan {
            paths: Arc::new(Paths::new(&plan.addresses, plan.timeout, self.networks.clone())),
            purpose: Purpose::State,
            window: None,
            until: Arc::new(Until::new(plan.deadline.map(|deadline| now + deadline))),
            pacers: own.into_iter().chain(self.pacers.iter().cloned()).collect(),
            budget: Arc::clone(&self.budget),
            stats: Arc::clone(&self.stats),
        }
    }
}
