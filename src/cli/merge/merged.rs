//! Writes what counts of several files as one report.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufWriter};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::files::File;
use crate::cli::scan::notes;
use crate::cli::scan::sink::Sink;
use crate::cli::{Exit, print_error};
use crate::output::{Format, Printer};
use crate::report::{IncompleteReason, Merge, Piece, Report, Subject};
use crate::scan::{AddressTally, Finding, Findings, PortState, Reason, ScanTiming};
use crate::sweep::Found;

/// The merged report as far as it is written.
pub(super) struct Merged {
    format: Format,
    printer: Printer<BufWriter<Sink>>,
    merge: Merge,
    /// The gravest thing that has happened.
    exit: Exit,
    /// What a file of records has besides the findings that are written at once: for
    /// formats that have hosts in order, those as well.
    gathered: BTreeMap<Arc<str>, BTreeMap<IpAddr, Gathered>>,
    /// What was written, kept only if a file is cut: that may have the same.
    written: Option<Written>,
}

/// What records say of an address.
#[derive(Default)]
struct Gathered {
    found: Vec<Finding>,
    accepts_everything: bool,
}

/// What files that are cut must not add again.
#[derive(Default)]
struct Written {
    found: HashSet<(Arc<str>, IpAddr, u16)>,
    hosts: HashSet<Arc<str>>,
}

impl Merged {
    pub(super) fn new(
        format: Format,
        mut printer: Printer<BufWriter<Sink>>,
        mut merge: Merge,
    ) -> Self {
        printer.set_nothing_open(merge.summary.nothing_open.take());
        let written = (!merge.cut.is_empty()).then(Written::default);
        Self { format, printer, merge, exit: Exit::Whole, gathered: BTreeMap::new(), written }
    }

    /// Writes it, and returns the exit status.
    pub(super) fn write(mut self, files: &mut [File]) -> Exit {
        if let Err(error) = self.printer.begin() {
            return Exit::of_output(&error);
        }
        let whole = self.merge.whole.clone().into_iter().map(|at| (at, false));
        let cut = self.merge.cut.clone().into_iter().map(|at| (at, true));
        for (at, is_cut) in whole.chain(cut) {
            let mut broken = None;
            let read = files[at].read(&mut |piece| {
                self.piece(piece, is_cut).map_err(|error| {
                    let passed_on = io::Error::from(error.kind());
                    broken = Some(error);
                    passed_on
                })
            });
            if let Some(error) = broken {
                return self.exit.min(Exit::of_output(&error));
            }
            if let Err(error) = read {
                return error.print(&files[at].name);
            }
            if let Err(error) = self.write_gathered() {
                return self.exit.min(Exit::of_output(&error));
            }
        }
        self.end()
    }

    fn piece(&mut self, piece: Piece, is_cut: bool) -> io::Result<()> {
        match piece {
            Piece::Host(report) => self.host(&Arc::from(report), is_cut),
            Piece::Found { host, finding, at } => {
                let is_new = self.note(&host, &finding);
                if is_cut {
                    if !is_new {
                        return Ok(());
                    }
                    self.merge.summary.count_finding(finding.state);
                }
                if self.format == Format::Ndjson {
                    return self.found(host, finding, at.unwrap_or_else(SystemTime::now));
                }
                let of_host = self.gathered.entry(host).or_default();
                of_host.entry(finding.address).or_default().found.push(finding);
                Ok(())
            }
            Piece::NotScanned { host, reason, .. } => {
                let report = Report::not_scanned(&self.subject(&host), reason);
                self.judge(&report);
                self.printer.host(&Arc::new(report))
            }
            Piece::AcceptsEverything { host, addresses } => {
                let host: Arc<str> = host.into();
                let is_new = self.note_host(&host);
                if is_cut && !is_new {
                    return Ok(());
                }
                let of_host = self.gathered.entry(host).or_default();
                for address in addresses {
                    of_host.entry(address).or_default().accepts_everything = true;
                }
                Ok(())
            }
            // They were printed when the file was looked at.
            Piece::Remark(_) => Ok(()),
        }
    }

