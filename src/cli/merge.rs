//! `open-ports merge`: one report from the reports of a sweep's shards.
//!
//! Each file is read twice: to learn which shard it has and whether it is whole, and to
//! write what counts. So nothing is written of files that do not belong together, and
//! no file has to fit into memory.

mod files;
mod merged;

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use argh::{ArgsInfo, FromArgs};
use tokio::sync::oneshot;

use self::files::File;
use self::merged::Merged;
use super::runtime::block_on;
use super::scan::sink::Sink;
use super::scan::style;
use super::stop::Stop;
use super::{Exit, NAME, cores, failed, print_error, unfinished};
use crate::expect::Origins;
use crate::output::{Colour, Format, Head, Printer};
use crate::report::{Form, Merge};
use crate::targets::TypedOrder;

/// Merge the reports of shards into one.
#[derive(Clone, Debug, FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "merge",
    help_triggers("-h", "--help"),
    example = "{command_name} shard-*.ndjson",
    example = "{command_name} shard-*.json --format json --output found.json",
    error_code(1, "something failed"),
    error_code(2, "invalid command line, or the files do not belong together"),
    error_code(3, "a name did not resolve"),
    error_code(4, "incomplete: a shard is missing, cut, incomplete or there twice"),
    error_code(5, "open ports differ from what was expected"),
    error_code(130, "stopped by Ctrl-C")
)]
pub(super) struct MergeArgs {
    /// what open-ports scan --shard wrote with --format json or ndjson, or - for
    /// standard input
    #[argh(positional, arg_name = "file")]
    files: Vec<String>,
    /// format of the output (default: table on a terminal, plain elsewhere); of
    /// ndjson only table, plain, ndjson and csv can be made
    #[argh(
        option,
        arg_name = "table|plain|json|ndjson|csv|grepable|xml|junit|tap|github|sarif|file-sd"
    )]
    format: Option<String>,
    /// write to this file, which is replaced only by complete output
    #[argh(option, arg_name = "file")]
    output: Option<String>,
}

/// Merges as `args` say; `typed` is the command line for formats that keep it.
pub(super) fn run(args: MergeArgs, typed: &[String]) -> Exit {
    if args.files.is_empty() {
        print_error("name the files to merge, or - for standard input");
        return Exit::Usage;
    }
    let format = match args.format.as_deref().map(|name| (name, Format::named(name))) {
        None => None,
        Some((_, Some(format))) => Some(format),
        Some((_, None)) => {
            let names = Format::ALL.map(|(name, _)| name).join(", ");
            print_error(&format!("--format must be one of {names}"));
            return Exit::Usage;
        }
    };
    let job = Job {
        files: args.files,
        format,
        output: args.output.map(PathBuf::from),
        command: format!("{NAME} {}", typed.join(" ")),
    };
    block_on(cores(), until_stopped(job))
}

/// A valid command line.
struct Job {
    files: Vec<String>,
    /// `None` chooses by where the output goes.
    format: Option<Format>,
    output: Option<PathBuf>,
    /// The command line, for formats that keep it.
    command: String,
}

/// Merges on a thread, because files and pipes may block.
async fn until_stopped(job: Job) -> Exit {
    let mut stop = match Stop::try_new() {
        Ok(stop) => stop,
        Err(error) => return failed(&format!("cannot handle signals: {error}")),
    };
    let (sender, merged) = oneshot::channel();
    // The receiver is gone after a signal.
    let work = move || {
        let _ = sender.send(merge(job));
    };
    if let Err(error) = thread::Builder::new().name("merge".into()).spawn(work) {
        return failed(&format!("cannot start a thread: {error}"));
    }
    tokio::select! {
        biased;
        signal = stop.heard() => {
            unfinished::discard();
            Exit::Signalled(signal)
        }
        exit = merged => exit.unwrap_or(Exit::Failure),
    }
}

fn merge(job: Job) -> Exit {
    let mut files = Vec::with_capacity(job.files.len());
    for name in &job.files {
        match File::open(name).and_then(File::look) {
            Ok(file) => files.push(file),
            Err(error) => return error.print(name),
        }
    }
    let sources: Vec<_> = files.iter().map(File::source).collect();
    let merge = match Merge::try_new(&sources) {
        Ok(merge) => merge,
        Err(error) => {
            print_error(&error.to_string());
            return Exit::Usage;
        }
    };
    let by_host = job.format.filter(|format| format.is_by_host());
    let records = merge.whole.iter().chain(&merge.cut).find(|&&at| files[at].form == Form::Records);
    if let (Some(_), Some(&at)) = (by_host, records) {
        let name = &files[at].name;
        print_error(&format!(
            "--format must be table, plain, ndjson or csv: {name} is NDJSON, which has no counts \
             of each host"
        ));
        return Exit::Usage;
    }
    merge.remarks.iter().for_each(|remark| print_error(remark));
    let path = job.output.as_deref().filter(|&path| path != Path::new("-"));
    let sink = match Sink::open(path) {
        Ok(sink) => sink,
        Err(error) => {
            let name = path.unwrap_or(Path::new("the output")).display();
            return failed(&format!("cannot write {name}: {error}"));
        }
    };
    let is_terminal = sink.is_terminal();
    let format = job.format.unwrap_or(if is_terminal { Format::Table } else { Format::Plain });
    let head = Arc::new(Head {
        command: job.command,
        ports: merge.label.ports.clone(),
        details: files.iter().any(|file| file.details),
        started: SystemTime::now(),
        order: TypedOrder::default(),
        host_width: files.iter().map(|file| file.host_width).max().unwrap_or_default(),
        origins: Origins::default(),
        expects: true,
        against: None,
    });
    let colour = if path.is_none() { style::colour(is_terminal) } else { Colour::No };
    let printer = Printer::new(format, head, BufWriter::new(sink)).with_colour(colour);
    Merged::new(format, printer, merge).write(&mut files)
}
