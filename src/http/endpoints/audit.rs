//! One line in the log, and one count, for every request for a scan.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::ask::{self, Asked, Checks, NotStarted, Running};
use crate::caller::Caller;
use crate::log::Array;
use crate::metrics::Metrics;
use crate::report::Report;
use crate::request::ScanRequest;
use crate::resolve::ResolveError;
use crate::scan::{NoMemory, Scan, Totals};

/// The record of one request for a scan. It is written when it is dropped, so
/// that there is a line however the request ends.
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
    /// The scan, and when it was started or joined.
    scan: Option<(Arc<Scan>, Instant)>,
    begun: Instant,
}

/// How a request for a scan ended.
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
    /// Policy refused the scan.
    Refused,
    /// A quota was used up.
    NotAdmitted,
    /// Only an explanation was asked for.
    Explained,
    /// The list of hosts was too long, or none.
    Invalid,
    /// The sweep had more targets than one may have.
    TooManyTargets,
}

impl Audit {
    /// Begins the record. Unless another end is noted, the request was cancelled.
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

    /// Notes what became of the request, and counts a refusal. Of a scan that
    /// runs, the end is still to come.
    pub(super) fn asked(&mut self, Asked { checks, outcome }: &Asked) {
        self.addresses.clone_from(&checks.addresses);
        self.rule.clone_from(&checks.rule);
        match outcome {
            Ok(ask::Outcome::Running(running)) => {
                self.scan = Some((Arc::clone(running.scan()), Instant::now()));
            }
            Ok(ask::Outcome::Explained(_)) => self.outcome = Outcome::Explained,
            Err(reason) => self.outcome = Outcome::not_started(reason, checks, &self.metrics),
        }
    }

    /// Waits for the end of the scan, and ends the record with its report.
    ///
    /// # Errors
    /// When there is no memory for a report.
    pub(super) async fn finished(self, running: &Running) -> Result<Report, NoMemory> {
        running.ended().await;
        match running.report() {
            Ok((report, _)) => {
                self.reported(&report);
                Ok(report)
            }
            Err(error) => {
                self.not_reported();
                Err(error)
            }
        }
    }

    /// Ends the record of a scan that ran to its end.
    pub(super) fn reported(mut self, report: &Report) {
        self.outcome =
            if report.facts.is_complete() { Outcome::Complete } else { Outcome::Incomplete };
    }

    /// Ends the record of a scan that there was no memory to report on.
    pub(super) fn not_reported(mut self) {
        self.outcome = Outcome::NotAdmitted;
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
            addresses = %Array(&self.addresses),
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
    /// Why a request led to nothing that runs. Counts a refusal.
    pub(super) fn not_started(reason: &NotStarted, checks: &Checks, metrics: &Metrics) -> Self {
        match reason {
            NotStarted::NotAdmitted(_) => Self::NotAdmitted,
            NotStarted::NotResolved(ResolveError::NotLookedUp { .. }) => Self::NotLookedUp,
            NotStarted::NotResolved(_) => Self::NotResolved,
            NotStarted::Refused(_) => {
                metrics.count_refusal(&checks.rule);
                Self::Refused
            }
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Cancelled => "cancelled",
            Self::NotResolved => "not-resolved",
            Self::NotLookedUp => "not-looked-up",
            Self::Refused => "refused",
            Self::NotAdmitted => "not-admitted",
            Self::Explained => "explained",
            Self::Invalid => "invalid",
            Self::TooManyTargets => "too-many-targets",
        }
    }
}
