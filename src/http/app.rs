//! What the endpoints share, made in one place from the configuration.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::endpoints::page::{Facts, Page};
use super::exchange::site::Hosts;
use super::peers::Peers;
use crate::admission::Admission;
use crate::ask::{Asker, SharedAsker};
use crate::config::{Config, Place};
use crate::log::Log;
use crate::machine::descriptors::DescriptorPlan;
use crate::metrics::Metrics;
use crate::request::Ceilings;
use crate::resolve::Resolver;
use crate::scan::Scanner;
use crate::tokens::TokenFile;

/// What the endpoints work with.
#[derive(Debug)]
pub struct App {
    /// Runs the scans that policy and quotas allow.
    pub(super) asker: SharedAsker,
    /// The limits on what one request may ask for.
    pub(super) ceilings: Ceilings,
    /// How much earlier a probe ends than its scrape.
    pub(super) timeout_offset: Duration,
    /// The other instances, if it was told where they are.
    pub(super) peers: Option<Peers>,
    /// Where this one runs.
    pub(super) place: Place,
    /// The names that the listener answers to.
    pub(super) hosts: Hosts,
    /// The callers. `None`: no token is wanted.
    pub(super) tokens: Option<Arc<TokenFile>>,
    /// What browsers are shown.
    pub(super) page: Page,
    pub(super) metrics: Arc<Metrics>,
    /// Set when the service is to stop: `/readyz` then answers 503, and watches end.
    pub(super) stopping: watch::Sender<bool>,
}

/// What an [`App`] is made from besides its configuration: what the process has,
/// and what a test replaces.
#[derive(Debug)]
pub struct Parts {
    /// The address of the listener, with the port it was given.
    pub listen: SocketAddr,
    /// The descriptors and the memory of the process.
    pub descriptors: DescriptorPlan,
    /// The fan-outs of a scan, one for each core.
    pub cores: NonZeroUsize,
    /// Looks up the addresses of a host.
    pub resolver: Resolver,
    /// The callers. `None`: no token is wanted.
    pub tokens: Option<Arc<TokenFile>>,
    /// The log, whose lost lines are counted.
    pub log: Option<Log>,
}

impl App {
    /// The app that serves with `config`.
    #[must_use]
    pub fn new(config: &Config, parts: Parts) -> Self {
        let Parts { listen, descriptors, cores, resolver, tokens, log } = parts;
        let scanner = Scanner::new(descriptors.probes, cores).with_memory(descriptors.scan_memory);
        let scanner = match config.rate {
            Some(rate) => scanner.with_rate(rate),
            None => scanner,
        };
        // A quarter of the connections is left for health checks, metrics and
        // refusals.
        let requests = descriptors.connections - descriptors.connections / 4;
        let admission = Arc::new(Admission::new(config.quotas, requests));
        let mut metrics = Metrics::new(scanner.clone(), Arc::clone(&admission));
        let asker = Asker::new(scanner, resolver, config.policy.clone());
        if let Some(log) = log {
            metrics.follow_log(log);
        }
        if let Some(tokens) = &tokens {
            metrics.follow_tokens(Arc::clone(tokens));
        }
        Self {
            asker: SharedAsker::new(asker, admission),
            ceilings: config.ceilings,
            timeout_offset: config.timeout_offset,
            peers: config.peers.clone().map(|name| Peers::new(name, listen)),
            place: config.place.clone(),
            hosts: Hosts::new(listen, config.hosts.clone()),
            page: Page::new(Facts { tokens: tokens.is_some(), peers: config.peers.is_some() }),
            tokens,
            metrics: Arc::new(metrics),
            stopping: watch::Sender::new(false),
        }
    }

    /// What is counted.
    #[must_use]
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}
