//! The families of metrics: their names, help texts and labels.
//!
//! Names follow <https://prometheus.io/docs/practices/naming/>. They are without the
//! prefix `open_ports_` and without the suffix that a unit or a type adds.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

/// A family of metrics whose samples have so many labels.
pub(super) struct Described<const LABELS: usize> {
    pub(super) name: &'static str,
    /// Without the full stop, which the registry adds.
    pub(super) help: &'static str,
    labels: [&'static str; LABELS],
}

/// The labels of a sample, with their values.
pub(super) type Labelled<const LABELS: usize> = [(&'static str, String); LABELS];

pub(super) const BUILD: Described<2> = described(
    "build",
    "The version of the running program, and the revision that it was built from",
    ["version", "revision"],
);
pub(super) const DESCRIPTORS_BUDGETED: Described<0> =
    described("descriptors_budgeted", "Descriptors that probes may use", []);
pub(super) const DESCRIPTORS_USED: Described<0> =
    described("descriptors_used", "Descriptors that probes use", []);
pub(super) const HTTP_REQUESTS: Described<2> =
    described("http_requests", "Requests answered, by route and status", ["route", "status"]);
pub(super) const LOG_LINES_DROPPED: Described<0> = described(
    "log_lines_dropped",
    "Lines that could not be logged, because nobody reads them or the disk is full",
    [],
);
pub(super) const PORTS: Described<1> =
    described("ports", "Ports whose state was found, by state", ["state"]);
pub(super) const PROBES_IN_FLIGHT: Described<0> =
    described("probes_in_flight", "Probes that wait for an answer", []);
pub(super) const REFUSALS: Described<1> =
    described("refusals", "Scans refused by policy, by the rule that decided", ["rule"]);
pub(super) const RESOURCE_ERRORS: Described<1> = described(
    "resource_errors",
    "Attempts that failed because a resource of this machine ran out, by errno",
    ["errno"],
);
pub(super) const RTT: Described<0> = described("rtt", "Time from an attempt to its answer", []);
pub(super) const SCAN_DURATION: Described<0> =
    described("scan_duration", "How long scans took, without name resolution", []);
pub(super) const SCANS: Described<1> = described("scans", "Scans ended, by outcome", ["outcome"]);
pub(super) const SCANS_RUNNING: Described<0> =
    described("scans_running", "Scans that are running", []);
pub(super) const TOKEN_FILE_USABLE: Described<0> = described(
    "token_file_usable",
    "Whether the token file could be used when it was last read",
    [],
);
pub(super) const TOKENS: Described<0> = described("tokens", "Tokens that are valid", []);
pub(super) const UNAUTHORIZED: Described<1> =
    described("unauthorized", "Requests without a valid token, by reason", ["reason"]);

impl<const LABELS: usize> Described<LABELS> {
    /// The labels with `values`, which are in the order of the labels.
    pub(super) fn labelled(&self, values: [String; LABELS]) -> Labelled<LABELS> {
        let mut values = values.into_iter();
        self.labels.map(|label| (label, values.next().expect("a value for each label")))
    }

    /// Counters of this family, registered.
    pub(super) fn counters(&self, registry: &mut Registry) -> Family<Labelled<LABELS>, Counter> {
        let counters = Family::default();
        registry.register(self.name, self.help, Family::clone(&counters));
        counters
    }

    /// Begins this family in the output of a collector.
    pub(super) fn begin<'a>(
        &self,
        encoder: &'a mut DescriptorEncoder<'_>,
        unit: Option<&'a Unit>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'a>, fmt::Error> {
        encoder.encode_descriptor(self.name, &format!("{}.", self.help), unit, kind)
    }
}

const fn described<const LABELS: usize>(
    name: &'static str,
    help: &'static str,
    labels: [&'static str; LABELS],
) -> Described<LABELS> {
    Described { name, help, labels }
}
