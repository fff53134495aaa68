//! A line `host:port` for each open port: the form in which other programs take
//! targets.

use std::io::{self, Write};

use crate::report::Report;

pub(super) fn host(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let host = &report.facts.domain;
    // An IPv6 address takes brackets, as in a URL (RFC 3986, section 3.2.2).
    let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
    report.facts.open_ports.iter().try_for_each(|port| writeln!(out, "{open}{host}{close}:{port}"))
}
