//! Hosts that wait for their batch.
//!
//! In a service, an address may have reached its limit of scans, and other scans may
//! hold the memory for a batch. Such hosts wait until that has changed, while others
//! go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::batch::{Batch, Visit};
use crate::ask::{NotNow, Permitted, ScanOptions, SweepAsker};
use crate::scan::NoMemory;

/// Hosts that were judged, and are in no batch yet.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// For the next batch.
    hosts: Vec<(Visit, Permitted)>,
    /// Those that could not be scanned yet.
    busy: Vec<(Visit, Permitted)>,
    /// When to try these again.
    again: Option<Instant>,
}

/// What became of an attempt to start a batch.
pub(super) enum Attempt {
    /// It runs.
    Started(Batch),
    /// There is no host that can be scanned now.
    Nothing,
    /// Its hosts have more targets than there is memory for, at any time.
    TooLarge(Vec<Visit>, NoMemory),
}

impl Gathered {
    /// Adds a host.
    pub(super) fn add(&mut self, host: Arc<str>, permitted: Permitted) {
        let (addresses, left_out) = (permitted.addresses().to_vec(), permitted.left_out().to_vec());
        let visit = Visit { host, addresses, left_out };
        self.hosts.push((visit, permitted));
    }

    /// How many hosts there are.
    pub(super) fn len(&self) -> usize {
        self.hosts.len() + self.busy.len()
    }

    /// How many addresses there are for the next batch.
    pub(super) fn addresses(&self) -> usize {
        self.hosts.iter().map(|(visit, _)| visit.addresses.len()).sum()
    }

    /// Whether as many hosts wait for their turn as may: each takes memory.
    pub(super) fn is_full(&self) -> bool {
        self.busy.len() >= MOST_BUSY
    }

    /// When to try the hosts again that could not be scanned yet, if there are some.
    pub(super) fn again(&self) -> Option<Instant> {
        self.again
    }

    /// Tries to start a batch of `most` addresses, or a few more. It may be smaller:
    /// better than waiting for a name.
    pub(super) fn start(
        &mut self,
        asker: &SweepAsker,
        options: ScanOptions,
        most: usize,
        bell: &Arc<Notify>,
    ) -> Attempt {
        let hosts = self.next_batch(asker, most);
        let parts = hosts.iter().map(|(_, permitted)| permitted);
        let Some(permitted) = Permitted::all_of(parts) else { return Attempt::Nothing };
        let visits = |hosts: Vec<(Visit, Permitted)>| hosts.into_iter().map(|(visit, _)| visit);
        match asker.start(&permitted, options) {
            Ok(scan) => {
                let visits = visits(hosts).collect();
                Attempt::Started(Batch::new(scan, visits, permitted.addresses(), bell))
            }
            Err(NotNow::TooLarge(error)) => Attempt::TooLarge(visits(hosts).collect(), error),
            Err(NotNow::Busy) => {
                self.busy.extend(hosts);
                self.again = Some(Instant::now() + PAUSE);
                Attempt::Nothing
            }
        }
    }

    /// Takes the hosts of the next batch. Those that could not be scanned yet have
    /// another turn.
    fn next_batch(&mut self, asker: &SweepAsker, most: usize) -> Vec<(Visit, Permitted)> {
        let now = Instant::now();
        if self.again.is_some_and(|again| again <= now) {
            self.hosts.append(&mut self.busy);
            self.again = None;
        }
        let (mut batch, mut left, mut addresses) = (Vec::new(), Vec::new(), 0);
        for (visit, permitted) in self.hosts.drain(..) {
            if addresses >= most {
                left.push((visit, permitted));
            } else if asker.is_any_busy(permitted.addresses()) {
                self.busy.push((visit, permitted));
                self.again = self.again.or(Some(now + PAUSE));
            } else {
                addresses += visit.addresses.len();
                batch.push((visit, permitted));
            }
        }
        self.hosts = left;
        batch
    }
}

/// The limit of hosts that could not be scanned yet: a batch of them.
const MOST_BUSY: usize = 256;

/// How long they wait before another attempt. Few batches take less.
const PAUSE: Duration = Duration::from_millis(50);
