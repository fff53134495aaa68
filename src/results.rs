//! The results of a sweep: the report on each host, and the summary of all.
//!
//! The service and the command make both from the news of a sweep.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::expect::{Expectation, Expectations};
use crate::ports::PortSet;
use crate::report::{IncompleteReason, LONG, Report, Subject, Summary};
use crate::resolve::ResolveError;
use crate::scan::Bound;
use crate::sweep::{HostEnd, HostOutcome, Sweep};

/// What is known of a sweep so far.
#[derive(Debug)]
pub(crate) struct Results {
    ports: PortSet,
    /// Whether reports have a row for each finding.
    rows: bool,
    expectations: Expectations,
    summary: Summary,
    /// How long batches took, by what bound them. Those of several hosts count for each.
    times: BTreeMap<Bound, Duration>,
}

/// The result of one host.
#[derive(Debug)]
pub(crate) struct HostResult {
    /// The report on it.
    pub(crate) report: Report,
    /// Why it was not scanned at all, as a sentence.
    pub(crate) fault: Option<String>,
}

impl Results {
    /// The results of a sweep over `ports`. With `rows`, a report has a row for each
    /// finding.
    pub(crate) fn new(ports: PortSet, rows: bool, expectations: Expectations) -> Self {
        Self { ports, rows, expectations, summary: Summary::default(), times: BTreeMap::new() }
    }

    /// The result of a host.
    pub(crate) fn of(&mut self, HostEnd { host, outcome }: HostEnd) -> HostResult {
        let subject = Subject {
            domain: &host,
            ports: &self.ports,
            details: self.rows,
            expectation: self.expectations.of(&host),
            left_out: &[],
        };
        let not_scanned = |reason, fault| {
            let report = Report::not_scanned(&subject, reason);
            HostResult { report, fault: Some(fault) }
        };
        match outcome {
            HostOutcome::Scanned { tallies, timing, left_out, elapsed, stopped } => {
                if let Some(bound) = timing.bound_by {
                    *self.times.entry(bound).or_default() += elapsed;
                }
                let subject = Subject { left_out: &left_out, ..subject };
                let mut report = Report::new(&subject, &tallies, &timing, elapsed);
                if stopped && !report.facts.is_complete() {
                    report.facts.reason = Some(IncompleteReason::Interrupted);
                }
                HostResult { report, fault: None }
            }
            // Nothing is known about the name, so the host counts as not scanned.
            HostOutcome::NotResolved(error @ ResolveError::NotLookedUp { .. }) => {
                not_scanned(IncompleteReason::NotLookedUp, error.to_string())
            }
            HostOutcome::NotResolved(error) => {
                not_scanned(IncompleteReason::NotResolved, error.to_string())
            }
            HostOutcome::TooLarge(error) => {
                not_scanned(IncompleteReason::NoMemory, format!("{host}: {error}"))
            }
            HostOutcome::Refused(refusal) => {
                let fault = refusal.to_string();
                let mut result = not_scanned(IncompleteReason::RefusedByPolicy, fault);
                result.report.facts.rule = Some(refusal.rule.to_string());
                result
            }
        }
    }

    /// Counts a host.
    pub(crate) fn count(&mut self, report: &Report) {
        self.summary.count(report);
        self.summary.reason = self.summary.reason.or(report.facts.reason);
    }

    /// What is expected of `host`.
    pub(crate) fn expected_of(&self, host: &str) -> Option<&Expectation> {
        self.expectations.of(host)
    }

    /// Notes that a part of the list of hosts was not read.
    pub(crate) fn list_failed(&mut self) {
        self.summary.reason = self.summary.reason.or(Some(IncompleteReason::UnknownError));
    }

    /// The summary of what `sweep` has found in the time that has `elapsed`. If it ended
    /// before its list, that was because of `cut`.
    pub(crate) fn summary(
        &self,
        sweep: &Sweep,
        cut: IncompleteReason,
        elapsed: Duration,
    ) -> Summary {
        let mut summary = self.summary.clone();
        summary.unvisited_hosts = sweep.unvisited();
        if !sweep.is_whole() {
            summary.reason = summary.reason.or(Some(cut));
        }
        summary.complete = summary.reason.is_none();
        summary.elapsed = elapsed;
        let longest = self.times.iter().max_by_key(|(_, time)| **time);
        summary.bound_by = longest.filter(|_| elapsed >= LONG).map(|(&bound, _)| bound);
        summary.ports = Some(self.ports.clone());
        summary
    }
}
