//! Where the probes of a fan-out sit: each slot has room for one at a time, and
//! holds on to its socket from one to the next.

use std::net::SocketAddr;
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant};

use crate::scan::budget::{DescriptorBudget, Share};
use crate::scan::connect::{ProbeSocket, Sighting};
use crate::scan::outcome::{Answer, PortState, Reason, Verdict};
use crate::scan::plan::{ScanPlan, Target};

/// The slots of a fan-out, and its share of the descriptors.
pub(crate) struct Slots {
    slots: Vec<Slot>,
    /// Slots with a socket and without work.
    idle: Vec<u32>,
    /// Slots without a socket.
    vacant: Vec<u32>,
    share: Share,
}

/// Room for one probe at a time.
pub(crate) struct Slot {
    pub(crate) socket: Option<ProbeSocket>,
    /// Whether the socket is in the readiness set.
    pub(crate) watched: bool,
    pub(crate) probe: Probe,
}

/// The work on one target.
pub(crate) struct Probe {
    pub(crate) target: Target,
    /// Where the target is.
    pub(crate) at: SocketAddr,
    /// When the present attempt began.
    pub(crate) started: Instant,
    /// The rtt of a first attempt that found the port open on this host.
    pub(crate) seen_open: Option<Duration>,
    pub(crate) self_connects: u8,
}

/// What an attempt's answer comes to.
pub(crate) enum Judgement {
    Verdict(Verdict, Option<Duration>),
    /// A probe of this host may have met another, or itself.
    AskAgain,
}

impl Slots {
    /// No slots yet. Waits until the budget has descriptors for them.
    pub(crate) async fn join(budget: Arc<DescriptorBudget>) -> Self {
        let share = Share::join(budget).await;
        Self { slots: Vec::new(), idle: Vec::new(), vacant: Vec::new(), share }
    }

    /// Gives `target` a slot, and the right to a descriptor with it. If there is
    /// none, the task is woken when one comes free elsewhere.
    pub(crate) fn seat(
        &mut self,
        cx: &mut Context<'_>,
        target: Target,
        plan: &ScanPlan,
    ) -> Option<u32> {
        let (at, started) = (plan.socket_addr(target), Instant::now());
        let probe = Probe { target, at, started, seen_open: None, self_connects: 0 };
        let slot = match self.idle.pop() {
            Some(slot) => Some(slot),
            None => {
                while !self.share.try_grow() {
                    if self.share.poll_grow(cx).is_pending() {
                        return None;
                    }
                }
                self.vacant.pop()
            }
        };
        if let Some(slot) = slot {
            self[slot].probe = probe;
            return Some(slot);
        }
        self.slots.push(Slot { socket: None, watched: false, probe });
        Some(u32::try_from(self.slots.len() - 1).expect("fewer slots than descriptors"))
    }

    /// Ends the work of `slot` and keeps its socket for the next target, unless
    /// others are to have the descriptor.
    pub(crate) fn rest(&mut self, slot: u32) {
        if self.share.is_over() {
            self.vacate(slot);
        } else {
            self.idle.push(slot);
        }
    }

    /// Ends the work of `slot`, closes its socket and gives the descriptor back.
    pub(crate) fn vacate(&mut self, slot: u32) {
        let vacated = &mut self[slot];
        vacated.socket = None;
        vacated.watched = false;
        self.vacant.push(slot);
        self.share.shrink();
    }

    /// Gives back every descriptor that is not at work.
    pub(crate) fn vacate_idle(&mut self) {
        for slot in std::mem::take(&mut self.idle) {
            self.vacate(slot);
        }
    }
}

impl Index<u32> for Slots {
    type Output = Slot;

    fn index(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }
}

impl IndexMut<u32> for Slots {
    fn index_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }
}

impl Slot {
    /// Asks how the attempt stands; `None` while it is in flight.
    pub(crate) fn look(&self) -> Option<Answer> {
        self.socket.as_ref().and_then(|socket| socket.look(&self.probe.at))
    }

    /// Reads a port's state as found by an attempt that took `rtt`.
    pub(crate) fn judge(
        &mut self,
        state: PortState,
        reason: Reason,
        rtt: Option<Duration>,
    ) -> Judgement {
        let Self { socket, probe, .. } = self;
        match (state, probe.seen_open) {
            (PortState::Open, seen_open) => {
                match socket.as_ref().map(|socket| socket.sighting(&probe.at)) {
                    Some(Sighting::Itself) if probe.self_connects < MAX_SELF_CONNECTS => {
                        probe.self_connects += 1;
                        Judgement::AskAgain
                    }
                    Some(Sighting::Itself) => {
                        let verdict = Verdict::Port(PortState::Closed, Reason::ConnRefused);
                        Judgement::Verdict(verdict, rtt)
                    }
                    // Also a second attempt can meet itself, so only a listener
                    // is left to answer two that did not.
                    Some(Sighting::Local) if seen_open.is_none() => {
                        probe.seen_open = rtt;
                        Judgement::AskAgain
                    }
                    _ => Judgement::Verdict(Verdict::Port(state, reason), seen_open.or(rtt)),
                }
            }
            // A probe that crossed ours is gone by the second attempt, which is
            // then refused. Silence instead is a listener whose queue is full.
            (PortState::Filtered, Some(first_rtt)) => {
                let verdict = Verdict::Port(PortState::Open, Reason::SynAck);
                Judgement::Verdict(verdict, Some(first_rtt))
            }
            _ => Judgement::Verdict(Verdict::Port(state, reason), rtt),
        }
    }

    /// Makes the socket fit for another attempt, if that can be done.
    pub(crate) fn reset(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.reset().is_ok())
    }
}

/// The kernel picks source ports so that meeting the target again is a chance
/// of 1 in 28,232; eight times in a row does not happen.
const MAX_SELF_CONNECTS: u8 = 8;
