//! Some hosts that are scanned together, and which finding is whose.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::{Found, HostEnd, HostOutcome, News};
use crate::scan::{AddressTally, Milestone, PortState, Progress, Scan, ScanTiming};

/// A host to scan.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) host: Arc<str>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) left_out: usize,
}

/// A scan of several hosts.
pub(super) struct Batch {
    scan: Scan,
    milestones: watch::Receiver<Milestone>,
    visits: Vec<Visit>,
    /// The addresses in the order of the scan's tallies.
    addresses: Vec<IpAddr>,
    /// Which visits an address belongs to, by address: names may share one.
    owners: Vec<(IpAddr, usize)>,
    /// What was told of hosts with several addresses.
    told_of: HashSet<(usize, u16, PortState)>,
    /// Findings told of.
    told: usize,
}

impl Batch {
    /// Follows `scan`, which is about `visits` and has tallies in the order of
    /// `addresses`. The bell rings when there is something to tell.
    pub(super) fn new(
        scan: Scan,
        visits: Vec<Visit>,
        addresses: &[IpAddr],
        bell: &Arc<Notify>,
    ) -> Self {
        let places = visits.iter().enumerate();
        let mut owners: Vec<(IpAddr, usize)> = places
            .flat_map(|(place, visit)| visit.addresses.iter().map(move |&address| (address, place)))
            .collect();
        owners.sort_unstable();
        let (mut milestones, bell) = (scan.milestones(), Arc::clone(bell));
        let followed = milestones.clone();
        // Ends with the scan.
        tokio::spawn(async move {
            loop {
                bell.notify_one();
                if milestones.borrow_and_update().finished || milestones.changed().await.is_err() {
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
            told_of: HashSet::new(),
            told: 0,
        }
    }

    pub(super) fn progress(&self) -> Progress {
        self.scan.progress()
    }

    /// Addresses that are being looked for.
    pub(super) fn sought(&self) -> usize {
        self.scan.sought()
    }

    /// Tells some of what is new; returns whether the scan is over and all its
    /// findings are told.
    pub(super) fn tell(&mut self, news: &mut VecDeque<News>) -> bool {
        let Milestone { finished, found } = *self.milestones.borrow();
        if found > self.told {
            self.tell_some(news);
        }
        finished && found <= self.told
    }

    /// Tells of some findings more, and of how many.
    pub(super) fn tell_some(&mut self, news: &mut VecDeque<News>) -> usize {
        let findings = self.scan.findings(self.told, FINDINGS_AT_ONCE);
        self.told += findings.len();
        for &finding in &findings {
            let from = self.owners.partition_point(|&(address, _)| address < finding.address);
            let owners = self.owners[from..].iter();
            for &(_, place) in owners.take_while(|(address, _)| *address == finding.address) {
                let visit = &self.visits[place];
                let of_several = visit.addresses.len() > 1;
                let first =
                    !of_several || self.told_of.insert((place, finding.port, finding.state));
                news.push_back(News::Found(Found {
                    host: Arc::clone(&visit.host),
                    finding,
                    first,
                }));
            }
        }
        findings.len()
    }

    /// Tells what is known of each host in the end.
    pub(super) fn tell_end(self, stopped: bool, news: &mut VecDeque<News>) {
        let (timing, elapsed) = (self.scan.timing(), self.scan.elapsed());
        let mut tallies: Vec<Option<AddressTally>> =
            self.scan.tallies().into_iter().map(Some).collect();
        let is_shared = self.owners.len() > tallies.len();
        for Visit { host, addresses, left_out } in self.visits {
            let places = addresses.iter().map(|address| {
                self.addresses.binary_search(address).expect("an address of the plan")
            });
            let places: Vec<usize> = places.collect();
            let mut tally_at = |place: usize| {
                // Of a host with all its ports open, it is large.
                if is_shared { tallies[place].clone() } else { tallies[place].take() }
            };
            let outcome = HostOutcome::Scanned {
                tallies: places.iter().filter_map(|&place| tally_at(place)).collect(),
                timing: ScanTiming {
                    paths: places.iter().map(|&place| *timing.paths.get(place)?).collect(),
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

/// Findings taken from a scan at once: some 100 KB of news.
const FINDINGS_AT_ONCE: usize = 1024;
