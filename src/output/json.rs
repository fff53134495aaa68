//! One JSON document. Each host is a line: the report that the HTTP API would
//! return. The summary follows.

use std::io::{self, Write};

use crate::drift::Drift;
use crate::report::{Report, Summary};

pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    write!(out, "{{\"hosts\":[")
}

pub(super) fn host(out: &mut impl Write, report: &Report, is_first: bool) -> io::Result<()> {
    writeln!(out, "{}", if is_first { "" } else { "," })?;
    Ok(serde_json::to_writer(out, report)?)
}

/// A document with what differs between two reports.
pub(super) fn drift(out: &mut impl Write, drift: &Drift) -> io::Result<()> {
    serde_json::to_writer(&mut *out, drift)?;
    writeln!(out)
}

pub(super) fn end(
    out: &mut impl Write,
    summary: &Summary,
    drift: Option<&Drift>,
) -> io::Result<()> {
    let summary = serde_json::to_string(summary)?;
    // Its members become members of the document.
    let members = summary.strip_prefix('{').expect("a struct is an object");
    write!(out, "\n],")?;
    if let Some(drift) = drift {
        writeln!(out, "\"drift\":{},", serde_json::to_string(drift)?)?;
    }
    writeln!(out, "{members}")
}
