//! A set of probes in flight: targets go in, outcomes come out in any order.
//!
//! A [`Fanout`] takes targets from an iterator and keeps as many probes in flight
//! as the gate allows. A slot, and the socket behind it, is used for one target
//! after another. The runtime watches one descriptor and one timer for each
//! fan-out, however many probes are in flight.

pub(super) mod deadlines;
pub(super) mod network;
mod plan;
pub(super) mod probe;
pub(super) mod slots;
pub(super) mod waits;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::time::{Sleep, sleep, timeout_at};

use self::network::Network;
pub(super) use self::plan::FanoutPlan;
use self::probe::Judgement;
use self::slots::Slots;
use self::waits::Waits;
use super::bound::{Bound, HeldUp, Times};
use super::gate::Gate;
use super::gate::window::Window;
use super::outcome::{Answer, Outcome, PortState, Reason, Shortage, Verdict};
use super::plan::Target;
use super::stats::InFlight;

/// Yields one outcome for each target.
///
/// It ends when every target has its outcome, or when it lacked a resource for too
/// long ([`Fanout::shortage`]); targets that have no outcome then were not scanned.
/// When dropped, it closes its sockets and abandons the probes in flight.
pub(super) struct Fanout<T, N> {
    plan: FanoutPlan,
    targets: T,
    /// How many of them it took: one when there is room for its attempt.
    pub(super) taken: u64,
    exhausted: bool,
    /// Targets whose attempt failed because a resource ran out.
    again: Vec<Target>,
    // Before `slots`: sockets close before their share of the budget is given back.
    network: N,
    slots: Slots,
    in_flight: Waits,
    gate: Gate,
    timer: Pin<Box<Sleep>>,
    last_launch: Option<Instant>,
    reported: InFlight,
    held_up: HeldUp,
    /// Steps since the last look at the readiness set.
    unwatched: u32,
    /// Steps since the last time the task yielded.
    unyielded: u32,
}

