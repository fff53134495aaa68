//! What a sweep tells, in the formats that people and programs read.
//!
//! Each format is a few functions of a finding, of the report on a host and of
//! the summary, in a file of its own. Those for a reader at work (table, plain,
//! NDJSON, CSV) write a finding when it is made; the others a host when it is
//! done, so that none holds more than one host.

mod csv;
mod grepable;
mod json;
mod ndjson;
mod plain;
mod table;
mod xml;

use std::io::{self, Write};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::ports::PortSet;
use crate::report::{IncompleteReason, PortReport, Report, Service, milliseconds};
use crate::sweep::Found;

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Columns for people.
    Table,
    /// A line `host:port` for each open port.
    Plain,
    /// One JSON document, a report a host.
    Json,
    /// A JSON object a line and finding, for readers of naabu's.
    Ndjson,
    /// Comma-separated values, a line a finding.
    Csv,
    /// What nmap's -oG writes.
    Grepable,
    /// What nmap's -oX writes.
    Xml,
}

/// What is known when a sweep starts.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The command line.
    pub(crate) command: String,
    /// The ports of each host.
    pub(crate) ports: PortSet,
    /// When it starts.
    pub(crate) started: SystemTime,
    /// How many columns the longest host typed takes.
    pub(crate) host_width: usize,
    /// Whether to use colours.
    pub(crate) colour: bool,
}

/// What is known when a sweep is over. Of what `hosts` have, each target is in
/// one of the four counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Whether every port of every host was scanned.
    pub(crate) complete: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<IncompleteReason>,
    /// Hosts that there is a report on.
    #[serde(rename = "host_count")]
    pub(crate) hosts: u64,
    /// Addresses of these hosts.
    #[serde(rename = "address_count")]
    pub(crate) addresses: u64,
    /// Addresses that answered.
    #[serde(skip)]
    pub(crate) up: u64,
    /// Targets that are open.
    pub(crate) open: u64,
    /// Targets that are closed.
    pub(crate) closed: u64,
    /// Targets that are filtered.
    pub(crate) filtered: u64,
    /// Targets of these hosts that were not scanned.
    pub(crate) not_scanned: u64,
    /// Hosts that were not visited at all.
    pub(crate) unvisited_hosts: u64,
    /// How long it took.
    #[serde(rename = "elapsed_ms", serialize_with = "as_milliseconds")]
    pub(crate) elapsed: Duration,
}

/// Writes one sweep in one format.
#[derive(Debug)]
pub(crate) struct Printer<W> {
    format: Format,
    head: Head,
    out: W,
    /// Findings or hosts written so far.
    written: u64,
}

impl Format {
    /// The formats by name.
    pub(crate) const ALL: [(&'static str, Self); 7] = [
        ("table", Self::Table),
        ("plain", Self::Plain),
        ("json", Self::Json),
        ("ndjson", Self::Ndjson),
        ("csv", Self::Csv),
        ("grepable", Self::Grepable),
        ("xml", Self::Xml),
    ];

    /// The format of that name.
    #[must_use]
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|&(_, format)| format)
    }
}

impl Summary {
    /// Counts a host's report in.
    pub(crate) fn count(&mut self, report: &Report) {
        self.hosts += 1;
        for address in &report.facts.addresses {
            self.addresses += 1;
            self.up += u64::from(address.answered());
            self.open += address.open_ports.len() as u64;
            self.closed += u64::from(address.closed);
            self.filtered += u64::from(address.filtered);
            self.not_scanned += u64::from(address.not_scanned);
        }
    }
}

impl<W: Write> Printer<W> {
    /// A printer to `out`.
    pub(crate) fn new(format: Format, head: Head, out: W) -> Self {
        Self { format, head, out, written: 0 }
    }

    /// Writes what comes before everything else.
    ///
    /// # Errors
    /// When it cannot be written, here and below.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        let (head, out) = (&self.head, &mut self.out);
        match self.format {
            Format::Json => json::begin(out),
            Format::Csv => csv::begin(out),
            Format::Grepable => grepable::begin(out, head),
            Format::Xml => xml::begin(out, head),
            Format::Table | Format::Plain | Format::Ndjson => Ok(()),
        }
    }

    /// Writes a finding that was made just now.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn found(&mut self, found: &Found) -> io::Result<()> {
        let (head, out) = (&self.head, &mut self.out);
        let is_first = self.written == 0;
        match self.format {
            Format::Table => {
                self.written += 1;
                table::found(out, head, found, is_first)
            }
            Format::Plain => plain::found(out, found),
            Format::Ndjson => ndjson::found(out, found, SystemTime::now()),
            Format::Csv => csv::found(out, found, SystemTime::now()),
            Format::Json | Format::Grepable | Format::Xml => Ok(()),
        }
    }

    /// Writes the report on a host.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn host(&mut self, report: &Report) -> io::Result<()> {
        let out = &mut self.out;
        match self.format {
            Format::Json => {
                self.written += 1;
                json::host(out, report, self.written == 1)
            }
            Format::Grepable => grepable::host(out, report),
            Format::Xml => xml::host(out, report, SystemTime::now()),
            Format::Table | Format::Plain | Format::Ndjson | Format::Csv => Ok(()),
        }
    }

    /// Writes what comes after everything else.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn end(&mut self, summary: &Summary) -> io::Result<()> {
        let out = &mut self.out;
        match self.format {
            Format::Table => table::end(out, summary),
            Format::Json => json::end(out, summary),
            Format::Grepable => grepable::end(out, summary),
            Format::Xml => xml::end(out, summary, SystemTime::now()),
            Format::Plain | Format::Ndjson | Format::Csv => Ok(()),
        }?;
        out.flush()
    }

    /// Passes on what is written so far.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The place that was written to.
    pub(crate) fn into_inner(self) -> W {
        self.out
    }
}

fn as_milliseconds<S: serde::Serializer>(elapsed: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(milliseconds(*elapsed))
}

/// A finding as NDJSON and CSV have it, with the names that naabu gives to what
/// it has too.
#[derive(Serialize)]
struct Row<'a> {
    host: &'a str,
    ip: IpAddr,
    timestamp: String,
    port: u16,
    protocol: &'static str,
    state: &'static str,
    reason: &'static str,
    #[serde(flatten)]
    service: Option<Service>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_ms: Option<f64>,
}

impl<'a> Row<'a> {
    fn new(found: &'a Found, at: SystemTime) -> Self {
        let port = PortReport::new(&found.finding);
        Self {
            host: &found.host,
            ip: found.finding.address,
            timestamp: humantime::format_rfc3339_micros(at).to_string(),
            port: port.port,
            protocol: "tcp",
            state: port.state.name(),
            reason: port.reason.name(),
            service: port.service,
            rtt_ms: port.rtt_ms,
        }
    }
}

#[cfg(test)]
mod tests;
