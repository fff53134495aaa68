//! One fan-out's part in a pass. It counts by itself, and hands its counts over when
//! the fan-out pauses.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Instant;

use rustix::io::Errno;

use super::course::PassEnd;
use super::work::Targets;
use crate::scan::bound::Bound;
use crate::scan::fanout::network::Network;
use crate::scan::fanout::{Fanout, FanoutPlan};
use crate::scan::findings::Shared;
use crate::scan::findings::stage::Attempts;
use crate::scan::findings::tally::Tallies;
use crate::scan::outcome::{PortState, Reason, Verdict};
use crate::scan::plan::ScanPlan;
use crate::scan::stats::Observations;

/// What one fan-out has found since it last handed over.
pub(super) struct Part {
    tallies: Tallies,
    observations: Observations,
    end: PassEnd,
    /// Attempts since then.
    attempts: Attempts,
    /// Targets that the fan-out had taken by then.
    taken: u64,
    shared: Arc<Shared>,
    /// When its pass started.
    started: Instant,
}

impl Part {
    pub(super) fn new(plan: &Arc<ScanPlan>, shared: Arc<Shared>, started: Instant) -> Self {
        Self {
            tallies: Tallies::part(plan),
            observations: Observations::default(),
            end: PassEnd::default(),
            attempts: Attempts::default(),
            taken: 0,
            shared,
            started,
        }
    }

    /// Runs a fan-out to its end.
    pub(super) async fn fill<N: Network>(
        mut self,
        targets: Targets,
        plan: FanoutPlan,
        connect: impl FnOnce() -> Result<N, Errno>,
    ) -> PassEnd {
        let paths = Arc::clone(&plan.paths);
        let asked = Instant::now();
        let mut fanout = match Fanout::try_new(targets, plan, connect).await {
            Ok(fanout) => fanout,
            Err(shortage) => {
                self.end.shortage = Some(shortage);
                return self.end;
            }
        };
        let begun = Instant::now();
        self.end.times.add(Bound::Descriptors, begun - asked);
        loop {
            let next = poll_fn(|cx| {
                let next = fanout.poll_next(cx);
                if next.is_pending() {
                    self.hand_over(fanout.taken);
                }
                Poll::Ready(ready!(next))
            });
            let Some(outcome) = next.await else { break };
            self.attempts.ended += 1;
            match outcome.verdict {
                SILENCE => {
                    self.attempts.silent += 1;
                    self.end.silent.push(outcome.target);
                    self.tallies.note_silence(outcome.target);
                    self.hand_over_if_full(fanout.taken);
                    continue;
                }
                // An ICMP error comes from a filter, and most systems limit how many
                // they send (icmp_ratelimit in Linux): a further pass gets some more
                // of them, and nothing was lost.
                Verdict::Port(PortState::Filtered, _) | Verdict::NotScanned(_) => {}
                Verdict::Port(PortState::Open | PortState::Closed, _) => {
                    self.end.answered += 1;
                    let address = outcome.target.address;
                    let is_late = outcome.rtt.is_some_and(|rtt| paths.is_late(address, rtt));
                    self.end.late += u64::from(is_late);
                }
            }
            self.tallies.record(&outcome);
            self.observations.record(&outcome);
            self.hand_over_if_full(fanout.taken);
        }
        self.hand_over(fanout.taken);
        let held_up = fanout.times().total();
        self.end.times.absorb(fanout.times());
        self.end.times.add(Bound::Processor, begun.elapsed().saturating_sub(held_up));
        self.end.shortage = fanout.shortage();
        self.end.sending = fanout
            .last_launch()
            .map_or(self.started.elapsed(), |last| last.saturating_duration_since(self.started));
        self.end.max_in_flight = fanout.max_in_flight();
        self.end.window_hint = fanout.window_hint();
        self.end
    }

    /// Hands over without a pause, so that a list of states does not grow.
    fn hand_over_if_full(&mut self, taken: u64) {
        if self.tallies.is_full() {
            self.hand_over(taken);
        }
    }

    /// Hands over what there is, of a fan-out that has taken so many targets.
    fn hand_over(&mut self, taken: u64) {
        let started = taken - std::mem::replace(&mut self.taken, taken);
        let attempts = Attempts { started, ..std::mem::take(&mut self.attempts) };
        if attempts != Attempts::default() {
            // Before the outcomes, so that what is done was asked.
            self.shared.note_attempts(attempts);
        }
        if self.tallies.has_news() {
            self.observations.hand_over(&self.shared.stats);
            self.shared.absorb(&mut self.tallies);
        }
    }
}

/// The verdict on a silent target, which may be asked again.
pub(super) const SILENCE: Verdict = Verdict::Port(PortState::Filtered, Reason::NoResponse);
