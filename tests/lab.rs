//! The network lab: scenarios with the real binary, in network namespaces.
//!
//! This program also runs on the lab's hosts: `scripts/lab` starts `lab wire` and
//! `lab listen`, `scripts/lab-bench` starts `lab bench`. It passes its own path to
//! the scripts, so they need not look for it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program of the tests")]

mod lab {
    //! The parts of the lab.
    pub(crate) mod attached;
    pub(crate) mod flips;
    pub(crate) mod flood;
    pub(crate) mod hosts;
    pub(crate) mod listen;
    pub(crate) mod loopback;
    pub(crate) mod routed;
    pub(crate) mod rows;
    pub(crate) mod run;
    pub(crate) mod scan;
    pub(crate) mod scenario;
    pub(crate) mod table;
    pub(crate) mod trials;
    pub(crate) mod verdict;
    pub(crate) mod wire;

    /// The program under test.
    pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_open-ports");
}

#[path = "support/ignored.rs"]
mod ignored;

use std::process::ExitCode;

use argh::FromArgs;
use lab::listen::{self, ListenArgs};
use lab::table::{self, BenchArgs};
use lab::trials;
use lab::wire::{self, WireArgs};

/// The programs of the network lab. With other arguments, its tests run.
#[derive(Debug, FromArgs)]
struct Args {
    #[argh(subcommand)]
    program: Program,
}

#[derive(Debug, FromArgs)]
#[argh(subcommand)]
enum Program {
    Bench(BenchArgs),
    Listen(ListenArgs),
    Wire(WireArgs),
}

fn main() -> ExitCode {
    let is_program = |word: String| ["bench", "listen", "wire"].contains(&word.as_str());
    if !std::env::args().nth(1).is_some_and(is_program) {
        let mut args = libtest_mimic::Arguments::from_args();
        // One at a time: each scenario needs the whole machine.
        args.test_threads = Some(1);
        return libtest_mimic::run(&args, trials::all()).exit_code();
    }
    let args: Args = argh::from_env();
    let ended = match &args.program {
        Program::Bench(args) => table::measure(args),
        Program::Listen(args) => listen::run(args),
        Program::Wire(args) => wire::run(args),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}
