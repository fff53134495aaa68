//! Whether a condition is true, and since when. No I/O, and no clock.
//!
//! A port of a host is open if it is open on one of the host's addresses, as a client
//! would find it; otherwise it is closed if one of them refuses.
//!
//! A condition has held for a time only if probes have seen that: it counts from the
//! first probe that found it true to the last one, whatever the clock says.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::WatchedHost;
use super::condition::{Condition, Wanted};
use super::records::{Outcome, Unmet};
use crate::ports::PortSet;
use crate::scan::{Change, Known, PortState};

/// Judges a condition while changes come in.
#[derive(Debug)]
pub(super) struct Judge {
    items: Vec<Item>,
    /// The state of each port of the watch, and since when.
    states: Vec<Option<(PortState, Instant)>>,
    held_since: Option<Instant>,
    settle: Duration,
}

/// A port of a host that has to have a state.
#[derive(Debug)]
struct Item {
    host: String,
    port: u16,
    wanted: Wanted,
    /// Its places among the ports of the watch, one for each address.
    indexes: Vec<usize>,
}

impl Judge {
    /// Judges `condition` on each of `hosts`, whose `watched` ports are in the order of
    /// `ports`.
    pub(super) fn new(
        condition: &Condition,
        settle: Duration,
        hosts: &[WatchedHost],
        (watched, ports): (&PortSet, &[(IpAddr, u16)]),
    ) -> Self {
        let indexes = |host: &WatchedHost, port| {
            let is_this =
                |&(_, at): &(usize, &(IpAddr, u16))| at.1 == port && host.addresses.contains(&at.0);
            ports.iter().enumerate().filter(is_this).map(|(index, _)| index).collect()
        };
        let of_host = |host: &WatchedHost| {
            let items = condition.items(watched);
            let items = items.map(|(port, wanted)| Item {
                host: host.name.clone(),
                port,
                wanted,
                indexes: indexes(host, port),
            });
            items.collect::<Vec<_>>()
        };
        let items = hosts.iter().flat_map(of_host).collect();
        Self { items, states: vec![None; ports.len()], held_since: None, settle }
    }

    /// Takes a change into account.
    pub(super) fn notice(&mut self, change: &Change) {
        self.states[change.index] = Some((change.to, change.at));
        let mut since = None;
        for item in &self.items {
            match self.state_of(item).filter(|&(state, _)| item.wanted.is_met_by(state)) {
                Some((_, at)) => since = since.max(Some(at)),
                None => {
                    self.held_since = None;
                    return;
                }
            }
        }
        // A port that goes from closed to filtered has not been open in between.
        self.held_since = self.held_since.or(since);
    }

    /// Since when the condition has been true, if it is.
    pub(super) fn held_since(&self) -> Option<Instant> {
        self.held_since
    }

    /// Whether it has held long enough, where this is `known`, and had so `by` then.
    pub(super) fn is_met(&self, known: &[Option<Known>], by: Option<Instant>) -> bool {
        let Some(settled) = self.held_since.map(|since| since + self.settle) else { return false };
        let in_time = by.is_none_or(|by| settled <= by);
        in_time && self.items.iter().all(|item| self.seen_until(item, known) >= Some(settled))
    }

    /// What there is to say if the time is over now.
    pub(super) fn outcome(&self) -> Outcome {
        let states = self.items.iter().map(|item| (item.wanted, self.state_of(item)));
        let (mut is_false, mut is_unknown) = (false, false);
        for (wanted, state) in states {
            match state {
                Some((state, _)) => is_false |= !wanted.is_met_by(state),
                None => is_unknown = true,
            }
        }
        if is_unknown && !is_false { Outcome::Unknown } else { Outcome::NotMet }
    }

    /// The ports that have another state than they ought to, or none that is known.
    pub(super) fn unmet(&self) -> Vec<Unmet> {
        let unmet = self.items.iter().filter_map(|item| {
            let state = self.state_of(item).map(|(state, _)| state);
            let is_met = state.is_some_and(|state| item.wanted.is_met_by(state));
            let Item { host, port, wanted, .. } = item;
            (!is_met).then(|| Unmet {
                host: host.clone(),
                port: *port,
                wanted: wanted.name(),
                state,
            })
        });
        unmet.collect()
    }

    /// The state of a host's port, and since when all its addresses have made it so.
    fn state_of(&self, item: &Item) -> Option<(PortState, Instant)> {
        let states = item.indexes.iter().map(|&index| self.states[index]);
        let open = states.clone().flatten().filter(|&(state, _)| state == PortState::Open);
        if let Some(open) = open.min_by_key(|&(_, at)| at) {
            return Some(open);
        }
        let states: Vec<(PortState, Instant)> = states.collect::<Option<_>>()?;
        let is_closed = states.iter().any(|&(state, _)| state == PortState::Closed);
        let since = states.iter().map(|&(_, at)| at).max()?;
        Some((if is_closed { PortState::Closed } else { PortState::Filtered }, since))
    }

