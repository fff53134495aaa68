//! `open-ports diff`: what differs between two reports.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use argh::{ArgsInfo, FromArgs};

use super::scan::baseline::{exit_of, survey};
use super::scan::sink::Sink;
use super::scan::style;
use super::{Exit, NAME, failed, refused};
use crate::drift::{BaselineError, compare};
use crate::output::{Colour, DiffHead, Format, write_drift};

/// Compare two reports and print what changed.
#[derive(Clone, Debug, FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "diff",
    help_triggers("-h", "--help"),
    example = "{command_name} yesterday.json today.json",
    example = "{command_name} nmap.xml found.ndjson --format json",
    note = "A port that was not scanned in both reports never counts as changed; it is listed with \
            the reason.",
    error_code(1, "something failed"),
    error_code(2, "invalid command line, or a file is no report"),
    error_code(4, "nothing can be said: a report is incomplete, or they have nothing in common"),
    error_code(5, "a port changed")
)]
pub(super) struct DiffArgs {
    /// the earlier report and the later one: JSON or NDJSON of open-ports, nmap's XML
    /// (-oX) or grepable format (-oG), or - for standard input
    #[argh(positional, arg_name = "file")]
    files: Vec<String>,
    /// format of the output (default: table)
    #[argh(option, arg_name = "table|json|ndjson|junit|tap|github|sarif")]
    format: Option<String>,
    /// write to this file, which is replaced only by complete output
    #[argh(option, arg_name = "file")]
    output: Option<String>,
}

/// Compares as `args` say.
pub(super) fn run(args: &DiffArgs) -> Exit {
    let [before, now] = &args.files[..] else {
        return refused("name two reports: the earlier one, and the later one");
    };
    let started = SystemTime::now();
    let name = args.format.as_deref().unwrap_or("table");
    let Some(format) = Format::named(name).filter(|format| format.has_drift()) else {
        let known = Format::ALL.iter().filter(|(_, format)| format.has_drift());
        let names: Vec<&str> = known.map(|(name, _)| *name).collect();
        return refused(&format!("--format must be one of {}", names.join(", ")));
    };
    let mut surveys = Vec::with_capacity(2);
    for path in [before, now] {
        match survey(path) {
            Ok(survey) => surveys.push(survey),
            Err(error @ BaselineError::Io(_)) => return failed(&format!("{path}: {error}")),
            Err(error @ BaselineError::Foreign(_)) => return refused(&format!("{path}: {error}")),
        }
    }
    let drift = compare(&surveys[0], &surveys[1]);
    let path = args.output.as_ref().map(PathBuf::from).filter(|path| path != Path::new("-"));
    let sink = match Sink::open(path.as_deref()) {
        Ok(sink) => sink,
        Err(error) => {
            let name = path.unwrap_or_else(|| "the output".into());
            return failed(&format!("cannot write {}: {error}", name.display()));
        }
    };
    let colour = if path.is_none() { style::colour(sink.is_terminal()) } else { Colour::No };
    let command = format!("{NAME} diff {before} {now}");
    let head = DiffHead { command: &command, before, started, colour };
    let mut out = BufWriter::new(sink);
    let written = write_drift(format, &head, &drift, &mut out).and_then(|()| {
        out.flush()?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.finish()
    });
    match written {
        Ok(()) => exit_of(&drift),
        Err(error) => Exit::of_output(&error),
    }
}
