//! The task of a watch: sockets in, news out.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::sync::mpsc::Sender;
use tokio::time::{Sleep, sleep};

use super::rounds::{Missed, Rounds};
use super::shortfall::{Shortfall, TELL_EVERY};
use super::tracker::Tracker;
use super::{Change, MissedReason, Posted, WatchCounts, WatchNews};
use crate::limits;
use crate::scan::fanout::deadlines::Deadlines;
use crate::scan::fanout::network::Network;
use crate::scan::fanout::probe::Judgement;
use crate::scan::fanout::slots::Slots;
use crate::scan::fanout::waits::Waits;
use crate::scan::fanout::{FanoutPlan, WATCH_EVERY, YIELD_EVERY};
use crate::scan::outcome::{Answer, PortState, Reason, Shortage, Verdict};
use crate::scan::plan::{ScanPlan, Target};
use crate::scan::stats::InFlight;

/// What a watcher works with.
pub(super) struct WatcherPlan {
    pub(super) scan: Arc<ScanPlan>,
    pub(super) fanout: FanoutPlan,
    pub(super) every: Duration,
}

/// Asks ports in rounds, and makes news of what is noticed.
pub(super) struct Watcher<N> {
    plan: FanoutPlan,
    targets: Vec<Target>,
    trackers: Vec<Tracker>,
    rounds: Rounds,
    // Before `slots`: sockets close before their share of the budget is given back.
    network: N,
    slots: Slots,
    /// Which probe each slot has.
    flights: Vec<Flight>,
    in_flight: Waits,
    /// Probes that wait on, one of a port at most.
    patient: Deadlines,
    timer: Pin<Box<Sleep>>,
    held: Option<Held>,
    /// Probes that were sent.
    sent: u64,
    shortfall: Shortfall,
    news: Vec<WatchNews>,
    /// Ports of which more is known than was posted.
    unposted: Vec<u32>,
    reported: InFlight,
    /// Steps since events were fetched.
    unwatched: u32,
}

/// A probe of a port: its number is the tracker's.
#[derive(Clone, Copy, Debug, Default)]
struct Flight {
    port: u32,
    number: u32,
}

/// What keeps the port that is due from being asked, and until when if that is known.
#[derive(Clone, Copy, Debug)]
struct Held {
    reason: MissedReason,
    until: Option<Instant>,
}

impl<N: Network> Watcher<N> {
    /// Waits until there are descriptors, and begins.
    pub(super) async fn join(
        WatcherPlan { scan, fanout, every }: WatcherPlan,
        connect: impl Fn() -> Result<N, Errno>,
        told: &Sender<WatchNews>,
    ) -> Self {
        let slots = Slots::join(Arc::clone(&fanout.budget)).await;
        let network = loop {
            match connect() {
                Ok(network) => break network,
                Err(errno) => {
                    fanout.stats.count_error(errno);
                    let reason = MissedReason::Shortage(Shortage::of(errno));
                    // Nobody may read it, and later news say more.
                    let _ = told.try_send(WatchNews::Missed { probes: scan.targets(), reason });
                    sleep(TELL_EVERY).await;
                }
            }
        };
        let of_address = |address| scan.ports.iter().map(move |port| Target { address, port });
        let targets: Vec<Target> = scan.indexes().flat_map(of_address).collect();
        let ports = u32::try_from(targets.len()).expect("a watch has few ports");
        let now = Instant::now();
        Self {
            trackers: targets.iter().map(|_| Tracker::default()).collect(),
            targets,
            rounds: Rounds::new(ports, every, now),
            network,
            slots,
            flights: Vec::new(),
            in_flight: Waits::new(Arc::clone(&fanout.paths), fanout.purpose, now),
            patient: Deadlines::default(),
            timer: Box::pin(sleep(Duration::ZERO)),
            held: None,
            sent: 0,
            shortfall: Shortfall::new(now),
            news: Vec::new(),
            unposted: Vec::new(),
            reported: InFlight::default(),
            unwatched: 0,
            plan: fanout,
        }
    }

    /// Waits until more is known than was posted, and returns the news in it.
    pub(super) async fn turn(&mut self) -> Vec<WatchNews> {
        poll_fn(|cx| self.poll_turn(cx)).await;
        std::mem::take(&mut self.news)
    }

