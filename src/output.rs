//! The results of a sweep, in the formats that people and programs read.
//!
//! Each format has a file of its own, with a function each for a finding, for the
//! report on a host and for the summary. Table, plain, NDJSON and CSV write a finding
//! as soon as it is made. The others write a host when it is done, so that none
//! holds more than one host.

mod csv;
mod grepable;
mod json;
mod ndjson;
mod plain;
mod table;
mod xml;

use std::io::{self, Write};
use std::time::SystemTime;

use crate::ports::PortSet;
use crate::report::{Report, Summary};
use crate::sweep::Found;

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Columns for people.
    Table,
    /// A line `host:port` for each open port.
    Plain,
    /// One JSON document with a report for each host.
    Json,
    /// The records that the HTTP API streams, one a line.
    Ndjson,
    /// Comma-separated values, one finding a line.
    Csv,
    /// As nmap's -oG.
    Grepable,
    /// As nmap's -oX.
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

impl<W: Write> Printer<W> {
    /// A printer to `out`.
    pub(crate) fn new(format: Format, head: Head, out: W) -> Self {
        Self { format, head, out, written: 0 }
    }

    /// Writes what comes before everything else.
    ///
    /// # Errors
    /// When it cannot be written; so for the functions below.
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
            Format::Ndjson => ndjson::end(out, summary),
            Format::Grepable => grepable::end(out, summary),
            Format::Xml => xml::end(out, summary, SystemTime::now()),
            Format::Plain | Format::Csv => Ok(()),
        }?;
        out.flush()
    }

    /// Hands over what was written so far.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The writer, to which everything is written.
    pub(crate) fn into_inner(self) -> W {
        self.out
    }
}

#[cfg(test)]
mod tests;
