//! One line in the log, and one count, for every scan somebody asked for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::caller::Caller;
use crate::metrics::Metrics;
use crate::report::Report;
use crate::request::ScanRequest;
use crate::scan::{Scan, Totals};

/// The record of one request for a scan, written when it is dropped: whatever
/// becomes of the request, the line is there.
#[derive(Debug)]
pub(super) struct Audit {
    metrics: Arc<Metrics>,
    id: String,
    caller: String,
    domain: String,
    ports: String,
    addresses: Vec<IpAddr>,
    rule: String,
    outcome: Outcome,
    /// The scan, and when it was there.
    scan: Option<(Arc<Scan>, Instant)>,
    begun: Instant,
}

/// What became of a request for a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Every port has its state.
    Complete,
    /// Some ports were not scanned.
    Incomplete,
    /// The client went away, or the service stopped.
    Cancelled,
    /// The name has no address.
    NotResolved,
    /// The name could not be looked up.
    NotLookedUp,
    /// Policy refused.
    Refused,
    /// A quota was used up.
    NotAdmitted,
    /// Nobody meant to scan.
    Explained,
}

impl Audit {
    /// Begins the record. Until told otherwise, the scan was cancelled.
    pub(super) fn new(
        metrics: &Arc<Metrics>,
        id: &str,
        caller: &Caller,
        request: &ScanRequest,
    ) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            id: id.to_owned(),
            caller: caller.to_string(),
            domain: request.domain.clone(),
            ports: request.ports.to_string(),
            addresses: Vec::new(),
            rule: String::new(),
            outcome: Outcome::Cancelled,
            scan: None,
            begun: Instant::now(),
        }
    }

    pub(super) fn resolved(&mut self, addresses: &[IpAddr]) {
        self.addresses = addresses.to_vec();
    }

    pub(super) fn judged(&mut self, rule: String) {
        self.rule = rule;
    }

    pub(super) fn started(&mut self, scan: &Arc<Scan>) {
        self.scan = Some((Arc::clone(scan), Instant::now()));
    }

    /// Ends the record of a scan that ran to its end.
    pub(super) fn reported(mut self, report: &Report) {
        self.outcome = if report.complete { Outcome::Complete } else { Outcome::Incomplete };
    }

    /// Ends the record of a request that came to no scan.
    pub(super) fn ended(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Audit {
    // Text fields are escaped by the log's formatter, as text and as JSON.
    fn drop(&mut self) {
        let outcome = self.outcome.name();
        let mut totals = Totals::default();
        if let Some((scan, started)) = &self.scan {
            totals = scan.totals();
            self.metrics.count_scan(outcome, started.elapsed());
        }
        let Totals { open, closed, filtered, not_scanned } = totals;
        tracing::info!(
            request_id = self.id,
            caller = self.caller,
            domain = self.domain,
            addresses = ?self.addresses,
            ports = self.ports,
            rule = self.rule,
            outcome,
            open,
            closed,
            filtered,
            not_scanned,
            duration_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "scan"
        );
    }
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Cancelled => "cancelled",
            Self::NotResolved => "not-resolved",
            Self::NotLookedUp => "not-looked-up",
            Self::Refused => "refused",
            Self::NotAdmitted => "not-admitted",
            Self::Explained => "explained",
        }
    }
}
