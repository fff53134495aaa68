//! `--against`: what a scan finds that an earlier report does not have.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::Exit;
use crate::cli::exit::Refusal;
use crate::cli::stop::waiting;
use crate::drift::{BaselineError, Drift, Standing, Survey, compare, read};
use crate::report::{Report, Summary};

/// An earlier report, and what the scan has found so far.
pub(super) struct Baseline {
    before: Survey,
    now: Survey,
}

impl Baseline {
    /// Reads the report that `--against` names.
    pub(super) fn open(path: &str) -> Result<Self, Refusal> {
        let before = survey(path).map_err(|error| {
            let text = format!("--against {path}: {error}");
            match error {
                BaselineError::Io(_) => Refusal::Failure(text),
                BaselineError::Foreign(_) => Refusal::Usage(text),
            }
        })?;
        Ok(Self { before, now: Survey::new() })
    }

    /// Takes in what was found on a host.
    pub(super) fn add(&mut self, report: &Report) {
        self.now.add_report(report);
    }

    /// What differs, when the scan is over.
    pub(super) fn end(mut self, summary: &Summary) -> Drift {
        self.now.end(summary, summary.ports.as_ref());
        compare(&self.before, &self.now)
    }
}

/// What the report at `path` says, which may be standard input.
pub(in crate::cli) fn survey(path: &str) -> Result<Survey, BaselineError> {
    let from: Box<dyn BufRead> = match path {
        "-" => Box::new(io::stdin().lock()),
        // A named pipe waits for its writer.
        path => Box::new(BufReader::new(waiting(|| File::open(Path::new(path)))?)),
    };
    read(from)
}

/// How a command ends that says this.
pub(in crate::cli) fn exit_of(drift: &Drift) -> Exit {
    match drift.standing() {
        Standing::Same => Exit::Whole,
        Standing::Different => Exit::Unexpected,
        Standing::Unknown => Exit::Incomplete,
    }
}
