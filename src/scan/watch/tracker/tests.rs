//! Trackers, by themselves and in simulations of a port that changes.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

const OPEN: (PortState, Reason) = (PortState::Open, Reason::SynAck);
const CLOSED: (PortState, Reason) = (PortState::Closed, Reason::ConnRefused);

/// A tracker and its clock.
struct Watched {
    tracker: Tracker,
    start: Instant,
}

impl Watched {
    /// Of a port that was found open at the start.
    fn open() -> Self {
        let mut watched = Self { tracker: Tracker::default(), start: Instant::now() };
        let number = watched.ask(0);
        watched.answer(number, OPEN);
        assert_eq!(watched.news(), [(None, PortState::Open, 0)]);
        watched
    }

    fn ask(&mut self, ms: u32) -> u32 {
        self.tracker.ask(self.start + MS * ms)
    }

    fn answer(&mut self, number: u32, (state, reason): (PortState, Reason)) {
        self.tracker.answer(number, state, reason);
    }

    /// What is noticed, with the milliseconds since the start.
    fn news(&mut self) -> Vec<(Option<PortState>, PortState, u128)> {
        let start = self.start;
        let noticed = std::iter::from_fn(|| self.tracker.next());
        noticed.map(|it| (it.from, it.to, it.at.duration_since(start).as_millis())).collect()
    }

    /// When the last probe started that found the known state.
    fn last(&self) -> u128 {
        self.tracker.known().unwrap().last.duration_since(self.start).as_millis()
    }
}

#[test]
fn an_answer_counts_at_once_and_is_dated_by_its_probe() {
    let mut port = Watched::open();
    let (first, second) = (port.ask(10), port.ask(20));
    port.answer(second, CLOSED);
    assert_eq!(port.news(), [(Some(PortState::Open), PortState::Closed, 20)]);
    // It was asked before, and comes too late to count.
    port.answer(first, OPEN);
    assert_eq!(port.news(), []);
    assert_eq!(port.last(), 20);
}

#[test]
fn silence_counts_once_it_is_no_accident_and_is_dated_by_its_first_probe() {
    let mut port = Watched::open();
    let numbers: Vec<u32> = (1..=9).map(|n| port.ask(n * 10)).collect();
    assert!(port.tracker.falls_silent(numbers[0]), "the first waits on");
    for &number in &numbers[1..] {
        assert!(!port.tracker.falls_silent(number));
    }
    assert_eq!(port.news(), [], "one of them still waits");
    port.tracker.stays_silent(numbers[0]);
    assert_eq!(port.news(), [(Some(PortState::Open), PortState::Filtered, 10)]);
    assert_eq!(port.last(), 90);
    let next = port.ask(100);
    assert!(port.tracker.falls_silent(next), "one waits on in a filtered port, too");
    port.answer(next, OPEN);
    assert_eq!(port.news(), [(Some(PortState::Filtered), PortState::Open, 100)]);
}

#[test]
fn fewer_silent_probes_than_that_are_lost_packets() {
    let mut port = Watched::open();
    let numbers: Vec<u32> = (1..=7).map(|n| port.ask(n * 10)).collect();
    assert!(!port.tracker.is_in_doubt());
    assert!(port.tracker.falls_silent(numbers[0]));
    assert!(port.tracker.is_in_doubt());
    numbers[1..].iter().for_each(|&number| port.tracker.stays_silent(number));
    let next = port.ask(80);
    port.answer(next, OPEN);
    assert_eq!((port.news(), port.last()), (Vec::new(), 80));
    assert!(!port.tracker.is_in_doubt());
    port.tracker.stays_silent(numbers[0]);
    assert_eq!(port.news(), []);
}

#[test]
fn a_silence_that_is_over_before_its_probes_end_is_noticed_with_its_end() {
    let mut port = Watched::open();
    let numbers: Vec<u32> = (1..=20).map(|n| port.ask(n * 5)).collect();
    let next = port.ask(105);
    port.answer(next, OPEN);
    assert_eq!(port.news(), [], "the probes before may still be answered");
    assert_eq!(port.last(), 0, "so the port is not known to have been open since");
    for number in numbers {
        if port.tracker.falls_silent(number) {
            port.tracker.stays_silent(number);
        }
    }
    let (open, filtered) = (PortState::Open, PortState::Filtered);
    assert_eq!(port.news(), [(Some(open), filtered, 5), (Some(filtered), open, 105)]);
}

#[test]
fn answers_that_take_longer_than_before_are_no_silence() {
    let mut port = Watched::open();
    let numbers: Vec<u32> = (1..=20).map(|n| port.ask(n * 5)).collect();
    assert!(port.tracker.falls_silent(numbers[0]));
    numbers[1..].iter().for_each(|&number| assert!(!port.tracker.falls_silent(number)));
    assert_eq!(port.news(), []);
    port.answer(numbers[0], OPEN);
    assert_eq!((port.news(), port.last()), (Vec::new(), 5));
    let next = port.ask(200);
    port.answer(next, OPEN);
    assert_eq!((port.news(), port.last()), (Vec::new(), 200));
}

