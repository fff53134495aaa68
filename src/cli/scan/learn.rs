//! `--learn`: what is open becomes what is expected.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::flags::Verbosity;
use super::sink::Sink;
use super::{Exit, ScanArgs};
use crate::cli::exit::Refusal;
use crate::cli::{failed, print_error};
use crate::expect::{Edit, Learned};
use crate::fields::FieldErrors;
use crate::ports::PortSet;
use crate::report::{AddressFacts, Report, Summary};
use crate::targets::{HostPosition, TypedOrder};

/// A file of expectations to write, and what the scan has found so far.
pub(super) struct Learn {
    path: PathBuf,
    /// What the file has, if it is to be updated.
    before: Option<String>,
    exists: bool,
    learned: Vec<(HostPosition, Learned)>,
    /// Hosts without a line, because nobody answered among many.
    silent: u64,
    /// Hosts that were not scanned as a whole.
    partial: u64,
}

impl Learn {
    /// Reads the flags, and the file that is to be updated.
    pub(super) fn open(args: &ScanArgs, errors: &mut FieldErrors) -> Result<Option<Self>, Refusal> {
        let Some(path) = &args.learn else {
            if args.update {
                errors.add("--update", "needs --learn");
            }
            return Ok(None);
        };
        let file = Path::new(path);
        let exists = file.exists();
        let failed = |error: io::Error| Refusal::Failure(format!("--learn {path}: {error}"));
        let before = match fs::read_to_string(file) {
            _ if !args.update => None,
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(String::new()),
            Err(error) => return Err(failed(error)),
        };
        // Better to know of a wrong line before the scan than after it.
        if let Some(text) = &before
            && let Err(error) = Edit::of(text, &[], &PortSet::all())
        {
            errors.add("--learn", format!("{path}: {error}"));
        }
        let (path, learned) = (file.to_owned(), Vec::new());
        Ok(Some(Self { path, before, exists, learned, silent: 0, partial: 0 }))
    }

    /// Takes in what was found on a host, one of `several` if they are many.
    pub(super) fn add(&mut self, report: &Report, order: &TypedOrder, are_many: bool) {
        let facts = &report.facts;
        self.partial += u64::from(!facts.is_complete());
        // Of a network, most addresses are nobody's.
        if are_many && !facts.addresses.iter().any(AddressFacts::answered) {
            self.silent += 1;
            return;
        }
        let learned = Learned {
            host: facts.domain.clone(),
            open: PortSet::from_ports(facts.open_ports.iter().copied()),
            is_whole: facts.is_complete(),
        };
        self.learned.push((order.position(&facts.domain), learned));
    }

    /// Writes the file, and returns how the command ends by that.
    pub(super) fn end(mut self, summary: &Summary, asked: &PortSet, verbosity: Verbosity) -> Exit {
        let name = self.path.display().to_string();
        self.learned.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut learned: Vec<Learned> = self.learned.into_iter().map(|(_, host)| host).collect();
        learned.dedup_by(|next, before| next.host == before.host);
        let before = match self.before {
            None if self.exists && !summary.complete => {
                print_error(&format!(
                    "{name} stays as it is, because the scan is incomplete: with --update, what \
                     is new is added"
                ));
                return Exit::Incomplete;
            }
            before => before,
        };
        let edit = match &before {
            None => Ok(Edit::new(&learned)),
            Some(text) => Edit::of(text, &learned, asked),
        };
        let edit = match edit {
            Ok(edit) => edit,
            Err(error) => return failed(&format!("{name}: {error}")),
        };
        if before.as_ref() != Some(&edit.text)
            && let Err(error) = write(&self.path, &edit.text)
        {
            return failed(&format!("cannot write {name}: {error}"));
        }
        if self.partial > 0 {
            let hosts =
                if self.partial == 1 { "1 host" } else { &format!("{} hosts", self.partial) };
            print_error(&format!(
                "{name}: {hosts} not scanned as a whole, of which no line was made and no port \
                 was removed"
            ));
        }
        if verbosity > Verbosity::Quiet {
            let Edit { added, changed, .. } = edit;
            let silent = match self.silent {
                0 => String::new(),
                silent => format!(", none for {silent} hosts that gave no answer"),
            };
            let lines = if added == 1 { "line" } else { "lines" };
            print_error(&format!("{name}: {added} {lines} added, {changed} changed{silent}"));
        }
        if self.partial > 0 { Exit::Incomplete } else { Exit::Whole }
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut sink = Sink::open(Some(path))?;
    sink.write_all(text.as_bytes())?;
    sink.flush()?;
    sink.finish()
}
