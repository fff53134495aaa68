//! A network that answers by script.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::Network;
use crate::scan::outcome::{Answer, PortState, Reason, Sighting};
use crate::scan::plan::Target;

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    /// No socket can be made for it.
    NoSocket(Errno),
    /// The answer is there at once, and the event for it comes later.
    Now(Answer),
    /// The answer comes with an event.
    Soon(Answer),
    /// The answer comes without an event.
    Unnoticed(Answer),
    Never,
}

pub(crate) const OPEN: Answer = Answer::Port(PortState::Open, Reason::SynAck);
pub(crate) const CLOSED: Answer = Answer::Port(PortState::Closed, Reason::ConnRefused);

/// The script, and what was asked so far by all networks that follow it.
#[derive(Clone)]
pub(crate) struct Script(Arc<Inner>);

struct Inner {
    reply: Box<dyn Fn(Target, u32) -> Reply + Send + Sync>,
    asked: Mutex<Vec<Asked>>,
    attempts: Mutex<HashMap<Target, u32>>,
}

/// An attempt that was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    /// How many were in flight with it.
    pub(crate) in_flight: usize,
}

/// One fan-out's view of a script.
pub(crate) struct Scripted {
    script: Script,
    slots: Vec<Slot>,
    events: Vec<u32>,
}

struct Slot {
    reply: Option<Reply>,
    in_flight: bool,
}

impl Script {
    /// `reply` is given a target and the number of the attempt at it, from 1.
    pub(crate) fn new(reply: impl Fn(Target, u32) -> Reply + Send + Sync + 'static) -> Self {
        let (asked, attempts) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { reply: Box::new(reply), asked, attempts }))
    }

    pub(crate) fn network(&self) -> Scripted {
        Scripted { script: self.clone(), slots: Vec::new(), events: Vec::new() }
    }

    /// Every attempt that was made, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.0.asked.lock().unwrap().clone()
    }

    /// How often a socket was wanted for each target.
    pub(crate) fn attempts(&self) -> MutexGuard<'_, HashMap<Target, u32>> {
        self.0.attempts.lock().unwrap()
    }
}

impl Network for Scripted {
    fn open(&mut self, slot: u32, target: Target) -> Result<(), Errno> {
        while self.slots.len() <= slot as usize {
            self.slots.push(Slot { reply: None, in_flight: false });
        }
        let attempt = {
            let mut attempts = self.script.attempts();
            let attempt = attempts.entry(target).or_default();
            *attempt += 1;
            *attempt
        };
        let reply = (self.script.0.reply)(target, attempt);
        self.slots[slot as usize] = Slot { reply: Some(reply), in_flight: false };
        if let Reply::NoSocket(errno) = reply { Err(errno) } else { Ok(()) }
    }

    fn ask(&mut self, slot: u32) -> Option<Answer> {
        self.slots[slot as usize].in_flight = true;
        let in_flight = self.slots.iter().filter(|slot| slot.in_flight).count();
        self.script.0.asked.lock().unwrap().push(Asked { at: Instant::now(), in_flight });
        match self.slots[slot as usize].reply {
            Some(Reply::Now(_)) => {
                // It comes when the slot is idle, or has its next target.
                self.events.push(slot);
                return self.look(slot);
            }
            Some(Reply::Soon(_)) => self.events.push(slot),
            _ => {}
        }
        None
    }

    fn look(&mut self, slot: u32) -> Option<Answer> {
        let slot = &mut self.slots[slot as usize];
        match slot.reply {
            Some(Reply::Now(answer) | Reply::Soon(answer) | Reply::Unnoticed(answer)) => {
                slot.in_flight = false;
                Some(answer)
            }
            _ => None,
        }
    }

    fn sighting(&self, _slot: u32) -> Sighting {
        Sighting::Remote
    }

    fn handshake_time(&self, _slot: u32) -> Option<Duration> {
        Some(Duration::from_micros(100))
    }

    fn reset(&mut self, slot: u32) -> bool {
        self.slots[slot as usize].in_flight = false;
        true
    }

    fn close(&mut self, slot: u32) {
        self.slots[slot as usize].in_flight = false;
    }

    fn next_event(&mut self) -> Option<u32> {
        self.events.pop()
    }

    fn fetch(&mut self) {}

    fn poll_fetch(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}