    /// Posts what is known.
    pub(super) fn post(&mut self, posted: &mut Posted) {
        for port in self.unposted.drain(..) {
            posted.known[port as usize] = self.trackers[port as usize].known();
        }
        posted.counts = WatchCounts {
            rounds: self.rounds.begun(),
            probes: self.sent,
            missed: self.shortfall.total(),
        };
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..YIELD_EVERY {
            if self.step(cx) {
                continue;
            }
            self.reported.report(&self.plan.stats, self.in_flight.len() + self.patient.len());
            if !self.unposted.is_empty() || !self.news.is_empty() {
                return Poll::Ready(());
            }
            let woken = self.network.poll_fetch(cx).is_ready() | self.poll_timer(cx).is_ready();
            if !woken {
                return Poll::Pending;
            }
        }
        // Other tasks of the runtime have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Does one thing: reads an event, or gives up a probe that has waited long enough,
    /// or asks the port that is due. False if nothing can be done now.
    fn step(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(slot) = self.network.next_event() {
            self.look_at(slot);
            return true;
        }
        self.unwatched += 1;
        if self.unwatched >= WATCH_EVERY {
            // Answers are read between attempts, so that measured rtts are true.
            self.unwatched = 0;
            self.network.fetch();
        }
        let now = Instant::now();
        let slots = &self.slots;
        self.in_flight.retime(now, |slot| (slots[slot].target.address, slots[slot].started));
        if let Some(slot) = self.in_flight.take_expired(now) {
            self.fall_silent(slot);
            return true;
        }
        if let Some((slot, _)) = self.patient.first().filter(|&(_, deadline)| deadline <= now) {
            self.patient.remove(slot);
            self.stay_silent(slot);
            return true;
        }
        if let Some(missed) = self.rounds.begin(now) {
            self.count_round(missed, now);
        }
        self.rounds.due(now).is_some_and(|port| self.ask(cx, port, now))
    }

    /// Asks `port`, whose turn it is, if every pacer allows it, and if there is a
    /// descriptor. False if it has to wait.
    fn ask(&mut self, cx: &mut Context<'_>, port: u32, now: Instant) -> bool {
        self.held = None;
        for (taken, pacer) in self.plan.pacers.iter().enumerate() {
            if let Err(until) = pacer.take(now) {
                self.plan.pacers[..taken].iter().for_each(|pacer| pacer.give_back());
                self.held = Some(Held { reason: MissedReason::Rate, until: Some(until) });
                return false;
            }
        }
        let Some(slot) = self.slots.seat(cx, self.targets[port as usize]) else {
            self.plan.pacers.iter().for_each(|pacer| pacer.give_back());
            let reason = MissedReason::Shortage(Shortage::Descriptors);
            self.held = Some(Held { reason, until: None });
            return false;
        };
        self.rounds.asked(now);
        self.sent += 1;
        if self.flights.len() <= slot as usize {
            self.flights.resize(slot as usize + 1, Flight::default());
        }
        let number = self.trackers[port as usize].ask(Instant::now());
        self.flights[slot as usize] = Flight { port, number };
        self.start(slot);
        self.doubt(port);
        true
    }

    /// Makes an attempt for the probe of `slot`.
    fn start(&mut self, slot: u32) {
        let target = self.slots[slot].target;
        if let Err(errno) = self.network.open(slot, target) {
            return self.fall_short(slot, errno);
        }
        let started = Instant::now();
        self.slots[slot].started = started;
        match self.network.ask(slot) {
            Some(answer) => self.settle(slot, answer),
            None => self.in_flight.insert(slot, target.address, started),
        }
    }

    /// Looks at the probe of a slot that had an event, which may be about an earlier one.
    fn look_at(&mut self, slot: u32) {
        if !self.in_flight.holds(slot) && !self.patient.holds(slot) {
            return;
        }
        if let Some(answer) = self.network.look(slot) {
            self.in_flight.remove(slot);
            self.patient.remove(slot);
            self.settle(slot, answer);
        }
    }

    /// Takes the answer to a probe, or makes another attempt for it.
    fn settle(&mut self, slot: u32, answer: Answer) {
        let (state, reason) = match answer {
            Answer::Port(state, reason) => (state, reason),
            Answer::Icmp(reason, _) => (PortState::Filtered, reason),
            Answer::Short(errno) => return self.fall_short(slot, errno),
        };
        let (target, elapsed) = (self.slots[slot].target, self.slots[slot].started.elapsed());
        if elapsed >= limits::WATCH_TIMEOUT {
            return self.abandon(slot);
        }
        let handshake_time = || self.network.handshake_time(slot);
        self.plan.paths.learn(target, self.plan.purpose, answer, elapsed, handshake_time);
        let sighting = || self.network.sighting(slot);
        match self.slots[slot].judge(state, reason, Some(elapsed), sighting) {
            Judgement::AskAgain => {
                self.network.reset(slot);
                self.start(slot);
            }
            Judgement::Verdict(verdict, _) => self.conclude(slot, verdict),
        }
    }

    /// A probe has waited as long as an answer takes.
    fn fall_silent(&mut self, slot: u32) {
        // The answer may have arrived while this task was not running.
        if let Some(answer) = self.network.look(slot) {
            return self.settle(slot, answer);
        }
        let silence = (PortState::Filtered, Reason::NoResponse);
        // Of a second attempt at a port of this host, silence says something else.
        let judgement = self.slots[slot]
            .judge(silence.0, silence.1, None, || unreachable!("only open ports are looked at"));
        match judgement {
            Judgement::Verdict(verdict @ Verdict::Port(PortState::Open, _), _) => {
                self.conclude(slot, verdict);
            }
            _ => {
                let Flight { port, number } = self.flights[slot as usize];
                if self.trackers[port as usize].falls_silent(number) {
                    let target = self.slots[slot].target;
                    let wait = self.plan.paths.patience(target.address);
                    self.patient.insert(slot, self.slots[slot].started + wait);
                } else {
                    self.free(slot, false);
                }
                self.after(port);
            }
        }
    }

    /// A probe has waited longer than any answer takes.
    fn stay_silent(&mut self, slot: u32) {
        if let Some(answer) = self.network.look(slot) {
            return self.settle(slot, answer);
        }
        let Flight { port, number } = self.flights[slot as usize];
        self.trackers[port as usize].stays_silent(number);
        self.free(slot, false);
        self.after(port);
    }

    fn conclude(&mut self, slot: u32, verdict: Verdict) {
        let Flight { port, number } = self.flights[slot as usize];
        let tracker = &mut self.trackers[port as usize];
        let mut refused = false;
        match verdict {
            Verdict::Port(_, Reason::NoResponse) => tracker.stays_silent(number),
            Verdict::Port(state, reason) => {
                refused = state == PortState::Closed;
                tracker.answer(number, state, reason);
            }
            Verdict::NotScanned(_) => tracker.abandon(number),
        }
        self.free(slot, refused);
        self.after(port);
    }

    /// A probe could not be sent.
    fn fall_short(&mut self, slot: u32, errno: Errno) {
        self.plan.stats.count_error(errno);
        self.shortfall.add(MissedReason::Shortage(Shortage::of(errno)), 1);
        self.abandon(slot);
    }

    /// Ends a probe that says nothing about its port at the time when it started: it was
    /// never sent, or its answer was seen so late that it may be to a repeated SYN.
    fn abandon(&mut self, slot: u32) {
        let Flight { port, number } = self.flights[slot as usize];
        self.trackers[port as usize].abandon(number);
        self.slots.vacate(slot, &mut self.network);
        self.after(port);
    }

    /// Ends the work of `slot`. A refused socket is unconnected already.
    fn free(&mut self, slot: u32, refused: bool) {
        if refused || self.network.reset(slot) {
            self.slots.rest(slot, &mut self.network);
        } else {
            self.slots.vacate(slot, &mut self.network);
        }
    }

    /// Makes news of what the probes of `port` come to.
    fn after(&mut self, port: u32) {
        let tracker = &mut self.trackers[port as usize];
        while let Some(noticed) = tracker.next() {
            self.news.push(WatchNews::Changed(Change::new(port as usize, noticed)));
        }
        self.doubt(port);
        self.unposted.push(port);
    }

    /// Has `port` asked again soon if that would help.
    fn doubt(&mut self, port: u32) {
        if self.rounds.are_sparse() && self.trackers[port as usize].is_in_doubt() {
            self.rounds.doubt(port, Instant::now());
        }
    }

    fn count_round(&mut self, Missed { unsent, late }: Missed, now: Instant) {
        let reason = self.held.take().map_or(MissedReason::Late, |held| held.reason);
        self.shortfall.add(reason, unsent);
        self.shortfall.add(MissedReason::Late, late);
        self.news.extend(self.shortfall.news(now));
    }

    /// Sets the timer to what comes first; ready if that has passed.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = match self.held {
            None => self.rounds.wake_at(),
            Some(Held { until, .. }) => {
                let round = self.rounds.next_round();
                until.map_or(round, |until| until.min(round))
            }
        };
        let patient = self.patient.first().map(|(_, deadline)| deadline);
        let waits = [self.in_flight.wake_at(), patient];
        let wake = waits.into_iter().flatten().fold(due, Instant::min);
        if self.timer.deadline().into_std() != wake {
            self.timer.as_mut().reset(wake.into());
        }
        self.timer.as_mut().poll(cx)
    }
}

impl<N> Drop for Watcher<N> {
    fn drop(&mut self) {
        self.reported.report(&self.plan.stats, 0);
    }
}
