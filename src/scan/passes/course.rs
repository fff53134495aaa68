//! Decides what a scan does after each pass: ask again, send a pilot, or end.
//!
//! A state machine without sockets. It is given how the last pass went and returns
//! the next step; `passes` carries that out.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::retry::{PassResult, Pilot, Retry};
use crate::limits;
use crate::scan::bound::Times;
use crate::scan::outcome::Shortage;
use crate::scan::paths::{Paths, Purpose};
use crate::scan::plan::Target;

/// The course of one scan, from the end of its first pass.
#[derive(Debug)]
pub(super) struct Course {
    paths: Arc<Paths>,
    retry: Retry,
    stage: Stage,
    /// When the first pass ended.
    retrying_since: Option<Instant>,
    /// Silent targets that need no further pass.
    settled: Vec<Target>,
    /// How the last pass, pilots aside, was sent.
    sent: Sent,
}

/// Which pass ends next.
#[derive(Debug)]
enum Stage {
    Pass(Piloted),
    Pilot {
        asked: u64,
        /// The other silent targets.
        others: Vec<Target>,
    },
}

/// Targets that answered to the pilot of a pass, and how many of them late.
#[derive(Clone, Copy, Debug, Default)]
struct Piloted {
    answered: u64,
    late: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    targets: u64,
    sending: Duration,
    window_hint: Option<usize>,
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Step {
    Ask(Pass),
    /// No pass follows; these targets stayed silent.
    Conclude(Vec<Target>),
    /// This machine ran short of something: targets without an outcome were not
    /// scanned.
    FallShort(Shortage),
}

/// A pass to be made over silent targets.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) targets: Vec<Target>,
    /// Its number, counted from 1; a pilot has that of the pass that follows.
    pub(super) attempt: u32,
    pub(super) purpose: Purpose,
    /// Probes a second, at most.
    pub(super) rate: Option<NonZeroU32>,
    /// The window of each fan-out to start with.
    pub(super) window: Option<usize>,
}

/// How a pass went.
#[derive(Debug, Default)]
pub(super) struct PassEnd {
    /// Targets that did not answer.
    pub(super) silent: Vec<Target>,
    /// How many answered themselves, and how many of these later than every pass before
    /// waited. ICMP errors are not counted.
    pub(super) answered: u64,
    pub(super) late: u64,
    /// Why it ended early.
    pub(super) shortage: Option<Shortage>,
    /// From its start to the start of its last attempt.
    pub(super) sending: Duration,
    /// The most probes that were in flight at once.
    pub(super) max_in_flight: usize,
    /// The narrowest window that a fan-out found good, if loss cut one or silence
    /// opened it.
    pub(super) window_hint: Option<usize>,
    /// What held its fan-outs up for how long.
    pub(super) times: Times,
}

impl PassEnd {
    /// Adds the part of one fan-out, which ran at the same time as the others.
    pub(super) fn absorb(&mut self, part: Self) {
        let sending = self.sending.max(part.sending);
        let max_in_flight = self.max_in_flight + part.max_in_flight;
        self.add(part);
        (self.sending, self.max_in_flight) = (sending, max_in_flight);
    }

    /// Adds the next part of the same pass, which began when this one had ended.
    pub(super) fn go_on_with(&mut self, next: Self) {
        let sending = self.sending + next.sending;
        let max_in_flight = self.max_in_flight.max(next.max_in_flight);
        self.add(next);
        (self.sending, self.max_in_flight) = (sending, max_in_flight);
    }

    fn add(&mut self, mut other: Self) {
        self.silent.append(&mut other.silent);
        self.answered += other.answered;
        self.late += other.late;
        self.shortage = self.shortage.or(other.shortage);
        self.times.absorb(&other.times);
        self.window_hint = self.window_hint.into_iter().chain(other.window_hint).min();
    }
}

impl Course {
    /// The course of a scan whose first pass has still to end.
    pub(super) fn new(paths: Arc<Paths>) -> Self {
        Self {
            paths,
            retry: Retry::default(),
            stage: Stage::Pass(Piloted::default()),
            retrying_since: None,
            settled: Vec::new(),
            sent: Sent::default(),
        }
    }

