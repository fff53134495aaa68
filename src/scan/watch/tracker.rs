//! What overlapping probes of one port come to. No I/O, and no clock.
//!
//! Probes are judged in the order in which they started, however late each of them
//! ends. An answer counts at once. Silence counts only once several probes in a row
//! have ended in it, because any one of them may have been lost; then the change is
//! dated by the first of them. So a port that stayed silent for less time than a probe
//! waits is noticed as well, after the fact.

use std::collections::VecDeque;
use std::time::Instant;

use super::loss::Loss;
use crate::scan::outcome::{PortState, Reason};

/// The probes of one port, and what is known of it.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    known: Option<Known>,
    /// Probes that have no place in `known` yet, in the order of their starts.
    probes: VecDeque<Sent>,
    /// The number of the first of them.
    first: u32,
    /// Whether one of them waits longer than the others.
    is_patient: bool,
    loss: Loss,
}

/// What is known of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The state.
    pub state: PortState,
    /// Why.
    pub reason: Reason,
    /// When the first probe started that found it so.
    pub since: Instant,
    /// When the last probe started that did.
    pub last: Instant,
}

/// A state that a port did not have before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Noticed {
    /// The state before; `None` at first.
    pub(crate) from: Option<PortState>,
    pub(crate) to: PortState,
    pub(crate) reason: Reason,
    /// When the first probe started that found it so.
    pub(crate) at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    started: Instant,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waits,
    /// It was silent for as long as the others wait, and waits on.
    WaitsOn,
    Silent,
    Answered(PortState, Reason),
    /// It says nothing: it was never sent, or nobody waited long enough for it.
    Void,
}

impl Tracker {
    /// What is known so far.
    pub(crate) fn known(&self) -> Option<Known> {
        self.known
    }

    /// Adds a probe that starts at `now`; returns its number.
    pub(crate) fn ask(&mut self, now: Instant) -> u32 {
        self.probes.push_back(Sent { started: now, fate: Fate::Waits });
        let after = u32::try_from(self.probes.len() - 1).expect("fewer probes than descriptors");
        self.first.wrapping_add(after)
    }

    /// A probe could not be sent, or its answer may be about a later time.
    pub(crate) fn abandon(&mut self, number: u32) {
        self.end(number, Fate::Void);
    }

    /// A probe was answered.
    pub(crate) fn answer(&mut self, number: u32, state: PortState, reason: Reason) {
        if self.end(number, Fate::Answered(state, reason)) == Some(Fate::WaitsOn) {
            // The others were given up too early: their silence says nothing.
            let silent = self.probes.iter_mut().filter(|sent| sent.fate == Fate::Silent);
            silent.for_each(|sent| sent.fate = Fate::Void);
        }
    }

    /// A probe was silent for as long as usual. True if it is to wait on, longer than
    /// any answer is expected to take; there is one such probe at a time.
    pub(crate) fn falls_silent(&mut self, number: u32) -> bool {
        if !self.is_patient && self.fate(number).is_some_and(|fate| *fate == Fate::Waits) {
            self.is_patient = true;
            self.end(number, Fate::WaitsOn);
            return true;
        }
        self.end(number, Fate::Silent);
        false
    }

    /// Nobody waits for a probe any more.
    pub(crate) fn stays_silent(&mut self, number: u32) {
        self.end(number, Fate::Silent);
    }

    /// Whether a further probe would help: silence has begun that may be lost packets.
    pub(crate) fn is_in_doubt(&self) -> bool {
        if self.is_filtered() {
            return false;
        }
        let unanswered = self.probes.iter().filter(|sent| sent.is_unanswered()).count();
        let has_ended = |sent: &Sent| matches!(sent.fate, Fate::Silent | Fate::WaitsOn);
        unanswered < self.loss.silences() && self.probes.iter().any(has_ended)
    }