    fn host(&mut self, report: &Arc<Report>, is_cut: bool) -> io::Result<()> {
        let host: Arc<str> = report.facts.domain.as_str().into();
        let is_new = self.note_host(&host);
        if is_cut && !is_new {
            return Ok(());
        }
        if is_cut {
            self.merge.summary.count(report);
        }
        self.judge(report);
        let now = SystemTime::now();
        for address in &report.facts.addresses {
            let findings = match &address.ports {
                Some(rows) => rows.findings(),
                None => address.open_ports.findings(),
            };
            for finding in findings.iter() {
                self.note(&host, &finding);
                self.found(Arc::clone(&host), finding, now)?;
            }
        }
        self.printer.host(report)
    }

    /// Writes a finding, if the format has each at once.
    fn found(&mut self, host: Arc<str>, finding: Finding, at: SystemTime) -> io::Result<()> {
        self.printer.found_at(&Found { host, finding, first: true }, at)
    }

    /// Writes what was gathered of a file as far as it is known: which ports are open or
    /// filtered, but not how many are closed.
    fn write_gathered(&mut self) -> io::Result<()> {
        for (host, addresses) in std::mem::take(&mut self.gathered) {
            let tallies: Vec<AddressTally> =
                addresses.into_iter().map(|(address, gathered)| tally(address, gathered)).collect();
            let timing = ScanTiming::default();
            let report = Report::new(&self.subject(&host), &tallies, &timing, Duration::ZERO);
            self.judge(&report);
            self.printer.host(&Arc::new(report))?;
        }
        Ok(())
    }

    fn subject<'a>(&'a self, domain: &'a str) -> Subject<'a> {
        let ports = &self.merge.label.ports;
        Subject { domain, ports, details: true, expectation: None, left_out: &[] }
    }

    /// Returns whether the finding was not written yet, as far as that is kept.
    fn note(&mut self, host: &Arc<str>, finding: &Finding) -> bool {
        let Some(written) = &mut self.written else { return true };
        written.found.insert((Arc::clone(host), finding.address, finding.port))
    }

    /// The same of a host with a report, or a record.
    fn note_host(&mut self, host: &Arc<str>) -> bool {
        let Some(written) = &mut self.written else { return true };
        written.hosts.insert(Arc::clone(host))
    }

    /// Says what the scan of the host would have said, and ends as it would have.
    fn judge(&mut self, Report { facts, comparison, .. }: &Report) {
        notes::accepts_everything(facts).for_each(|note| print_error(&note));
        if facts.reason == Some(IncompleteReason::NotResolved) {
            self.exit = self.exit.min(Exit::NotResolved);
        }
        if let Some(comparison) = comparison
            && comparison.differs()
        {
            self.exit = self.exit.min(Exit::Unexpected);
            print_error(&format!("{}: {comparison}", facts.domain));
        }
    }

    fn end(mut self) -> Exit {
        let summary = &self.merge.summary;
        let is_kept = summary.complete || !self.format.is_all_or_nothing();
        let written = self.printer.end(summary, &[]).and_then(|()| {
            let sink = self.printer.into_inner();
            let sink = sink.into_inner().map_err(io::IntoInnerError::into_error)?;
            // A file that is dropped leaves the one that it was to replace.
            if is_kept { sink.finish() } else { Ok(()) }
        });
        if !is_kept {
            print_error("nothing is written: the result is incomplete");
        }
        if let Err(error) = written {
            return self.exit.min(Exit::of_output(&error));
        }
        let Some(reason) = summary.reason else { return self.exit };
        print_error(&format!(
            "incomplete ({reason}): {} ports not scanned, {} hosts not visited, as far as is known",
            summary.not_scanned, summary.unvisited_hosts
        ));
        self.exit.min(Exit::Incomplete)
    }
}

fn tally(address: IpAddr, Gathered { found, accepts_everything }: Gathered) -> AddressTally {
    let mut filtered = [0; Reason::ALL.len()];
    let is_open = |finding: &&Finding| finding.state == PortState::Open;
    let open = u32::try_from(found.iter().filter(is_open).count()).unwrap_or(u32::MAX);
    for finding in found.iter().filter(|finding| finding.state == PortState::Filtered) {
        filtered[finding.reason.index()] += 1;
    }
    AddressTally {
        address,
        findings: Findings::new(address, found),
        open,
        closed: 0,
        filtered,
        not_scanned: 0,
        shortage: None,
        accepts_everything,
    }
}
