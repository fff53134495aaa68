//! Exit statuses.

use std::io;
use std::process::ExitCode;

use super::{failed, print_error, refused};

/// How a command ended. If several apply, the first in this order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Exit {
    /// By the signal of this number.
    Signalled(u8),
    /// Something failed that is no result of a scan.
    Failure,
    /// The command line, or a list, is invalid.
    Usage,
    /// A name has no address.
    NotResolved,
    /// An open port was not expected, or an expected port is not open.
    Unexpected,
    /// The reader of the output closed it, and what is known was not printed.
    ReaderLeft,
    /// Not everything was scanned.
    Incomplete,
    /// Success: every port of a scan has its state.
    Whole,
}

impl Exit {
    /// The number that the process ends with.
    pub(super) fn status(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Failure => 1,
            // As in shells, for their built-ins.
            Self::Usage => 2,
            Self::NotResolved => 3,
            Self::Incomplete => 4,
            Self::Unexpected => 5,
            Self::Signalled(signal) => SIGNALLED + signal,
            // As of programs that let the signal end them, like grep and cat. 0, which some
            // others return, would mean that everything was scanned, and as expected.
            Self::ReaderLeft => SIGNALLED + SIGPIPE,
        }
    }

    /// The end of a command whose output could not be written. A reader that closed
    /// the pipe has read enough: that is no error to print.
    pub(super) fn of_output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderLeft;
        }
        print_error(&format!("cannot write the output: {error}"));
        Self::Failure
    }
}

/// Why a command does nothing.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The command line, or a file that it names, is invalid.
    Usage(String),
    /// A file cannot be read or written.
    Failure(String),
}

impl Refusal {
    /// Prints the reason, and returns the end of the command.
    pub(super) fn print(self) -> Exit {
        match self {
            Self::Usage(reason) => refused(&reason),
            Self::Failure(reason) => failed(&reason),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}

/// What shells add to a signal's number to make the exit status of a process that
/// the signal ended.
pub(super) const SIGNALLED: u8 = 128;

/// Its number on Linux, signal(7).
const SIGPIPE: u8 = 13;
