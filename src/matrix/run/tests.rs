use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{BoxFuture, FutureExt};

use super::*;
use crate::matrix::answers::State;
use crate::matrix::plan::{Column, Pair, Part};
use crate::matrix::rules::Expected;
use crate::matrix::vantage::TargetHost;
use crate::scan::Reason;

/// Steps of rounds that start at these milliseconds and take 10, with their verdicts.
fn steps(patience: (u64, u64), rounds: &[(u64, u64, bool)]) -> Vec<&'static str> {
    let time = |ms| (ms > 0).then_some(Duration::from_millis(ms));
    let patience = Patience { settle: time(patience.0), within: time(patience.1) };
    let begun = Instant::now();
    let mut settling = Settling::new(patience, begun);
    let at = |ms| begun + Duration::from_millis(ms);
    let step = |&(start, print, is_good): &(u64, u64, bool)| match settling.step(
        (at(start), at(start + 10)),
        print,
        is_good,
    ) {
        Step::Again(_) => "again",
        Step::Done { has_settled: true } => "done",
        Step::Done { has_settled: false } => "unsettled",
    };
    rounds.iter().map(step).collect()
}

#[test]
fn without_patience_everybody_is_asked_once() {
    assert_eq!(steps((0, 0), &[(0, 1, false)]), ["done"]);
}

#[test]
fn verdicts_have_to_hold_from_the_end_of_a_round_to_the_start_of_another() {
    let rounds = [(0, 1, false), (500, 2, true), (1500, 2, true), (1510, 2, true)];
    assert_eq!(steps((1000, 0), &rounds), ["again", "again", "again", "done"]);
    let rounds = [(0, 1, true), (900, 2, true), (1800, 1, true), (2811, 1, true)];
    assert_eq!(steps((1000, 0), &rounds), ["again", "again", "again", "done"]);
    // So is a verdict that is not as expected.
    assert_eq!(steps((1000, 0), &[(0, 1, false), (1010, 1, false)]), ["again", "done"]);
}

#[test]
fn within_a_time_verdicts_have_to_be_as_expected() {
    let rounds = [(0, 1, false), (500, 1, false), (900, 2, true)];
    assert_eq!(steps((0, 2000), &rounds), ["again", "again", "done"]);
    let rounds = [(0, 1, false), (1500, 1, false), (1995, 1, false)];
    assert_eq!(steps((0, 2000), &rounds), ["again", "again", "done"]);
}

#[test]
fn both_together_want_what_is_expected_to_hold_within_the_time() {
    let rounds = [(0, 1, false), (1100, 1, false), (1500, 2, true), (2510, 2, true)];
    assert_eq!(steps((1000, 5000), &rounds), ["again", "again", "again", "done"]);
    let rounds = [(0, 1, true), (1995, 2, true)];
    assert_eq!(steps((1000, 2000), &rounds), ["again", "unsettled"]);
}

#[test]
fn what_never_holds_comes_to_an_end() {
    let rounds = [(0, 1, true), (60_000, 2, true), (61_000, 3, true)];
    assert_eq!(steps((1000, 0), &rounds), ["again", "again", "unsettled"]);
}

/// A vantage that says the same of each port of `t`.
struct Scripted {
    state: State,
    /// The ports that it was asked, question by question.
    asked: Mutex<Vec<String>>,
    closed: AtomicUsize,
    /// How many are being asked now, and were at most.
    busy: Arc<(AtomicUsize, AtomicUsize)>,
}

impl Scripted {
    fn new(state: State, busy: &Arc<(AtomicUsize, AtomicUsize)>) -> Arc<Self> {
        let (asked, closed) = (Mutex::default(), AtomicUsize::default());
        Arc::new(Self { state, asked, closed, busy: Arc::clone(busy) })
    }
}

impl Vantage for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answers, NotAsked>> {
        async move {
            let (now, most) = &*self.busy;
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            sleep(Duration::from_millis(1)).await;
            now.fetch_sub(1, Ordering::Relaxed);
            self.asked.lock().unwrap().push(question.ports.to_string());
            let ports = question.ports.iter();
            Ok(Answers::of(ports.map(|port| ("t", port, self.state.clone()))))
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.closed.fetch_add(1, Ordering::Relaxed);
        async {}.boxed()
    }
}

const TERMS: Terms = Terms {
    parallel: 2,
    timeout: Duration::from_secs(1),
    deadline: Duration::from_secs(60),
    metadata: false,
};

/// Vantages, of which each ought not to reach the port 80 of `t`, and to reach 81.
fn plan(vantages: &[Arc<Scripted>], witness: &Arc<Scripted>) -> Plan {
    let seats = vantages.iter().enumerate().map(|(number, vantage)| Seat {
        name: format!("v{number}"),
        group: None,
        vantage: Ok(Arc::clone(vantage) as Arc<dyn Vantage>),
    });
    let host = TargetHost {
        name: "t".into(),
        group: None,
        host: "t".parse().unwrap(),
        ports: None,
        witness: Some(Arc::clone(witness) as Arc<dyn Vantage>),
    };
    let part = |ports: &str, expected| Part {
        ports: ports.parse().unwrap(),
        expected: Some(expected),
        line: None,
    };
    let parts = vec![part("80", Expected::Denied), part("81", Expected::Open)];
    let pair = |seat| Pair { seat, column: 0, parts: parts.clone() };
    Plan {
        seats: seats.collect(),
        columns: vec![Column { name: "t".into(), group: None, host: Ok(host) }],
        ports: "80,81".parse().unwrap(),
        pairs: (0..vantages.len()).map(pair).collect(),
    }
}

#[tokio::test]
async fn a_witness_is_asked_about_what_is_in_doubt_alone() {
    let busy = Arc::default();
    let silent = Scripted::new(State::Filtered(Reason::NoResponse), &busy);
    let witness = Scripted::new(State::Open, &busy);
    let plan = plan(&[Arc::clone(&silent)], &witness);
    let ended = run(&plan, &TERMS, Patience::default()).await;
    // One is denied and unproved, the other missing.
    assert_eq!(*witness.asked.lock().unwrap(), ["80-81"]);
    let tally = Judged::new(&plan, &ended.round).tally();
    assert_eq!((tally.ok, tally.missing), (1, 1));
    assert_eq!(*silent.asked.lock().unwrap(), ["80-81"]);
    close(&plan).await;
    let closed = [&silent, &witness].map(|vantage| vantage.closed.load(Ordering::Relaxed));
    assert_eq!(closed, [1, 1]);

    let open = Scripted::new(State::Open, &busy);
    let witness = Scripted::new(State::Open, &busy);
    let plan = super::tests::plan(&[open], &witness);
    let ended = run(&plan, &TERMS, Patience::default()).await;
    assert!(witness.asked.lock().unwrap().is_empty(), "everything is known");
    assert_eq!(Judged::new(&plan, &ended.round).tally().unexpected, 1);
}

#[tokio::test]
async fn a_few_vantages_are_asked_at_once() {
    let busy: Arc<(AtomicUsize, AtomicUsize)> = Arc::default();
    let vantages: Vec<_> = (0..7).map(|_| Scripted::new(State::Open, &busy)).collect();
    let witness = Scripted::new(State::Open, &busy);
    run(&plan(&vantages, &witness), &TERMS, Patience::default()).await;
    assert_eq!(busy.1.load(Ordering::Relaxed), TERMS.parallel);
}
