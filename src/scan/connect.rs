//! Asks targets with `connect`: one socket per slot of a fan-out, and a readiness
//! set that reports which of them have an answer.
//!
//! This is the only module of the engine that uses socket2 and nix.

mod icmp;
mod readiness;
pub(super) mod route;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;

use self::readiness::Readiness;
use self::socket::ProbeSocket;
pub(super) use self::socket::knock;
use super::fanout::network::Network;
use super::outcome::{Answer, Sighting};
use super::plan::{ScanPlan, Target};

/// The sockets of one fan-out.
pub(super) struct Sockets {
    plan: Arc<ScanPlan>,
    slots: Vec<Slot>,
    readiness: Readiness,
    /// Attempts in a row that had no answer when `connect` returned.
    late_answers: u32,
}

struct Slot {
    socket: Option<ProbeSocket>,
    /// Whether the socket is in the readiness set.
    watched: bool,
    /// The address and port of its target.
    at: SocketAddr,
}

impl Sockets {
    /// No sockets yet, for targets of `plan`.
    ///
    /// # Errors
    /// When the system cannot make a readiness set.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O.
    pub(super) fn try_new(plan: Arc<ScanPlan>) -> Result<Self, Errno> {
        let readiness = Readiness::try_new().map_err(|error| errno_of(&error))?;
        Ok(Self { plan, slots: Vec::new(), readiness, late_answers: 0 })
    }

    fn socket(&self, slot: u32) -> Option<&ProbeSocket> {
        self.slots[slot as usize].socket.as_ref()
    }
}

impl Network for Sockets {
    fn open(&mut self, slot: u32, target: Target) -> Result<(), Errno> {
        let at = self.plan.socket_addr(target);
        while self.slots.len() <= slot as usize {
            self.slots.push(Slot { socket: None, watched: false, at });
        }
        let slot = &mut self.slots[slot as usize];
        slot.at = at;
        if !slot.socket.as_ref().is_some_and(|socket| socket.serves(at.ip())) {
            slot.watched = false;
            let made = ProbeSocket::try_new(at.ip()).map_err(|error| errno_of(&error))?;
            slot.socket = Some(made);
        }
        Ok(())
    }

    fn ask(&mut self, slot: u32) -> Option<Answer> {
        let Slot { socket, watched, at } = &mut self.slots[slot as usize];
        let socket = socket.as_ref()?;
        let mut answer = socket.ask(at);
        // A target on this host or one hop away has often answered before `connect`
        // returns. For other targets the second call would be wasted.
        if answer.is_none()
            && (self.late_answers < LATE_ANSWERS || self.late_answers.is_multiple_of(LATE_ANSWERS))
        {
            answer = socket.look(at);
        }
        if answer.is_some() {
            self.late_answers = 0;
            return answer;
        }
        self.late_answers = self.late_answers.wrapping_add(1);
        if !*watched {
            if let Err(errno) = self.readiness.watch(socket, slot) {
                return Some(Answer::Short(errno));
            }
            *watched = true;
        }
        None
    }

    fn look(&mut self, slot: u32) -> Option<Answer> {
        let Slot { socket, at, .. } = &self.slots[slot as usize];
        socket.as_ref()?.look(at)
    }

    fn sighting(&self, slot: u32) -> Sighting {
        let Slot { socket, at, .. } = &self.slots[slot as usize];
        socket.as_ref().map_or(Sighting::Remote, |socket| socket.sighting(at))
    }

    fn handshake_time(&self, slot: u32) -> Option<Duration> {
        self.socket(slot)?.handshake_time()
    }

    fn reset(&mut self, slot: u32) -> bool {
        let reset = self.socket(slot).is_some_and(|socket| socket.reset().is_ok());
        if !reset {
            self.close(slot);
        }
        reset
    }

    fn close(&mut self, slot: u32) {
        let slot = &mut self.slots[slot as usize];
        slot.socket = None;
        slot.watched = false;
    }

    fn next_event(&mut self) -> Option<u32> {
        self.readiness.next_event()
    }

    fn fetch(&mut self) {
        self.readiness.fetch();
    }

    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.readiness.poll_fetch(cx)
    }
}

/// The errno of `error`. One without an errno is reported as EINVAL, which has no
/// meaning here either.
fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::INVAL)
}

/// After this many attempts in a row without an answer when `connect` returned, only
/// one in this many is looked at twice.
const LATE_ANSWERS: u32 = 64;
