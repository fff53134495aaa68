//! Reports that wait for the hosts before them, so that output has the same order in
//! every run.

use std::sync::Arc;

use crate::report::Report;
use crate::targets::HostPosition;

/// Reports that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Held {
    reports: Vec<(HostPosition, Arc<Report>)>,
    bytes: usize,
}

impl Held {
    /// Keeps `report`, which is written as `position` says.
    pub(super) fn add(&mut self, position: HostPosition, report: Arc<Report>) {
        let addresses = report.facts.addresses.iter();
        let findings = addresses.map(|address| address.open_ports.findings().len());
        let rows: usize = findings.map(|count| ADDRESS_BYTES + count * ROW_BYTES).sum();
        self.bytes += HOST_BYTES + rows;
        self.reports.push((position, report));
    }

    /// Whether there are too many to wait for others.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MOST_BYTES
    }

    /// All of them, in order.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Arc<Report>> + use<> {
        self.bytes = 0;
        let mut reports = std::mem::take(&mut self.reports);
        reports.sort_by(|(one, _), (other, _)| one.cmp(other));
        reports.into_iter().map(|(_, report)| report)
    }
}

/// About what a report takes, and what each of its addresses and rows adds.
const HOST_BYTES: usize = 384;
const ADDRESS_BYTES: usize = 384;
const ROW_BYTES: usize = 8;

/// The memory that reports may take while they wait: some 10,000 hosts.
const MOST_BYTES: usize = 8 << 20;
