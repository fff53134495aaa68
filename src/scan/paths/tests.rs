//! How long is waited, as evidence comes in.

use super::*;

const CEILING: Duration = Duration::from_secs(2);

fn paths(count: u8) -> Paths {
    let addresses: Vec<IpAddr> = (1..=count).map(|n| [10, 0, 0, n].into()).collect();
    Paths::new(&addresses, CEILING)
}

fn answer(paths: &Paths, address: u16, answered: Answered, rtt: Duration) {
    paths.sample(address, answered, rtt, || Some(rtt));
}

/// Ends a pass that found one port silent.
fn end_pass(paths: &Paths) -> Duration {
    let wait = paths.wait(0, Purpose::State);
    paths.note_silence(0, Purpose::State, wait);
    paths.end_pass();
    wait
}

#[test]
fn two_attempts_without_strong_evidence_take_one_timeout_together() {
    let (near, far) = (Duration::from_micros(100), Duration::from_millis(900));
    for weak in [&[][..], &[(Answered::Refused, near)], &[(Answered::Accepted, far)]] {
        let paths = paths(1);
        weak.iter().for_each(|&(answered, rtt)| answer(&paths, 0, answered, rtt));
        let first = end_pass(&paths);
        assert!(!paths.is_settled(0), "after {first:?}");
        assert_eq!(first + end_pass(&paths), CEILING);
        assert!(paths.is_settled(0));
    }
}

#[test]
fn several_open_ports_shorten_the_wait_and_further_passes_are_more_patient() {
    let paths = paths(1);
    for _ in 0..3 {
        let wait = paths.wait(0, Purpose::Pilot);
        assert!(wait >= limits::MIN_MARGIN, "{wait:?}");
        answer(&paths, 0, Answered::Accepted, Duration::from_micros(100));
    }
    let waits = [end_pass(&paths), end_pass(&paths)];
    let nearly = |wait: Duration, margins: f64| {
        wait.abs_diff(limits::MIN_MARGIN.mul_f64(margins)) < Duration::from_millis(1)
    };
    assert!(nearly(waits[0], 1.0) && nearly(waits[1], 1.5), "{waits:?}");
    assert!(paths.is_settled(0));
    (0..40).for_each(|_| paths.end_pass());
    assert!(end_pass(&paths) <= CEILING);
}

#[test]
fn on_loopback_one_answer_of_any_kind_is_strong_evidence() {
    let paths = Paths::new(&[[127, 0, 0, 1].into()], CEILING);
    answer(&paths, 0, Answered::Refused, Duration::from_micros(20));
    assert!(end_pass(&paths) + end_pass(&paths) < CEILING / 4);
    assert!(paths.is_settled(0));
}

#[test]
fn a_late_answer_makes_the_passes_before_it_count_for_nothing() {
    let paths = paths(1);
    let (near, far) = (Duration::from_micros(100), Duration::from_millis(400));
    (0..3).for_each(|_| answer(&paths, 0, Answered::Accepted, near));
    assert!(!paths.is_late(0, far), "nothing was given up yet");
    end_pass(&paths);
    assert!(paths.is_late(0, far) && !paths.is_late(0, near));
    let revision = paths.revision();
    answer(&paths, 0, Answered::Accepted, far);
    assert_ne!(paths.revision(), revision);
    assert!(paths.wait(0, Purpose::State) >= CEILING / 2);
    (0..2).for_each(|_| answer(&paths, 0, Answered::Accepted, far));
    end_pass(&paths);
    assert!(!paths.is_settled(0));
    end_pass(&paths);
    assert!(paths.is_settled(0));
}

#[test]
fn other_addresses_inform_the_first_wait_by_strong_evidence_only() {
    let paths = paths(2);
    let rtt = Duration::from_micros(100);
    answer(&paths, 0, Answered::Accepted, rtt);
    answer(&paths, 0, Answered::Refused, rtt);
    assert_eq!(paths.wait(1, Purpose::State), CEILING / 4);
    (0..2).for_each(|_| answer(&paths, 0, Answered::Accepted, rtt));
    assert_eq!(paths.wait(1, Purpose::State), paths.wait(0, Purpose::State) * 2);
}

#[test]
fn an_answer_after_a_second_may_be_to_a_repeated_syn_and_is_not_late() {
    let paths = paths(1);
    end_pass(&paths);
    let second = Duration::from_secs(1);
    assert!(paths.is_late(0, second - Duration::from_millis(1)));
    assert!(!paths.is_late(0, second));
}
