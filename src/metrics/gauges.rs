//! Gauges that are made for one reply. The process does not keep them.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::Exposition;

/// Families of gauges, in the order in which they are written.
#[derive(Debug, Default)]
pub(crate) struct Gauges(Vec<Family>);

/// Gauges that have a name in common.
#[derive(Debug)]
struct Family {
    name: &'static str,
    /// Without the full stop.
    help: &'static str,
    samples: Vec<(Option<(&'static str, String)>, Value)>,
}

/// The value of a gauge.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    /// A whole number, also 0 or 1 for no or yes.
    Whole(u64),
    /// A duration.
    Seconds(f64),
}

impl Gauges {
    /// Adds a gauge without labels.
    pub(crate) fn one(&mut self, name: &'static str, help: &'static str, value: Value) {
        self.0.push(Family { name, help, samples: vec![(None, value)] });
    }

    /// Adds gauges that differ by the value of `label`. Even of none the description is
    /// written.
    pub(crate) fn each(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        samples: impl IntoIterator<Item = (String, Value)>,
    ) {
        let labelled = |(text, value)| (Some((label, text)), value);
        let samples = samples.into_iter().map(labelled).collect();
        self.0.push(Family { name, help, samples });
    }

    /// The gauges as text.
    pub(crate) fn expose(self, exposition: Exposition) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        exposition.encode(&registry)
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { name, help, samples } in &self.0 {
            let help = format!("{help}.");
            let mut family = encoder.encode_descriptor(name, &help, None, MetricType::Gauge)?;
            for (label, value) in samples {
                match label {
                    None => value.write(&mut family)?,
                    Some(label) => {
                        let labels = [label.clone()];
                        value.write(&mut family.encode_family(&labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Value {
    /// No or yes.
    pub(crate) fn flag(is_set: bool) -> Self {
        Self::Whole(is_set.into())
    }

    fn write(self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => encoder.encode_gauge(&number),
            Self::Seconds(seconds) => encoder.encode_gauge(&seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_have_the_gauges_in_their_order() {
        let gauges = || {
            let mut gauges = Gauges::default();
            gauges.one("probe_success", "Whether it did", Value::flag(true));
            gauges.one("probe_duration_seconds", "How long it took", Value::Seconds(0.25));
            let states = [("open", 2), ("closed", 0)];
            let samples = states.map(|(state, count)| (state.to_owned(), Value::Whole(count)));
            gauges.each("probe_ports", "Ports", "state", samples);
            gauges.each("probe_port_open", "Of each port", "port", []);
            gauges
        };
        let text = gauges().expose(Exposition::Prometheus);
        assert_eq!(
            text,
            "# HELP probe_success Whether it did.\n\
             # TYPE probe_success gauge\n\
             probe_success 1\n\
             # HELP probe_duration_seconds How long it took.\n\
             # TYPE probe_duration_seconds gauge\n\
             probe_duration_seconds 0.25\n\
             # HELP probe_ports Ports.\n\
             # TYPE probe_ports gauge\n\
             probe_ports{state=\"open\"} 2\n\
             probe_ports{state=\"closed\"} 0\n\
             # HELP probe_port_open Of each port.\n\
             # TYPE probe_port_open gauge\n"
        );
        let open_metrics = gauges().expose(Exposition::OpenMetrics);
        assert_eq!(open_metrics, format!("{text}# EOF\n"));
    }
}
