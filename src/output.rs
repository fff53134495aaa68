//! The results of a sweep, in the formats that people and programs read.
//!
//! Each format has a file of its own. NDJSON has a finding as soon as it is made. JSON
//! and XML have a host when it is done. The others have hosts in the order typed and
//! ports in ascending order, so that the same findings make the same output in every
//! run: reports on hosts wait for those before them. As many wait as a few megabytes
//! hold; then these are written.

mod checks;
mod csv;
mod file_sd;
mod format;
mod github;
mod grepable;
mod held;
mod json;
mod judge;
mod junit;
mod matrix;
mod ndjson;
mod plain;
mod sarif;
mod table;
mod tap;
mod xml;

use std::io::{self, Write};
use std::iter;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

pub(crate) use self::format::Format;
use self::held::Held;
use self::judge::Judge;
pub(crate) use self::judge::JudgeForm;
pub(crate) use self::matrix::{MatrixFormat, MatrixHead, remarks, write_matrix};
pub(crate) use self::table::{Colour, grouped, header, row_of};
use crate::drift::Drift;
use crate::expect::Origins;
use crate::ports::PortSet;
use crate::report::{PortReport, ProgressReport, Report, Summary, TargetGroup};
use crate::sweep::Found;
use crate::targets::TypedOrder;

/// What is known when a sweep starts.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The command line.
    pub(crate) command: String,
    /// The ports of each host.
    pub(crate) ports: PortSet,
    /// Whether filtered ports are listed.
    pub(crate) details: bool,
    /// When it starts.
    pub(crate) started: SystemTime,
    /// The order of the hosts.
    pub(crate) order: TypedOrder,
    /// How many columns the longest host typed takes.
    pub(crate) host_width: usize,
    /// Where it was written what is expected of the hosts.
    pub(crate) origins: Origins,
    /// Whether something is expected of hosts.
    pub(crate) expects: bool,
    /// The name of the earlier report to compare with.
    pub(crate) against: Option<String>,
}

/// What is known when two reports are compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiffHead<'a> {
    /// The command line.
    pub(crate) command: &'a str,
    /// The name of the earlier report.
    pub(crate) before: &'a str,
    /// When the command started.
    pub(crate) started: SystemTime,
    /// Whether to use colours.
    pub(crate) colour: Colour,
}

/// When reports on hosts are written, in formats that have them in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// When all hosts are done.
    All,
    /// When the host is done. Only hosts that are done together are put in order.
    Together,
}

/// Whether the open ports of a host are the expected ones, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They are.
    Met(String),
    /// They are not.
    NotMet(String),
    /// Not everything was scanned.
    Unknown(String),
}

/// Writes one sweep in one format.
#[derive(Debug)]
pub(crate) struct Printer<W> {
    format: Format,
    head: Arc<Head>,
    colour: Colour,
    hold: Hold,
    held: Held,
    /// In formats that judge.
    judge: Option<Judge>,
    /// In formats that have all at the end.
    discovered: Vec<TargetGroup>,
    out: W,
    /// Hosts written so far that have a line of their own.
    written: u64,
    /// What differs from an earlier report, if there is one.
    drift: Option<Arc<Drift>>,
    nothing_open: ndjson::NothingOpen,
}

impl Verdict {
    /// The words.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Met(text) | Self::NotMet(text) | Self::Unknown(text) => text,
        }
    }
}

impl<W: Write> Printer<W> {
    /// A printer to `out`.
    pub(crate) fn new(format: Format, head: Arc<Head>, out: W) -> Self {
        let (colour, hold, held) = (Colour::No, Hold::All, Held::default());
        let judge = match format {
            Format::Judged(form) => Some(Judge::new(form)),
            _ => None,
        };
        let nothing_open = ndjson::NothingOpen::default();
        Self {
            format,
            head,
            colour,
            hold,
            held,
            judge,
            discovered: Vec::new(),
            out,
            written: 0,
            drift: None,
            nothing_open,
        }
    }

    /// The same with colours, where the format has any.
    pub(crate) fn with_colour(self, colour: Colour) -> Self {
        Self { colour, ..self }
    }

    /// The same that writes when `hold` says.
    pub(crate) fn with_hold(self, hold: Hold) -> Self {
        Self { hold, ..self }
    }

    /// Takes what differs from an earlier report, to be written at the end if the format
    /// has that.
    pub(crate) fn set_drift(&mut self, drift: &Arc<Drift>) {
        self.drift = Some(Arc::clone(drift));
    }

    /// Takes the hosts that have nothing open, of which it is not told by reports; `None`
    /// if there are some whose names are not known.
    pub(crate) fn set_nothing_open(&mut self, hosts: Option<Vec<String>>) {
        self.nothing_open = ndjson::NothingOpen::new(hosts);
    }

