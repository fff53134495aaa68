//! `open-ports vantage`: the other end of a matrix in a pod.
//!
//! It runs the scans that its standard input asks for, one a line, and ends with its
//! input, so that nothing keeps running where nobody listens any more.

use std::io::{self, BufRead, Write};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use super::scan::{self, ScanArgs};
use super::{Exit, NAME, failed, print_error, start_runtime, stdout};
use crate::cli::exit::SIGNALLED;
use crate::matrix::DONE;
use crate::shutdown::StopSignals;

/// Run the scans that `open-ports matrix` asks for on standard input.
#[derive(Debug, FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "vantage",
    help_triggers("-h", "--help"),
    note = "It is what a matrix starts in a pod. Each line is the arguments of a scan as a JSON \
            array, like [\"10.0.0.1\",\"-p\",\"80\",\"--format\",\"ndjson\"]. Behind what the scan \
            prints, a line has its exit status. The end of the input ends all.",
    error_code(2, "a line is no JSON array of words")
)]
pub(super) struct VantageArgs {}

/// What happens next.
enum Next {
    Line(String),
    Stopped(u8),
}

pub(super) fn run(_: &VantageArgs) -> Exit {
    let (sender, next) = sync_channel(1);
    if let Err(error) = listen(&sender) {
        return failed(&format!("cannot listen: {error}"));
    }
    loop {
        match next.recv_timeout(MOST_IDLE) {
            Ok(Next::Line(line)) => match answer(&line) {
                Exit::Whole => {}
                exit => return exit,
            },
            Ok(Next::Stopped(signal)) => return Exit::Signalled(signal),
            Err(RecvTimeoutError::Timeout) => return failed("nobody asked for a long time"),
            Err(RecvTimeoutError::Disconnected) => return Exit::Whole,
        }
    }
}

/// Listens to standard input and to signals from now on. As the first process of a
/// container, it would not even end by SIGTERM otherwise.
fn listen(next: &SyncSender<Next>) -> io::Result<()> {
    let lines = next.clone();
    thread::Builder::new().name("questions".into()).spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if lines.send(Next::Line(line)).is_err() {
                return;
            }
        }
        // Who closes the input reads no answer either.
        std::process::exit(0);
    })?;
    let signals = next.clone();
    let runtime = start_runtime(std::num::NonZeroUsize::MIN)?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        let signal = runtime.block_on(async {
            match StopSignals::try_new() {
                Ok(mut caught) => caught.next().await,
                Err(_) => std::future::pending().await,
            }
        });
        // A scan that runs hears it too, and prints what it knows.
        let _ = signals.send(Next::Stopped(signal));
    })?;
    Ok(())
}

/// Runs one scan. Returns how it ended only if nothing can follow.
fn answer(line: &str) -> Exit {
    let Ok(words) = serde_json::from_str::<Vec<String>>(line) else {
        print_error("a line is no JSON array of words");
        return Exit::Usage;
    };
    let borrowed: Vec<&str> = words.iter().map(String::as_str).collect();
    let exit = match ScanArgs::from_args(&[NAME, "scan"], &borrowed) {
        Ok(args) => scan::run(&args, &words),
        Err(early) => {
            print_error(early.output.trim_end());
            Exit::Usage
        }
    };
    if let Exit::Signalled(_) | Exit::ReaderLeft = exit {
        return exit;
    }
    let status = exit.status();
    debug_assert!(status < SIGNALLED, "{exit:?}");
    let done = stdout::stdout().and_then(|mut stdout| writeln!(stdout, "{DONE}{status}}}"));
    done.map_or_else(|error| Exit::of_output(&error), |()| Exit::Whole)
}

/// How long it waits for a question. A matrix asks again within seconds, or after the
/// slowest of its vantages.
const MOST_IDLE: Duration = Duration::from_secs(600);
