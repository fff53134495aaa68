//! Runs the passes of one scan.
//!
//! A pass probes a list of targets once, with one fan-out per core. Targets that
//! stay silent are the list of the next pass; `course` decides whether there is
//! one. A probe waits only about as long as an answer takes to arrive (see
//! `paths`), so that silent ports hold up no others and few descriptors suffice.

mod attached;
mod course;
mod part;
mod retry;
mod work;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno;
use tokio::task::JoinSet;

use self::attached::{Attached, SearchPlan};
use self::course::{Course, Pass, PassEnd, Step};
use self::part::{Part, SILENCE};
use self::work::Work;
use super::bound::{Bound, Times};
use super::connect::route;
use super::fanout::FanoutPlan;
use super::fanout::network::Network;
use super::findings::tally::Tallies;
use super::findings::{ScanTiming, Shared};
use super::gate::pacer::Pacer;
use super::outcome::{Outcome, PortState};
use super::paths::Purpose;
use super::plan::{ScanPlan, States, Target};
use crate::machine::neighbours::{Neighbour, Neighbours};

/// What the task of a scan works with.
pub(super) struct Passes<C> {
    pub(super) plan: Arc<ScanPlan>,
    /// The plan for fan-outs of the first pass; later passes change parts of it.
    pub(super) fanout_plan: FanoutPlan,
    pub(super) fanouts: NonZeroUsize,
    pub(super) shared: Arc<Shared>,
    /// The neighbours that all scans look for.
    pub(super) neighbours: Neighbours,
    /// Connects a fan-out to the network.
    pub(super) connect: C,
}

