//! Counts of a scan's outcomes, by address.

use std::net::IpAddr;
use std::sync::Arc;

use super::rows::{Finding, Findings, Row, Rows, SortedRows};
use super::states::{Kept, NEWS_AT_ONCE, Standing, StateMap};
use crate::scan::budget::memory::MemoryShare;
use crate::scan::outcome::{Outcome, PortState, Reason, Shortage, Verdict};
use crate::scan::plan::{Keep, ScanPlan, Target};

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
    /// How many ports were not scanned.
    pub not_scanned: u32,
    /// What ran out, if `not_scanned` is not 0.
    pub shortage: Option<Shortage>,
    /// Whether the address accepts connections on ports that nobody uses.
    pub accepts_everything: bool,
}

/// How many targets of a scan are in which state, over all addresses.
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

/// The tallies of all addresses: of a scan, or of one fan-out since it last handed
/// over.
#[derive(Debug)]
pub(crate) struct Tallies {
    plan: Arc<ScanPlan>,
    /// In the order of the plan's addresses.
    addresses: Vec<Counts>,
    /// In the order found.
    rows: Rows,
    /// What is known port by port.
    states: Kept,
    /// Targets with an outcome.
    done: u64,
    shortage: Option<Shortage>,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    open: u32,
    closed: u32,
    filtered: [u32; Reason::ALL.len()],
    shortage: Option<Shortage>,
    accepts_everything: bool,
}

impl AddressTally {
    /// How many ports are filtered, for any reason.
    #[must_use]
    pub fn filtered_total(&self) -> u32 {
        self.filtered.iter().sum()
    }
}

impl Tallies {
    /// Those of one fan-out.
    pub(crate) fn part(plan: &Arc<ScanPlan>) -> Self {
        Self::new(plan, Kept::part_of(plan))
    }

    /// Those of a scan.
    pub(crate) fn whole(plan: &Arc<ScanPlan>) -> Self {
        Self::new(plan, Kept::whole_of(plan))
    }

    fn new(plan: &Arc<ScanPlan>, states: Kept) -> Self {
        Self {
            plan: Arc::clone(plan),
            addresses: vec![Counts::default(); plan.addresses.len()],
            rows: Rows::default(),
            states,
            done: 0,
            shortage: None,
        }
    }

    pub(crate) fn record(&mut self, outcome: &Outcome) {
        let Outcome { target, verdict, rtt } = *outcome;
        self.done += 1;
        let counts = &mut self.addresses[usize::from(target.address)];
        let (state, reason) = match verdict {
            Verdict::Port(state, reason) => (state, reason),
            Verdict::NotScanned(shortage) => {
                counts.shortage = Some(shortage);
                return;
            }
        };
        self.states.note(target, Standing::State(state));
        match state {
            PortState::Open => counts.open += 1,
            PortState::Closed => counts.closed += 1,
            PortState::Filtered => counts.filtered[reason.index()] += 1,
        }
        let kept = match self.plan.keep {
            Keep::Open => state == PortState::Open,
            Keep::NotClosed => state != PortState::Closed,
        };
        if kept {
            self.rows.push(Row::new(target, state, reason, rtt));
        }
    }

    /// Keeps in mind that `target` was asked and did not answer, if states are kept.
    pub(crate) fn note_silence(&mut self, target: Target) {
        self.states.note(target, Standing::Silent);
    }

    /// Counts every port of an unreachable address as filtered.
    pub(crate) fn write_off(&mut self, address: u16, reason: Reason) {
        let ports = &self.plan.ports;
        self.addresses[usize::from(address)].filtered[reason.index()] = ports.len();
        self.done += u64::from(ports.len());
        for target in ports.iter().map(|port| Target { address, port }) {
            self.states.note(target, Standing::State(PortState::Filtered));
            if self.plan.keep == Keep::NotClosed {
                self.rows.push(Row::new(target, PortState::Filtered, reason, None));
            }
        }
    }