    /// The next step, given how the last pass went, which ended at `now`.
    pub(super) fn after(&mut self, end: PassEnd, now: Instant) -> Step {
        if let Some(shortage) = end.shortage {
            return Step::FallShort(shortage);
        }
        match std::mem::replace(&mut self.stage, Stage::Pass(Piloted::default())) {
            Stage::Pass(piloted) => self.after_pass(end, piloted, now),
            Stage::Pilot { asked, others } => self.after_pilot(end, asked, others, now),
        }
    }

    /// What the passes so far have shown.
    pub(super) fn retry(&self) -> &Retry {
        &self.retry
    }

    fn after_pass(&mut self, end: PassEnd, piloted: Piloted, now: Instant) -> Step {
        let PassEnd { mut silent, answered, late, sending, window_hint, .. } = end;
        self.retrying_since.get_or_insert(now);
        let targets = answered + silent.len() as u64;
        self.sent = Sent { targets, sending, window_hint };
        self.paths.end_pass();
        silent.append(&mut self.settled);
        let result = PassResult {
            answered: answered + piloted.answered,
            late: late + piloted.late,
            silent: silent.len() as u64,
        };
        if !self.retry.goes_on_after(result, self.retrying(now)) {
            return self.ask_unsettled(silent, Piloted::default());
        }
        let is_worth_it = silent.len() > 2 * limits::PILOT_TARGETS;
        if is_worth_it && self.retry.wants_pilot(silent.len() as u64) {
            let targets = take_pilot(&mut silent);
            self.stage = Stage::Pilot { asked: targets.len() as u64, others: silent };
            let rate = NonZeroU32::new(limits::PILOT_RATE);
            return Step::Ask(Pass {
                purpose: Purpose::Pilot,
                rate,
                window: None,
                ..self.pass(targets)
            });
        }
        self.ask_again(silent, Piloted::default(), now)
    }

    fn after_pilot(&mut self, end: PassEnd, asked: u64, others: Vec<Target>, now: Instant) -> Step {
        let Sent { targets: sent, sending, .. } = self.sent;
        let PassEnd { answered, late, .. } = end;
        let silent = asked + others.len() as u64;
        self.retry.steer(Pilot { sent, sending, asked, answered, silent });
        // A pilot may wait less than a pass does, so its silent targets are asked
        // again.
        let mut silent = end.silent;
        silent.extend(others);
        self.ask_again(silent, Piloted { answered, late }, now)
    }

    fn ask_again(&mut self, silent: Vec<Target>, piloted: Piloted, now: Instant) -> Step {
        if !self.retry.has_time_for(silent.len() as u64, self.retrying(now)) {
            return self.ask_unsettled(silent, piloted);
        }
        self.stage = Stage::Pass(piloted);
        Step::Ask(self.pass(silent))
    }

    /// Asks only those targets again that were not waited for long enough.
    fn ask_unsettled(&mut self, silent: Vec<Target>, piloted: Piloted) -> Step {
        let (settled, unsettled): (Vec<_>, Vec<_>) =
            silent.into_iter().partition(|target| self.paths.is_settled(target.address));
        if unsettled.is_empty() || self.retry.passes() >= limits::MAX_ATTEMPTS {
            self.retry.end_with_pilot(piloted.answered - piloted.late);
            return Step::Conclude([settled, unsettled].concat());
        }
        self.settled = settled;
        self.stage = Stage::Pass(piloted);
        Step::Ask(self.pass(unsettled))
    }

    /// The next pass, over `targets`.
    fn pass(&self, targets: Vec<Target>) -> Pass {
        Pass {
            targets,
            attempt: u32::try_from(self.retry.passes() + 1).unwrap_or(u32::MAX),
            purpose: Purpose::State,
            rate: self.retry.rate(),
            window: self.sent.window_hint,
        }
    }

    /// For how long silent targets have been asked again.
    fn retrying(&self, now: Instant) -> Duration {
        self.retrying_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

/// Takes targets for a pilot out of the list, evenly spread.
fn take_pilot(silent: &mut Vec<Target>) -> Vec<Target> {
    let stride = silent.len() / limits::PILOT_TARGETS;
    let mut pilot = Vec::with_capacity(limits::PILOT_TARGETS + 1);
    let mut index = 0;
    silent.retain(|target| {
        let taken = index % stride == 0;
        index += 1;
        if taken {
            pilot.push(*target);
        }
        !taken
    });
    pilot
}

#[cfg(test)]
mod tests;
