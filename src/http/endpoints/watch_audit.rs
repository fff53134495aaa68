//! One line in the log for every request for a watch.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::audit;
use crate::ask::AskedWatch;
use crate::caller::Caller;
use crate::log::Array;
use crate::metrics::Metrics;
use crate::request::watch::WatchRequest;
use crate::watch::{Counts, Outcome};

/// The record of one request for a watch. It is written when it is dropped, so that there
/// is a line however the request ends.
#[derive(Debug)]
pub(super) struct WatchAudit {
    metrics: Arc<Metrics>,
    id: String,
    caller: String,
    domain: String,
    ports: String,
    addresses: Vec<IpAddr>,
    rule: String,
    outcome: &'static str,
    counts: Counts,
    begun: Instant,
}

impl WatchAudit {
    /// Begins the record. Unless another end is noted, the client went away.
    pub(super) fn new(
        metrics: &Arc<Metrics>,
        id: &str,
        caller: &Caller,
        request: &WatchRequest,
    ) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            id: id.to_owned(),
            caller: caller.to_string(),
            domain: request.domain.clone(),
            ports: request.ports.to_string(),
            addresses: Vec::new(),
            rule: String::new(),
            outcome: audit::Outcome::Cancelled.name(),
            counts: Counts::default(),
            begun: Instant::now(),
        }
    }

    /// Notes what became of the request, and counts a refusal.
    pub(super) fn asked(&mut self, AskedWatch { checks, outcome }: &AskedWatch) {
        self.addresses.clone_from(&checks.addresses);
        self.rule.clone_from(&checks.rule);
        if let Err(reason) = outcome {
            self.outcome = audit::Outcome::not_started(reason, checks, &self.metrics).name();
        }
    }

    /// Notes what was counted so far.
    pub(super) fn counted(&mut self, counts: Counts) {
        self.counts = counts;
    }

    /// Notes how the watch ended.
    pub(super) fn ended(&mut self, outcome: Outcome) {
        self.outcome = outcome.name();
    }
}

impl Drop for WatchAudit {
    // Text fields are escaped by the log's formatter, as text and as JSON.
    fn drop(&mut self) {
        let Counts { changes, rounds, probes, missed } = self.counts;
        tracing::info!(
            request_id = self.id,
            caller = self.caller,
            domain = self.domain,
            addresses = %Array(&self.addresses),
            ports = self.ports,
            rule = self.rule,
            outcome = self.outcome,
            changes,
            rounds,
            probes,
            missed,
            duration_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "watch"
        );
    }
}
