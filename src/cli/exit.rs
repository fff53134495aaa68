//! How a command ends, for shells and CI.

use std::io;
use std::process::ExitCode;

use super::print_error;

/// The end of a command; of several reasons, the first in this order is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Exit {
    /// A signal, by its number, ended it.
    Signalled(u8),
    /// Something failed that has nothing to do with what was scanned.
    Failure,
    /// The command line, or a list, makes no sense.
    Usage,
    /// A name has no address.
    NotResolved,
    /// Something is open that was not expected, or the other way round.
    Unexpected,
    /// Not everything was scanned.
    Incomplete,
    /// All went well: of a scan, every port has its state.
    Whole,
}

impl Exit {
    /// Ends a command whose output could not be written. A reader that went
    /// away has seen enough, and hears no more of it.
    pub(super) fn of_output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::Incomplete;
        }
        print_error(&format!("cannot write the output: {error}"));
        Self::Failure
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Whole => 0,
            Exit::Failure => 1,
            // As shells have it for their built-ins.
            Exit::Usage => 2,
            Exit::NotResolved => 3,
            Exit::Incomplete => 4,
            Exit::Unexpected => 5,
            Exit::Signalled(signal) => SIGNALLED + signal,
        })
    }
}

/// Exit status of a process that a signal ended, less the signal's number, as
/// shells have it.
pub(super) const SIGNALLED: u8 = 128;
