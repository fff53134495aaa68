//! What a scan has found so far, counted by address.

use std::net::IpAddr;
use std::sync::Arc;

use super::rows::{Finding, Findings, Row, Rows, SortedRows};
use crate::ports::PortSet;
use crate::scan::budget::memory::MemoryShare;
use crate::scan::outcome::{Outcome, PortState, Reason, Shortage, Verdict};
use crate::scan::plan::{Keep, ScanPlan};

/// What was found on one address. Every port asked for is in exactly one of
/// `open`, `closed`, `filtered` and `not_scanned`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressTally {
    /// The address.
    pub address: IpAddr,
    /// The ports kept by the plan, in ascending order; the open ones always.
    pub findings: Findings,
    /// How many ports are open.
    pub open: u32,
    /// How many ports are closed.
    pub closed: u32,
    /// How many ports are filtered, by [`Reason::index`].
    pub filtered: [u32; Reason::ALL.len()],
    /// How many ports could not be asked about.
    pub not_scanned: u32,
    /// What ran out, if `not_scanned` is not 0.
    pub shortage: Option<Shortage>,
    /// Whether the address accepts connections on ports that nobody uses.
    pub accepts_everything: bool,
}

/// How many targets of a scan ended in which way, over all addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Targets that are open.
    pub open: u64,
    /// Targets that are closed.
    pub closed: u64,
    /// Targets that are filtered.
    pub filtered: u64,
    /// Targets without an outcome.
    pub not_scanned: u64,
}

/// The tallies of all addresses of a scan, or of what one fan-out has found
/// since it last handed over.
#[derive(Debug)]
pub(crate) struct Tallies {
    addresses: Vec<Counts>,
    /// The places of the addresses, by address.
    by_value: Vec<u16>,
    /// In the order found.
    rows: Rows,
    /// Targets with an outcome.
    done: u64,
    /// The address that the last outcome was about; the next mostly is too.
    last: usize,
    keep: Keep,
    ports: u32,
    shortage: Option<Shortage>,
}

#[derive(Clone, Debug)]
struct Counts {
    address: IpAddr,
    open: u32,
    closed: u32,
    filtered: [u32; Reason::ALL.len()],
    shortage: Option<Shortage>,
    accepts_everything: bool,
}

impl AddressTally {
    /// How many ports are filtered, for whatever reason.
    #[must_use]
    pub fn filtered_total(&self) -> u32 {
        self.filtered.iter().sum()
    }
}

impl Tallies {
    pub(crate) fn new(plan: &ScanPlan) -> Self {
        let empty = |&address: &IpAddr| Counts {
            address,
            open: 0,
            closed: 0,
            filtered: [0; Reason::ALL.len()],
            shortage: None,
            accepts_everything: false,
        };
        let addresses: Vec<Counts> = plan.addresses.iter().map(empty).collect();
        let place = |place| u16::try_from(place).expect("addresses are limited to few");
        let mut by_value: Vec<u16> = (0..addresses.len()).map(place).collect();
        by_value.sort_unstable_by_key(|&place| addresses[usize::from(place)].address);
        Self {
            addresses,
            by_value,
            rows: Rows::default(),
            done: 0,
            last: 0,
            keep: plan.keep,
            ports: plan.ports.len(),
            shortage: None,
        }
    }

    pub(crate) fn record(&mut self, outcome: &Outcome) {
        self.done += 1;
        let (index, keep) = (self.index_of(outcome.target.ip()), self.keep);
        let counts = &mut self.addresses[index];
        let (state, reason) = match outcome.verdict {
            Verdict::Port(state, reason) => (state, reason),
            Verdict::NotScanned(shortage) => {
                counts.shortage = Some(shortage);
                return;
            }
        };
        match state {
            PortState::Open => counts.open += 1,
            PortState::Closed => counts.closed += 1,
            PortState::Filtered => counts.filtered[reason.index()] += 1,
        }
        let kept = match keep {
            Keep::Open => state == PortState::Open,
            Keep::NotClosed => state != PortState::Closed,
        };
        if kept {
            let (address, port) = (outcome.target.ip(), outcome.target.port());
            self.keep_row(index, Finding { address, port, state, reason, rtt: outcome.rtt });
        }
    }

    /// Counts every port of an address that cannot be reached as filtered.
    pub(crate) fn write_off(&mut self, address: IpAddr, ports: &PortSet, reason: Reason) {
        let index = self.index_of(address);
        self.addresses[index].filtered[reason.index()] = ports.len();
        self.done += u64::from(ports.len());
        if self.keep == Keep::NotClosed {
            for port in ports.iter() {
                let state = PortState::Filtered;
                self.keep_row(index, Finding { address, port, state, reason, rtt: None });
            }
        }
    }