impl<C, N> Passes<C>
where
    C: Fn(Arc<ScanPlan>) -> Result<N, Errno> + Clone + Send + Sync + 'static,
    N: Network + Send + 'static,
{
    /// Runs the scan to its end.
    pub(super) async fn run(self) {
        let mut course = Course::new(Arc::clone(&self.fanout_plan.paths));
        let mut end = self.first_pass().await;
        let (mut max_in_flight, mut times) = (0, Times::default());
        loop {
            max_in_flight = max_in_flight.max(end.max_in_flight);
            times.absorb(&end.times);
            let step = course.after(end, Instant::now());
            self.note_timing(&course, max_in_flight, &times);
            end = match step {
                Step::Ask(pass) => self.ask_again(pass).await,
                Step::Conclude(silent) => {
                    self.give_verdict(&silent);
                    self.try_canaries().await;
                    return self.note_timing(&course, max_in_flight, &times);
                }
                Step::FallShort(shortage) => return self.shared.lock().fall_short(Some(shortage)),
            };
        }
    }

    fn note_timing(&self, course: &Course, max_in_flight: usize, times: &Times) {
        self.shared.note_timing(ScanTiming {
            attempts: course.retry().passes().max(1),
            loss: course.retry().loss(),
            max_in_flight,
            bound_by: times.longest(),
            paths: self.fanout_plan.paths.timings(),
        });
    }

    /// Probes every target that this host has a route to. Addresses of attached
    /// networks follow as they are found.
    async fn first_pass(&self) -> PassEnd {
        self.shared.begin_pass(1, self.plan.targets());
        let mut addresses = self.reachable();
        let attached = self.take_attached(&mut addresses);
        let mut search = SearchPlan {
            plan: Arc::clone(&self.plan),
            until: Arc::clone(&self.fanout_plan.until),
            pacers: self.fanout_plan.pacers.clone(),
            shared: Arc::clone(&self.shared),
            neighbours: self.neighbours.clone(),
        }
        .start(&attached);
        let mut whole = PassEnd::default();
        loop {
            if !addresses.is_empty() {
                let work = Work::all(addresses, self.plan.ports.clone(), self.plan.order);
                let plan = FanoutPlan { window: whole.window_hint, ..self.fanout_plan.clone() };
                whole.go_on_with(self.run_pass(&work, plan).await);
            }
            if whole.shortage.is_some() {
                return whole;
            }
            let begun = Instant::now();
            let found = search.next().await;
            let fanouts = u32::try_from(self.fanouts.get()).unwrap_or(u32::MAX);
            whole.times.add(Bound::Neighbours, begun.elapsed() * fanouts);
            match found {
                Some(found) => addresses = found,
                None => {
                    whole.shortage = search.shortage().await;
                    return whole;
                }
            }
        }
    }

    /// Every address that this host has a route to; the others get their verdict.
    fn reachable(&self) -> Vec<u16> {
        let mut reachable = Vec::with_capacity(self.plan.addresses.len());
        for address in self.plan.indexes() {
            match route::unreachable(self.plan.address(address)) {
                None => reachable.push(address),
                Some(reason) => {
                    self.shared.write_off(address, reason);
                    let ports = self.plan.ports.len().into();
                    self.shared.stats.count_ports(PortState::Filtered, ports);
                }
            }
        }
        reachable
    }

    /// Moves those out of `addresses` that have to be found on an attached network.
    fn take_attached(&self, addresses: &mut Vec<u16>) -> Vec<Attached> {
        let candidates: Vec<_> = addresses.iter().map(|&it| self.plan.address(it)).collect();
        // In the order of the candidates.
        let mut unresolved = self.neighbours.unresolved(&candidates).into_iter().peekable();
        let mut attached = Vec::with_capacity(unresolved.len());
        addresses.retain(|&address| {
            let is_this = |it: &Neighbour| it.address == self.plan.address(address);
            let neighbour = unresolved.next_if(is_this);
            attached.extend(neighbour.map(|neighbour| Attached { address, neighbour }));
            neighbour.is_none()
        });
        attached
    }

    async fn ask_again(&self, pass: Pass) -> PassEnd {
        let Pass { targets, attempt, purpose, rate, window } = pass;
        let asked = match purpose {
            Purpose::State => targets.len() as u64,
            // All silent targets are asked in the pass that follows.
            Purpose::Pilot => self.plan.targets() - self.shared.lock().done(),
        };
        self.shared.begin_pass(attempt, asked);
        let mut plan = FanoutPlan { purpose, window, ..self.fanout_plan.clone() };
        plan.pacers.extend(rate.map(|rate| Arc::new(Pacer::new(rate, Instant::now()))));
        let work = Work::listed(targets, attempt.into());
        self.run_pass(&work, plan).await
    }

    async fn run_pass(&self, work: &Arc<Work>, plan: FanoutPlan) -> PassEnd {
        let started = Instant::now();
        let mut fanouts = JoinSet::new();
        for _ in 0..work.useful_fanouts(self.fanouts) {
            let part = Part::new(&self.plan, Arc::clone(&self.shared), started);
            let (connect, scan) = (self.connect.clone(), Arc::clone(&self.plan));
            let targets = Work::targets(work);
            fanouts.spawn(part.fill(targets, plan.clone(), move || connect(scan)));
        }
        let mut whole = PassEnd::default();
        while let Some(part) = fanouts.join_next().await {
            match part {
                Ok(part) => whole.absorb(part),
                // Nothing else cancels these tasks.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        whole
    }

    /// Finds out which addresses accept connections on every port.
    async fn try_canaries(&self) {
        let mut suspects = self.shared.lock().suspiciously_open();
        let Some(canaries) = self.plan.canaries.as_ref().filter(|_| !suspects.is_empty()) else {
            return;
        };
        if let Some(asked) = canaries.intersection(&self.plan.ports) {
            let tallies = self.shared.lock();
            suspects.retain(|&address| {
                asked.iter().all(|port| tallies.is_open(Target { address, port }))
            });
        }
        if let Some(unasked) = canaries.difference(&self.plan.ports) {
            let plan =
                ScanPlan { ports: unasked, states: States::Counted, ..ScanPlan::clone(&self.plan) };
            let plan = Arc::new(plan);
            let aside = Self {
                shared: Arc::new(Shared::new(&plan, Arc::clone(&self.shared.stats), None)),
                fanout_plan: self.fanout_plan.clone(),
                fanouts: self.fanouts,
                neighbours: self.neighbours.clone(),
                connect: self.connect.clone(),
                plan,
            };
            let work = Work::all(suspects.clone(), aside.plan.ports.clone(), aside.plan.order);
            aside.run_pass(&work, aside.fanout_plan.clone()).await;
            let tallies = aside.shared.lock();
            suspects.retain(|&address| tallies.open(address) == aside.plan.ports.len());
        }
        for address in suspects {
            self.shared.lock().mark_accepts_everything(address);
        }
    }

    /// Counts targets that stayed silent in all passes as filtered.
    fn give_verdict(&self, silent: &[Target]) {
        let mut part = Tallies::part(&self.plan);
        for &target in silent {
            part.record(&Outcome { target, verdict: SILENCE, rtt: None });
            // In parts, so that this list is not held twice in memory.
            if part.found() >= ROWS_AT_ONCE || part.is_full() {
                self.shared.absorb(&mut part);
            }
        }
        self.shared.absorb(&mut part);
        self.shared.stats.count_ports(PortState::Filtered, silent.len() as u64);
    }
}

/// Rows of silent targets that are handed over at once.
const ROWS_AT_ONCE: usize = 4096;

#[cfg(test)]
mod tests;
