//! Comma-separated values (RFC 4180), a line a finding.

use std::io::{self, Write};
use std::time::SystemTime;

use super::Row;
use crate::sweep::Found;

pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{HEADER}")
}

// No field needs quotes: hosts are names and addresses, checked, and the rest is
// numbers and words of this program.
pub(super) fn found(out: &mut impl Write, found: &Found, at: SystemTime) -> io::Result<()> {
    let Row { host, ip, timestamp, port, protocol, state, reason, service, rtt_ms } =
        Row::new(found, at);
    let (name, method) = service.map_or(("", ""), |service| (service.name, service.method));
    let rtt = rtt_ms.map(|rtt| rtt.to_string()).unwrap_or_default();
    writeln!(
        out,
        "{host},{ip},{port},{protocol},{state},{reason},{name},{method},{rtt},{timestamp}"
    )
}

const HEADER: &str = "host,ip,port,protocol,state,reason,service,service_method,rtt_ms,timestamp";
