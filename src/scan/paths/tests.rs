//! How long is waited, as evidence comes in.

use super::*;

const CEILING: Duration = Duration::from_secs(2);

fn paths(count: u8) -> Paths {
    let addresses: Vec<IpAddr> = (1..=count).map(|n| [10, 0, 0, n].into()).collect();
    Paths::new(&addresses, CEILING, None)
}

fn answer(paths: &Paths, address: u16, answered: Answered, rtt: Duration) {
    paths.sample(Target { address, port: 22 }, answered, rtt, || Some(rtt));
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
    let waits = [end_pass(&paths), end_pass(&paths), end_pass(&paths)];
    let nearly = |wait: Duration, margins: f64| {
        wait.abs_diff(limits::MIN_MARGIN.mul_f64(margins)) < Duration::from_millis(1)
    };
    let margins = [0.5, 1.0, 1.5];
    assert!(waits.iter().zip(margins).all(|(&wait, it)| nearly(wait, it)), "{waits:?}");
    assert!(paths.is_settled(0));
    (0..40).for_each(|_| paths.end_pass());
    assert!(end_pass(&paths) <= CEILING);
}

#[test]
fn on_loopback_one_answer_of_any_kind_is_strong_evidence() {
    let paths = Paths::new(&[[127, 0, 0, 1].into()], CEILING, None);
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
    assert_eq!(paths.wait(1, Purpose::State), paths.wait(0, Purpose::Pilot) * 2);
}

#[test]
fn an_answer_after_a_second_may_be_to_a_repeated_syn_and_is_not_late() {
    let paths = paths(1);
    end_pass(&paths);
    let second = Duration::from_secs(1);
    assert!(paths.is_late(0, second - Duration::from_millis(1)));
    assert!(!paths.is_late(0, second));
}

/// Two addresses of a sweep: the first answers on three ports at once, the second
/// stays silent.
fn sweep() -> Paths {
    let addresses = [1, 2].map(|n| IpAddr::from([10, 0, 0, n]));
    let paths = Paths::new(&addresses, CEILING, Some(Arc::default()));
    let near = Duration::from_micros(100);
    for port in [22, 80, 443] {
        assert_eq!(paths.wait(1, Purpose::State), CEILING / 4, "before port {port}");
        paths.sample(Target { address: 0, port }, Answered::Accepted, near, || Some(near));
    }
    paths
}

fn end_silent_pass(paths: &Paths) -> Duration {
    let wait = paths.wait(1, Purpose::State);
    paths.note_silence(1, Purpose::State, wait);
    paths.end_pass();
    wait
}

#[test]
fn neighbours_bound_the_wait_for_an_address_that_never_answers() {
    let paths = sweep();
    let first = end_silent_pass(&paths);
    assert_eq!(first, paths.wait(0, Purpose::State));
    let later = paths.wait(0, Purpose::Pilot);
    assert!(!paths.is_settled(1), "it was asked once");
    assert_eq!(end_silent_pass(&paths), (CEILING / limits::OUTLIER_DIVISOR).max(later * 4));
    assert!(paths.is_settled(1));
    // Further passes, because of loss, need not be longer.
    assert_eq!(end_silent_pass(&paths), later);
}

#[test]
fn an_address_that_answers_is_waited_for_by_its_own_evidence() {
    let paths = sweep();
    let rtt = Duration::from_micros(100);
    paths.sample(Target { address: 1, port: 25 }, Answered::Refused, rtt, || Some(rtt));
    let first = end_silent_pass(&paths);
    assert_eq!(first + end_silent_pass(&paths), CEILING);
}

#[test]
fn an_answer_from_afar_takes_the_bound_away_from_what_was_given_up() {
    let paths = sweep();
    let (far, revision) = (Duration::from_millis(300), paths.revision());
    let waited = [end_silent_pass(&paths), end_silent_pass(&paths)];
    assert!(paths.is_settled(1));
    // A third address of the network, as another scan of the sweep finds out.
    let networks = Arc::clone(paths.view.as_ref().unwrap().networks());
    networks.sample([10, 0, 0, 3].into(), 22, far);
    assert!(!paths.is_settled(1) && paths.revision() != revision);
    let wait = paths.wait(1, Purpose::State);
    assert_eq!(wait + waited[1].min(CEILING / 4), CEILING);
}
