//! One line in the log, and one count, for every request for a sweep.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::audit::Outcome;
use crate::caller::Caller;
use crate::metrics::Metrics;
use crate::report::{IncompleteReason, Report};
use crate::request::sweep::SweepRequest;
use crate::scan::Totals;

/// The record of one request for a sweep. It is written when it is dropped, so that
/// there is a line however the request ends.
#[derive(Debug)]
pub(super) struct SweepAudit {
    metrics: Arc<Metrics>,
    id: String,
    caller: String,
    route: &'static str,
    /// The beginning of what was typed.
    targets: String,
    ports: String,
    /// The hosts named, once they are counted.
    hosts: u64,
    /// Those that policy refused.
    refused: u64,
    /// The rules that refused them: few, because an operator wrote them.
    rules: BTreeSet<String>,
    outcome: Outcome,
    totals: Totals,
    begun: Instant,
    /// When the sweep was admitted.
    started: Option<Instant>,
}

impl SweepAudit {
    /// Begins the record. Unless another end is noted, the request was cancelled.
    pub(super) fn new(
        metrics: &Arc<Metrics>,
        (route, id): (&'static str, &str),
        caller: &Caller,
        request: &SweepRequest,
    ) -> Self {
        let mut audit = Self {
            metrics: Arc::clone(metrics),
            id: id.to_owned(),
            caller: caller.to_string(),
            route,
            targets: String::new(),
            ports: request.ports.to_string(),
            hosts: 0,
            refused: 0,
            rules: BTreeSet::new(),
            outcome: Outcome::Cancelled,
            totals: Totals::default(),
            begun: Instant::now(),
            started: None,
        };
        audit.targets(&request.words);
        audit
    }

    /// Notes the words that name the hosts. A long text is cut: a list may have a
    /// megabyte.
    pub(super) fn targets(&mut self, words: &str) {
        self.targets = match words.char_indices().nth(SHOWN_CHARS) {
            None => words.to_owned(),
            Some((end, _)) => format!("{}…", &words[..end]),
        };
    }

    /// Notes how many hosts were named.
    pub(super) fn counted(&mut self, hosts: u64) {
        self.hosts = hosts;
    }

    /// Notes that the sweep was admitted.
    pub(super) fn admitted(&mut self) {
        self.started = Some(Instant::now());
    }

    /// Notes the result of a host.
    pub(super) fn host(&mut self, report: &Report) {
        if let Some(rule) = &report.facts.rule {
            self.refused(rule);
        }
    }

    /// Notes that policy refused a host.
    pub(super) fn refused(&mut self, rule: &str) {
        self.refused += 1;
        if self.rules.insert(rule.to_owned()) {
            // A sweep counts as one scan, whatever the number of its hosts.
            self.metrics.count_refusal(rule);
        }
    }

    /// Notes what was found in all.
    pub(super) fn found(&mut self, totals: Totals) {
        self.totals = totals;
    }

    /// Notes the end of a sweep that ran to its end.
    pub(super) fn ended(&mut self, reason: Option<IncompleteReason>) {
        self.outcome = if reason.is_none() { Outcome::Complete } else { Outcome::Incomplete };
    }

    /// Notes why the request led to no sweep.
    pub(super) fn not_started(&mut self, outcome: Outcome) {
        self.outcome = outcome;
        self.started = None;
    }
}

impl Drop for SweepAudit {
    // Text fields are escaped by the log's formatter, as text and as JSON.
    fn drop(&mut self) {
        let outcome = self.outcome.name();
        if let Some(started) = self.started {
            self.metrics.count_scan(outcome, started.elapsed());
        }
        let rules: Vec<&str> = self.rules.iter().map(String::as_str).collect();
        let Totals { open, closed, filtered, not_scanned } = self.totals;
        tracing::info!(
            request_id = self.id,
            caller = self.caller,
            route = self.route,
            targets = self.targets,
            ports = self.ports,
            hosts = self.hosts,
            refused = self.refused,
            rules = rules.join(", "),
            outcome,
            open,
            closed,
            filtered,
            not_scanned,
            duration_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "sweep"
        );
    }
}

/// The limit of what a line shows of the hosts: some lines of a terminal.
const SHOWN_CHARS: usize = 256;
