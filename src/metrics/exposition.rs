//! The two text formats of metrics.

use std::fmt::Write as _;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// The text format that a scraper reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposition {
    /// Prometheus' own, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Exposition {
    /// Writes everything that is registered.
    pub(super) fn encode(self, registry: &Registry) -> String {
        let mut text = String::new();
        text::encode(&mut text, registry).expect("a string takes any text");
        match self {
            Self::OpenMetrics => text,
            Self::Prometheus => as_prometheus_text(&text),
        }
    }
}

/// Turns OpenMetrics into Prometheus' older format. Samples are the same in both.
/// The lines that describe a family differ: OpenMetrics names a counter without
/// `_total` there, and has units, infos and an end.
// prometheus-client writes OpenMetrics only, and its encoders cannot be implemented
// outside of it. Changing these lines is less than another writer for all metrics.
fn as_prometheus_text(open_metrics: &str) -> String {
    let mut converted = String::with_capacity(open_metrics.len() + 256);
    // The HELP line comes before the TYPE line, on which its name depends.
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
