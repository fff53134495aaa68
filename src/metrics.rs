//! What the process counts, for Prometheus.
//!
//! Names follow <https://prometheus.io/docs/practices/naming/>. Labels have few
//! values by construction: routes and rules are named in this program, and
//! neither hosts nor callers are labels.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::admission::Admission;
use crate::log::Log;
use crate::scan::{PortState, RTT_BUCKETS, RttCounts, Scanner};
use crate::tokens::TokenFile;

/// The counters of the HTTP side, and the way to print everything.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<[(&'static str, String); 2], Counter>,
    scans: Family<[(&'static str, &'static str); 1], Counter>,
    durations: Histogram,
    refusals: Family<[(&'static str, String); 1], Counter>,
    unauthorized: Family<[(&'static str, &'static str); 1], Counter>,
}

/// The text format that a scraper reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' own, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

/// Reads the engine's own counters when somebody asks.
#[derive(Debug)]
struct Engine {
    scanner: Scanner,
    admission: Arc<Admission>,
}

/// Reads what the log counts.
#[derive(Debug)]
struct Lines(Log);

/// Reads how the file of tokens is.
#[derive(Debug)]
struct Callers(Arc<TokenFile>);

impl Metrics {
    /// Metrics of this process, whose scans `scanner` runs.
    #[must_use]
    pub fn new(scanner: Scanner, admission: Arc<Admission>) -> Self {
        let mut registry = Registry::with_prefix("open_ports");
        let requests = Family::default();
        registry.register(
            "http_requests",
            "Requests answered, by route and status",
            Family::clone(&requests),
        );
        let scans = Family::default();
        registry.register("scans", "Scans ended, by outcome", Family::clone(&scans));
        let durations = Histogram::new(SCAN_SECONDS);
        registry.register_with_unit(
            "scan_duration",
            "How long scans took, name resolution aside",
            Unit::Seconds,
            durations.clone(),
        );
        let refusals = Family::default();
        registry.register(
            "refusals",
            "Scans refused by policy, by the rule that decided",
            Family::clone(&refusals),
        );
        let unauthorized = Family::default();
        registry.register(
            "unauthorized",
            "Requests without a valid token, by what was wrong with it",
            Family::clone(&unauthorized),
        );
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program that is running", build);
        registry.register_collector(Box::new(Engine { scanner, admission }));
        Self { registry, requests, scans, durations, refusals, unauthorized }
    }

    /// Tells how many lines `log` dropped.
    pub fn follow_log(&mut self, log: Log) {
        self.registry.register_collector(Box::new(Lines(log)));
    }

    /// Tells how many tokens there are, and whether their file can be used.
    pub fn follow_tokens(&mut self, tokens: Arc<TokenFile>) {
        self.registry.register_collector(Box::new(Callers(tokens)));
    }

    /// A request was answered.
    pub fn count_request(&self, route: &'static str, status: u16) {
        let labels = [("route", route.to_owned()), ("status", status.to_string())];
        self.requests.get_or_create(&labels).inc();
    }

    /// A scan ended.
    pub fn count_scan(&self, outcome: &'static str, elapsed: Duration) {
        self.scans.get_or_create(&[("outcome", outcome)]).inc();
        self.durations.observe(elapsed.as_secs_f64());
    }

    /// Policy refused a scan.
    pub fn count_refusal(&self, rule: &str) {
        self.refusals.get_or_create(&[("rule", rule.to_owned())]).inc();
    }

    /// A request had no valid token.
    pub fn count_unauthorized(&self, reason: &'static str) {
        self.unauthorized.get_or_create(&[("reason", reason)]).inc();
    }

    /// Everything, as text.
    #[must_use]
    pub fn expose(&self, exposition: Exposition) -> String {
        let mut exposed = String::new();
        text::encode(&mut exposed, &self.registry).expect("a string takes any text");
        match exposition {
            Exposition::OpenMetrics => exposed,
            Exposition::Prometheus => as_prometheus_text(&exposed),
        }
    }
}

impl Collector for Lines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Lines that could not be logged, because nobody reads or there is no room.";
        let counter = MetricType::Counter;
        let lines = encoder.encode_descriptor("log_lines_dropped", help, None, counter)?;
        ConstCounter::new(self.0.dropped()).encode(lines)
    }
}

impl Collector for Callers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let valid = i64::try_from(self.0.tokens().len()).unwrap_or(i64::MAX);
        for (name, help, value) in [
            ("tokens", "Tokens that are valid.", valid),
            (
                "token_file_usable",
                "Whether the file of tokens could be used when it was looked at last.",
                i64::from(self.0.is_usable()),
            ),
        ] {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)?;
        }
        Ok(())
    }
}

impl Collector for Engine {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (stats, budget) = (self.scanner.stats(), self.scanner.budget());
        let in_flight = usize::try_from(stats.in_flight()).unwrap_or(usize::MAX);
        for (name, help, value) in [
            ("scans_running", "Scans that are running.", self.admission.running()),
            ("probes_in_flight", "Probes that wait for an answer.", in_flight),
            ("descriptors_budgeted", "Descriptors that probes may use.", budget.total()),
            ("descriptors_used", "Descriptors that probes use.", budget.used()),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }

        let help = "Ports whose state was found, by state.";
        let mut ports = encoder.encode_descriptor("ports", help, None, MetricType::Counter)?;
        for state in [PortState::Open, PortState::Closed, PortState::Filtered] {
            let counter = ConstCounter::new(stats.ports(state));
            counter.encode(ports.encode_family(&[("state", state.name())])?)?;
        }

        let help = "Attempts that failed for want of a resource of this machine, by errno.";
        let mut errors =
            encoder.encode_descriptor("resource_errors", help, None, MetricType::Counter)?;
        for (errno, count) in stats.errors() {
            ConstCounter::new(count).encode(errors.encode_family(&[("errno", errno)])?)?;
        }

        let RttCounts { counts, sum } = stats.rtt();
        let bounds = RTT_BUCKETS.iter().map(|&us| us as f64 / 1e6).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let help = "From an attempt to its answer.";
        let unit = Unit::Seconds;
        encoder
            .encode_descriptor("rtt", help, Some(&unit), MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(sum.as_secs_f64(), counts.iter().sum(), &buckets, None)
    }
}

/// OpenMetrics names a counter's family without `_total` and knows units and
/// infos; the older format does not. Otherwise the two are the same here.
fn as_prometheus_text(open_metrics: &str) -> String {
    let mut converted = String::with_capacity(open_metrics.len() + 256);
    // The HELP line comes first, and needs to know the type.
    let mut help = None;
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(_), text) => help = Some(text.unwrap_or_default()),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    kind => ("", kind),
                };
                if let Some(help) = help.take() {
                    writeln!(converted, "# HELP {name}{suffix} {help}").expect("to a string");
                }
                writeln!(converted, "# TYPE {name}{suffix} {kind}").expect("to a string");
            }
            (Some("#"), ..) => {}
            _ => {
                converted.push_str(line);
                converted.push('\n');
            }
        }
    }
    converted
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
