//! The lines of nmap's -oG, for the tools that read them.
//!
//! <https://nmap.org/book/output-formats-grepable-output.html> has the form:
//! tabs separate the fields of a line, commas the ports, and slashes the parts of
//! a port.

use std::io::{self, Write};

use super::Head;
use crate::printable::Printable;
use crate::report::{AddressFacts, IncompleteReason, PortReport, Report, Summary};
use crate::scan::PortState;

pub(super) fn begin(out: &mut impl Write, head: &Head) -> io::Result<()> {
    let started = humantime::format_rfc3339_seconds(head.started);
    let command = Printable(&head.command);
    writeln!(
        out,
        "# open-ports {} scan initiated {started} as: {command}",
        env!("CARGO_PKG_VERSION")
    )?;
    // As nmap has it with -v.
    let (count, ports) = (head.ports.len(), &head.ports);
    writeln!(out, "# Ports scanned: TCP({count};{ports}) UDP(0;) SCTP(0;) PROTOCOLS(0;)")
}

pub(super) fn host(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let Report { facts, .. } = report;
    if facts.addresses.is_empty() {
        let reason = facts.reason.map_or("", IncompleteReason::name);
        return writeln!(out, "# {}: {reason}", facts.domain);
    }
    facts.addresses.iter().try_for_each(|address| self::address(out, &facts.domain, address))
}

fn address(out: &mut impl Write, domain: &str, address: &AddressFacts) -> io::Result<()> {
    let ip = address.address.to_string();
    let name = if domain == ip { "" } else { domain };
    let status = if address.answered() { "Up" } else { "Unknown" };
    writeln!(out, "Host: {ip} ({name})\tStatus: {status}")?;
    // What has a row is not counted as ignored.
    let is_filtered = |row: &PortReport| row.state == PortState::Filtered;
    let filtered_rows = address.rows().filter(is_filtered).count() as u64;
    let ignored: Vec<String> = [
        ("closed", u64::from(address.closed)),
        ("filtered", u64::from(address.filtered) - filtered_rows),
        ("not-scanned", u64::from(address.not_scanned)),
    ]
    .iter()
    .filter(|(_, count)| *count > 0)
    .map(|(state, count)| format!("{state} ({count})"))
    .collect();
    write!(out, "Host: {ip} ({name})\tPorts: ")?;
    for (number, row) in address.rows().enumerate() {
        let PortReport { port, state, service, .. } = row;
        let separator = if number == 0 { "" } else { ", " };
        let (state, service) = (state.name(), service.map_or("", |service| service.name));
        write!(out, "{separator}{port}/{state}/tcp//{service}///")?;
    }
    if !ignored.is_empty() {
        write!(out, "\tIgnored State: {}", ignored.join(", "))?;
    }
    writeln!(out)
}

pub(super) fn end(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    if let Some(reason) = summary.reason {
        let Summary { not_scanned, unvisited_hosts, .. } = summary;
        writeln!(
            out,
            "# incomplete ({reason}): {not_scanned} ports were not scanned, \
             {unvisited_hosts} hosts not visited"
        )?;
    }
    let Summary { addresses, up, .. } = summary;
    writeln!(
        out,
        "# open-ports done -- {addresses} IP addresses ({up} hosts up) scanned in {:.2} seconds",
        summary.elapsed.as_secs_f64()
    )
}
