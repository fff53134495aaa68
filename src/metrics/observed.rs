//! Metrics that are read from other parts of the program whenever they are asked
//! for, because those count them anyway.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::families::{
    DESCRIPTORS_BUDGETED, DESCRIPTORS_USED, LOG_LINES_DROPPED, PORTS, PROBES_IN_FLIGHT,
    RESOURCE_ERRORS, RTT, SCANS_RUNNING, TOKEN_FILE_USABLE, TOKENS,
};
use crate::admission::Admission;
use crate::log::Log;
use crate::scan::{PortState, RTT_BUCKETS, RttCounts, Scanner};
use crate::tokens::TokenFile;

/// What the engine and admission count.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) scanner: Scanner,
    pub(super) admission: Arc<Admission>,
}

/// What the log counts.
#[derive(Debug)]
pub(super) struct Lines(pub(super) Log);

/// The state of the token file.
#[derive(Debug)]
pub(super) struct Tokens(pub(super) Arc<TokenFile>);

impl Collector for Engine {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (stats, budget) = (self.scanner.stats(), self.scanner.budget());
        let in_flight = usize::try_from(stats.in_flight()).unwrap_or(usize::MAX);
        for (family, value) in [
            (SCANS_RUNNING, self.admission.running()),
            (PROBES_IN_FLIGHT, in_flight),
            (DESCRIPTORS_BUDGETED, budget.total()),
            (DESCRIPTORS_USED, budget.used()),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(family.begin(&mut encoder, None, MetricType::Gauge)?)?;
        }

        let mut ports = PORTS.begin(&mut encoder, None, MetricType::Counter)?;
        for state in [PortState::Open, PortState::Closed, PortState::Filtered] {
            let labels = PORTS.labelled([state.name().to_owned()]);
            ConstCounter::new(stats.ports(state)).encode(ports.encode_family(&labels)?)?;
        }

        let mut errors = RESOURCE_ERRORS.begin(&mut encoder, None, MetricType::Counter)?;
        for (errno, count) in stats.errors() {
            let labels = RESOURCE_ERRORS.labelled([errno.to_owned()]);
            ConstCounter::new(count).encode(errors.encode_family(&labels)?)?;
        }

        let RttCounts { counts, sum } = stats.rtt();
        let bounds = RTT_BUCKETS.iter().map(|&us| us as f64 / 1e6).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let (sum, count) = (sum.as_secs_f64(), counts.iter().sum());
        RTT.begin(&mut encoder, Some(&Unit::Seconds), MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

impl Collector for Lines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let lines = LOG_LINES_DROPPED.begin(&mut encoder, None, MetricType::Counter)?;
        ConstCounter::new(self.0.dropped()).encode(lines)
    }
}

impl Collector for Tokens {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let valid = i64::try_from(self.0.tokens().len()).unwrap_or(i64::MAX);
        let usable = i64::from(self.0.is_usable());
        for (family, value) in [(TOKENS, valid), (TOKEN_FILE_USABLE, usable)] {
            let gauge = family.begin(&mut encoder, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)?;
        }
        Ok(())
    }
}
