//! Whether a scan found what there was to find. Pure.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::scan::Report;
use super::scenario::{Cast, Rest, Scenario};

/// Everything in `report` that is not as it should be, in a few words each;
/// nothing if the scan was exact.
pub(crate) fn faults(scenario: &Scenario, cast: &Cast, report: &Report) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |text: String| faults.push(text);
    let everything: BTreeSet<u16> = (1..=scenario.ports).collect();
    let open = if scenario.rest == Rest::Open { &everything } else { &cast.open };
    let missed: Vec<_> = open.difference(&report.open_ports).collect();
    if !missed.is_empty() {
        fault(format!("{} of {} open ports missed ({})", missed.len(), open.len(), some(&missed)));
    }
    let phantoms: Vec<_> = report.open_ports.difference(open).collect();
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
    let rest = everything.len() - open.len() - cast.closed.len();
    let (closed, filtered) = match scenario.rest {
        Rest::Open => (0, None),
        Rest::Closed => (cast.closed.len() + rest, None),
        Rest::Filtered(reason) => (cast.closed.len(), Some(reason)),
        Rest::NotOpen => return faults,
    };
    if address.closed != closed {
        fault(format!("{} closed, not {closed}", address.closed));
    }
    for (reason, &count) in &address.filtered_by {
        if Some(reason.as_str()) != filtered {
            fault(format!("{count} filtered by {reason}"));
        } else if count != rest {
            fault(format!("{count} filtered by {reason}, not {rest}"));
        }
    }
    if let Some(reason) = filtered.filter(|&reason| !address.filtered_by.contains_key(reason)) {
        fault(format!("none filtered by {reason}"));
    }
    faults
}

/// The first few of a list.
fn some(items: &[impl Display]) -> String {
    let shown: Vec<_> = items.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if items.len() > SHOWN { ", …" } else { "" };
    shown.join(", ") + more
}

/// Enough to see a pattern.
const SHOWN: usize = 8;
