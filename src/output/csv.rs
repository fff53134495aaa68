//! Comma-separated values (RFC 4180), one finding a line. The columns have the names
//! that naabu gives them, where it has them.

use std::io::{self, Write};
use std::time::SystemTime;

use super::rows;
use crate::report::{PortReport, Report};

pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{HEADER}")
}

// No field needs quotes: hosts are names and addresses, checked, and the rest is
// numbers and words of this program.
pub(super) fn host(out: &mut impl Write, report: &Report, at: SystemTime) -> io::Result<()> {
    let host = &report.facts.domain;
    let timestamp = humantime::format_rfc3339_micros(at);
    for (ip, PortReport { port, state, reason, service, rtt_ms }) in rows(report) {
        let (state, reason) = (state.name(), reason.name());
        let (name, method) = service.map_or(("", ""), |service| (service.name, service.method));
        let rtt = rtt_ms.map(|rtt| rtt.to_string()).unwrap_or_default();
        writeln!(out, "{host},{ip},{port},tcp,{state},{reason},{name},{method},{rtt},{timestamp}")?;
    }
    Ok(())
}

const HEADER: &str = "host,ip,port,protocol,state,reason,service,service_method,rtt_ms,timestamp";
