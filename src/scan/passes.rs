//! One scan from its first pass to its last.
//!
//! A pass asks a list of targets once, on one fan-out a core. What stays silent
//! is the list of the next pass, if there is one: see `retry`. So that silent
//! ports never hold up others, and few descriptors cover many of them, no
//! socket waits longer than an answer takes on its way.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Instant;

use futures_util::StreamExt;
use tokio::task::JoinSet;

use super::ScanPlan;
use super::fanout::{Fanout, FanoutPlan};
use super::outcome::{Outcome, PortState, Reason, Shortage, Verdict};
use super::pacer::Pacer;
use super::progress::Shared;
use super::retry::{PassResult, Pilot, Retry};
use super::socket;
use super::stats::Observations;
use super::tally::{AddressTally, Tallies};
use super::work::{CompactTarget, Targets, Work};
use crate::limits;

/// A scan as its driving task sees it.
pub(super) struct Passes {
    pub(super) plan: ScanPlan,
    /// What every fan-out is to keep to; attempts and pacers differ by pass.
    pub(super) fanout_plan: FanoutPlan,
    pub(super) fanouts: std::num::NonZeroUsize,
    pub(super) shared: Arc<Shared>,
}

/// How a pass is to be run.
#[derive(Clone, Copy, Default)]
struct Pass {
    /// Its number, counted from 1.
    attempt: u32,
    /// Probes a second, at most.
    rate: Option<NonZeroU32>,
    /// The window of each fan-out to start with.
    window: Option<usize>,
}

/// What a pass leaves behind.
#[derive(Default)]
struct PassEnd {
    silent: Vec<CompactTarget>,
    /// Why it ended early.
    shortage: Option<Shortage>,
    /// When its last attempt started.
    last_launch: Option<Instant>,
    /// Probes that were in flight at once.
    window: usize,
    /// The narrowest window that a fan-out found good, if loss cut one.
    window_hint: Option<usize>,
}

impl Passes {
    /// Runs the scan to its end.
    pub(super) async fn run(self) {
        let mut retry = Retry::default();
        let mut asked = self.first_work();
        let mut started = Instant::now();
        let mut end = self.run_pass(&asked, Pass { attempt: 1, ..Pass::default() }).await;
        let retrying_since = Instant::now();
        let mut answered = asked.len() - end.silent.len() as u64;
        loop {
            let result = PassResult { answered, silent: end.silent.len() as u64 };
            self.shared.note_timing(&retry, end.window, &self.fanout_plan.paths);
            if end.shortage.is_some() {
                return self.shared.lock().fall_short(end.shortage);
            }
            if !retry.goes_on_after(result, retrying_since.elapsed()) {
                break;
            }
            let attempt = u32::try_from(retry.passes() + 1).unwrap_or(u32::MAX);
            let sending = end.last_launch.map_or(started.elapsed(), |last| last - started);
            let window = end.window_hint;
            let (mut silent, sent) = (std::mem::take(&mut end.silent), asked.len());
            let mut still_silent = Vec::new();
            answered = 0;
            if silent.len() > 2 * limits::PILOT_TARGETS && retry.wants_pilot() {
                let pilot = take_pilot(&mut silent);
                let (count, of) = (pilot.len() as u64, silent.len() + pilot.len());
                let rate = NonZeroU32::new(limits::PILOT_RATE);
                let work = self.again(pilot, attempt);
                let end = self.run_pass(&work, Pass { attempt, rate, window: None }).await;
                answered = count - end.silent.len() as u64;
                still_silent = end.silent;
                let silent = of as u64;
                retry.steer(Pilot { sent, sending, asked: count, answered, silent });
            }
            if !retry.has_time_for(silent.len() as u64, retrying_since.elapsed()) {
                end.silent = silent;
                end.silent.append(&mut still_silent);
                break;
            }
            asked = self.again(silent, attempt);
            started = Instant::now();
            let rate = retry.rate();
            end = self.run_pass(&asked, Pass { attempt, rate, window }).await;
            answered += asked.len() - end.silent.len() as u64;
            end.silent.append(&mut still_silent);
        }
        self.give_verdict(&end.silent);
        self.try_canaries().await;
        self.shared.note_timing(&retry, end.window, &self.fanout_plan.paths);
    }

    /// Every target that this host has a way to; the others get their verdict.
    fn first_work(&self) -> Arc<Work> {
        let mut reachable = Vec::with_capacity(self.plan.addresses.len());
        for &address in &self.plan.addresses {
            match socket::no_way_to(address) {
                None => reachable.push(address),
                Some(reason) => {
                    self.shared.lock().write_off(address, reason);
                    let ports = self.plan.ports.len().into();
                    self.shared.stats.count_ports(PortState::Filtered, ports);
                }
            }
        }
        Work::all(reachable, self.plan.ports.clone(), self.plan.order)
    }

    /// These targets, for attempt number `attempt` at them.
    fn again(&self, targets: Vec<CompactTarget>, attempt: u32) -> Arc<Work> {
        Work::listed(targets, attempt.into(), Arc::clone(&self.fanout_plan.paths))
    }

