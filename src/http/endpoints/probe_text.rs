//! A probe in words, for people who look why it failed. The parts are in the order in which
//! blackbox_exporter has them.

use std::fmt::{self, Write as _};

use hyper::body::Bytes;

use super::probe_metrics::{Ended, Probed, address_state};
use crate::ports::PortSet;
use crate::report::Report;
use crate::request::ScanRequest;
use crate::request::probe::MODULE;

/// What was done and found, the metrics that go with it, and what was asked.
pub(super) fn text(probed: &Probed<'_>, metrics: &str) -> Bytes {
    let mut text = String::new();
    write(&mut text, probed, metrics).expect("a string takes any text");
    text.into()
}

fn write(text: &mut String, probed: &Probed<'_>, metrics: &str) -> fmt::Result {
    let Probed { request, checks, elapsed, ended } = probed;
    writeln!(text, "Logs for the probe:")?;
    if let (Some(resolving), false) = (checks.resolving, checks.addresses.is_empty()) {
        let addresses: Vec<String> = checks.addresses.iter().map(ToString::to_string).collect();
        let (addresses, took) = (addresses.join(", "), resolving.as_secs_f64());
        writeln!(text, "{} is {addresses}, known after {took:.3} s", request.domain)?;
    }
    if !checks.rule.is_empty() {
        writeln!(text, "policy: {}", checks.rule)?;
    }
    match ended {
        Ended::Scanned { report, left_out } => write_report(text, report, *left_out)?,
        Ended::NotResolved(why) | Ended::Busy(why) => writeln!(text, "not scanned: {why}")?,
    }
    let took = elapsed.as_secs_f64();
    match probed.failure() {
        None => writeln!(text, "Probe succeeded after {took:.3} s")?,
        Some(failure) => writeln!(text, "Probe failed after {took:.3} s: {}", failure.name())?,
    }
    write!(text, "\n\n\nMetrics that would have been returned:\n{metrics}")?;
    write_request(text, request)
}

fn write_report(text: &mut String, report: &Report, left_out: usize) -> fmt::Result {
    for address in &report.facts.addresses {
        let open = address.open_ports.len();
        let (closed, filtered) = (address.closed, address.filtered);
        let state = address_state(address);
        write!(text, "{} {state}: {open} open, {closed} closed, ", address.address)?;
        writeln!(text, "{filtered} filtered, {} not scanned", address.not_scanned)?;
    }
    if left_out > 0 {
        writeln!(text, "{left_out} further addresses were not scanned")?;
    }
    if let Some(reason) = report.facts.reason {
        writeln!(text, "incomplete: {reason}")?;
    }
    write_ports(text, "open", &report.facts.open_ports)?;
    if let Some(comparison) = &report.comparison {
        write_ports(text, "unexpected", &comparison.unexpected)?;
        write_ports(text, "missing", &comparison.missing)?;
    }
    Ok(())
}

/// A line with ports, as ranges where they follow each other.
fn write_ports(text: &mut String, what: &str, ports: &[u16]) -> fmt::Result {
    match PortSet::from_ports(ports.iter().copied()) {
        Some(ports) => writeln!(text, "{what}: {ports}"),
        None => writeln!(text, "{what}: none"),
    }
}

fn write_request(text: &mut String, request: &ScanRequest) -> fmt::Result {
    writeln!(text, "\n\n\nModule configuration:\nmodule: {MODULE}\ntarget: {}", request.domain)?;
    writeln!(text, "ports: {}", request.ports)?;
    match &request.expectation {
        Some(expectation) => writeln!(text, "expect: {expectation}")?,
        None => writeln!(text, "expect: no comparison")?,
    }
    writeln!(text, "timeoutMs: {}", request.timeout.as_millis())?;
    writeln!(text, "time: {} s", request.deadline.as_secs_f64())
}