impl<T: Iterator<Item = Target>, N: Network> Fanout<T, N> {
    /// A fan-out over `targets`. Waits until the budget has descriptors for it,
    /// and connects to the network then.
    ///
    /// # Errors
    /// When `connect` fails, or the time was up first.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub(super) async fn try_new(
        targets: T,
        plan: FanoutPlan,
        connect: impl FnOnce() -> Result<N, Errno>,
    ) -> Result<Self, Shortage> {
        let mut join = pin!(Slots::join(Arc::clone(&plan.budget)));
        let slots = loop {
            let Some(until) = plan.until.get() else { break join.await };
            match timeout_at(until.into(), &mut join).await {
                Ok(slots) => break slots,
                Err(_) if plan.until.has_come(Instant::now()) => return Err(Shortage::Time),
                // It was moved meanwhile.
                Err(_) => {}
            }
        };
        let network = connect().map_err(|errno| {
            plan.stats.count_error(errno);
            Shortage::of(errno)
        })?;
        Ok(Self {
            targets,
            taken: 0,
            exhausted: false,
            again: Vec::new(),
            network,
            slots,
            in_flight: Waits::new(Arc::clone(&plan.paths), plan.purpose, Instant::now()),
            gate: Gate::new(plan.pacers.clone(), Window::new(plan.window, Instant::now())),
            timer: Box::pin(sleep(Duration::ZERO)),
            last_launch: None,
            reported: InFlight::default(),
            held_up: HeldUp::default(),
            unwatched: 0,
            unyielded: 0,
            plan,
        })
    }

    /// What ran out, if some targets were left without an outcome.
    pub(super) fn shortage(&self) -> Option<Shortage> {
        self.gate.closed()
    }

    /// When the last attempt started.
    pub(super) fn last_launch(&self) -> Option<Instant> {
        self.last_launch
    }

    /// The window that a further pass should start with.
    pub(super) fn window_hint(&self) -> Option<usize> {
        self.gate.window_hint()
    }

    /// The most probes that were in flight at once.
    pub(super) fn max_in_flight(&self) -> usize {
        self.in_flight.max_in_flight()
    }

    /// What held it up for how long.
    pub(super) fn times(&self) -> &Times {
        self.held_up.times()
    }

    /// The next outcome; `None` once there will be no more.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Outcome>> {
        self.held_up.end();
        loop {
            // With a near target no step ever has to wait: without this, other
            // tasks of the runtime would get no turn.
            if self.unyielded >= YIELD_EVERY {
                self.unyielded = 0;
                self.reported.report(&self.plan.stats, self.in_flight.len());
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.unyielded += 1;
            match self.step(cx) {
                Step::Outcome(outcome) => return Poll::Ready(Some(outcome)),
                Step::Done => return Poll::Ready(None),
                Step::Busy => {}
                Step::Idle if self.poll_timer(cx).is_ready() => {}
                Step::Idle => {
                    self.unyielded = 0;
                    self.held_up.begin();
                    self.reported.report(&self.plan.stats, self.in_flight.len());
                    return Poll::Pending;
                }
            }
        }
    }

    /// Does one thing: reads an event, or looks at the clock and fetches events
    /// (once in [`WATCH_EVERY`] steps), or starts the next probe, or ends one that
    /// has expired. If none of these can be done, it waits for events.
    fn step(&mut self, cx: &mut Context<'_>) -> Step {
        if let Some(slot) = self.network.next_event() {
            return self.look_at(slot);
        }
        // Answers are read between attempts, so that measured rtts are true and
        // sockets become free while the window still fills.
        if self.unwatched >= WATCH_EVERY {
            self.unwatched = 0;
            let now = Instant::now();
            if !self.is_done() && self.plan.until.has_come(now) {
                self.gate.close(Shortage::Time);
                return Step::Done;
            }
            let probe = |slot: u32| (self.slots[slot].target.address, self.slots[slot].started);
            self.in_flight.retime(now, probe);
            if !self.in_flight.is_empty() {
                self.network.fetch();
                return match self.expire_next(now) {
                    Step::Idle => Step::Busy,
                    step => step,
                };
            }
        }
        self.unwatched += 1;
        match self.launch_next(cx) {
            Step::Idle => {}
            step => return step,
        }
        match self.expire_next(Instant::now()) {
            Step::Idle => {}
            step => return step,
        }
        if self.is_done() {
            return Step::Done;
        }
        if self.network.poll_fetch(cx).is_ready() { Step::Busy } else { Step::Idle }
    }

    fn is_done(&self) -> bool {
        self.in_flight.is_empty() && (self.gate.closed().is_some() || self.is_exhausted())
    }

    fn is_exhausted(&self) -> bool {
        self.exhausted && self.again.is_empty()
    }

    /// Starts a probe if all of these hold: the gate has room, a target is left, every
    /// pacer allows it, and there is a descriptor.
    fn launch_next(&mut self, cx: &mut Context<'_>) -> Step {
        if !self.gate.has_room(self.in_flight.len()) {
            return self.held_up(Bound::Window);
        }
        // The target comes first: a fan-out without one must take no descriptor.
        let Some(target) = self.next_target() else { return self.held_up(Bound::Timeouts) };
        if !self.gate.take() {
            self.again.push(target);
            return self.held_up(Bound::Rate);
        }
        let Some(slot) = self.slots.seat(cx, target) else {
            self.again.push(target);
            self.gate.give_back();
            return self.held_up(Bound::Descriptors);
        };
        self.launch(slot)
    }

    /// No probe can start now.
    fn held_up(&mut self, by: Bound) -> Step {
        self.held_up.by(by);
        Step::Idle
    }

    fn next_target(&mut self) -> Option<Target> {
        if let Some(target) = self.again.pop() {
            return Some(target);
        }
        if self.exhausted {
            return None;
        }
        let target = self.targets.next();
        self.taken += u64::from(target.is_some());
        if target.is_none() {
            self.exhausted = true;
            self.slots.retire(&mut self.network);
        }
        target
    }

    /// Makes an attempt at the target of `slot`.
    fn launch(&mut self, slot: u32) -> Step {
        let target = self.slots[slot].target;
        if let Err(errno) = self.network.open(slot, target) {
            return self.fall_short(slot, errno);
        }
        let started = Instant::now();
        self.slots[slot].started = started;
        self.last_launch = Some(started);
        if let Some(answer) = self.network.ask(slot) {
            return self.settle(slot, answer);
        }
        self.in_flight.insert(slot, target.address, started);
        Step::Busy
    }

    /// Looks at the probe of a slot that had an event.
    // The event may be about an idle slot or an earlier probe; only the look counts.
    fn look_at(&mut self, slot: u32) -> Step {
        if !self.in_flight.holds(slot) {
            return Step::Busy;
        }
        match self.network.look(slot) {
            None => Step::Busy,
            Some(answer) => {
                self.in_flight.remove(slot);
                self.settle(slot, answer)
            }
        }
    }

    /// Ends the probe with the soonest deadline, if that has passed.
    fn expire_next(&mut self, now: Instant) -> Step {
        let Some(slot) = self.in_flight.take_expired(now) else { return Step::Idle };
        // The answer may have arrived while this task was not running.
        let silence = Answer::Port(PortState::Filtered, Reason::NoResponse);
        let answer = self.network.look(slot).unwrap_or(silence);
        self.settle(slot, answer)
    }

    /// Turns the answer to an attempt into an outcome or another attempt. The attempt
    /// is no longer in flight.
    fn settle(&mut self, slot: u32, answer: Answer) -> Step {
        let (state, reason) = match answer {
            Answer::Port(state, reason) => (state, reason),
            Answer::Icmp(reason, _) => (PortState::Filtered, reason),
            Answer::Short(errno) => return self.fall_short(slot, errno),
        };
        let answered = reason != Reason::NoResponse;
        let probe = &mut self.slots[slot];
        let (target, started) = (probe.target, probe.started);
        let elapsed = started.elapsed();
        self.gate.note(answer, started);
        let handshake_time = || self.network.handshake_time(slot);
        let FanoutPlan { paths, purpose, .. } = &self.plan;
        paths.learn(target, *purpose, answer, elapsed, handshake_time);
        if answered && self.in_flight.is_outdated() {
            // Probes in flight may wait too long: set their deadlines anew next.
            self.unwatched = WATCH_EVERY;
        }
        let rtt = answered.then_some(elapsed);
        let sighting = || self.network.sighting(slot);
        let judgement = self.slots[slot].judge(state, reason, rtt, sighting);
        let Judgement::Verdict(verdict, rtt) = judgement else {
            // The next attempt comes from another source port. If the reset fails,
            // `launch` opens the slot anew.
            self.network.reset(slot);
            return self.launch(slot);
        };
        let outcome = Outcome { target, verdict, rtt };
        // A refused socket is unconnected already.
        let clean = state == PortState::Closed || self.network.reset(slot);
        self.free(slot, clean);
        Step::Outcome(outcome)
    }

    /// Puts the target of `slot` back for a later attempt. If the error has no known
    /// meaning, the target ends as not scanned instead.
    fn fall_short(&mut self, slot: u32, errno: Errno) -> Step {
        self.plan.stats.count_error(errno);
        let shortage = Shortage::of(errno);
        let target = self.slots[slot].target;
        self.free(slot, false);
        if shortage == Shortage::UnknownError {
            let verdict = Verdict::NotScanned(shortage);
            return Step::Outcome(Outcome { target, verdict, rtt: None });
        }
        self.again.push(target);
        self.gate.strain(shortage, self.in_flight.len());
        Step::Busy
    }

    /// Ends the work of `slot`. If it is `clean`, it can be used for another target.
    fn free(&mut self, slot: u32, clean: bool) {
        if clean && !self.is_exhausted() {
            self.slots.rest(slot, &mut self.network);
        } else {
            self.slots.vacate(slot, &mut self.network);
        }
    }

    /// Sets the timer to whichever comes first of deadlines and pauses; ready if that
    /// has passed.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let causes = [self.gate.opens_at(), self.plan.until.get(), self.in_flight.wake_at()];
        let Some(wake) = causes.into_iter().flatten().min() else {
            return Poll::Pending;
        };
        if self.timer.deadline().into_std() != wake {
            self.timer.as_mut().reset(wake.into());
        }
        let passed = self.timer.as_mut().poll(cx);
        if passed.is_ready() {
            // Look at the clock next.
            self.unwatched = WATCH_EVERY;
        }
        passed
    }
}

impl<T, N> Drop for Fanout<T, N> {
    fn drop(&mut self) {
        self.reported.report(&self.plan.stats, 0);
    }
}

enum Step {
    Outcome(Outcome),
    /// Something was done, and more may be possible at once.
    Busy,
    /// Nothing can be done until an event or the timer.
    Idle,
    /// Nothing is left to do.
    Done,
}

/// One look at the readiness set for so many attempts: the call then costs
/// under 2 % of them, and an answer waits at most some 0.3 ms to be seen.
pub(super) const WATCH_EVERY: u32 = 64;

/// Steps between yields, half a millisecond or so.
pub(super) const YIELD_EVERY: u32 = 64;

#[cfg(test)]
mod tests;
