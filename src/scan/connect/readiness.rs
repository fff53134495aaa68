//! A fan-out's own set of watched sockets: an epoll instance that the runtime
//! watches in turn.
//!
//! Sockets registered with tokio itself would not do: it keeps a hang-up for
//! good, and an unconnected or refused socket always hangs up, so a task that
//! reuses such sockets would spin.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::socket::ProbeSocket;

pub(super) struct Readiness {
    epoll: AsyncFd<OwnedFd>,
    /// Slots with events fetched and not yet handed out, last first.
    events: Vec<u32>,
}

impl Readiness {
    /// # Errors
    /// When the process or the system has no descriptor left.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O.
    pub(super) fn try_new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "its successor is an unsafe fn for descriptors not owned; this one is owned"
        )]
        let epoll = AsyncFd::with_interest(epoll, Interest::READABLE)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS_AT_ONCE) })
    }

    /// Watches `socket` from now until it is closed.
    // Edge-triggered: a reused socket needs no further epoll_ctl. One that has
    // its answer already is reported at once.
    pub(super) fn watch(&self, socket: &ProbeSocket, slot: u32) -> Result<(), Errno> {
        let data = EventData::new_u64(slot.into());
        epoll::add(self.epoll.get_ref(), socket, data, EventFlags::OUT | EventFlags::ET)
    }

    /// The slot of a socket on which something happened.
    pub(super) fn next_event(&mut self) -> Option<u32> {
        self.events.pop()
    }

    /// Fetches what has happened, without waiting.
    pub(super) fn fetch(&mut self) {
        fetch(self.epoll.get_ref(), &mut self.events);
    }

    /// Ready when something has happened, which is then fetched.
    pub(super) fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // An error is the runtime shutting down, and this task with it.
        while let Poll::Ready(Ok(mut guard)) = self.epoll.poll_read_ready(cx) {
            fetch(self.epoll.get_ref(), &mut self.events);
            if !self.events.is_empty() {
                return Poll::Ready(());
            }
            guard.clear_ready();
        }
        Poll::Pending
    }
}

fn fetch(epoll: &OwnedFd, events: &mut Vec<u32>) {
    if !events.is_empty() {
        return;
    }
    let mut room = [const { MaybeUninit::<Event>::uninit() }; EVENTS_AT_ONCE];
    // The descriptor is valid and nothing waits, so this can only fail by
    // EINTR, after which the next call will do.
    if let Ok((fetched, _)) = epoll::wait(epoll, &mut room, Some(&Timespec::default())) {
        let slots = fetched.iter().map(|event| u32::try_from(event.data.u64()));
        events.extend(slots.map(|slot| slot.expect("set as a slot, by `watch`")));
    }
}

/// Events fetched by one call: 3 KB, and the call's cost is spread thin enough.
const EVENTS_AT_ONCE: usize = 256;
