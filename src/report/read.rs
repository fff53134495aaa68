//! Reads what `open-ports scan` wrote: a JSON document with a report for each host, or
//! the records of NDJSON.
//!
//! One host, or one record, is in memory at a time.

use std::fmt;
use std::io::{self, BufRead};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use super::{IncompleteReason, PortReport, Report, Summary};
use crate::scan::Finding;

/// A part of what a file holds.
#[derive(Debug)]
pub(crate) enum Piece {
    /// The report on a host.
    Host(Box<Report>),
    /// A finding.
    Found {
        /// The host as typed.
        host: Arc<str>,
        /// What was found.
        finding: Finding,
        /// When it was written.
        at: Option<SystemTime>,
    },
    /// A host of which something was not scanned, in records.
    NotScanned {
        /// The host as typed.
        host: String,
        /// Why.
        reason: IncompleteReason,
        /// Why it was not scanned at all, as a sentence.
        detail: Option<String>,
    },
    /// A host that accepts connections on ports that nobody uses, in records.
    AcceptsEverything {
        /// The host as typed.
        host: String,
        /// Those of its addresses that do.
        addresses: Vec<IpAddr>,
    },
    /// A line of the scan's standard error, which logs of containers mix with its
    /// output.
    Remark(String),
}

/// In which form a file has the results of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One JSON document.
    Document,
    /// A record a line.
    Records,
}

/// Why a file cannot be read.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    /// By the system, or what was done with a piece failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("is no output of open-ports scan with --format json or ndjson: {0}")]
    Foreign(String),
}

/// What is done with the pieces.
pub(crate) type Visit<'a> = dyn FnMut(Piece) -> io::Result<()> + 'a;

/// Reads a file from its start to its end, and has `visit` look at each piece. Returns
/// the summary, with which a file ends that is not cut.
///
/// # Errors
/// When the file cannot be read, is something else, or `visit` fails.
pub(crate) fn read(
    mut from: impl BufRead,
    visit: &mut Visit<'_>,
) -> Result<(Form, Option<Summary>), ReadError> {
    let start = skip_blanks(&mut from)?;
    // A record has its type first. What is left of a record that was cut off may be
    // too short to say so, and is no document either.
    match start.as_slice() {
        [] => Ok((Form::Records, None)),
        start if start.starts_with(RECORD) || !start.starts_with(b"{") => {
            Ok((Form::Records, records(io::Read::chain(start, from), visit)?))
        }
        start => Ok((Form::Document, document(io::Read::chain(start, from), visit)?)),
    }
}

/// Returns the first bytes after blanks, as many as show the form.
fn skip_blanks(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    while start.len() < RECORD.len() {
        let available = from.fill_buf()?;
        let Some(&byte) = available.first() else { break };
        from.consume(1);
        if !byte.is_ascii_whitespace() {
            start.push(byte);
        } else if !start.is_empty() && start != b"{" {
            // Blanks within the brace make no difference, others belong to a line.
            start.push(byte);
        }
    }
    Ok(start)
}

