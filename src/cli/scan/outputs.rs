//! Everything that the results of a scan are written to: standard output, files, or
//! both.

use std::io::{self, BufWriter};
use std::path::Path;
use std::sync::Arc;

use super::flags::Output;
use super::sink::Sink;
use super::{Exit, style};
use crate::cli::{failed, print_error};
use crate::drift::Drift;
use crate::output::{Colour, Format, Head, Hold, Printer, Verdict};
use crate::report::{ProgressReport, Summary};

/// Where output goes. What cannot be written is left out, and the rest goes on.
pub(super) struct Outputs {
    outputs: Vec<Written>,
    /// The gravest thing that has happened.
    exit: Exit,
}

/// One of them.
struct Written {
    /// Its name in errors.
    name: String,
    format: Format,
    printer: Printer<BufWriter<Sink>>,
    is_terminal: bool,
    /// Whether it can be read while it is written.
    is_followed: bool,
}

/// How many hosts are scanned: of a few, a terminal shows all in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hosts {
    One,
    Few,
    Many,
}

impl Outputs {
    /// Opens `files`, and standard output unless it is not wanted. `format` is the one
    /// that was asked for there.
    ///
    /// # Errors
    /// The exit status, when one cannot be opened. The reason has been printed.
    pub(super) fn open(
        files: &[Output],
        format: Option<Format>,
        head: &Arc<Head>,
        hosts: Hosts,
    ) -> Result<Self, Exit> {
        let mut outputs = Self { outputs: Vec::new(), exit: Exit::Whole };
        for Output { format: its, path } in files {
            let format = its.unwrap_or(Format::Plain);
            let name = path.display().to_string();
            let path = Some(&**path).filter(|&path| path != Path::new(STANDARD));
            let sink = Sink::open(path)
                .map_err(|error| failed(&format!("cannot write {name}: {error}")))?;
            outputs.add(name, format, sink, head, hosts);
        }
        let is_taken = files.iter().any(|file| file.path == Path::new(STANDARD));
        match Sink::open(None) {
            // A person wants to see the results, wherever they go.
            Ok(sink) if sink.is_terminal() && !is_taken => {
                let format = format.filter(|_| files.is_empty()).unwrap_or(Format::Table);
                outputs.add(STANDARD_NAME.to_owned(), format, sink, head, hosts);
            }
            Ok(sink) if files.is_empty() => {
                let format = format.unwrap_or(Format::Plain);
                outputs.add(STANDARD_NAME.to_owned(), format, sink, head, hosts);
            }
            Err(error) if files.is_empty() => {
                return Err(failed(&format!("cannot write {STANDARD_NAME}: {error}")));
            }
            Ok(_) | Err(_) => {}
        }
        Ok(outputs)
    }

    /// Prints to each.
    pub(super) fn each(
        &mut self,
        mut print: impl FnMut(&mut Printer<BufWriter<Sink>>) -> io::Result<()>,
    ) {
        self.retain(|output| print(&mut output.printer));
    }

    /// Prints how far the scan is, where somebody may follow it.
    pub(super) fn progress(&mut self, progress: ProgressReport) {
        self.retain(|output| {
            if output.is_followed {
                output.printer.progress(progress)?;
                output.printer.flush()?;
            }
            Ok(())
        });
    }

    /// Takes what differs from an earlier report, which is printed at the end: where a
    /// format has it, else on standard error.
    pub(super) fn show_drift(&mut self, drift: &Arc<Drift>) {
        let mut is_shown = false;
        for output in self.outputs.iter_mut().filter(|output| output.format.has_drift()) {
            output.printer.set_drift(drift);
            is_shown = true;
        }
        if !is_shown {
            drift.lines().iter().for_each(|line| print_error(&line.text));
        }
    }

    /// Whether nothing can be written any more.
    pub(super) fn is_broken(&self) -> bool {
        self.outputs.is_empty()
    }

    /// Whether a person sees a table.
    pub(super) fn has_table_on_terminal(&self) -> bool {
        self.outputs.iter().any(|output| output.is_terminal && output.format == Format::Table)
    }

    /// Completes each, and returns the exit status.
    pub(super) fn finish(mut self, summary: &Summary, verdicts: &[Verdict]) -> Exit {
        self.each(|printer| printer.end(summary, verdicts));
        let mut exit = self.exit;
        for Written { name, format, printer, .. } in self.outputs {
            let sink = printer.into_inner().into_inner().map_err(io::IntoInnerError::into_error);
            if format.is_all_or_nothing() && !summary.complete {
                // A file that is dropped leaves the one that it was to replace.
                print_error(&format!("nothing is written to {name}: the scan is incomplete"));
                continue;
            }
            if let Err(error) = sink.and_then(Sink::finish) {
                exit = exit.min(exit_of(&name, &error));
            }
        }
        exit
    }

    fn add(&mut self, name: String, format: Format, sink: Sink, head: &Arc<Head>, hosts: Hosts) {
        let is_terminal = sink.is_terminal();
        let is_followed = !matches!(sink, Sink::Whole { .. });
        // Of a network there may be too many hosts to wait for all.
        let hold = if is_terminal && hosts == Hosts::Many && format == Format::Table {
            Hold::Together
        } else {
            Hold::All
        };
        let colour = match sink {
            Sink::Standard(_) => style::colour(is_terminal),
            _ => Colour::No,
        };
        let printer = Printer::new(format, Arc::clone(head), BufWriter::new(sink));
        let printer = printer.with_colour(colour).with_hold(hold);
        self.outputs.push(Written { name, format, printer, is_terminal, is_followed });
    }

    fn retain(&mut self, mut print: impl FnMut(&mut Written) -> io::Result<()>) {
        let exit = &mut self.exit;
        self.outputs.retain_mut(|output| match print(output) {
            Ok(()) => true,
            Err(error) => {
                *exit = (*exit).min(exit_of(&output.name, &error));
                false
            }
        });
    }
}

/// How a scan ends if the output of this name cannot be written.
fn exit_of(name: &str, error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Exit::of_output(error),
        _ => failed(&format!("cannot write {name}: {error}")),
    }
}

/// The path that stands for standard output, as in nmap.
const STANDARD: &str = "-";

/// What errors call standard output.
const STANDARD_NAME: &str = "the output";