    /// Sets the reason for targets without an outcome, unless one is set.
    pub(crate) fn fall_short(&mut self, shortage: Option<Shortage>) {
        self.shortage = self.shortage.or(shortage);
    }

    /// Moves all counts and findings of `part` into these.
    pub(crate) fn absorb(&mut self, part: &mut Self) {
        self.done += std::mem::take(&mut part.done);
        self.fall_short(part.shortage);
        self.rows.append(&mut part.rows);
        self.states.absorb(&mut part.states);
        for (whole, part) in self.addresses.iter_mut().zip(&mut part.addresses) {
            whole.open += std::mem::take(&mut part.open);
            whole.closed += std::mem::take(&mut part.closed);
            for (whole, part) in whole.filtered.iter_mut().zip(&mut part.filtered) {
                *whole += std::mem::take(part);
            }
            whole.shortage = whole.shortage.or(part.shortage);
        }
    }

    /// Addresses with at least half of their ports open, and at least ten.
    pub(crate) fn suspiciously_open(&self) -> Vec<u16> {
        let at_least = SUSPICIOUSLY_MANY.max(self.plan.ports.len().div_ceil(2));
        self.plan.indexes().filter(|&address| self.open(address) >= at_least).collect()
    }

    /// How many ports of an address are open.
    pub(crate) fn open(&self, address: u16) -> u32 {
        self.addresses[usize::from(address)].open
    }

    /// Whether `target` was found open.
    pub(crate) fn is_open(&self, target: Target) -> bool {
        let mut rows = self.rows.from(0);
        rows.any(|row| row.target() == target && row.state() == PortState::Open)
    }

    /// Marks an address as accepting connections on ports that nobody uses.
    pub(crate) fn mark_accepts_everything(&mut self, address: u16) {
        self.addresses[usize::from(address)].accepts_everything = true;
    }

    /// How many targets have an outcome.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Whether there is something to hand over.
    pub(crate) fn has_news(&self) -> bool {
        self.done > 0 || self.states.news() > 0
    }

    /// Whether so much is known port by port that a busy fan-out hands it over.
    pub(crate) fn is_full(&self) -> bool {
        self.states.news() >= NEWS_AT_ONCE
    }

    /// What is known of every port, if that is kept.
    pub(crate) fn states(&self) -> Option<&StateMap> {
        self.states.map()
    }

    /// The addresses of the plan.
    pub(crate) fn addresses(&self) -> &[IpAddr] {
        &self.plan.addresses
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
        totals.not_scanned = self.plan.targets() - open - closed - filtered;
        totals
    }

    /// Findings in the order found, from the one at `start`.
    pub(crate) fn findings(&self, start: usize) -> impl Iterator<Item = Finding> + '_ {
        let finding = |row: Row| row.finding(self.plan.address(row.target().address));
        self.rows.from(start).map(finding)
    }

    /// The findings so far, sorted. They hold `memory` while they are in use.
    pub(crate) fn sorted(&self, memory: Option<Arc<MemoryShare>>) -> SortedRows {
        SortedRows::of(&self.rows, memory)
    }

    /// The tallies so far, with the findings in `sorted`. Targets without an outcome
    /// count as not scanned.
    pub(crate) fn by_address(&self, sorted: &Arc<SortedRows>) -> Vec<AddressTally> {
        let tally = |(index, counts): (u16, &Counts)| {
            let Counts { open, closed, filtered, shortage, accepts_everything } = *counts;
            let address = self.plan.address(index);
            let asked = self.plan.ports.len();
            let not_scanned = asked - open - closed - filtered.iter().sum::<u32>();
            let shortage = shortage.or(self.shortage).filter(|_| not_scanned > 0);
            let findings = Findings::at(index, address, sorted);
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
        self.plan.indexes().zip(&self.addresses).map(tally).collect()
    }
}

/// Hosts with ordinary services have fewer ports open.
const SUSPICIOUSLY_MANY: u32 = 10;

#[cfg(test)]
mod tests;
