//! The document of nmap's -oX, for the tools that read it.
//!
//! nmap's DTD (`nmap.dtd`) accepts the document, except for one value: the DTD allows
//! only `nmap` as the name of the scanner, and this is not nmap. nmap has no word for
//! ports that were not scanned: they are an `extraports` of a state `not-scanned`. A
//! host that was not scanned is a skipped `target`.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Head;
use crate::report::{AddressFacts, PortReport, Report, Summary};
use crate::scan::Reason;

pub(super) fn begin(out: &mut impl Write, head: &Head) -> io::Result<()> {
    let Head { command, ports, started, .. } = head;
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(
        out,
        "<nmaprun scanner=\"open-ports\" args=\"{}\" start=\"{}\" startstr=\"{}\" \
         version=\"{}\" xmloutputversion=\"1.05\">",
        escaped(command),
        unix(*started),
        humantime::format_rfc3339_seconds(*started),
        env!("CARGO_PKG_VERSION"),
    )?;
    writeln!(
        out,
        "<scaninfo type=\"connect\" protocol=\"tcp\" numservices=\"{}\" services=\"{ports}\"/>",
        ports.len()
    )?;
    writeln!(out, "<verbose level=\"0\"/>\n<debugging level=\"0\"/>")
}

pub(super) fn host(out: &mut impl Write, report: &Report, now: SystemTime) -> io::Result<()> {
    let Report { facts, .. } = report;
    if facts.addresses.is_empty() {
        let host = escaped(&facts.domain);
        return writeln!(out, "<target specification=\"{host}\" status=\"skipped\"/>");
    }
    facts.addresses.iter().try_for_each(|address| self::address(out, &facts.domain, address, now))
}

fn address(
    out: &mut impl Write,
    domain: &str,
    address: &AddressFacts,
    now: SystemTime,
) -> io::Result<()> {
    let ip = address.address;
    let (state, reason) = match (!address.open_ports.is_empty(), address.answered()) {
        (true, _) => ("up", "syn-ack"),
        (false, true) => ("up", "conn-refused"),
        (false, false) => ("unknown", "no-response"),
    };
    writeln!(out, "<host endtime=\"{}\">", unix(now))?;
    writeln!(out, "<status state=\"{state}\" reason=\"{reason}\" reason_ttl=\"0\"/>")?;
    let family = if ip.is_ipv4() { "ipv4" } else { "ipv6" };
    writeln!(out, "<address addr=\"{ip}\" addrtype=\"{family}\"/>")?;
    writeln!(out, "<hostnames>")?;
    if domain != ip.to_string() {
        writeln!(out, "<hostname name=\"{}\" type=\"user\"/>", escaped(domain))?;
    }
    writeln!(out, "</hostnames>\n<ports>")?;
    extra_ports(out, address)?;
    for row in address.rows() {
        let PortReport { port, state, reason, service, .. } = row;
        let (state, reason) = (state.name(), reason.name());
        write!(out, "<port protocol=\"tcp\" portid=\"{port}\">")?;
        write!(out, "<state state=\"{state}\" reason=\"{reason}\" reason_ttl=\"0\"/>")?;
        if let Some(service) = service {
            // 3 of 10 is what nmap gives to names from its own table.
            let (name, method) = (escaped(service.name), service.method);
            write!(out, "<service name=\"{name}\" method=\"{method}\" conf=\"3\"/>")?;
        }
        writeln!(out, "</port>")?;
    }
    writeln!(out, "</ports>\n</host>")
}

/// Counts of the ports that have no element of their own.
fn extra_ports(out: &mut impl Write, address: &AddressFacts) -> io::Result<()> {
    if address.closed > 0 {
        let count = address.closed;
        writeln!(out, "<extraports state=\"closed\" count=\"{count}\">")?;
        writeln!(out, "<extrareasons reason=\"conn-refused\" count=\"{count}\"/>\n</extraports>")?;
    }
    let rows = |reason| address.rows().filter(|row| row.reason == reason).count() as u64;
    let left = address.filtered_by.iter().map(|(&reason, &all)| (reason, u64::from(all)));
    let left = left.map(|(reason, all)| (reason, all - rows(reason)));
    let mut left: Vec<(Reason, u64)> = left.filter(|&(_, count)| count > 0).collect();
    left.sort_by_key(|(reason, _)| reason.name());
    if !left.is_empty() {
        let count: u64 = left.iter().map(|(_, count)| count).sum();
        writeln!(out, "<extraports state=\"filtered\" count=\"{count}\">")?;
        for (reason, count) in left {
            let reason = reason.name();
            writeln!(out, "<extrareasons reason=\"{reason}\" count=\"{count}\"/>")?;
        }
        writeln!(out, "</extraports>")?;
    }
    if address.not_scanned > 0 {
        let count = address.not_scanned;
        writeln!(out, "<extraports state=\"not-scanned\" count=\"{count}\"/>")?;
    }
    Ok(())
}

pub(super) fn end(out: &mut impl Write, summary: &Summary, now: SystemTime) -> io::Result<()> {
    let Summary { complete, up, addresses, open, closed, filtered, not_scanned, .. } = summary;
    let elapsed = summary.elapsed.as_secs_f64();
    let exit = match summary.reason {
        None => "exit=\"success\"".to_owned(),
        Some(reason) => format!("exit=\"error\" errormsg=\"{}\"", reason.name()),
    };
    writeln!(
        out,
        "<runstats><finished time=\"{}\" timestr=\"{}\" elapsed=\"{elapsed:.2}\" \
         summary=\"complete: {complete}; {open} open, {closed} closed, {filtered} filtered, \
         {not_scanned} not scanned\" {exit}/>",
        unix(now),
        humantime::format_rfc3339_seconds(now),
    )?;
    let unknown = addresses - up;
    writeln!(out, "<hosts up=\"{up}\" down=\"{unknown}\" total=\"{addresses}\"/></runstats>")?;
    writeln!(out, "</nmaprun>")
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// For an attribute in double quotes. Control characters have no place in XML
/// 1.0, not even escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => {
                write!(escaped, "&#{};", u32::from(c)).expect("to a string");
            }
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}
