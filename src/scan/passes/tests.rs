//! Whole scans over a scripted network.

use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::limits;
use crate::ports::PortSet;
use crate::scan::Scanner;
use crate::scan::fanout::network::script::{CLOSED, OPEN, Reply, Script};
use crate::scan::findings::states::{Moment, Standing};
use crate::scan::findings::tally::AddressTally;
use crate::scan::outcome::{Answer, Reason, Sender, Shortage};

/// Every address is this host's loopback, so that nothing is looked for.
fn plan(addresses: u8, ports: &str) -> ScanPlan {
    let addresses = (1..=addresses).map(|n| [127, 0, 0, n].into()).collect();
    let timeout = Duration::from_millis(400);
    ScanPlan { timeout, ..ScanPlan::new(addresses, ports.parse().unwrap()) }
}

async fn run(plan: &ScanPlan, script: &Script) -> (Vec<AddressTally>, ScanTiming) {
    let scanner = Scanner::new(4096, NonZeroUsize::new(2).unwrap());
    let script = script.clone();
    let passes = scanner.passes(plan, None, move |_| Ok(script.network()));
    let shared = Arc::clone(&passes.shared);
    passes.run().await;
    assert_eq!(scanner.budget().used(), 0);
    (shared.tallies(), shared.timing())
}

#[tokio::test]
async fn every_port_of_every_address_is_counted_once_whatever_becomes_of_it() {
    let script = Script::new(|target, attempt| match target.port % 6 {
        0 => Reply::Now(CLOSED),
        1 => Reply::Soon(OPEN),
        2 => Reply::Never,
        3 if attempt == 1 => Reply::Now(Answer::Short(Errno::NOBUFS)),
        4 => Reply::NoSocket(Errno::INVAL),
        _ => Reply::Soon(CLOSED),
    });
    let (tallies, _) = run(&plan(3, "1-600"), &script).await;
    for (index, tally) in (1..).zip(&tallies) {
        assert_eq!(tally.address, IpAddr::from([127, 0, 0, index]));
        assert_eq!((tally.open, tally.closed, tally.filtered_total()), (100, 300, 100));
        assert_eq!((tally.not_scanned, tally.shortage), (100, Some(Shortage::UnknownError)));
        assert!(tally.findings.open_ports().all(|port| port % 6 == 1));
        assert_eq!(tally.findings.len(), 100);
    }
    assert_eq!(tallies.len(), 3);
}

#[tokio::test]
async fn silent_ports_are_asked_twice_and_those_of_the_pilot_once_more() {
    let script = Script::new(
        |target, _| if target.port <= 100 { Reply::Soon(CLOSED) } else { Reply::Never },
    );
    let (tallies, timing) = run(&plan(1, "1-1000"), &script).await;
    assert_eq!((tallies[0].closed, tallies[0].filtered_total()), (100, 900));
    assert_eq!((timing.attempts, timing.loss), (2, 0.0));
    let asked = |times| script.attempts().values().filter(|&&attempts| attempts == times).count();
    assert_eq!((asked(1), asked(2) + asked(3)), (100, 900));
    let pilot = limits::PILOT_TARGETS..limits::PILOT_TARGETS * 2;
    assert!(pilot.contains(&asked(3)), "{} targets", asked(3));
}

#[tokio::test]
async fn what_the_first_pass_lost_is_found_and_counted_as_loss() {
    // Nine of ten.
    let script = Script::new(|target, attempt| {
        if attempt > 1 || target.port.is_multiple_of(10) { Reply::Soon(OPEN) } else { Reply::Never }
    });
    let (tallies, timing) = run(&plan(1, "1-1000"), &script).await;
    assert_eq!((tallies[0].open, tallies[0].not_scanned), (1000, 0));
    assert!(tallies[0].findings.open_ports().eq(1..=1000));
    assert_eq!(timing.loss, 900.0 / 1900.0);
}

#[tokio::test]
async fn icmp_errors_that_come_only_sometimes_are_no_loss() {
    // As from a firewall that rejects and may send few of them.
    let rejected = Answer::Icmp(Reason::PortUnreach, Sender::Target);
    let script = Script::new(move |target, attempt| match target.port {
        1 => Reply::Soon(OPEN),
        port if u32::from(port % 8) < attempt => Reply::Soon(rejected),
        _ => Reply::Never,
    });
    let (tallies, timing) = run(&plan(1, "1-1000"), &script).await;
    assert_eq!((tallies[0].open, tallies[0].filtered_total()), (1, 999));
    assert_eq!((timing.attempts, timing.loss), (2, 0.0));
    assert_eq!(tallies[0].filtered[Reason::PortUnreach.index()], 249);
}

