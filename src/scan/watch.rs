//! Watches ports: asks them again and again, and reports each change once.
//!
//! A fan-out ends each target once, in passes. A watch has rounds that overlap: a round
//! starts on time, whatever the probes before it wait for, so that the time of a change
//! is known to one round, however long silence takes to be one. What the probes of a
//! port come to is decided by a state machine without sockets (`tracker`), and so is
//! which port is asked when (`rounds`). Sockets, waits and descriptors are those of a
//! fan-out.
//!
//! What is lacking is told, too: probes that could not be sent in time are counted as
//! missed, with the reason, and never change a state.

mod loss;
mod rounds;
mod shortfall;
mod tracker;
mod watcher;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use self::tracker::Known;
use self::tracker::Noticed;
use self::watcher::{Watcher, WatcherPlan};
use super::fanout::FanoutPlan;
use super::fanout::network::Network;
use super::outcome::{PortState, Reason, Shortage};
use super::plan::ScanPlan;

/// A running watch. Dropping it stops the probes.
#[derive(Debug)]
pub struct Watch {
    plan: Arc<ScanPlan>,
    news: mpsc::Receiver<WatchNews>,
    board: Arc<Board>,
    /// Ends the task, and its sockets with it, when dropped.
    _driver: JoinSet<()>,
}

/// What a watch tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchNews {
    /// A port has a state that it did not have before.
    Changed(Change),
    /// Probes were not sent in time, since this was told last.
    Missed {
        /// How many.
        probes: u64,
        /// Why.
        reason: MissedReason,
    },
}

/// A port has a state that it did not have before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The index of the port among [`Watch::ports`].
    pub index: usize,
    /// The state before; `None` at first.
    pub from: Option<PortState>,
    /// The state now.
    pub to: PortState,
    /// Why.
    pub reason: Reason,
    /// When the first probe started that found it so.
    pub at: Instant,
}

/// Why probes were not sent in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissedReason {
    /// The process did not run in time.
    Late,
    /// A limit on probes a second.
    Rate,
    /// This machine lacked something.
    Shortage(Shortage),
}

/// What was counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchCounts {
    /// Rounds that have begun.
    pub rounds: u64,
    /// Probes that were sent.
    pub probes: u64,
    /// Probes that were not sent in time.
    pub missed: u64,
}

/// What the task of a watch knows, for its readers.
#[derive(Debug)]
struct Board(Mutex<Posted>);

#[derive(Debug)]
struct Posted {
    known: Vec<Option<Known>>,
    counts: WatchCounts,
}

impl MissedReason {
    /// Its name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Rate => "rate",
            Self::Shortage(shortage) => shortage.name(),
        }
    }
}

impl Watch {
    /// Starts to ask every port of `plan` each `every`. `connect` gives the network.
    pub(super) fn start<C, N>(
        plan: Arc<ScanPlan>,
        fanout_plan: FanoutPlan,
        every: Duration,
        connect: C,
    ) -> Self
    where
        C: Fn(Arc<ScanPlan>) -> Result<N, Errno> + Send + Sync + 'static,
        N: Network + Send + 'static,
    {
        let (told, news) = mpsc::channel(NEWS_AT_ONCE);
        let targets = usize::try_from(plan.targets()).unwrap_or(usize::MAX);
        let posted = Posted { known: vec![None; targets], counts: WatchCounts::default() };
        let board = Arc::new(Board(Mutex::new(posted)));
        let mut driver = JoinSet::new();
        let (scan, shared) = (Arc::clone(&plan), Arc::clone(&board));
        driver.spawn(async move {
            let plan = WatcherPlan { scan: Arc::clone(&scan), fanout: fanout_plan, every };
            let mut watcher = Watcher::join(plan, || connect(Arc::clone(&scan)), &told).await;
            loop {
                for news in watcher.turn().await {
                    if told.send(news).await.is_err() {
                        return;
                    }
                }
                // After the news, so that who has read them all knows as much.
                watcher.post(&mut shared.lock());
            }
        });
        Self { plan, news, board, _driver: driver }
    }

    /// The ports that are watched, each with its address.
    pub fn ports(&self) -> impl Iterator<Item = (IpAddr, u16)> {
        let of_address =
            |&address: &IpAddr| self.plan.ports.iter().map(move |port| (address, port));
        self.plan.addresses.iter().flat_map(of_address)
    }

    /// Waits for news. Dropping the future loses nothing.
    pub async fn next(&mut self) -> WatchNews {
        match self.news.recv().await {
            Some(news) => news,
            // The runtime shuts down.
            None => std::future::pending().await,
        }
    }

    /// The next news, if there are any.
    pub fn try_next(&mut self) -> Option<WatchNews> {
        self.news.try_recv().ok()
    }

    /// What is known now, in the order of [`Self::ports`]. The news that led to it can be
    /// read already.
    #[must_use]
    pub fn known(&self) -> Vec<Option<Known>> {
        self.board.lock().known.clone()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> WatchCounts {
        self.board.lock().counts
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Posted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Change {
    fn new(index: usize, Noticed { from, to, reason, at }: Noticed) -> Self {
        Self { index, from, to, reason, at }
    }
}

/// News that wait for a slow reader, 50 bytes each. With more, the watch pauses, and
/// counts what it misses.
const NEWS_AT_ONCE: usize = 4096;

#[cfg(test)]
mod tests;
