//! The logic of the lab's wire, without sockets: which frames are lost or delayed,
//! and in which order they come out.

#[path = "lab/wire/link.rs"]
mod link;
#[path = "lab/wire/transit.rs"]
mod transit;

use std::time::{Duration, Instant};

use link::{Fate, Link, LinkSettings};
use proptest::prelude::*;
use transit::Transit;

const MS: Duration = Duration::from_millis(1);

fn link(settings: &str, seed: u64) -> Link {
    Link::new(settings.parse().expect("settings that make sense"), seed)
}

/// The fates of `count` frames that arrive at once.
fn fates(link: &mut Link, count: usize) -> Vec<Fate> {
    let now = Instant::now();
    (0..count).map(|_| link.admit(now)).collect()
}

#[test]
fn a_plain_link_passes_everything_at_once() {
    let now = Instant::now();
    assert_eq!(Link::new(LinkSettings::default(), 1).admit(now), Fate::Passes(now));
}

#[test]
fn the_same_seed_gives_the_same_fates_and_another_seed_others() {
    let settings = "delay=20ms,jitter=5ms,loss=30%,reorder=10%";
    let now = Instant::now();
    let fates_of = |seed| {
        let mut link = link(settings, seed);
        (0..1000).map(|_| link.admit(now)).collect::<Vec<_>>()
    };
    assert_eq!(fates_of(7), fates_of(7));
    assert_ne!(fates_of(7), fates_of(8));
}

#[test]
fn a_frame_is_lost_whatever_else_the_link_does() {
    let lost = |settings| {
        let fates = fates(&mut link(settings, 3), 1000);
        fates.iter().map(|fate| *fate == Fate::Lost).collect::<Vec<_>>()
    };
    assert_eq!(lost("loss=10%"), lost("loss=10%,delay=9ms,jitter=1ms,reorder=50%"));
}

#[test]
fn losses_come_at_the_rate_that_is_set() {
    for (settings, expected) in [("loss=0%", 0), ("loss=5%", 5000), ("loss=100%", 100_000)] {
        let fates = fates(&mut link(settings, 11), 100_000);
        let lost = fates.iter().filter(|fate| **fate == Fate::Lost).count();
        // Four standard deviations of the binomial distribution at 5 %.
        assert!(lost.abs_diff(expected) < 276, "{lost} lost with {settings}");
    }
}

#[test]
fn delays_cover_the_range_of_the_jitter_and_stay_in_it() {
    let now = Instant::now();
    let mut link = link("delay=20ms,jitter=5ms", 5);
    let delays: Vec<Duration> = (0..10_000)
        .map(|_| match link.admit(now) {
            Fate::Passes(arrives) => arrives - now,
            other => panic!("{other:?}"),
        })
        .collect();
    let (shortest, longest) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
    assert!(*shortest >= 15 * MS && *shortest < 15 * MS + MS / 10, "{shortest:?}");
    assert!(*longest <= 25 * MS && *longest > 25 * MS - MS / 10, "{longest:?}");
}

#[test]
fn a_frame_that_overtakes_skips_the_delay() {
    let now = Instant::now();
    assert_eq!(link("delay=20ms,reorder=100%", 1).admit(now), Fate::Overtakes(now));
}

#[test]
fn a_line_sends_at_its_rate_and_drops_what_its_queue_cannot_hold() {
    let now = Instant::now();
    let mut link = link("rate=1000,queue=3,delay=10ms", 1);
    let arrivals: Vec<Fate> = (0..6).map(|_| link.admit(now)).collect();
    let passes = |turns| Fate::Passes(now + 10 * MS + MS * turns);
    // One frame is being sent and three wait.
    let expected = [passes(1), passes(2), passes(3), passes(4), Fate::Overflowed, Fate::Overflowed];
    assert_eq!(arrivals, expected);
    // One transmission later there is room for one more. Idle time gives no credit.
    assert_eq!(link.admit(now + MS), passes(5));
    assert_eq!(link.admit(now + 100 * MS), passes(101));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    for bad in ["delay", "delay=1", "delay=-1ms", "delay=NaNms", "loss=101%", "loss=5", "rate=0"] {
        assert!(bad.parse::<LinkSettings>().is_err(), "{bad}");
    }
    for bad in ["queue=-1", "speed=1", "delay=1ms;loss=1%", "jitter=1e9ms"] {
        assert!(bad.parse::<LinkSettings>().unwrap_err().to_string().contains(bad), "{bad}");
    }
    assert_eq!("".parse(), Ok(LinkSettings::default()));
}

proptest! {
    #[test]
    fn frames_come_out_by_arrival_and_then_by_entry(arrivals in prop::collection::vec(0u32..50, 0..200)) {
        let start = Instant::now();
        let mut transit = Transit::new();
        let mut model = Vec::new();
        for (number, &arrives) in arrivals.iter().enumerate() {
            transit.enter(number, start + MS * arrives);
            model.push((arrives, number));
        }
        model.sort_unstable();
        let mut out = Vec::new();
        for elapsed in 0..50 {
            let now = start + MS * elapsed;
            while let Some(number) = transit.next_arrived(now) {
                out.push((elapsed, number));
            }
            prop_assert_eq!(transit.len(), arrivals.len() - out.len());
            prop_assert!(transit.next_arrival().is_none_or(|arrives| arrives > now));
        }
        prop_assert_eq!(out, model);
    }

    #[test]
    fn a_line_never_sends_faster_than_its_rate(
        gaps in prop::collection::vec(0u32..3000, 1..300),
        rate in 1u32..5000,
        queue in 0u32..20,
    ) {
        let mut now = Instant::now();
        let mut link = Link::new(LinkSettings { rate: Some(rate), queue, ..Default::default() }, 1);
        let turn = Duration::from_secs(1) / rate;
        let mut last = None;
        for gap in gaps {
            now += Duration::from_micros(gap.into());
            match link.admit(now) {
                Fate::Passes(sent) => {
                    prop_assert!(last.is_none_or(|last| sent - last >= turn));
                    prop_assert!(sent >= now + turn && sent - now <= turn * (queue + 1));
                    last = Some(sent);
                }
                fate => prop_assert_eq!(fate, Fate::Overflowed),
            }
        }
    }
}
