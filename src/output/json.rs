//! One JSON document. Each host is a line: the report that the HTTP API would
//! return. The summary follows.

use std::io::{self, Write};

use crate::report::{Report, Summary};

pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    write!(out, "{{\"hosts\":[")
}

pub(super) fn host(out: &mut impl Write, report: &Report, is_first: bool) -> io::Result<()> {
    writeln!(out, "{}", if is_first { "" } else { "," })?;
    Ok(serde_json::to_writer(out, report)?)
}

pub(super) fn end(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let summary = serde_json::to_string(summary)?;
    // Its members become members of the document.
    let members = summary.strip_prefix('{').expect("a struct is an object");
    writeln!(out, "\n],{members}")
}
