//! The command line.
//!
//! Each command has a file: its arguments, and what it does.

mod completions;
mod diff;
mod doctor;
mod engine;
mod environment;
mod exit;
mod healthcheck;
mod help;
mod matrix;
mod merge;
mod runtime;
mod scan;
mod serve;
mod stdout;
mod stop;
mod suggest;
mod unfinished;
mod vantage;
mod watch;
mod words;

use std::cmp::Reverse;
use std::ffi::OsString;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use argh::{ArgsInfo, CommandInfoWithArgs, FromArgs};

use self::exit::Exit;
use self::runtime::start_runtime;
use crate::printable::Printable;

/// Report which TCP ports of a host are open. Without a command: serve.
#[derive(Debug, FromArgs, ArgsInfo)]
#[argh(help_triggers("-h", "--help", "help"))]
struct Args {
    /// print the version and stop
    #[argh(switch, short = 'V')]
    version: bool,
    #[argh(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, FromArgs, ArgsInfo)]
#[argh(subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, once")]
enum Command {
    Serve(serve::ServeArgs),
    Scan(scan::ScanArgs),
    Watch(watch::WatchArgs),
    Matrix(matrix::MatrixArgs),
    Merge(merge::MergeArgs),
    Diff(diff::DiffArgs),
    Doctor(doctor::DoctorArgs),
    Healthcheck(healthcheck::HealthcheckArgs),
    Vantage(vantage::VantageArgs),
    Completions(completions::CompletionsArgs),
}

/// Runs the command that `arguments`, the program's name first, ask for.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    run_words(arguments).into()
}

fn run_words(arguments: impl Iterator<Item = OsString>) -> Exit {
    let Ok(mut words) = arguments.map(OsString::into_string).collect::<Result<Vec<_>, _>>() else {
        return refused("an argument is not UTF-8");
    };
    let program = if words.is_empty() { NAME.to_owned() } else { words.remove(0) };
    let program = Printable(program.rsplit('/').next().unwrap_or(NAME)).to_string();
    let is_plugin = program == PLUGIN;
    let program = if is_plugin { PLUGIN_TYPED.to_owned() } else { program };
    // Nobody starts a service by the name of a plugin.
    let typed = if is_plugin && words.is_empty() { vec!["--help".to_owned()] } else { words };
    let words = words::for_argh(&typed);
    let words = words::with_standard_input(&words);
    let info = Args::get_args_info();
    if let Some(objection) = suggest::objection(&info, &typed, &words) {
        return refused(&objection);
    }
    let args = match Args::from_args(&[&program], &words) {
        Ok(args) => args,
        Err(early) if early.status.is_ok() => return print_help(&program, &info, &words),
        Err(early) => {
            print_lines(&name_safely(&early.output, &words));
            return Exit::Usage;
        }
    };
    if args.version {
        return print(VERSION);
    }
    match args.command {
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Scan(args)) => scan::run(&args, &typed),
        Some(Command::Watch(args)) => watch::run(&args),
        Some(Command::Matrix(args)) => matrix::run(&args, &typed),
        Some(Command::Merge(args)) => merge::run(args, &typed),
        Some(Command::Diff(args)) => diff::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Healthcheck(args)) => healthcheck::run(&args),
        Some(Command::Vantage(args)) => vantage::run(&args),
        Some(Command::Completions(args)) => completions::run(&args),
        None => Exit::Usage,
    }
}

/// The number of cores that this process may use, by its affinity mask and its
/// cgroup's CPU quota.
fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Prints the help of the command that `words` name, or of the program.
fn print_help(program: &str, info: &CommandInfoWithArgs, words: &[&str]) -> Exit {
    let command = info.commands.iter().find(|command| words.first() == Some(&command.name));
    let text = match command {
        Some(command) => help::help(&format!("{program} {}", command.name), &command.command),
        None => help::help(program, info),
    };
    print(text.trim_end())
}

/// Prints the only output of a command.
fn print(text: &str) -> Exit {
    match stdout::stdout().and_then(|mut stdout| writeln!(stdout, "{text}")) {
        Ok(()) => Exit::Whole,
        Err(error) => Exit::of_output(&error),
    }
}

/// Prints an error on one line, even if it repeats typed words that have line
/// breaks or control characters.
fn print_error(text: &str) {
    print_lines(&Printable(text).to_string());
}

// If standard error cannot be written, there is nowhere to report that.
fn print_lines(text: &str) {
    let _ = stop::waiting(|| writeln!(io::stderr(), "{NAME}: {text}"));
}

/// A message of argh, which may have several lines, with the typed words made
/// printable.
fn name_safely(message: &str, words: &[&str]) -> String {
    let mut words: Vec<_> = words.iter().map(|word| (word, Printable(word).to_string())).collect();
    words.retain(|(word, shown)| **word != shown);
    // A word may be part of a longer one.
    words.sort_by_key(|(word, _)| Reverse(word.len()));
    let message = message.trim_end().to_owned();
    let message = words.iter().fold(message, |text, (word, shown)| text.replace(**word, shown));
    let lines: Vec<String> = message.lines().map(|line| Printable(line).to_string()).collect();
    lines.join("\n")
}

/// Prints an error, but does not wait long for a reader.
fn print_error_briefly(text: &str) {
    let (printed, done) = sync_channel(1);
    let owned = text.to_owned();
    let print = move || {
        print_error(&owned);
        let _ = printed.send(());
    };
    match thread::Builder::new().spawn(print) {
        Ok(_) => drop(done.recv_timeout(PRINT_PATIENCE)),
        // Too few threads: probably what the error is about.
        Err(_) => print_error(text),
    }
}

fn failed(reason: &str) -> Exit {
    print_error(reason);
    Exit::Failure
}

fn refused(reason: &str) -> Exit {
    print_error(reason);
    Exit::Usage
}

const NAME: &str = "open-ports";

/// The file that kubectl looks for when somebody types `kubectl open-ports`.
const PLUGIN: &str = "kubectl-open_ports";

/// What is typed then.
const PLUGIN_TYPED: &str = "kubectl open-ports";

/// What `--version` prints. build.rs sets the revision.
const VERSION: &str =
    concat!("open-ports ", env!("CARGO_PKG_VERSION"), " (revision ", env!("BUILD_REVISION"), ")");

/// How long an error may take to be written: longer than any running reader needs.
const PRINT_PATIENCE: Duration = Duration::from_secs(1);
