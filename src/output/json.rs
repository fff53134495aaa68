//! One JSON document: a line a host, each the report that the service would
//! reply, and the summary.

use std::io::{self, Write};

use super::Summary;
use crate::report::Report;

pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    write!(out, "{{\"hosts\":[")
}

pub(super) fn host(out: &mut impl Write, report: &Report, is_first: bool) -> io::Result<()> {
    writeln!(out, "{}", if is_first { "" } else { "," })?;
    Ok(serde_json::to_writer(out, report)?)
}

pub(super) fn end(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let summary = serde_json::to_string(summary)?;
    // Its members go on with the document's.
    let members = summary.strip_prefix('{').expect("a struct is an object");
    writeln!(out, "\n],{members}")
}