    /// Writes what comes before everything else.
    ///
    /// # Errors
    /// When it cannot be written; so for the functions below.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        let (head, out) = (&self.head, &mut self.out);
        if let Some(judge) = &self.judge {
            return judge.begin(out);
        }
        match self.format {
            Format::Json => json::begin(out),
            Format::Csv => csv::begin(out),
            Format::Grepable => grepable::begin(out, head),
            Format::Xml => xml::begin(out, head),
            Format::Table | Format::Plain | Format::Ndjson => Ok(()),
            Format::Judged(_) | Format::FileSd => Ok(()),
        }
    }

    /// Writes a finding that was made just now, if the format has each at once.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn found(&mut self, found: &Found) -> io::Result<()> {
        self.found_at(found, SystemTime::now())
    }

    /// Writes a finding that was made at the time `at`, if the format has each at once.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn found_at(&mut self, found: &Found, at: SystemTime) -> io::Result<()> {
        match self.format {
            Format::Ndjson => ndjson::found(&mut self.out, found, at),
            _ => Ok(()),
        }
    }

    /// Writes how far the sweep is, if the format has that.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn progress(&mut self, progress: ProgressReport) -> io::Result<()> {
        match self.format {
            Format::Ndjson => ndjson::progress(&mut self.out, progress),
            _ => Ok(()),
        }
    }

    /// Writes the report on a host, or keeps it until it is its turn.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn host(&mut self, report: &Arc<Report>) -> io::Result<()> {
        let out = &mut self.out;
        let is_kept = match self.format {
            Format::Json => {
                self.written += 1;
                return json::host(out, report, self.written == 1);
            }
            Format::Xml => return xml::host(out, report, SystemTime::now()),
            Format::Ndjson => {
                self.nothing_open.note(report);
                return ndjson::host(out, report);
            }
            Format::Plain => !report.facts.open_ports.is_empty(),
            Format::Table | Format::Csv => rows(report).next().is_some(),
            Format::Grepable | Format::Judged(_) => true,
            Format::FileSd => {
                self.discovered.extend(TargetGroup::all_of(report));
                return Ok(());
            }
        };
        if is_kept {
            let position = self.head.order.position(&report.facts.domain);
            self.held.add(position, Arc::clone(report));
        }
        if self.held.is_full() { self.write_held() } else { Ok(()) }
    }

    /// Writes what comes after everything else. `verdicts` are for people.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn end(&mut self, summary: &Summary, verdicts: &[Verdict]) -> io::Result<()> {
        self.write_held()?;
        let (head, out, drift) = (&self.head, &mut self.out, self.drift.as_deref());
        if let Some(judge) = &mut self.judge {
            if let Some(drift) = drift {
                judge.drift(out, drift, head.against.as_deref())?;
            }
            judge.end(out, head, summary)?;
        }
        match self.format {
            Format::Table => table::end(out, self.colour, summary, verdicts)
                .and_then(|()| drift.map_or(Ok(()), |drift| table::drift(out, self.colour, drift))),
            Format::Json => json::end(out, summary, drift),
            Format::Ndjson => {
                drift.map_or(Ok(()), |drift| ndjson::drift(out, drift))?;
                ndjson::end(out, summary, &self.nothing_open)
            }
            Format::Grepable => grepable::end(out, summary),
            Format::Xml => xml::end(out, summary, SystemTime::now()),
            Format::FileSd => file_sd::end(out, std::mem::take(&mut self.discovered), summary),
            Format::Plain | Format::Csv | Format::Judged(_) => Ok(()),
        }?;
        out.flush()
    }

    /// Hands over what was written so far.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.hold == Hold::Together {
            self.write_held()?;
        }
        self.out.flush()
    }

    /// The writer, to which everything is written.
    pub(crate) fn into_inner(self) -> W {
        self.out
    }

    fn write_held(&mut self) -> io::Result<()> {
        let (head, out) = (&self.head, &mut self.out);
        for report in self.held.take() {
            self.written += 1;
            if let Some(judge) = &mut self.judge {
                judge.host(out, &report, head)?;
            }
            match self.format {
                Format::Table => {
                    if self.written == 1 {
                        table::begin(out, head)?;
                    }
                    table::host(out, head, self.colour, &report)
                }
                Format::Plain => plain::host(out, &report),
                Format::Csv => csv::host(out, &report, SystemTime::now()),
                Format::Grepable => grepable::host(out, &report),
                Format::Json | Format::Ndjson | Format::Xml => Ok(()),
                Format::Judged(_) | Format::FileSd => Ok(()),
            }?;
        }
        Ok(())
    }
}

/// Writes what differs between two reports, in a format that has that.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_drift(
    format: Format,
    head: &DiffHead<'_>,
    drift: &Drift,
    out: &mut impl Write,
) -> io::Result<()> {
    match format {
        Format::Json => json::drift(out, drift),
        Format::Ndjson => ndjson::drift(out, drift),
        Format::Judged(form) => judge::diff(form, head, drift, out),
        _ => table::drift(out, head.colour, drift),
    }
}

/// The rows of a host in ascending order of the ports, and for each port in the order of
/// the addresses.
fn rows(report: &Report) -> impl Iterator<Item = (IpAddr, PortReport)> + '_ {
    let addresses = report.facts.addresses.iter();
    let mut addresses: Vec<_> =
        addresses.map(|address| (address.address, address.rows().peekable())).collect();
    iter::from_fn(move || {
        let ports = addresses.iter_mut().filter_map(|(_, rows)| rows.peek().map(|row| row.port));
        let next = ports.min()?;
        addresses.iter_mut().find_map(|(address, rows)| {
            rows.next_if(|row| row.port == next).map(|row| (*address, row))
        })
    })
}

#[cfg(test)]
mod tests;