#[test]
fn probes_that_were_not_sent_say_nothing() {
    let mut port = Watched::open();
    for n in 1..=30 {
        let number = port.ask(n * 10);
        port.tracker.abandon(number);
    }
    assert_eq!((port.news(), port.last()), (Vec::new(), 0));
    assert!(!port.tracker.is_in_doubt());
}

#[test]
fn a_state_keeps_its_time_while_only_the_reason_changes() {
    let mut port = Watched::open();
    let rejected = (PortState::Filtered, Reason::AdminProhibited);
    let number = port.ask(10);
    port.answer(number, rejected);
    assert_eq!(port.news(), [(Some(PortState::Open), PortState::Filtered, 10)]);
    let number = port.ask(20);
    port.answer(number, (PortState::Filtered, Reason::PortUnreach));
    assert_eq!(port.news(), []);
    let known = port.tracker.known().unwrap();
    assert_eq!((known.reason, known.since), (Reason::PortUnreach, port.start + 10 * MS));
}

/// What a port does for some probes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Open,
    Closed,
    Dropped,
}

/// Watches a port through `phases`, each with the number of its probes, and returns what
/// was noticed: the states, each with the number of the probe that dates it. Probes start
/// every millisecond; `lost` says which answers are lost; an answer takes `rtt`, and a
/// probe waits for `wait`.
fn simulate(
    phases: &[(Phase, u32)],
    lost: impl Fn(u32) -> bool,
    (rtt, wait): (u32, u32),
) -> Vec<(PortState, u32)> {
    let start = Instant::now();
    let mut tracker = Tracker::default();
    let mut seen = Vec::new();
    let of_probe: Vec<Phase> =
        phases.iter().flat_map(|&(phase, probes)| (0..probes).map(move |_| phase)).collect();
    let total = u32::try_from(of_probe.len()).unwrap();
    let mut numbers = Vec::new();
    let mut patient: Option<(u32, u32)> = None;
    for now in 0..total + 5 * wait {
        if now < total {
            numbers.push(tracker.ask(start + MS * now));
        }
        if let Some(probe) = now.checked_sub(rtt).filter(|&probe| probe < total) {
            let number = numbers[probe as usize];
            match of_probe[probe as usize] {
                _ if lost(probe) => {}
                Phase::Open => tracker.answer(number, OPEN.0, OPEN.1),
                Phase::Closed => tracker.answer(number, CLOSED.0, CLOSED.1),
                Phase::Dropped => {}
            }
        }
        if let Some(probe) = now.checked_sub(wait).filter(|&probe| probe < total) {
            let silent = lost(probe) || of_probe[probe as usize] == Phase::Dropped;
            if silent && tracker.falls_silent(numbers[probe as usize]) {
                patient = Some((probe, now + 2 * wait));
            }
        }
        if let Some((probe, until)) = patient
            && until <= now
        {
            tracker.stays_silent(numbers[probe as usize]);
            patient = None;
        }
        while let Some(noticed) = tracker.next() {
            let at = noticed.at.duration_since(start).as_millis();
            seen.push((noticed.to, u32::try_from(at).unwrap()));
        }
    }
    seen
}

fn phases() -> impl Strategy<Value = Vec<(Phase, u32)>> {
    let phase = prop_oneof![Just(Phase::Open), Just(Phase::Closed), Just(Phase::Dropped)];
    prop::collection::vec((phase, 30u32..120), 1..8)
}

proptest! {
    #[test]
    fn each_change_is_noticed_once_and_dated_by_its_first_probe(
        phases in phases(),
        rtt in 0u32..20,
        more in 1u32..150,
    ) {
        let mut expected: Vec<(PortState, u32)> = Vec::new();
        let mut at = 0;
        for &(phase, probes) in &phases {
            let state = match phase {
                Phase::Open => PortState::Open,
                Phase::Closed => PortState::Closed,
                Phase::Dropped => PortState::Filtered,
            };
            if expected.last().is_none_or(|last| last.0 != state) {
                expected.push((state, at));
            }
            at += probes;
        }
        prop_assert_eq!(simulate(&phases, |_| false, (rtt, rtt + more)), expected);
    }

    #[test]
    fn lost_packets_are_no_change_and_move_its_date_by_no_more_than_their_number(
        phases in phases(),
        rtt in 0u32..20,
        more in 1u32..150,
        seed in any::<u64>(),
    ) {
        // A tenth, but never more than three in a row.
        let random = |probe: u32| {
            crate::shuffle::Shuffle::new(1000, seed.wrapping_add(probe.into())).at(0) < 100
        };
        let lost = |probe: u32| {
            random(probe) && !(probe >= 3 && (1..=3).all(|back| random(probe - back)))
        };
        let exact = simulate(&phases, |_| false, (rtt, rtt + more));
        let lossy = simulate(&phases, lost, (rtt, rtt + more));
        let states = |seen: &[(PortState, u32)]| seen.iter().map(|it| it.0).collect::<Vec<_>>();
        prop_assert_eq!(states(&lossy), states(&exact));
        for (lossy, exact) in lossy.iter().zip(&exact) {
            prop_assert!(lossy.1.abs_diff(exact.1) <= 4, "{:?} instead of {:?}", lossy, exact);
        }
    }
}