    fn keep_row(&mut self, index: usize, finding: Finding) {
        let place = u16::try_from(index).expect("addresses are limited to few");
        self.rows.push(Row::new(place, &finding));
    }

    /// Notes why a fan-out may have left targets without an outcome.
    pub(crate) fn fall_short(&mut self, shortage: Option<Shortage>) {
        self.shortage = self.shortage.or(shortage);
    }

    /// Takes over what `part` has found, and leaves it empty.
    pub(crate) fn absorb(&mut self, part: &mut Self) {
        self.done += std::mem::take(&mut part.done);
        self.fall_short(part.shortage);
        self.rows.append(&mut part.rows);
        for (whole, part) in self.addresses.iter_mut().zip(&mut part.addresses) {
            whole.open += std::mem::take(&mut part.open);
            whole.closed += std::mem::take(&mut part.closed);
            for (whole, part) in whole.filtered.iter_mut().zip(&mut part.filtered) {
                *whole += std::mem::take(part);
            }
            whole.shortage = whole.shortage.or(part.shortage);
        }
    }

    /// Addresses on which at least half of the ports are open, and those not few.
    pub(crate) fn suspiciously_open(&self) -> Vec<IpAddr> {
        let suspicious = |counts: &&Counts| {
            counts.open >= SUSPICIOUSLY_MANY && counts.open >= self.ports.div_ceil(2)
        };
        self.addresses.iter().filter(suspicious).map(|counts| counts.address).collect()
    }

    /// Whether `port` of `address` was found open.
    pub(crate) fn is_open(&mut self, address: IpAddr, port: u16) -> bool {
        let place = self.index_of(address);
        let found = |row: Row| usize::from(row.place()) == place && row.port() == port;
        self.rows.from(0).any(|row| found(row) && row.state() == PortState::Open)
    }

    /// Notes that an address accepts connections on ports that nobody uses.
    pub(crate) fn mark_accepts_everything(&mut self, address: IpAddr) {
        let place = self.index_of(address);
        self.addresses[place].accepts_everything = true;
    }

    /// How many targets have an outcome.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// How many findings there are.
    pub(crate) fn found(&self) -> usize {
        self.rows.len()
    }

    /// The counts as they stand.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for counts in &self.addresses {
            totals.open += u64::from(counts.open);
            totals.closed += u64::from(counts.closed);
            totals.filtered += u64::from(counts.filtered.iter().sum::<u32>());
        }
        let Totals { open, closed, filtered, .. } = totals;
        let all = u64::from(self.ports) * self.addresses.len() as u64;
        totals.not_scanned = all - open - closed - filtered;
        totals
    }

    /// Findings in the order found, from the one at `start`.
    pub(crate) fn findings(&self, start: usize) -> impl Iterator<Item = Finding> + '_ {
        let address = |row: Row| self.addresses[usize::from(row.place())].address;
        self.rows.from(start).map(move |row| row.finding(address(row)))
    }

    /// The findings that there are now, sorted; `memory` is what they count as.
    pub(crate) fn sorted(&self, memory: Option<Arc<MemoryShare>>) -> SortedRows {
        SortedRows::of(&self.rows, memory)
    }

    /// The tallies as they stand, with the findings in `sorted`; whatever has no
    /// outcome counts as not scanned.
    pub(crate) fn by_address(&self, sorted: &Arc<SortedRows>) -> Vec<AddressTally> {
        let tally = |(place, counts): (u16, &Counts)| {
            let Counts { address, open, closed, filtered, shortage, accepts_everything } = *counts;
            let not_scanned = self.ports - open - closed - filtered.iter().sum::<u32>();
            let shortage = shortage.or(self.shortage).filter(|_| not_scanned > 0);
            let findings = Findings::at(place, address, sorted);
            AddressTally {
                address,
                findings,
                open,
                closed,
                filtered,
                not_scanned,
                shortage,
                accepts_everything,
            }
        };
        (0..).zip(&self.addresses).map(tally).collect()
    }

    fn index_of(&mut self, address: IpAddr) -> usize {
        if self.addresses[self.last].address != address {
            let address_at = |&place: &u16| self.addresses[usize::from(place)].address;
            let found = self.by_value.binary_search_by_key(&address, address_at);
            let found = found.expect("outcomes are about the plan's addresses");
            self.last = self.by_value[found].into();
        }
        self.last
    }
}

/// Hosts that serve people have fewer ports open.
const SUSPICIOUSLY_MANY: u32 = 10;