    async fn run_pass(&self, work: &Arc<Work>, pass: Pass) -> PassEnd {
        let Pass { attempt, rate, window } = pass;
        let mut plan = FanoutPlan { attempt, window, ..self.fanout_plan.clone() };
        plan.pacers.extend(rate.map(|rate| Arc::new(Pacer::new(rate, Instant::now()))));
        let mut fanouts = JoinSet::new();
        for _ in 0..work.useful_fanouts(self.fanouts) {
            let part = Part {
                tallies: Tallies::new(&self.plan),
                observations: Observations::default(),
                end: PassEnd::default(),
                shared: Arc::clone(&self.shared),
            };
            fanouts.spawn(part.fill(Work::targets(work), plan.clone()));
        }
        let mut whole = PassEnd::default();
        while let Some(part) = fanouts.join_next().await {
            match part {
                Ok(mut part) => {
                    whole.silent.append(&mut part.silent);
                    whole.shortage = whole.shortage.or(part.shortage);
                    whole.last_launch = whole.last_launch.max(part.last_launch);
                    whole.window += part.window;
                    whole.window_hint = whole.window_hint.into_iter().chain(part.window_hint).min();
                }
                // Nothing else cancels these tasks.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        whole
    }

    /// Finds out which addresses accept connections on whatever port.
    async fn try_canaries(&self) {
        let addresses = self.shared.lock().suspiciously_open();
        let Some(canaries) = self.plan.canaries.as_ref().filter(|_| !addresses.is_empty()) else {
            return;
        };
        let mut suspects = addresses;
        if let Some(asked) = canaries.intersection(&self.plan.ports) {
            let mut tallies = self.shared.lock();
            suspects.retain(|&address| asked.iter().all(|port| tallies.is_open(address, port)));
        }
        if let Some(unasked) = canaries.difference(&self.plan.ports) {
            let plan =
                ScanPlan { addresses: suspects.clone(), ports: unasked, ..self.plan.clone() };
            let aside = Self {
                shared: Arc::new(Shared::new(&plan, Arc::clone(&self.shared.stats))),
                fanout_plan: self.fanout_plan.clone(),
                fanouts: self.fanouts,
                plan,
            };
            let (addresses, ports) = (aside.plan.addresses.clone(), aside.plan.ports.clone());
            let work = Work::all(addresses, ports, aside.plan.order);
            aside.run_pass(&work, Pass { attempt: 1, ..Pass::default() }).await;
            let all_open = |tally: AddressTally| {
                (tally.open == aside.plan.ports.len()).then_some(tally.address)
            };
            let tallies = aside.shared.lock().by_address();
            suspects = tallies.into_iter().filter_map(all_open).collect();
        }
        for address in suspects {
            self.shared.lock().mark_accepts_everything(address);
        }
    }

    /// Ports that were silent to the last are filtered.
    fn give_verdict(&self, silent: &[CompactTarget]) {
        let mut part = Tallies::new(&self.plan);
        for target in silent {
            let address = self.fanout_plan.paths.address(target.place);
            part.record(&Outcome {
                target: SocketAddr::new(address, target.port),
                verdict: SILENCE,
                rtt: None,
            });
        }
        self.shared.absorb(&mut part);
        self.shared.stats.count_ports(PortState::Filtered, silent.len() as u64);
    }
}

/// What one fan-out has found since it last handed over.
struct Part {
    tallies: Tallies,
    observations: Observations,
    end: PassEnd,
    shared: Arc<Shared>,
}

impl Part {
    /// Runs a fan-out to its end.
    async fn fill(mut self, targets: Targets, plan: FanoutPlan) -> PassEnd {
        let paths = Arc::clone(&plan.paths);
        let mut fanout = match Fanout::try_new(targets, plan).await {
            Ok(fanout) => fanout,
            Err(shortage) => {
                self.end.shortage = Some(shortage);
                return self.end;
            }
        };
        loop {
            let next = std::future::poll_fn(|cx| {
                let next = fanout.poll_next_unpin(cx);
                if next.is_pending() {
                    self.hand_over();
                }
                Poll::Ready(ready!(next))
            });
            let Some(outcome) = next.await else { break };
            if outcome.verdict == SILENCE {
                let (place, port) = (paths.place(outcome.target.ip()), outcome.target.port());
                self.end.silent.push(CompactTarget { place, port });
            } else {
                self.tallies.record(&outcome);
                self.observations.record(&outcome);
            }
        }
        self.hand_over();
        self.end.shortage = fanout.shortage();
        self.end.last_launch = fanout.last_launch();
        self.end.window = fanout.window();
        self.end.window_hint = fanout.window_hint();
        self.end
    }

    fn hand_over(&mut self) {
        if self.tallies.done() > 0 {
            self.observations.hand_over(&self.shared.stats);
            self.shared.absorb(&mut self.tallies);
        }
    }
}

/// Takes some targets out of the list, from all over it.
fn take_pilot(silent: &mut Vec<CompactTarget>) -> Vec<CompactTarget> {
    let stride = silent.len() / limits::PILOT_TARGETS;
    let mut pilot = Vec::with_capacity(limits::PILOT_TARGETS + 1);
    let mut place = 0;
    silent.retain(|target| {
        let taken = place % stride == 0;
        place += 1;
        if taken {
            pilot.push(*target);
        }
        !taken
    });
    pilot
}

const SILENCE: Verdict = Verdict::Port(PortState::Filtered, Reason::NoResponse);
