//! The records that the HTTP API streams, one a line: each finding with its host,
//! progress where somebody follows it, hosts of which something was not scanned, and
//! the end with a summary.

use std::io::{self, Write};
use std::time::SystemTime;

use serde::Serialize;

use crate::drift::Drift;
use crate::report::{End, HostRecord, ProgressReport, Record, Report, Summary};
use crate::sweep::Found;

pub(super) fn found(out: &mut impl Write, found: &Found, at: SystemTime) -> io::Result<()> {
    write_line(out, &Record::port_of(&found.host, &found.finding, at))
}

pub(super) fn progress(out: &mut impl Write, progress: ProgressReport) -> io::Result<()> {
    write_line(out, &Record::Progress(progress))
}

pub(super) fn host(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let facts = &report.facts;
    let accepts_everything = facts.addresses.iter().any(|address| address.accepts_everything);
    let record = HostRecord::of(report, None);
    match record.filter(|_| !facts.is_complete() || accepts_everything) {
        Some(record) => write_line(out, &Record::Host(record)),
        None => Ok(()),
    }
}

/// A record for each change and for what was not compared, and one that counts them.
pub(super) fn drift(out: &mut impl Write, drift: &Drift) -> io::Result<()> {
    drift.records().try_for_each(|record| write_line(out, &record))
}

pub(super) fn end(
    out: &mut impl Write,
    summary: &Summary,
    nothing_open: &NothingOpen,
) -> io::Result<()> {
    let summary = Summary { nothing_open: nothing_open.0.clone(), ..summary.clone() };
    write_line(out, &Record::End(End::Summary(&summary)))
}

/// Hosts that have no record, because they were scanned as a whole and nothing is open.
/// `None` if there are too many to name all.
#[derive(Debug)]
pub(super) struct NothingOpen(Option<Vec<String>>);

impl NothingOpen {
    pub(super) fn new(hosts: Option<Vec<String>>) -> Self {
        let mut hosts = hosts.filter(|hosts| hosts.len() <= MOST_NAMED);
        // Those of several shards.
        hosts.iter_mut().for_each(|hosts| hosts.sort_unstable());
        Self(hosts)
    }

    pub(super) fn note(&mut self, report: &Report) {
        let facts = &report.facts;
        // One that accepts everything has a record.
        let is_silent = facts
            .addresses
            .iter()
            .all(|address| address.rows().next().is_none() && !address.accepts_everything);
        if !(facts.is_complete() && facts.open_ports.is_empty() && is_silent) {
            return;
        }
        self.0 = self.0.take().filter(|hosts| hosts.len() < MOST_NAMED);
        if let Some(hosts) = &mut self.0 {
            let at = hosts.partition_point(|host| *host < facts.domain);
            hosts.insert(at, facts.domain.clone());
        }
    }
}

impl Default for NothingOpen {
    fn default() -> Self {
        Self(Some(Vec::new()))
    }
}

/// The hosts without an open port that are named at the end: so many make a line of some
/// kilobytes. A sweep of a network has far more that are not there.
const MOST_NAMED: usize = 1024;

fn write_line(out: &mut impl Write, record: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, record)?;
    writeln!(out)
}
