//! The seam between a fan-out, which decides what to ask and when, and whatever
//! asks it: the kernel's sockets in a scan, a script in tests.

use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;

use crate::scan::outcome::{Answer, Sighting};
use crate::scan::plan::Target;

/// The network as a fan-out sees it: numbered slots, each with one attempt in
/// flight at most. A slot is opened before anything else is asked of it.
pub(crate) trait Network {
    /// Prepares `slot` for attempts at `target`.
    fn open(&mut self, slot: u32, target: Target) -> Result<(), Errno>;

    /// Starts an attempt; `None` while it is in flight. Then an event names the
    /// slot when there is an answer to look at.
    fn ask(&mut self, slot: u32) -> Option<Answer>;

    /// The answer to the attempt in flight, if it has come.
    fn look(&mut self, slot: u32) -> Option<Answer>;

    /// How an open answer is to be read.
    fn sighting(&self, slot: u32) -> Sighting;

    /// How long an accepted attempt took, if that was measured.
    fn handshake_time(&self, slot: u32) -> Option<Duration>;

    /// Abandons the attempt, so that the slot can ask again. False if it has to
    /// be opened or closed first.
    fn reset(&mut self, slot: u32) -> bool;

    /// Frees the descriptor of `slot`.
    fn close(&mut self, slot: u32);

    /// The slot of an event that was fetched. It may be about an earlier attempt.
    fn next_event(&mut self) -> Option<u32>;

    /// Fetches events, without waiting.
    fn fetch(&mut self);

    /// Ready when there are events, which are then fetched.
    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

#[cfg(test)]
pub(crate) mod script;
