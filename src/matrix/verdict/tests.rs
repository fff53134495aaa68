use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::matrix::plan::{Resolved, Wanted};
use crate::matrix::rules::Rules;
use crate::scan::Reason;

const FILTERED: State = State::Filtered(Reason::NoResponse);

fn not_asked() -> State {
    State::NotAsked(NotAsked::new("it is gone"))
}

#[test]
fn every_state_has_its_verdict() {
    use Verdict::*;
    let open = Some(Expected::Open);
    let denied = Some(Expected::Denied);
    for (expected, state, without, with) in [
        (open, State::Open, Ok, Ok),
        (open, State::AcceptsEverything, Unproved, Unproved),
        (open, State::Refused, Missing, Missing),
        (open, FILTERED, Missing, Missing),
        (open, not_asked(), NotAsked, NotAsked),
        (denied, State::Open, Unexpected, Unexpected),
        (denied, State::AcceptsEverything, Unproved, Unproved),
        (denied, State::Refused, Unproved, Ok),
        (denied, FILTERED, Unproved, Ok),
        (denied, not_asked(), NotAsked, NotAsked),
        (None, State::Open, NotJudged, NotJudged),
        (None, FILTERED, NotJudged, NotJudged),
        (None, not_asked(), NotAsked, NotAsked),
    ] {
        assert_eq!(verdict(expected, &state, false), without, "{expected:?} {state:?}");
        assert_eq!(verdict(expected, &state, true), with, "{expected:?} {state:?}");
    }
}

/// Vantages `http://v0`, `http://v1` and so on, and targets `t0`, `t1` and so on.
fn plan(rules: &str) -> Plan {
    let rules = Rules::read(rules).unwrap_or_else(|errors| panic!("{errors:?}"));
    let wanted = Wanted { rules, ..Wanted::default() };
    let (from, to) = wanted.peers();
    let seats = from.into_iter().map(|peer| {
        let vantage = Err(super::NotAsked::new("nobody is there"));
        let seat = Seat { name: peer.to_string(), group: None, vantage };
        (peer, vec![seat])
    });
    let columns = to.into_iter().map(|target| {
        let crate::matrix::Target::Hosts(hosts) = &target else { panic!("no cluster") };
        let columns = Column::of_hosts(hosts).unwrap();
        (target, columns)
    });
    let resolved = Resolved { seats: seats.collect(), columns: columns.collect() };
    Plan::try_new(&wanted, &resolved).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn round(answers: Vec<Vec<(&str, u16, State)>>) -> Round {
    let answers = answers.into_iter().map(|states| Ok(Answers::of(states))).collect();
    Round { answers, witnesses: Vec::new() }
}

fn verdicts(plan: &Plan, round: &Round) -> Vec<Verdict> {
    Judged::new(plan, round).cells().map(|cell| cell.verdict).collect()
}

#[test]
fn a_denial_is_proved_by_another_vantage_or_the_witness() {
    let plan = plan("http://v0 => t : none TCP 80\nhttp://v1 => u : TCP 80\n");
    let denied = |of_other: State| {
        round(vec![
            vec![("t", 80, FILTERED), ("u", 80, State::Refused)],
            vec![("t", 80, of_other), ("u", 80, State::Open)],
        ])
    };
    assert_eq!(verdicts(&plan, &denied(State::Open)), [Verdict::Ok, Verdict::Ok]);
    for other in [State::Refused, FILTERED, State::AcceptsEverything, not_asked()] {
        let round = denied(other);
        assert_eq!(verdicts(&plan, &round), [Verdict::Unproved, Verdict::Ok]);
        assert_eq!(Judged::new(&plan, &round).in_doubt(), [(0, vec![80])]);
        let witness = |state| Some(Ok(Answers::of([("t", 80, state)])));
        let open = Round { witnesses: vec![witness(State::Open), None], ..round.clone() };
        assert_eq!(verdicts(&plan, &open), [Verdict::Ok, Verdict::Ok]);
        let closed = Round { witnesses: vec![witness(State::Refused), None], ..round };
        assert_eq!(verdicts(&plan, &closed), [Verdict::Unproved, Verdict::Ok]);
        assert_eq!(Judged::new(&plan, &closed).of_witness(0, 80), Some(State::Refused));
    }
}

#[test]
fn a_vantage_that_is_gone_was_not_asked() {
    let plan = plan("http://v0 => t : TCP 80\nhttp://v1 => t : none\n");
    let gone = Round {
        answers: vec![
            Ok(Answers::of([("t", 80, State::Open)])),
            Err(super::NotAsked::new("it is gone")),
        ],
        witnesses: Vec::new(),
    };
    assert_eq!(verdicts(&plan, &gone), [Verdict::Ok, Verdict::NotAsked]);
    let tally = Judged::new(&plan, &gone).tally();
    assert!(!tally.is_wrong() && !tally.is_complete());
}

#[test]
fn the_fingerprint_changes_with_any_cell() {
    let plan = plan("http://v0 => t : TCP 80,81\n");
    let print = |states: [State; 2]| {
        let [one, other] = states;
        let round = round(vec![vec![("t", 80, one), ("t", 81, other)]]);
        Judged::new(&plan, &round).fingerprint()
    };
    let open = print([State::Open, State::Open]);
    assert_eq!(open, print([State::Open, State::Open]));
    assert_ne!(open, print([State::Open, State::Refused]));
    assert_ne!(print([FILTERED, State::Refused]), print([State::Refused, FILTERED]));
}

fn any_state() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::Open),
        Just(State::AcceptsEverything),
        Just(State::Refused),
        Just(FILTERED),
        Just(not_asked()),
    ]
}

