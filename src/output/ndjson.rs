//! The records that the HTTP API streams, one a line: each finding with its host,
//! progress where somebody follows it, hosts of which something was not scanned, and
//! the end with a summary.

use std::io::{self, Write};
use std::time::SystemTime;

use crate::report::{End, HostRecord, ProgressReport, Record, Report, Summary};
use crate::sweep::Found;

pub(super) fn found(out: &mut impl Write, found: &Found, at: SystemTime) -> io::Result<()> {
    write_line(out, &Record::port_of(&found.host, &found.finding, at))
}

pub(super) fn progress(out: &mut impl Write, progress: ProgressReport) -> io::Result<()> {
    write_line(out, &Record::Progress(progress))
}

pub(super) fn host(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let record = HostRecord::of(report, None);
    match record.filter(|_| !report.facts.is_complete()) {
        Some(record) => write_line(out, &Record::Host(record)),
        None => Ok(()),
    }
}

pub(super) fn end(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    write_line(out, &Record::End(End::Summary(summary)))
}

fn write_line(out: &mut impl Write, record: &Record<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, record)?;
    writeln!(out)
}
