//! The wire between two hosts of the lab: carries frames from one interface to
//! the other and back, late, and not all of them.
//!
//! It runs in a network namespace of its own, holds the middle ends of two
//! veth pairs, and stops on SIGTERM with one line of JSON that accounts for
//! every frame; `dropped`, what it lost for want of speed, has to be 0.

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
    /// what all draws follow from
    #[argh(option, default = "1")]
    seed: u64,
}

/// What became of the frames that entered one direction of the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// By the loss that was asked for.
    pub(crate) lost: u64,
    /// By the queue that was asked for.
    pub(crate) overflowed: u64,
    pub(crate) overtook: u64,
    /// Still on their way when the wire was told to stop.
    pub(crate) under_way: u64,
    /// For want of speed, or of room, in the wire itself or its interfaces.
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
    // Linux may add 50 us to any sleep; the shortest delays are of that order.
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
    // Whoever started the wire may be gone by now.
    let _ = writeln!(out, "{}", serde_json::to_string(&accounts)?);
    Ok(())
}

/// Sleeps until a frame comes in, the next one is due out, or a signal.
// A tap takes in what comes for one direction and sends out the other's.
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

/// One direction: a link, what is under way on it, and the account.
struct Direction {
    link: Link,
    transit: Transit<Box<[u8]>>,
    /// Frames that have arrived and are to go out, in order.
    outgoing: Vec<Box<[u8]>>,
    /// Whether the way out has no room just now.
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

    /// Takes a batch in and puts a batch out; whether there was anything to do.
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

    /// The account, now that no more is carried.
    fn finish(mut self, from: &mut Tap, to: &Tap) -> io::Result<Account> {
        while self.take_in(from, Instant::now())? > 0 {}
        self.account.under_way = (self.transit.len() + self.outgoing.len()) as u64;
        self.account.dropped += from.missed()? + to.refused()?;
        Ok(self.account)
    }
}

/// What the wire prints once it carries frames.
pub(crate) const READY: &str = "ready";
