//! Compares what a scan found with what it had to find.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::scan::{Report, Timing};
use super::scenario::{Cast, Rest, Scenario};

/// Everything that is wrong in `report`, in a few words each; empty if the scan was
/// exact.
pub(crate) fn faults(scenario: &Scenario, cast: &Cast, report: &Report) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |text: String| faults.push(text);
    let everything: BTreeSet<u16> = (1..=scenario.ports).collect();
    let walled_open = cast.walled.filter(|_| finds_by_wall(scenario) == Some(Rest::Open));
    let open = match scenario.rest {
        Rest::Open => everything.clone(),
        _ => cast.open.iter().copied().chain(walled_open).collect(),
    };
    let missed: Vec<_> = open.difference(&report.open_ports).collect();
    if !missed.is_empty() {
        fault(format!("{} of {} open ports missed ({})", missed.len(), open.len(), some(&missed)));
    }
    let phantoms: Vec<_> = report.open_ports.difference(&open).collect();
    if !phantoms.is_empty() {
        fault(format!("{} phantom open ports ({})", phantoms.len(), some(&phantoms)));
    }
    if !report.complete {
        fault("not complete".to_owned());
    }
    let [address] = report.addresses.as_slice() else {
        fault(format!("{} addresses", report.addresses.len()));
        return faults;
    };
    if address.accepts_everything != (scenario.rest == Rest::Open) {
        fault(format!("accepts_everything is {}", address.accepts_everything));
    }
    if let Some(Timing { rtt_ms }) = address.timing.filter(|it| it.rtt_ms < scenario.least_rtt) {
        fault(format!("an rtt of {rtt_ms} ms, where it is {} ms", scenario.least_rtt));
    }
    if scenario.limits.icmp_errors.is_some() && report.timing.loss > 0.0 {
        fault(format!("a loss of {}, where ICMP errors are limited", report.timing.loss));
    }
    if scenario.rest == Rest::NotOpen {
        return faults;
    }
    let walled = usize::from(cast.walled.is_some());
    let rest = usize::from(scenario.ports) - cast.open.len() - cast.closed.len() - walled;
    let mut closed = cast.closed.len();
    let mut filtered_by: BTreeMap<&str, usize> = BTreeMap::new();
    let mut expect = |finds, ports| match finds {
        Rest::Closed => closed += ports,
        Rest::Filtered(reason) if ports > 0 => *filtered_by.entry(reason).or_default() += ports,
        _ => {}
    };
    expect(scenario.rest, rest);
    finds_by_wall(scenario).into_iter().for_each(|finds| expect(finds, walled));
    if address.closed != closed {
        fault(format!("{} closed, not {closed}", address.closed));
    }
    let found = address.filtered_by.iter().map(|(reason, &count)| (reason.as_str(), count));
    let found: BTreeMap<&str, usize> = found.collect();
    if found != filtered_by {
        fault(format!("filtered by {found:?}, not by {filtered_by:?}"));
    }
    faults
}

fn finds_by_wall(scenario: &Scenario) -> Option<Rest> {
    scenario.wall.map(|wall| wall.finds)
}

/// The first few of a list.
fn some(items: &[impl Display]) -> String {
    let shown: Vec<_> = items.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if items.len() > SHOWN { ", …" } else { "" };
    shown.join(", ") + more
}

/// Enough to see a pattern.
const SHOWN: usize = 8;
