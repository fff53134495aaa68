//! Fan-outs over a network that answers by script.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::IpAddr;

use super::network::script::{Asked, CLOSED, OPEN, Reply, Script};
use super::*;
use crate::limits;
use crate::scan::budget::DescriptorBudget;
use crate::scan::gate::until::Until;
use crate::scan::paths::{Paths, Purpose};

/// The longest wait for a silent target.
const TIMEOUT: Duration = Duration::from_millis(40);

/// A plan for two addresses about which nothing is known.
fn plan(timeout: Duration, descriptors: usize) -> FanoutPlan {
    let addresses: Vec<IpAddr> = (1..=2).map(|n| [192, 0, 2, n].into()).collect();
    FanoutPlan {
        paths: Arc::new(Paths::new(&addresses, timeout, None)),
        purpose: Purpose::State,
        window: None,
        until: Arc::new(Until::new(None)),
        pacers: Vec::new(),
        budget: Arc::new(DescriptorBudget::new(descriptors)),
        stats: Arc::default(),
    }
}

/// The first `ports` ports of both addresses.
fn targets(ports: u16) -> impl Iterator<Item = Target> {
    (0..2).flat_map(move |address| (1..=ports).map(move |port| Target { address, port }))
}

/// Runs a fan-out to its end.
async fn run(
    targets: impl Iterator<Item = Target>,
    plan: FanoutPlan,
    script: &Script,
) -> (Vec<Outcome>, Option<Shortage>) {
    let mut fanout = Fanout::try_new(targets, plan, || Ok(script.network())).await.unwrap();
    let mut outcomes = Vec::new();
    while let Some(outcome) = poll_fn(|cx| fanout.poll_next(cx)).await {
        outcomes.push(outcome);
    }
    (outcomes, fanout.shortage())
}

fn by_target(outcomes: &[Outcome]) -> BTreeMap<Target, Verdict> {
    let by_target: BTreeMap<_, _> = outcomes.iter().map(|it| (it.target, it.verdict)).collect();
    assert_eq!(by_target.len(), outcomes.len(), "a target has one outcome");
    by_target
}

#[tokio::test]
async fn every_target_ends_in_exactly_one_outcome() {
    let script = Script::new(|target, _| match target.port % 5 {
        0 => Reply::Now(CLOSED),
        1 => Reply::Soon(CLOSED),
        2 => Reply::Now(OPEN),
        3 => Reply::Soon(OPEN),
        _ => Reply::Never,
    });
    let (outcomes, shortage) = run(targets(500), plan(TIMEOUT, 4096), &script).await;
    assert_eq!(shortage, None);
    let by_target = by_target(&outcomes);
    assert!(by_target.keys().copied().eq(targets(500)));
    for (target, verdict) in by_target {
        let (state, reason) = match target.port % 5 {
            0 | 1 => (PortState::Closed, Reason::ConnRefused),
            2 | 3 => (PortState::Open, Reason::SynAck),
            _ => (PortState::Filtered, Reason::NoResponse),
        };
        assert_eq!(verdict, Verdict::Port(state, reason), "{target:?}");
    }
}

#[tokio::test]
async fn a_target_that_met_a_shortage_is_asked_again_later() {
    for short in [
        Reply::NoSocket(Errno::MFILE),
        Reply::NoSocket(Errno::NOMEM),
        Reply::Now(Answer::Short(Errno::NOBUFS)),
        Reply::Now(Answer::Short(Errno::ADDRNOTAVAIL)),
    ] {
        let script =
            Script::new(
                move |target, attempt| {
                    if target.port == 7 && attempt == 1 { short } else { Reply::Soon(CLOSED) }
                },
            );
        let plan = plan(TIMEOUT, 4096);
        let (outcomes, shortage) = run(targets(20), plan.clone(), &script).await;
        assert_eq!(shortage, None, "{short:?}");
        let closed = Verdict::Port(PortState::Closed, Reason::ConnRefused);
        let by_target = by_target(&outcomes);
        assert!(by_target.keys().copied().eq(targets(20)), "{short:?}");
        assert!(by_target.values().all(|&verdict| verdict == closed), "{short:?}");
        for (target, &attempts) in &*script.attempts() {
            assert_eq!(attempts, 1 + u32::from(target.port == 7), "{target:?} {short:?}");
        }
        let errors: u64 = plan.stats.errors().map(|(_, count)| count).sum();
        assert_eq!(errors, 2, "{short:?}");
        assert_eq!(plan.budget.used(), 0);
    }
}

