//! Hosts that are scanned together, and which finding belongs to which host.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::news::{Found, HostEnd, HostOutcome, News};
use crate::scan::{AddressTally, Milestone, PortState, Progress, Scan, ScanTiming, Totals};

/// A host to scan.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) host: Arc<str>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) left_out: Vec<IpAddr>,
}

/// A scan of several hosts.
pub(super) struct Batch {
    scan: Arc<Scan>,
    milestones: watch::Receiver<Milestone>,
    visits: Vec<Visit>,
    /// In ascending order, which is the order of the scan's tallies.
    addresses: Vec<IpAddr>,
    /// The index of each visit that an address belongs to, sorted by address. Names
    /// may share an address.
    owners: Vec<(IpAddr, usize)>,
    /// What was reported of hosts with several addresses.
    seen: HashSet<(usize, u16, PortState)>,
    /// The number of findings reported.
    reported: usize,
}

impl Batch {
    /// Follows `scan`, which is a scan of `visits` and has tallies in the order of
    /// `addresses`. Notifies `bell` when there may be news.
    pub(super) fn new(
        scan: Arc<Scan>,
        visits: Vec<Visit>,
        addresses: &[IpAddr],
        bell: &Arc<Notify>,
    ) -> Self {
        let indexed = visits.iter().enumerate();
        let mut owners: Vec<(IpAddr, usize)> = indexed
            .flat_map(|(index, visit)| visit.addresses.iter().map(move |&address| (address, index)))
            .collect();
        owners.sort_unstable();
        let (mut milestones, bell) = (scan.milestones(), Arc::clone(bell));
        let followed = milestones.clone();
        // Ends with the scan.
        tokio::spawn(async move {
            loop {
                // Read before the bell rings: whoever hears it may look before a milestone
                // that is read after it, and nobody would ring for that one.
                let finished = milestones.borrow_and_update().finished;
                bell.notify_one();
                if finished || milestones.changed().await.is_err() {
                    return;
                }
            }
        });
        Self {
            scan,
            milestones: followed,
            visits,
            addresses: addresses.to_vec(),
            owners,
            seen: HashSet::new(),
            reported: 0,
        }
    }

    pub(super) fn progress(&self) -> Progress {
        self.scan.progress()
    }

    /// How many targets are in which state so far.
    pub(super) fn totals(&self) -> Totals {
        self.scan.totals()
    }

    /// The number of addresses that are being looked for.
    pub(super) fn sought(&self) -> usize {
        self.scan.sought()
    }

    /// Reports some new findings. Returns whether the scan has ended and all its findings
    /// are reported.
    pub(super) fn report(&mut self, news: &mut VecDeque<News>) -> bool {
        let Milestone { finished, found } = *self.milestones.borrow();
        if found > self.reported {
            self.report_some(news);
        }
        finished && found <= self.reported
    }

    /// Reports some more findings, and returns their number.
    pub(super) fn report_some(&mut self, news: &mut VecDeque<News>) -> usize {
        let findings = self.scan.findings(self.reported, FINDINGS_AT_ONCE);
        self.reported += findings.len();
        for &finding in &findings {
            let from = self.owners.partition_point(|&(address, _)| address < finding.address);
            let owners = self.owners[from..].iter();
            for &(_, index) in owners.take_while(|(address, _)| *address == finding.address) {
                let visit = &self.visits[index];
                let of_several = visit.addresses.len() > 1;
                let first = !of_several || self.seen.insert((index, finding.port, finding.state));
                news.push_back(News::Found(Found {
                    host: Arc::clone(&visit.host),
                    finding,
                    first,
                }));
            }
        }
        findings.len()
    }

    /// Reports the result of each host.
    pub(super) fn report_end(self, stopped: bool, news: &mut VecDeque<News>) {
        let (timing, elapsed) = (self.scan.timing(), self.scan.elapsed());
        let mut tallies: Vec<Option<AddressTally>> =
            self.scan.tallies().into_iter().map(Some).collect();
        let is_shared = self.owners.len() > tallies.len();
        for Visit { host, addresses, left_out } in self.visits {
            let indices = addresses.iter().map(|address| {
                self.addresses.binary_search(address).expect("an address of the plan")
            });
            let indices: Vec<usize> = indices.collect();
            let mut tally_at = |index: usize| {
                // Copied only if need be: with all ports open, a tally is large.
                if is_shared { tallies[index].clone() } else { tallies[index].take() }
            };
            let outcome = HostOutcome::Scanned {
                tallies: indices.iter().filter_map(|&index| tally_at(index)).collect(),
                timing: ScanTiming {
                    paths: indices.iter().map(|&index| *timing.paths.get(index)?).collect(),
                    ..ScanTiming { paths: Vec::new(), ..timing }
                },
                left_out,
                elapsed,
                stopped,
            };
            news.push_back(News::Ended(HostEnd { host, outcome }));
        }
    }
}

/// The limit of findings reported at once: about 100 KB of news.
const FINDINGS_AT_ONCE: usize = 1024;