proptest! {
    /// Three vantages, two ports, any expectation and any answer.
    #[test]
    fn what_is_as_expected_was_asked_and_could_have_been_otherwise(
        expected in vec(any::<bool>(), 6),
        states in vec(any_state(), 6),
        gone in vec(any::<bool>(), 3),
    ) {
        let rules: String = (0..6)
            .map(|cell| {
                let (vantage, port) = (cell / 2, 80 + cell % 2);
                let none = if expected[cell] { "" } else { "none " };
                format!("http://v{vantage} => t{port} : {none}TCP {port}\n")
            })
            .collect();
        let plan = plan(&rules);
        let answers = (0..3).map(|vantage| {
            if gone[vantage] {
                return Err(super::NotAsked::new("it is gone"));
            }
            let of = |port: usize| states[vantage * 2 + port].clone();
            Ok(Answers::of([("t80", 80, of(0)), ("t81", 81, of(1))]))
        });
        let round = Round { answers: answers.collect(), witnesses: Vec::new() };
        let judged = Judged::new(&plan, &round);
        let opened = |port: usize| {
            (0..3).any(|vantage| !gone[vantage] && states[vantage * 2 + port] == State::Open)
        };
        for cell in judged.cells() {
            let vantage: usize = cell.seat.name["http://v".len()..].parse().unwrap();
            let port = usize::from(cell.port) - 80;
            let at = vantage * 2 + port;
            let state = if gone[vantage] { not_asked() } else { states[at].clone() };
            let is_known = !matches!(state, State::NotAsked(_));
            let is_vague = state == State::AcceptsEverything;
            let is_open = state == State::Open || is_vague;
            match cell.verdict {
                Verdict::Ok if expected[at] => prop_assert_eq!(&state, &State::Open),
                Verdict::Ok => prop_assert!(is_known && !is_open && opened(port)),
                Verdict::Unexpected => prop_assert!(!expected[at] && is_open && !is_vague),
                Verdict::Missing => prop_assert!(expected[at] && is_known && !is_open),
                Verdict::Unproved if expected[at] || is_vague => prop_assert!(is_vague),
                Verdict::Unproved => prop_assert!(is_known && !is_open && !opened(port)),
                Verdict::NotAsked => prop_assert!(!is_known),
                Verdict::NotJudged => prop_assert!(false, "a rule is about every cell"),
            }
        }
        let tally = judged.tally();
        let all: u64 = Verdict::ALL.iter().map(|&verdict| tally.of(verdict)).sum();
        prop_assert_eq!(all, plan.cells());
    }
}
