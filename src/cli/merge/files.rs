//! A file to merge, which is read twice.

use std::fs;
use std::io::{self, BufReader, Seek};

use crate::cli::stop::waiting;
use crate::cli::words::STANDARD_INPUT;
use crate::cli::{Exit, failed, print_error};
use crate::report::{Form, Piece, ReadError, Source, Summary, read};
use crate::scan::{Finding, PortState};

/// A file that was looked at.
pub(super) struct File {
    /// As typed.
    pub(super) name: String,
    /// In which form it has its results.
    pub(super) form: Form,
    /// The summary; `None` if it is cut.
    summary: Option<Summary>,
    /// How many columns its longest host takes in a table.
    pub(super) host_width: usize,
    /// Whether it lists filtered ports.
    pub(super) details: bool,
    /// At its start.
    file: fs::File,
}

/// Counts what a file has, to compare it with what its summary says.
#[derive(Default)]
struct Counted {
    summary: Summary,
    host_width: usize,
    details: bool,
}

impl File {
    /// Opens the file. What cannot be read twice is copied into a temporary file.
    pub(super) fn open(name: &str) -> Result<Self, ReadError> {
        let file = match name {
            STANDARD_INPUT => copy(io::stdin())?,
            _ => {
                // A named pipe waits for its writer.
                let file = waiting(|| fs::File::open(name))?;
                if file.metadata()?.is_file() { file } else { copy(file)? }
            }
        };
        let (name, form) = (name.to_owned(), Form::Records);
        Ok(Self { name, form, summary: None, host_width: 0, details: false, file })
    }

    /// Reads it to its end, and then stands at its start again.
    pub(super) fn look(mut self) -> Result<Self, ReadError> {
        let mut counted = Counted::default();
        let name = self.name.clone();
        let (form, summary) = self.read(&mut |piece| {
            if let Piece::Remark(line) = &piece {
                print_error(&format!("{name}: {line}"));
            }
            counted.take(&piece);
            Ok(())
        })?;
        let summary = summary.and_then(|summary| match counted.missing(form, &summary) {
            None => {
                // A document names every host.
                let all_named = (form == Form::Document).then(Vec::new);
                let nothing_open = summary.nothing_open.clone().or(all_named);
                Some(Summary { up: counted.summary.up, nothing_open, ..summary })
            }
            // A log that was rotated has lost its oldest lines.
            Some(missing) => {
                print_error(&format!("{name}: {missing}"));
                None
            }
        });
        let Counted { host_width, details, .. } = counted;
        Ok(Self { form, summary, host_width, details, ..self })
    }

    /// What it has, for the decision what becomes of it.
    pub(super) fn source(&self) -> Source {
        Source { name: self.name.clone(), summary: self.summary.clone() }
    }

    /// Has `visit` look at each piece.
    pub(super) fn read(
        &mut self,
        visit: &mut dyn FnMut(Piece) -> io::Result<()>,
    ) -> Result<(Form, Option<Summary>), ReadError> {
        self.file.rewind()?;
        read(BufReader::new(&self.file), visit)
    }
}

impl ReadError {
    /// Prints the error, and returns the exit status.
    pub(super) fn print(&self, name: &str) -> Exit {
        match self {
            Self::Io(_) => failed(&format!("{name}: {self}")),
            Self::Foreign(_) => {
                print_error(&format!("{name} {self}"));
                Exit::Usage
            }
        }
    }
}

impl Counted {
    fn take(&mut self, piece: &Piece) {
        match piece {
            Piece::Host(report) => {
                self.summary.count(report);
                for address in &report.facts.addresses {
                    self.details |= address.rows().any(|row| row.state == PortState::Filtered);
                    self.widen(&report.facts.domain, &address.address.to_string());
                }
            }
            Piece::Found { host, finding: Finding { address, state, .. }, .. } => {
                self.summary.count_finding(*state);
                self.details |= *state == PortState::Filtered;
                self.widen(host, &address.to_string());
            }
            Piece::NotScanned { .. } | Piece::AcceptsEverything { .. } | Piece::Remark(_) => {}
        }
    }

    fn widen(&mut self, host: &str, address: &str) {
        // A name is followed by its address in parentheses.
        let width = if host == address { 0 } else { address.len() + 3 } + host.len();
        self.host_width = self.host_width.max(width);
    }

    /// What the summary counts and the file does not have.
    fn missing(&self, form: Form, stated: &Summary) -> Option<String> {
        let of = |summary: &Summary| match form {
            Form::Records => vec![(summary.open, "open ports")],
            Form::Document => vec![
                (summary.hosts, "hosts"),
                (summary.addresses, "addresses"),
                (summary.open, "open ports"),
                (summary.closed, "closed ports"),
                (summary.filtered, "filtered ports"),
                (summary.not_scanned, "ports not scanned"),
            ],
        };
        let mut pairs = of(stated).into_iter().zip(of(&self.summary));
        let ((stated, what), (found, _)) =
            pairs.find(|((stated, _), (found, _))| stated != found)?;
        Some(format!("its summary counts {stated} {what}, but it has {found}"))
    }
}

/// Copies what can be read only once.
fn copy(mut from: impl io::Read) -> io::Result<fs::File> {
    let mut file = tempfile::tempfile()?;
    waiting(|| io::copy(&mut from, &mut file))?;
    Ok(file)
}
