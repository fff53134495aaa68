//! The seam between a fan-out, which decides what to ask and when, and the
//! implementation that asks: sockets in a scan, a script in tests.

use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;

use crate::scan::outcome::{Answer, Sighting};
use crate::scan::plan::Target;

/// The network as a fan-out uses it: numbered slots, each with at most one attempt
/// in flight. A slot has to be opened before any other call about it.
pub(crate) trait Network {
    /// Prepares `slot` for attempts at `target`.
    fn open(&mut self, slot: u32, target: Target) -> Result<(), Errno>;

    /// Starts an attempt. `None` means that it is in flight: an event names the slot
    /// once there is an answer.
    fn ask(&mut self, slot: u32) -> Option<Answer>;

    /// The answer to the attempt in flight, if it has arrived.
    fn look(&mut self, slot: u32) -> Option<Answer>;

    /// How an open answer is to be read.
    fn sighting(&self, slot: u32) -> Sighting;

    /// How long an accepted attempt took, if that was measured.
    fn handshake_time(&self, slot: u32) -> Option<Duration>;

    /// Abandons the attempt, so that the slot can ask again. If that fails, the slot
    /// is closed and this returns false.
    fn reset(&mut self, slot: u32) -> bool;

    /// Closes the descriptor of `slot`.
    fn close(&mut self, slot: u32);

    /// The slot of the next fetched event, which may be about an earlier attempt.
    fn next_event(&mut self) -> Option<u32>;

    /// Fetches events, without waiting.
    fn fetch(&mut self);

    /// Ready once events were fetched.
    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

#[cfg(test)]
pub(crate) mod script;
