//! What the process counts, for Prometheus.
//!
//! `families.rs` is the one list of names, help texts and labels. Labels have few
//! values by construction: routes and rules are named in this program, and neither
//! hosts nor callers are labels.

mod exposition;
mod families;
mod gauges;
mod observed;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use self::exposition::Exposition;
use self::families::{
    BUILD, HTTP_REQUESTS, Labelled, REFUSALS, SCAN_DURATION, SCANS, UNAUTHORIZED,
};
pub(crate) use self::gauges::{Gauges, Value};
use self::observed::{Engine, Lines, Tokens};
use crate::admission::Admission;
use crate::log::Log;
use crate::scan::Scanner;
use crate::tokens::TokenFile;

/// The counters of the HTTP side, and the registry of all metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Labelled<2>, Counter>,
    scans: Family<Labelled<1>, Counter>,
    durations: Histogram,
    refusals: Family<Labelled<1>, Counter>,
    unauthorized: Family<Labelled<1>, Counter>,
}

impl Metrics {
    /// Metrics of this process, whose scans `scanner` runs.
    pub(crate) fn new(scanner: Scanner, admission: Arc<Admission>) -> Self {
        let mut registry = Registry::with_prefix("open_ports");
        let requests = HTTP_REQUESTS.counters(&mut registry);
        let scans = SCANS.counters(&mut registry);
        let durations = Histogram::new(SCAN_SECONDS);
        let (name, help) = (SCAN_DURATION.name, SCAN_DURATION.help);
        registry.register_with_unit(name, help, Unit::Seconds, durations.clone());
        let refusals = REFUSALS.counters(&mut registry);
        let unauthorized = UNAUTHORIZED.counters(&mut registry);
        let build = [env!("CARGO_PKG_VERSION"), env!("BUILD_REVISION")].map(str::to_owned);
        registry.register(BUILD.name, BUILD.help, Info::new(BUILD.labelled(build)));
        registry.register_collector(Box::new(Engine { scanner, admission }));
        Self { registry, requests, scans, durations, refusals, unauthorized }
    }

    /// Adds the number of lines that `log` dropped.
    pub(crate) fn follow_log(&mut self, log: Log) {
        self.registry.register_collector(Box::new(Lines(log)));
    }

    /// Adds the number of valid tokens, and whether their file can be used.
    pub(crate) fn follow_tokens(&mut self, tokens: Arc<TokenFile>) {
        self.registry.register_collector(Box::new(Tokens(tokens)));
    }

    /// Counts a request that was answered.
    pub(crate) fn count_request(&self, route: &str, status: u16) {
        let labels = HTTP_REQUESTS.labelled([route.to_owned(), status.to_string()]);
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts a scan that ended.
    pub(crate) fn count_scan(&self, outcome: &str, elapsed: Duration) {
        self.scans.get_or_create(&SCANS.labelled([outcome.to_owned()])).inc();
        self.durations.observe(elapsed.as_secs_f64());
    }

    /// Counts a scan that policy refused.
    pub(crate) fn count_refusal(&self, rule: &str) {
        self.refusals.get_or_create(&REFUSALS.labelled([rule.to_owned()])).inc();
    }

    /// Counts a request without a valid token.
    pub(crate) fn count_unauthorized(&self, reason: &str) {
        self.unauthorized.get_or_create(&UNAUTHORIZED.labelled([reason.to_owned()])).inc();
    }

    /// All metrics as text.
    pub(crate) fn expose(&self, exposition: Exposition) -> String {
        exposition.encode(&self.registry)
    }
}

/// From a few ports on this host to a silent network.
const SCAN_SECONDS: [f64; 12] =
    [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0];

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::admission::Quotas;

    fn metrics() -> Metrics {
        let one = NonZeroUsize::MIN;
        let quotas = Quotas { scans: one, scans_per_caller: one, scans_per_target: one };
        Metrics::new(Scanner::new(10, one), Arc::new(Admission::new(quotas, 1)))
    }

    #[test]
    fn both_formats_hold_the_same_samples() {
        let metrics = metrics();
        metrics.count_request("/open-ports", 200);
        metrics.count_scan("complete", Duration::from_millis(2));
        metrics.count_refusal("multicast");
        let samples = |exposition| {
            let text = metrics.expose(exposition);
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
        };
        let (old, new): (Vec<String>, Vec<String>) =
            (samples(Exposition::Prometheus), samples(Exposition::OpenMetrics));
        assert_eq!(old, new);
        let request = "open_ports_http_requests_total{route=\"/open-ports\",status=\"200\"} 1";
        assert!(old.iter().any(|line| line == request), "{old:?}");
    }

    #[test]
    fn the_older_format_types_counters_by_their_full_name() {
        let text = metrics().expose(Exposition::Prometheus);
        assert!(text.contains("# TYPE open_ports_ports_total counter\n"), "{text}");
        assert!(text.contains("# TYPE open_ports_build_info gauge\n"), "{text}");
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
        let open_metrics = metrics().expose(Exposition::OpenMetrics);
        assert!(open_metrics.ends_with("# EOF\n"));
    }
}