    /// The next state that the probes so far come to; `None` if there is none yet.
    pub(crate) fn next(&mut self) -> Option<Noticed> {
        loop {
            self.drop_while(|fate| fate == Fate::Void);
            let answered = self.probes.iter().position(Sent::is_answered);
            if self.is_filtered() {
                let Some(answered) = answered else {
                    self.note_silence();
                    return None;
                };
                if let Some(noticed) = self.take_answer(answered) {
                    return Some(noticed);
                }
                continue;
            }
            let silences = self.loss.silences();
            let ended = |sent: &&Sent| matches!(sent.fate, Fate::Silent | Fate::Void);
            let silent = self.probes.iter().take_while(ended);
            if silent.filter(|sent| sent.fate == Fate::Silent).count() >= silences {
                return Some(self.take_silence());
            }
            let answered = answered?;
            let before = self.probes.iter().take(answered);
            let lost = before.filter(|sent| sent.is_unanswered()).count();
            if lost >= silences {
                // They may still turn out to be a silence of their own.
                return None;
            }
            self.loss.note(lost);
            if let Some(noticed) = self.take_answer(answered) {
                return Some(noticed);
            }
        }
    }

    fn is_filtered(&self) -> bool {
        self.known.is_some_and(|known| known.state == PortState::Filtered)
    }

    /// Takes the answer at this position, and drops the probes before it.
    fn take_answer(&mut self, position: usize) -> Option<Noticed> {
        let sent = self.probes[position];
        let Fate::Answered(state, reason) = sent.fate else { return None };
        (0..=position).for_each(|_| self.drop_first());
        self.learn(state, reason, sent.started)
    }

    /// Takes the silence at the front, long enough to count.
    fn take_silence(&mut self) -> Noticed {
        let first = self.probes[0].started;
        let noticed = self.learn(PortState::Filtered, Reason::NoResponse, first);
        self.note_silence();
        noticed.expect("it was not filtered before")
    }

    /// Takes further silence of a filtered port.
    fn note_silence(&mut self) {
        let last = self.probes.iter().rev().find(|sent| sent.fate == Fate::Silent);
        if let (Some(known), Some(last)) = (&mut self.known, last) {
            known.last = known.last.max(last.started);
        }
        self.drop_while(|fate| matches!(fate, Fate::Silent | Fate::Void));
    }

    fn learn(&mut self, state: PortState, reason: Reason, at: Instant) -> Option<Noticed> {
        let before = self.known.filter(|known| known.state == state);
        let since = before.map_or(at, |known| known.since);
        let from = self.known.replace(Known { state, reason, since, last: at });
        let from = from.map(|known| known.state);
        before.is_none().then_some(Noticed { from, to: state, reason, at })
    }

    fn drop_while(&mut self, drops: impl Fn(Fate) -> bool) {
        while self.probes.front().is_some_and(|sent| drops(sent.fate)) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(sent) = self.probes.pop_front() {
            self.first = self.first.wrapping_add(1);
            // It still waits, but what comes of it counts no more.
            self.is_patient &= sent.fate != Fate::WaitsOn;
        }
    }

    /// Sets what became of a probe, unless that counts no more. Returns what it was.
    fn end(&mut self, number: u32, fate: Fate) -> Option<Fate> {
        let place = self.fate(number)?;
        let before = std::mem::replace(place, fate);
        if before == Fate::WaitsOn {
            self.is_patient = false;
        }
        Some(before)
    }

    fn fate(&mut self, number: u32) -> Option<&mut Fate> {
        let position = usize::try_from(number.wrapping_sub(self.first)).ok()?;
        self.probes.get_mut(position).map(|sent| &mut sent.fate)
    }
}

impl Sent {
    fn is_answered(&self) -> bool {
        matches!(self.fate, Fate::Answered(..))
    }

    fn is_unanswered(&self) -> bool {
        matches!(self.fate, Fate::Waits | Fate::WaitsOn | Fate::Silent)
    }
}

#[cfg(test)]
mod tests;
