//! Follows a watch, and makes its records.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::sleep_until;

use super::Subject;
use super::judge::Judge;
use super::records::{Counts, Outcome, StateRow, WatchRecord};
use crate::limits;
use crate::report::milliseconds;
use crate::scan::{Change, Watch, WatchNews};

/// A watch from its first record to its last.
#[derive(Debug)]
pub(crate) struct Story {
    watch: Watch,
    ports: Vec<(IpAddr, u16)>,
    /// For each port, the first host that has its address.
    names: Vec<String>,
    /// For each port, when its last state began, as it was reported.
    dates: Vec<Option<(Instant, SystemTime)>>,
    judge: Option<Judge>,
    /// When the time for the condition is over.
    over_at: Option<Instant>,
    begun: Instant,
    /// `None` once the first record was made.
    opening: Option<Opening>,
    /// Records that were not read yet.
    told: VecDeque<WatchRecord>,
    progress_at: Instant,
    changes: u64,
    stage: Stage,
}

/// The states at first, while they come in.
#[derive(Debug)]
struct Opening {
    states: Vec<Option<Change>>,
    /// How many of them are not known yet.
    unknown: usize,
    /// Changes since then.
    later: Vec<Change>,
    /// Records that come behind the first.
    behind: Vec<WatchRecord>,
    /// When the first record is made, whatever is unknown.
    until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Runs,
    /// The last record was made.
    Told,
}

impl Story {
    /// Follows `watch`, which is about `subject`. Its time counts from `begun`.
    pub(crate) fn new(watch: Watch, subject: Subject<'_>, begun: Instant) -> Self {
        let Subject { hosts, ports: watched, until } = subject;
        let ports: Vec<(IpAddr, u16)> = watch.ports().collect();
        let name_of = |&(address, _): &(IpAddr, u16)| {
            let host = hosts.iter().find(|host| host.addresses.contains(&address));
            host.map_or_else(|| address.to_string(), |host| host.name.clone())
        };
        let now = Instant::now();
        Self {
            names: ports.iter().map(name_of).collect(),
            judge: until
                .map(|until| Judge::new(&until.condition, until.settle, hosts, (watched, &ports))),
            over_at: until.and_then(|until| begun.checked_add(until.within?)),
            begun,
            opening: Some(Opening {
                states: vec![None; ports.len()],
                unknown: ports.len(),
                later: Vec::new(),
                behind: Vec::new(),
                until: now + OPENING_PATIENCE,
            }),
            dates: vec![None; ports.len()],
            told: VecDeque::new(),
            progress_at: now + limits::PROGRESS_INTERVAL,
            changes: 0,
            stage: Stage::Runs,
            watch,
            ports,
        }
    }

    /// Waits for the next record; `None` after the last. Dropping the future loses
    /// nothing.
    pub(crate) async fn next(&mut self) -> Option<WatchRecord> {
        loop {
            if let Some(record) = self.told.pop_front() {
                return Some(record);
            }
            if self.stage == Stage::Told {
                return None;
            }
            // What is known is read before the news that led to it.
            let held = self.judge.as_ref().and_then(Judge::held_since);
            let known = held.map(|_| self.watch.known());
            while let Some(news) = self.watch.try_next() {
                self.take(news);
            }
            let now = Instant::now();
            let is_met = |judge: &Judge| {
                known.as_ref().is_some_and(|known| judge.is_met(known, self.over_at))
            };
            if self.judge.as_ref().is_some_and(is_met) {
                self.end(Outcome::Met);
            } else if self.over_at.is_some_and(|over_at| over_at <= now) {
                self.end(self.judge.as_ref().map_or(Outcome::Unknown, Judge::outcome));
            } else {
                self.open_by(now);
                self.note_progress(now);
            }
            if !self.told.is_empty() {
                continue;
            }
            let wake = self.wake_at(now);
            tokio::select! {
                news = self.watch.next() => self.take(news),
                () = sleep_until(wake.into()) => {}
            }
        }
    }

