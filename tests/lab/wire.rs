//! The wire between two hosts of the lab: it carries frames between two interfaces,
//! and delays, loses or reorders some of them.
//!
//! It runs in its own network namespace, which has the inner ends of two veth pairs.
//! On SIGTERM it prints one line of JSON that accounts for every frame. `dropped`
//! counts those that it was too slow for, and has to be 0.

mod link;
mod tap;
mod transit;

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Instant;

use argh::FromArgs;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use serde::{Deserialize, Serialize};

use self::link::{Fate, Link, LinkSettings};
pub(crate) use self::tap::{BATCH, SendError, Tap};
use self::transit::Transit;

/// Carry frames between two interfaces.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "wire")]
pub(crate) struct WireArgs {
    /// the interface towards the scanner
    #[argh(option)]
    near: String,
    /// the interface towards the target
    #[argh(option)]
    far: String,
    /// how frames to the target are treated
    #[argh(option, default = "LinkSettings::default()")]
    there: LinkSettings,
    /// how frames from the target are treated
    #[argh(option, default = "LinkSettings::default()")]
    back: LinkSettings,
    /// the seed of all random choices
    #[argh(option, default = "1")]
    seed: u64,
}

/// Counts of the frames that entered one direction of the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// Lost on purpose, by the `loss` setting.
    pub(crate) lost: u64,
    /// Lost on purpose, because the `queue` was full.
    pub(crate) overflowed: u64,
    pub(crate) overtook: u64,
    /// Still on the wire when it stopped.
    pub(crate) under_way: u64,
    /// Lost because the wire or its interfaces were too slow or had no room.
    pub(crate) dropped: u64,
}

/// The accounts of both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accounts {
    pub(crate) there: Account,
    pub(crate) back: Account,
}

/// Carries frames until SIGTERM or SIGINT, then prints the [`Accounts`].
pub(crate) fn run(args: &WireArgs) -> io::Result<()> {
    // By default Linux may add 50 us to a sleep, about as much as the shortest delays.
    prctl::set_timerslack(1)?;
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    signals.thread_block()?;
    let stop = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let (mut near, mut far) = (Tap::try_new(&args.near)?, Tap::try_new(&args.far)?);
    let mut there = Direction::new(args.there, args.seed);
    let mut back = Direction::new(args.back, !args.seed);
    let mut out = io::stdout();
    writeln!(out, "{READY}")?;
    out.flush()?;
    while stop.read_signal()?.is_none() {
        let busy = there.carry(&mut near, &mut far)? | back.carry(&mut far, &mut near)?;
        if !busy {
            wait(&stop, [(&near, &there), (&far, &back)])?;
        }
    }
    let accounts =
        Accounts { there: there.finish(&mut near, &far)?, back: back.finish(&mut far, &near)? };
    // The process that started the wire may have ended.
    let _ = writeln!(out, "{}", serde_json::to_string(&accounts)?);
    Ok(())
}

/// Sleeps until a frame arrives, the next one is due, or a signal.
// A tap receives the frames of one direction and sends those of the other.
fn wait(stop: &SignalFd, ends: [(&Tap, &Direction); 2]) -> io::Result<()> {
    let [(near, there), (far, back)] = ends;
    let interest = |sends: &Direction| match sends.blocked {
        true => PollFlags::POLLIN | PollFlags::POLLOUT,
        false => PollFlags::POLLIN,
    };
    let mut watched = [
        PollFd::new(stop.as_fd(), PollFlags::POLLIN),
        PollFd::new(near.as_fd(), interest(back)),
        PollFd::new(far.as_fd(), interest(there)),
    ];
    let due = [there, back].into_iter().filter(|direction| !direction.blocked);
    let due = due.filter_map(|direction| direction.transit.next_arrival()).min();
    let nap = due.map(|due| TimeSpec::from(due.saturating_duration_since(Instant::now())));
    match ppoll(&mut watched, nap, None) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// One direction: its link, the frames on it, and its account.
struct Direction {
    link: Link,
    transit: Transit<Box<[u8]>>,
    /// Frames that are due, in the order to send them in.
    outgoing: Vec<Box<[u8]>>,
    /// Whether the outgoing interface has no room at the moment.
    blocked: bool,
    account: Account,
}

impl Direction {
    fn new(settings: LinkSettings, seed: u64) -> Self {
        Self {
            link: Link::new(settings, seed),
            transit: Transit::new(),
            outgoing: Vec::with_capacity(BATCH),
            blocked: false,
            account: Account::default(),
        }
    }

    /// Receives a batch and sends a batch; returns whether there was anything to do.
    fn carry(&mut self, from: &mut Tap, to: &mut Tap) -> io::Result<bool> {
        let now = Instant::now();
        let came_in = self.take_in(from, now)?;
        while self.outgoing.len() < BATCH
            && let Some(frame) = self.transit.next_arrived(now)
        {
            self.outgoing.push(frame);
        }
        let went_out = self.put_out(to);
        Ok(came_in > 0 || went_out > 0)
    }

    fn take_in(&mut self, from: &mut Tap, now: Instant) -> io::Result<usize> {
        let (link, transit, account) = (&mut self.link, &mut self.transit, &mut self.account);
        from.receive(|frame| {
            account.received += 1;
            let arrives = match link.admit(now) {
                Fate::Lost => return account.lost += 1,
                Fate::Overflowed => return account.overflowed += 1,
                Fate::Passes(arrives) => arrives,
                Fate::Overtakes(arrives) => {
                    account.overtook += 1;
                    arrives
                }
            };
            transit.enter(frame.into(), arrives);
        })
    }

    fn put_out(&mut self, to: &mut Tap) -> usize {
        if self.outgoing.is_empty() {
            return 0;
        }
        self.blocked = false;
        match to.send(&self.outgoing) {
            Ok(sent) => {
                self.outgoing.drain(..sent);
                self.account.sent += sent as u64;
                sent
            }
            Err(SendError::Full) => {
                self.blocked = true;
                0
            }
            Err(SendError::Refused) => {
                self.outgoing.remove(0);
                self.account.dropped += 1;
                1
            }
        }
    }

    /// The final account.
    fn finish(mut self, from: &mut Tap, to: &Tap) -> io::Result<Account> {
        while self.take_in(from, Instant::now())? > 0 {}
        self.account.under_way = (self.transit.len() + self.outgoing.len()) as u64;
        self.account.dropped += from.missed()? + to.refused()?;
        Ok(self.account)
    }
}

/// What the wire prints when it is ready.
pub(crate) const READY: &str = "ready";