#[tokio::test]
async fn an_error_without_a_meaning_ends_its_target_as_not_scanned() {
    let short = Reply::Now(Answer::Short(Errno::INVAL));
    let script =
        Script::new(move |target, _| if target.port == 7 { short } else { Reply::Soon(CLOSED) });
    let (outcomes, shortage) = run(targets(20), plan(TIMEOUT, 4096), &script).await;
    assert_eq!(shortage, None);
    for (target, verdict) in by_target(&outcomes) {
        let unknown = verdict == Verdict::NotScanned(Shortage::UnknownError);
        assert_eq!(unknown, target.port == 7, "{target:?}");
    }
    assert_eq!(outcomes.len(), 40);
}

#[tokio::test]
async fn a_network_that_has_not_answered_gets_no_more_than_the_first_window() {
    // An answer, or the end of the timeout, would widen it.
    let script = Script::new(|_, _| Reply::Never);
    let start = Instant::now();
    let mut fanout =
        Fanout::try_new(targets(2_000), plan(Duration::from_secs(3600), 10_000), || {
            Ok(script.network())
        })
        .await
        .unwrap();
    let first_window = || script.asked().len() >= limits::FIRST_WINDOW;
    poll_fn(|cx| {
        assert!(fanout.poll_next(cx).is_pending());
        if first_window() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    // After this time the window opens for a silent network.
    let early = |asked: &&Asked| asked.at < start + limits::WINDOW_WAITS;
    let most = script.asked().iter().filter(early).map(|asked| asked.in_flight).max();
    assert!(most.is_none_or(|most| most <= limits::FIRST_WINDOW), "{most:?}");
    assert_eq!(fanout.max_in_flight(), fanout.in_flight.len());
}

#[tokio::test]
async fn no_more_probes_are_in_flight_than_there_are_descriptors() {
    let script = Script::new(|_, _| Reply::Never);
    let plan = plan(TIMEOUT, 24);
    let (outcomes, _) = run(targets(50), plan, &script).await;
    assert_eq!(by_target(&outcomes).len(), 100);
    // One is the fan-out's own.
    assert_eq!(script.asked().iter().map(|asked| asked.in_flight).max(), Some(23));
}

#[tokio::test]
async fn an_expired_probe_is_looked_at_once_more_before_it_is_filtered() {
    let script = Script::new(|target, _| {
        if target.port.is_multiple_of(2) { Reply::Unnoticed(OPEN) } else { Reply::Never }
    });
    let (outcomes, _) = run(targets(100), plan(TIMEOUT, 4096), &script).await;
    for (target, verdict) in by_target(&outcomes) {
        let (state, reason) = if target.port.is_multiple_of(2) {
            (PortState::Open, Reason::SynAck)
        } else {
            (PortState::Filtered, Reason::NoResponse)
        };
        assert_eq!(verdict, Verdict::Port(state, reason), "{target:?}");
    }
    assert_eq!(outcomes.len(), 200);
}

#[tokio::test]
async fn a_deadline_leaves_what_is_in_flight_and_what_was_not_asked_not_scanned() {
    let script =
        Script::new(|target, _| if target.port <= 10 { Reply::Soon(CLOSED) } else { Reply::Never });
    // Long before any probe expires.
    let mut plan = plan(Duration::from_secs(3600), 4096);
    plan.until = Arc::new(Until::new(Some(Instant::now() + Duration::from_millis(30))));
    let (outcomes, shortage) = run(targets(2_000), plan.clone(), &script).await;
    assert_eq!(shortage, Some(Shortage::Time));
    assert!(by_target(&outcomes).keys().all(|target| target.port <= 10));
    assert!(plan.until.has_come(Instant::now()));
    assert_eq!(plan.budget.used(), 0);
    assert_eq!(plan.stats.in_flight(), 0);
}

#[tokio::test]
async fn a_fan_out_whose_time_is_up_while_it_waits_for_descriptors_does_not_start() {
    let script = Script::new(|_, _| Reply::Now(CLOSED));
    let mut plan = plan(TIMEOUT, 2);
    let _all = Slots::join(Arc::clone(&plan.budget)).await;
    plan.until = Arc::new(Until::new(Some(Instant::now() + Duration::from_millis(10))));
    let started = Fanout::try_new(targets(1), plan, || Ok(script.network())).await;
    assert_eq!(started.err(), Some(Shortage::Time));
    assert!(script.asked().is_empty());
}