    /// Ends the watch; what is left to read are its last records.
    pub(crate) fn stop(&mut self) {
        if self.stage == Stage::Runs {
            while let Some(news) = self.watch.try_next() {
                self.take(news);
            }
            self.end(Outcome::Stopped);
        }
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> Counts {
        let counts = self.watch.counts();
        Counts {
            changes: self.changes,
            rounds: counts.rounds,
            probes: counts.probes,
            missed: counts.missed,
        }
    }

    fn take(&mut self, news: WatchNews) {
        match news {
            WatchNews::Changed(change) => {
                if let Some(judge) = &mut self.judge {
                    judge.notice(&change);
                }
                match &mut self.opening {
                    Some(Opening { states, unknown, .. }) if states[change.index].is_none() => {
                        states[change.index] = Some(change);
                        *unknown -= 1;
                    }
                    Some(Opening { later, .. }) => later.push(change),
                    None => self.tell_change(&change),
                }
                if self.opening.as_ref().is_some_and(|opening| opening.unknown == 0) {
                    self.open();
                }
            }
            WatchNews::Missed { probes, reason } => {
                let (at, reason) = (SystemTime::now(), reason.name());
                let record = WatchRecord::Missed { at, probes, reason };
                match &mut self.opening {
                    Some(opening) => opening.behind.push(record),
                    None => self.told.push_back(record),
                }
            }
        }
    }

    /// Makes the first record if it is time.
    fn open_by(&mut self, now: Instant) {
        if self.opening.as_ref().is_some_and(|opening| opening.until <= now) {
            self.open();
        }
    }

    /// Makes the first record, if that was not done, and those that waited for it.
    fn open(&mut self) {
        let Some(Opening { states, later, behind, .. }) = self.opening.take() else { return };
        let dates = states.iter().map(|first| first.map(|first| (first.at, time_of(first.at))));
        self.dates = dates.collect();
        let rows = self.ports.iter().zip(&self.names).zip(states.iter().zip(&self.dates));
        let rows = rows.map(|((&(address, port), host), (first, date))| StateRow {
            host: host.clone(),
            address,
            port,
            state: first.map(|first| first.to),
            reason: first.map(|first| first.reason),
            at: date.map(|(_, at)| at),
        });
        let states = rows.collect();
        self.told.push_back(WatchRecord::States { at: SystemTime::now(), states });
        self.told.extend(behind);
        for change in &later {
            self.tell_change(change);
        }
    }

    fn tell_change(&mut self, change: &Change) {
        let &Change { index, from, to, reason, at } = change;
        let (address, port) = self.ports[index];
        self.changes += 1;
        let began = at;
        let (at, host) = (time_of(began), self.names[index].clone());
        self.dates[index] = Some((began, at));
        self.told.push_back(WatchRecord::Change { at, host, address, port, from, to, reason });
    }

    fn note_progress(&mut self, now: Instant) {
        if now >= self.progress_at {
            self.progress_at = now + limits::PROGRESS_INTERVAL;
            // Before the first record there is nothing to go on from.
            if self.opening.is_none() {
                let (at, counts) = (SystemTime::now(), self.counts());
                self.told.push_back(WatchRecord::Progress { at, counts });
            }
        }
    }

    fn end(&mut self, outcome: Outcome) {
        self.open();
        self.stage = Stage::Told;
        let held_since = self.judge.as_ref().and_then(Judge::held_since);
        let held_since = held_since.map(|since| self.reported(since));
        let unmet = match (outcome, &self.judge) {
            (Outcome::NotMet | Outcome::Unknown, Some(judge)) => judge.unmet(),
            _ => Vec::new(),
        };
        self.told.push_back(WatchRecord::End {
            at: SystemTime::now(),
            outcome,
            held_since,
            unmet,
            elapsed_ms: milliseconds(self.begun.elapsed()),
            counts: self.counts(),
        });
    }

    /// The time of day of a moment. It is the same each time, also if the clock was set
    /// meanwhile.
    fn reported(&self, moment: Instant) -> SystemTime {
        let known = self.dates.iter().flatten().find(|(began, _)| *began == moment);
        known.map_or_else(|| time_of(moment), |&(_, at)| at)
    }

    fn wake_at(&self, now: Instant) -> Instant {
        let opening = self.opening.as_ref().map(|opening| opening.until);
        let judge = self.judge.as_ref().and_then(Judge::held_since);
        let judge = judge.map(|_| now + limits::JUDGE_EVERY);
        let causes = [opening, self.over_at, judge].into_iter().flatten();
        causes.fold(self.progress_at, Instant::min)
    }
}

/// The time of day of a moment in the past.
fn time_of(at: Instant) -> SystemTime {
    SystemTime::now() - at.elapsed()
}

/// How long the first record waits for states that are not known. Of a silent port the
/// state is known after a second and a half.
const OPENING_PATIENCE: Duration = Duration::from_secs(3);