#[tokio::test]
async fn an_address_that_accepts_on_ports_that_nobody_uses_accepts_everything() {
    // The second serves many ports, the third few.
    let script = || {
        Script::new(|target, _| match (target.address, target.port) {
            (0, _) | (1, 1..=30) | (2, 7) => Reply::Soon(OPEN),
            _ => Reply::Soon(CLOSED),
        })
    };
    let accepts = |tallies: Vec<AddressTally>| -> Vec<bool> {
        tallies.iter().map(|tally| tally.accepts_everything).collect()
    };
    for (canaries, asked) in [("40,50,60001", 1), ("60001-60003", 3), ("40,50", 0)] {
        let script = script();
        let canaries: PortSet = canaries.parse().unwrap();
        let plan = ScanPlan { canaries: Some(canaries), ..plan(3, "1-50") };
        let (tallies, _) = run(&plan, &script).await;
        assert_eq!(accepts(tallies), [true, false, false]);
        // Only suspects are asked, and only what was not asked before.
        let attempts = script.attempts();
        let aside = attempts.keys().filter(|target| target.port > 50);
        let aside: Vec<u16> = aside.map(|target| target.address).collect();
        let first = aside.iter().filter(|&&address| address == 0).count();
        assert_eq!(first, asked);
        assert!(aside.iter().all(|&address| address < 2), "{aside:?}");
    }
    let (tallies, _) = run(&plan(3, "1-50"), &script()).await;
    assert_eq!(accepts(tallies), [false; 3], "nobody asked for canaries");
}

#[tokio::test]
async fn states_that_are_kept_are_those_that_are_counted() {
    // More ports than a fan-out keeps before it hands over.
    const PORTS: u16 = 3_000;
    let reply = |target: Target, attempt: u32| match (target.port % 5, attempt) {
        (0, _) => Reply::Soon(OPEN),
        (1, _) | (2, 1) => Reply::Never,
        _ => Reply::Now(CLOSED),
    };
    let scanner = Scanner::new(4096, NonZeroUsize::new(2).unwrap());
    for states in [States::Counted, States::Mapped] {
        let script = Script::new(reply);
        let plan = ScanPlan { states, ..plan(2, &format!("1-{PORTS}")) };
        let passes = scanner.passes(&plan, None, move |_| Ok(script.network()));
        let shared = Arc::clone(&passes.shared);
        passes.run().await;
        let runs = |address| shared.state_runs(address, 1, usize::MAX, Moment::Running);
        for (address, tally) in (0..).zip(shared.tallies()) {
            let count = |wanted| {
                let of_state = runs(address).into_iter().filter(|run| run.standing == wanted);
                of_state.map(|run| u32::from(run.last - run.first) + 1).sum::<u32>()
            };
            let kept = [PortState::Open, PortState::Closed, PortState::Filtered]
                .map(|state| count(Standing::State(state)));
            let counted = [tally.open, tally.closed, tally.filtered_total()];
            match states {
                States::Mapped => assert_eq!(kept, counted),
                States::Counted => assert!(runs(address).is_empty()),
            }
        }
    }
}

#[tokio::test]
async fn what_the_deadline_leaves_is_not_scanned() {
    let script =
        Script::new(|target, _| if target.port <= 10 { Reply::Now(CLOSED) } else { Reply::Never });
    let timeout = Duration::from_secs(3600);
    let deadline = Some(Duration::from_millis(50));
    let (tallies, _) = run(&ScanPlan { timeout, deadline, ..plan(2, "1-500") }, &script).await;
    for tally in tallies {
        assert_eq!(tally.closed + tally.not_scanned, 500, "{tally:?}");
        assert_eq!(tally.shortage, Some(Shortage::Time));
        assert!(tally.not_scanned >= 490);
    }
}

#[tokio::test]
async fn a_scan_says_what_took_most_of_its_time() {
    let silent = Script::new(|_, _| Reply::Never);
    let (_, timing) = run(&plan(1, "1-1000"), &silent).await;
    assert_eq!(timing.bound_by, Some(Bound::Timeouts));
    let answering = || Script::new(|_, _| Reply::Soon(CLOSED));
    let rate = std::num::NonZeroU32::new(500);
    let (_, timing) = run(&ScanPlan { rate, ..plan(1, "1-200") }, &answering()).await;
    assert_eq!(timing.bound_by, Some(Bound::Rate));
}
