//! Watches over a network that answers by script.

use std::net::IpAddr;
use std::num::NonZeroUsize;

use tokio::time::timeout;

use super::*;
use crate::scan::Scanner;
use crate::scan::fanout::network::script::{CLOSED, OPEN, Reply, Script};
use crate::scan::plan::Target;

const EVERY: Duration = Duration::from_millis(5);

/// Ends a test that hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// A watch of the first `ports` ports of an address, with so many descriptors.
fn watch(script: &Script, ports: u16, descriptors: usize, every: Duration) -> (Watch, Scanner) {
    let address: IpAddr = [192, 0, 2, 1].into();
    let plan = ScanPlan {
        timeout: Duration::from_millis(200),
        ..ScanPlan::new(vec![address], format!("1-{ports}").parse().unwrap())
    };
    let scanner = Scanner::new(descriptors, NonZeroUsize::MIN);
    let (fanout_plan, script) = (scanner.fanout_plan(&plan), script.clone());
    let connect = move |_| Ok(script.network());
    (Watch::start(Arc::new(plan), fanout_plan, every, connect), scanner)
}

/// The next change: the port and its states.
async fn change(watch: &mut Watch) -> (u16, Option<PortState>, PortState) {
    loop {
        if let WatchNews::Changed(Change { index, from, to, .. }) =
            timeout(DEADLINE, watch.next()).await.expect("a change")
        {
            return (watch.ports().nth(index).unwrap().1, from, to);
        }
    }
}

/// Waits until so many probes were sent.
async fn probes(watch: &Watch, count: u64) {
    timeout(DEADLINE, async {
        while watch.counts().probes < count {
            tokio::time::sleep(EVERY).await;
        }
    })
    .await
    .expect("as many probes");
}

use PortState::{Closed, Filtered, Open};

#[tokio::test]
async fn each_change_is_told_once_and_in_order() {
    let script = Script::new(|Target { port, .. }, attempt| match (port, attempt) {
        (1, ..=20 | 41..) => Reply::Soon(OPEN),
        (1, _) => Reply::Now(CLOSED),
        _ => Reply::Soon(CLOSED),
    });
    let (mut watch, _scanner) = watch(&script, 2, 64, EVERY);
    let mut first = [change(&mut watch).await, change(&mut watch).await];
    first.sort_unstable();
    assert_eq!(first, [(1, None, Open), (2, None, Closed)]);
    assert_eq!(change(&mut watch).await, (1, Some(Open), Closed));
    assert_eq!(change(&mut watch).await, (1, Some(Closed), Open));
    probes(&watch, 200).await;
    assert!(!matches!(watch.try_next(), Some(WatchNews::Changed(_))));
    let known = watch.known();
    assert_eq!(known[0].map(|known| known.state), Some(Open));
    assert!(known.iter().flatten().all(|known| known.last >= known.since));
}

#[tokio::test]
async fn lost_probes_are_no_change_and_a_silence_is_one_and_so_is_its_end() {
    let script = Script::new(|_, attempt| match attempt {
        ..=200 if attempt.is_multiple_of(10) => Reply::Never,
        201..=300 => Reply::Never,
        _ => Reply::Soon(OPEN),
    });
    let (mut watch, _scanner) = watch(&script, 1, 256, EVERY);
    assert_eq!(change(&mut watch).await, (1, None, Open));
    assert_eq!(change(&mut watch).await, (1, Some(Open), Filtered));
    assert_eq!(change(&mut watch).await, (1, Some(Filtered), Open));
    let asked = script.asked();
    let known = watch.known()[0].unwrap();
    // The first answer after the silence was that of attempt 301.
    let since = known.since.saturating_duration_since(asked[300].at);
    assert!(known.since <= asked[300].at && since.is_zero(), "dated by its probe");
    assert!(known.since > asked[299].at);
}

#[tokio::test]
async fn a_port_in_doubt_is_asked_more_often_than_its_rounds_have_it() {
    // Rounds would take eight hours.
    let script = Script::new(|_, _| Reply::Never);
    let (mut watch, _scanner) = watch(&script, 3, 256, Duration::from_secs(3600));
    for _ in 0..3 {
        let (_, from, to) = change(&mut watch).await;
        assert_eq!((from, to), (None, Filtered));
    }
    assert_eq!(watch.counts().rounds, 1);
    assert_eq!(watch.counts().missed, 0);
}

#[tokio::test]
async fn too_few_descriptors_are_told_and_change_no_state() {
    let script = Script::new(|_, _| Reply::Soon(OPEN));
    // One of them is the watch's own.
    let silent = Script::new(|_, _| Reply::Never);
    let (mut few, scanner) = watch(&silent, 20, 4, EVERY);
    // On a busy machine, rounds may begin late as well.
    let told = timeout(DEADLINE, async {
        loop {
            if let WatchNews::Missed { probes, reason } = few.next().await
                && reason == MissedReason::Shortage(Shortage::Descriptors)
            {
                return probes;
            }
        }
    });
    let probes = told.await.expect("what was missed");
    assert!(probes > 0);
    assert!(few.counts().missed >= probes);
    assert!(scanner.budget().used() <= 4);
    // All have their turn nevertheless.
    let (mut watch, _scanner) = watch(&script, 20, 4, EVERY);
    for _ in 0..20 {
        let (_, from, to) = change(&mut watch).await;
        assert_eq!((from, to), (None, Open));
    }
}

#[tokio::test]
async fn a_watch_that_is_dropped_gives_its_descriptors_back() {
    let script = Script::new(|_, _| Reply::Never);
    let (watch, scanner) = watch(&script, 5, 64, EVERY);
    probes(&watch, 20).await;
    assert!(scanner.budget().used() > 0 && scanner.stats().in_flight() > 0);
    drop(watch);
    timeout(DEADLINE, async {
        while scanner.budget().used() > 0 || scanner.stats().in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the end of the watch");
}