fn records(mut from: impl BufRead, visit: &mut Visit<'_>) -> Result<Option<Summary>, ReadError> {
    let (mut end, mut line) = (None, Vec::new());
    for number in 1u64.. {
        line.clear();
        io::Read::take(&mut from, MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        if text.starts_with(REMARK) {
            visit(Piece::Remark(String::from_utf8_lossy(text).into_owned()))?;
            continue;
        }
        let foreign = |reason: String| ReadError::Foreign(format!("line {number}: {reason}"));
        if end.is_some() {
            return Err(foreign("there is more after the end".into()));
        }
        match serde_json::from_slice(text) {
            Ok(ReadRecord::Port { host, address, port, timestamp }) => {
                let finding = port.finding(address);
                let finding = finding.ok_or_else(|| foreign("rtt_ms is not a time".into()))?;
                let at = timestamp.and_then(|text| humantime::parse_rfc3339(&text).ok());
                visit(Piece::Found { host: host.into(), finding, at })?;
            }
            Ok(ReadRecord::Host { host, reason, detail, accepts_everything }) => {
                if !accepts_everything.is_empty() {
                    let (host, addresses) = (host.clone(), accepts_everything);
                    visit(Piece::AcceptsEverything { host, addresses })?;
                }
                if let Some(reason) = reason {
                    visit(Piece::NotScanned { host, reason, detail })?;
                }
            }
            Ok(ReadRecord::End { summary }) => end = Some(summary),
            Ok(ReadRecord::Other) => {}
            // The last line is not whole.
            Err(error)
                if !line.ends_with(b"\n") && (error.is_eof() || REMARK.starts_with(text)) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(foreign(error.to_string())),
        }
    }
    Ok(end)
}

fn document(from: impl BufRead, visit: &mut Visit<'_>) -> Result<Option<Summary>, ReadError> {
    let mut failure = None;
    let mut json = serde_json::Deserializer::from_reader(from);
    let read = json.deserialize_map(Document { visit, failure: &mut failure });
    let read = read.and_then(|summary| json.end().map(|()| summary));
    match (read, failure) {
        (_, Some(failure)) => Err(ReadError::Io(failure)),
        (Ok(summary), None) => Ok(Some(summary)),
        (Err(error), None) if error.is_eof() => Ok(None),
        (Err(error), None) if error.is_io() => Err(ReadError::Io(error.into())),
        (Err(error), None) => Err(ReadError::Foreign(error.to_string())),
    }
}

/// A record as it is read. Fields and types of later versions are ignored.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum ReadRecord {
    Port {
        host: String,
        address: IpAddr,
        #[serde(flatten)]
        port: PortReport,
        timestamp: Option<String>,
    },
    Host {
        host: String,
        // A host that was scanned as a whole may differ from what was expected.
        reason: Option<IncompleteReason>,
        detail: Option<String>,
        #[serde(default)]
        accepts_everything: Vec<IpAddr>,
    },
    End {
        summary: Summary,
    },
    #[serde(other)]
    Other,
}

/// Reads the document, whose hosts may come before or after the summary's members.
struct Document<'a, 'b> {
    visit: &'a mut Visit<'b>,
    failure: &'a mut Option<io::Error>,
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = Summary;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with hosts and a summary")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Summary, A::Error> {
        let Self { visit, failure } = self;
        let (mut summary, mut has_hosts) = (serde_json::Map::new(), false);
        while let Some(key) = map.next_key::<String>()? {
            if key == "hosts" {
                has_hosts = true;
                map.next_value_seed(Hosts { visit: &mut *visit, failure: &mut *failure })?;
            } else if SUMMARY.contains(&key.as_str()) {
                summary.insert(key, map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if !has_hosts {
            return Err(A::Error::missing_field("hosts"));
        }
        serde_json::from_value(summary.into()).map_err(A::Error::custom)
    }
}

/// Reads the hosts one by one.
struct Hosts<'a, 'b> {
    visit: &'a mut Visit<'b>,
    failure: &'a mut Option<io::Error>,
}

impl<'de> DeserializeSeed<'de> for Hosts<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Hosts<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of reports")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut hosts: A) -> Result<(), A::Error> {
        while let Some(report) = hosts.next_element()? {
            if let Err(failure) = (self.visit)(Piece::Host(report)) {
                *self.failure = Some(failure);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// How a line of NDJSON begins.
const RECORD: &[u8] = b"{\"type\"";

/// How a line of the scan's standard error begins.
const REMARK: &[u8] = b"open-ports: ";

/// The members of a summary, as far as they are needed.
const SUMMARY: [&str; 12] = [
    "complete",
    "reason",
    "host_count",
    "address_count",
    "open",
    "closed",
    "filtered",
    "not_scanned",
    "unvisited_hosts",
    "elapsed_ms",
    "ports",
    "shard",
];

/// Longer than any record: that of the end names up to 65,535 ports.
const MAX_LINE_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests;
