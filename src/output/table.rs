//! Columns for people, filled as ports are found.

use std::io::{self, Write};

use super::Head;
use crate::report::{Service, Summary};
use crate::scan::PortState;
use crate::sweep::Found;

pub(super) fn found(
    out: &mut impl Write,
    head: &Head,
    found: &Found,
    is_first: bool,
) -> io::Result<()> {
    let Found { host, finding, .. } = found;
    let width = head.host_width.clamp(MIN_HOST_WIDTH, MAX_HOST_WIDTH);
    if is_first {
        writeln!(out, "{:width$}  {:>5}  {:8}  {:16}  RTT", "HOST", "PORT", "STATE", "SERVICE")?;
    }
    let address = finding.address.to_string();
    let host = if **host == address { address } else { format!("{host} ({address})") };
    // nmap marks what is not known for sure in the same way.
    let service = Service::at(finding.port).map(|service| format!("{}?", service.name));
    let rtt = finding.rtt.map(|rtt| format!("{:.3} ms", rtt.as_secs_f64() * 1e3));
    let (start, end) = match (head.colour, finding.state) {
        (false, _) => ("", ""),
        (true, PortState::Open) => (GREEN, PLAIN),
        (true, _) => (YELLOW, PLAIN),
    };
    writeln!(
        out,
        "{host:width$}  {port:>5}  {start}{state:8}{end}  {service:16}  {rtt}",
        port = finding.port,
        state = finding.state.name(),
        service = service.unwrap_or_default(),
        rtt = rtt.unwrap_or_default(),
    )
}

pub(super) fn end(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let Summary { hosts, open, closed, filtered, not_scanned, .. } = summary;
    let plural = if *hosts == 1 { "" } else { "s" };
    let left =
        if *not_scanned > 0 { format!(", {not_scanned} not scanned") } else { String::new() };
    writeln!(
        out,
        "{hosts} host{plural} in {:.2} s: {open} open, {closed} closed, {filtered} filtered{left}",
        summary.elapsed.as_secs_f64()
    )
}

/// An IPv4 address; a name and its address often need more.
const MIN_HOST_WIDTH: usize = 15;

/// Half a terminal's line; what is longer pushes its row.
const MAX_HOST_WIDTH: usize = 40;

// ECMA-48, section 8.3.117: SGR.
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";
