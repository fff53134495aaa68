//! Comma-separated values (RFC 4180), one finding a line. The columns have the names
//! that naabu gives them, where it has them.

use std::io::{self, Write};
use std::time::SystemTime;

use crate::report::PortReport;
use crate::sweep::Found;

pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{HEADER}")
}

// No field needs quotes: hosts are names and addresses, checked, and the rest is
// numbers and words of this program.
pub(super) fn found(out: &mut impl Write, found: &Found, at: SystemTime) -> io::Result<()> {
    let Found { host, finding, .. } = found;
    let PortReport { port, state, reason, service, rtt_ms } = PortReport::new(finding);
    let (ip, state, reason) = (finding.address, state.name(), reason.name());
    let (name, method) = service.map_or(("", ""), |service| (service.name, service.method));
    let rtt = rtt_ms.map(|rtt| rtt.to_string()).unwrap_or_default();
    let timestamp = humantime::format_rfc3339_micros(at);
    writeln!(out, "{host},{ip},{port},tcp,{state},{reason},{name},{method},{rtt},{timestamp}")
}

const HEADER: &str = "host,ip,port,protocol,state,reason,service,service_method,rtt_ms,timestamp";
