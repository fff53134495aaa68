//! A line `host:port` for each open port: the form in which other programs take
//! targets.

use std::io::{self, Write};

use crate::scan::PortState;
use crate::sweep::Found;

pub(super) fn found(out: &mut impl Write, found: &Found) -> io::Result<()> {
    let Found { host, finding, first } = found;
    if finding.state != PortState::Open || !first {
        return Ok(());
    }
    // An IPv6 address takes brackets, as in a URL (RFC 3986, section 3.2.2).
    if host.contains(':') {
        writeln!(out, "[{host}]:{}", finding.port)
    } else {
        writeln!(out, "{host}:{}", finding.port)
    }
}