    /// Up to when probes have seen the present state of a host's port.
    fn seen_until(&self, item: &Item, known: &[Option<Known>]) -> Option<Instant> {
        let seen = |&index: &usize| {
            let (state, _) = self.states[index]?;
            known[index].filter(|known| known.state == state)
        };
        let (state, _) = self.state_of(item)?;
        if state == PortState::Open {
            let open = item.indexes.iter().filter_map(seen);
            let open = open.filter(|known| known.state == PortState::Open);
            return open.map(|known| known.last).max();
        }
        let all: Vec<Known> = item.indexes.iter().map(seen).collect::<Option<_>>()?;
        all.into_iter().map(|known| known.last).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Reason;

    const SETTLE: Duration = Duration::from_secs(2);

    /// A judge of `condition` on a host with two addresses and the ports 22 and 80, and
    /// what is known there.
    struct Judged {
        judge: Judge,
        known: Vec<Option<Known>>,
        start: Instant,
    }

    impl Judged {
        fn new(condition: &str) -> Self {
            let watched: PortSet = "22,80".parse().unwrap();
            let addresses: Vec<IpAddr> = vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
            let ports: Vec<(IpAddr, u16)> =
                addresses.iter().flat_map(|&at| [(at, 22), (at, 80)]).collect();
            let hosts = [WatchedHost { name: "web".into(), addresses }];
            let condition = Condition::read(condition, PortSet::typed).unwrap();
            let judge = Judge::new(&condition, SETTLE, &hosts, (&watched, &ports));
            Self { judge, known: vec![None; 4], start: Instant::now() }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        /// A probe at `ms` finds the port at `index` so.
        fn probe(&mut self, index: usize, to: PortState, ms: u64) {
            let (at, reason) = (self.at(ms), Reason::NoResponse);
            match &mut self.known[index] {
                Some(known) if known.state == to => known.last = at,
                known => {
                    let from = known.map(|known| known.state);
                    *known = Some(Known { state: to, reason, since: at, last: at });
                    self.judge.notice(&Change { index, from, to, reason, at });
                }
            }
        }

        fn is_met(&self) -> bool {
            self.judge.is_met(&self.known, None)
        }
    }

    use PortState::{Closed, Filtered, Open};

    #[test]
    fn a_condition_is_met_once_probes_have_seen_it_hold_long_enough() {
        let mut judged = Judged::new("22=open");
        assert_eq!(judged.judge.outcome(), Outcome::Unknown);
        judged.probe(0, Closed, 0);
        judged.probe(2, Open, 100);
        assert!(!judged.is_met());
        judged.probe(2, Open, 2099);
        assert!(!judged.is_met());
        judged.probe(2, Open, 2100);
        assert!(judged.is_met(), "one address is enough");
        assert!(!judged.judge.is_met(&judged.known, Some(judged.at(2099))), "but too late");
        assert_eq!(judged.judge.held_since(), Some(judged.at(100)));
    }

    #[test]
    fn a_condition_that_was_not_true_for_a_moment_begins_anew() {
        let mut judged = Judged::new("22=open");
        judged.probe(0, Open, 0);
        judged.probe(2, Closed, 0);
        judged.probe(0, Open, 1900);
        judged.probe(0, Filtered, 1950);
        judged.probe(0, Open, 1960);
        judged.probe(0, Open, 3900);
        assert!(!judged.is_met());
        judged.probe(0, Open, 3960);
        assert!(judged.is_met());
    }

    #[test]
    fn what_was_not_seen_lately_is_not_known_to_have_held() {
        let mut judged = Judged::new("filtered");
        for index in 0..4 {
            judged.probe(index, Filtered, 0);
        }
        for index in 1..4 {
            judged.probe(index, Filtered, 9000);
        }
        assert!(!judged.is_met());
        judged.probe(0, Filtered, 2000);
        assert!(judged.is_met());
    }

    #[test]
    fn closed_needs_all_addresses_and_not_open_may_change_in_between() {
        let mut judged = Judged::new("80=not-open");
        judged.probe(1, Closed, 0);
        assert_eq!(judged.judge.outcome(), Outcome::Unknown);
        judged.probe(3, Filtered, 100);
        judged.probe(1, Filtered, 1000);
        judged.probe(1, Filtered, 2100);
        judged.probe(3, Filtered, 2100);
        assert!(judged.is_met());
        judged.probe(3, Open, 2200);
        assert!(!judged.is_met());
        assert_eq!(judged.judge.outcome(), Outcome::NotMet);
        let unmet = Unmet { host: "web".into(), port: 80, wanted: "not-open", state: Some(Open) };
        assert_eq!(judged.judge.unmet(), [unmet]);
    }

    #[test]
    fn a_port_known_to_be_otherwise_decides_although_others_are_unknown() {
        let mut judged = Judged::new("22=open,80=closed");
        judged.probe(1, Open, 0);
        assert_eq!(judged.judge.outcome(), Outcome::NotMet);
        assert_eq!(judged.judge.unmet().len(), 2);
    }
}
