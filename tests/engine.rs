//! The engine against real sockets on loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::process::Command;
use std::time::{Duration, Instant};

use open_ports::limits::DEFAULT_TIMEOUT;
use open_ports::ports::PortSet;
use open_ports::scan::{AddressTally, Finding, Keep, PortState, Reason, ScanPlan, Scanner};

use support::kernel::Witness;
use support::targets::{Listeners, Refused, Silent, list};
use support::{FANOUTS, own_address, runtime};

support::trials::main! {
    a_full_range_scan_finds_every_listener_and_nothing_else,
    a_full_range_scan_over_ipv6_finds_every_listener_and_nothing_else: Ipv6,
    few_descriptors_make_a_scan_slower_but_not_wrong,
    each_address_has_its_own_open_ports,
    addresses_of_both_families_have_their_own_open_ports: Ipv6,
    refused_is_closed_and_silence_is_filtered_within_the_timeout,
    a_host_that_is_silent_has_the_whole_timeout_to_answer,
    silent_ports_wait_together_as_far_as_descriptors_go,
    a_later_scan_gets_its_part_before_an_earlier_long_one_ends,
    an_address_that_needs_a_zone_is_not_scanned_rather_than_closed: Ipv6,
    an_address_without_a_route_is_filtered_as_unreachable: OwnNetwork,
    an_ipv6_blackhole_is_filtered_as_unreachable: OwnNetwork | Ipv6,
    a_copy_of_what_a_running_scan_has_found_takes_memory,
}

fn a_full_range_scan_finds_every_listener_and_nothing_else() {
    let listeners = Listeners::bind(own_address(), 300);
    let witness = Witness::of(listeners.address);
    let tallies = scan(&scanner(4096), &full_range([listeners.address]));
    assert_exact(&tallies[0], &listeners, witness);
}

fn a_full_range_scan_over_ipv6_finds_every_listener_and_nothing_else() {
    let listeners = Listeners::bind("::1".parse().unwrap(), 100);
    let witness = Witness::of(listeners.address);
    let tallies = scan(&scanner(4096), &full_range([listeners.address]));
    assert_exact(&tallies[0], &listeners, witness);
}

fn few_descriptors_make_a_scan_slower_but_not_wrong() {
    for descriptors in [2, 3, 24] {
        let listeners = Listeners::bind(own_address(), 60);
        let witness = Witness::of(listeners.address);
        let scanner = scanner(descriptors);
        let tallies = scan(&scanner, &full_range([listeners.address]));
        assert_exact(&tallies[0], &listeners, witness);
        assert_eq!(scanner.budget().used(), 0, "of {descriptors}");
    }
}

fn each_address_has_its_own_open_ports() {
    assert_separate(&[own_address(), own_address()]);
}

fn addresses_of_both_families_have_their_own_open_ports() {
    assert_separate(&[own_address(), "::1".parse().unwrap(), own_address()]);
}

#[track_caller]
fn assert_separate(addresses: &[IpAddr]) {
    let listeners: Vec<_> = addresses.iter().map(|&address| Listeners::bind(address, 60)).collect();
    let witnesses: Vec<_> = addresses.iter().map(|&address| Witness::of(address)).collect();
    let tallies = scan(&scanner(64), &full_range(addresses));
    assert_eq!(tallies.iter().map(|tally| tally.address).collect::<Vec<_>>(), addresses);
    for ((tally, listeners), witness) in tallies.iter().zip(&listeners).zip(witnesses) {
        assert_exact(tally, listeners, witness);
    }
}

fn refused_is_closed_and_silence_is_filtered_within_the_timeout() {
    let address = own_address();
    let listener = Listeners::bind(address, 1);
    let (refused, silent) = (Refused::bind(address), Silent::bind(address, 1));
    let ports = listener.ports.iter().chain([&refused.port]).chain(&silent.ports);
    let plan = ScanPlan { ports: list(ports).parse().unwrap(), ..full_range([address]) };
    let start = Instant::now();
    let tallies = scan(&scanner(64), &plan);
    let elapsed = start.elapsed();

    let tally = &tallies[0];
    assert_eq!((tally.open, tally.closed, tally.not_scanned), (1, 1, 0), "{tally:?}");
    assert_eq!(tally.filtered_total(), 1);
    assert_eq!(tally.filtered[Reason::NoResponse.index()], 1);
    let mut findings: Vec<Finding> = tally.findings.iter().collect();
    findings.sort_by_key(|finding| finding.state);
    let [open, filtered] = findings[..] else { panic!("{tally:?}") };
    assert_eq!((open.state, open.reason), (PortState::Open, Reason::SynAck));
    assert!(listener.ports.contains(&open.port) && open.rtt.is_some());
    assert_eq!((filtered.state, filtered.reason), (PortState::Filtered, Reason::NoResponse));
    assert!(silent.ports.contains(&filtered.port) && filtered.rtt.is_none());
    // The others show how near the address is, so the silent port is not waited for
    // for the whole timeout.
    assert!(elapsed < plan.timeout, "{elapsed:?}");
}

fn a_host_that_is_silent_has_the_whole_timeout_to_answer() {
    let silent = Silent::bind(own_address(), 1);
    let ports = silent.list().parse().unwrap();
    // So long that a tenth of it is more than a busy machine is late by.
    let timeout = Duration::from_secs(10);
    let plan = ScanPlan { ports, timeout, ..full_range([silent.address]) };
    let start = Instant::now();
    let tallies = scan(&scanner(64), &plan);
    let elapsed = start.elapsed();
    assert_eq!(tallies[0].filtered[Reason::NoResponse.index()], 1, "{tallies:?}");
    // All its attempts together take no longer.
    assert!(elapsed >= timeout, "{elapsed:?}");
    assert!(elapsed <= timeout.mul_f64(1.1), "{elapsed:?}");
}

fn silent_ports_wait_together_as_far_as_descriptors_go() {
    let silent = Silent::bind(own_address(), 60);
    let plan = ScanPlan {
        ports: silent.list().parse().unwrap(),
        timeout: Duration::from_millis(100),
        ..full_range([silent.address])
    };
    // One fan-out and its readiness set leave so many sockets.
    for sockets in [60, 22, 1] {
        let start = Instant::now();
        let tallies = scan(&Scanner::new(sockets + 1, NonZeroUsize::MIN), &plan);
        let rounds = u32::try_from(60usize.div_ceil(sockets)).unwrap();
        assert!(start.elapsed() >= plan.timeout * rounds, "{sockets} sockets");
        assert_eq!(tallies[0].filtered[Reason::NoResponse.index()], 60);
        assert_eq!((tallies[0].filtered_total(), tallies[0].not_scanned), (60, 0));
    }
}

fn a_later_scan_gets_its_part_before_an_earlier_long_one_ends() {
    let silent = Silent::bind(own_address(), 100);
    let listeners = Listeners::bind(own_address(), 30);
    let scanner = scanner(24);
    // Five rounds of 22 sockets at least; the first one's descriptors come
    // free for the later scan when it ends.
    let long = ScanPlan {
        ports: silent.list().parse().unwrap(),
        timeout: Duration::from_millis(500),
        ..full_range([silent.address])
    };
    let short = full_range([listeners.address]);
    runtime().block_on(async {
        let earlier = scanner.clone();
        let long = tokio::spawn(async move { earlier.scan(&long).await });
        while scanner.budget().used() < 24 {
            tokio::task::yield_now().await;
        }
        let witness = Witness::of(listeners.address);
        let tallies = scanner.scan(&short).await;
        assert!(!long.is_finished());
        assert_exact(&tallies[0], &listeners, witness);
        let tallies = long.await.unwrap();
        assert_eq!(tallies[0].filtered[Reason::NoResponse.index()], 100, "{tallies:?}");
    });
}

fn an_address_that_needs_a_zone_is_not_scanned_rather_than_closed() {
    let tallies = scan(&scanner(64), &full_range(["fe80::1".parse().unwrap()]));
    let tally = &tallies[0];
    // A machine may also have no route to it in any zone.
    let unreachable = tally.filtered[Reason::NetUnreach.index()];
    assert_eq!(tally.not_scanned + unreachable, 65_535, "{tally:?}");
    assert_eq!(tally.shortage.is_some(), tally.not_scanned > 0);
}

fn an_address_without_a_route_is_filtered_as_unreachable() {
    assert_unreachable("198.51.100.0/24");
}

fn an_ipv6_blackhole_is_filtered_as_unreachable() {
    assert_unreachable("2001:db8:1::/48");
}

/// Scans addresses without a route, and those that `blackhole` drops.
#[track_caller]
fn assert_unreachable(blackhole: &str) {
    let listeners = Listeners::bind("127.0.0.1".parse().unwrap(), 10);
    let added = Command::new("ip").args(["route", "add", "blackhole", blackhole]).status();
    assert!(added.unwrap().success(), "{blackhole}");
    // RFC 5737 and RFC 3849 keep these for examples.
    let unreachable = ["192.0.2.1", "2001:db8::1", "198.51.100.1", "2001:db8:1::1"];
    let unreachable = unreachable.map(|address| address.parse::<IpAddr>().unwrap());
    let mut addresses = unreachable.to_vec();
    addresses.insert(1, listeners.address);
    let tallies = scan(&scanner(64), &full_range(addresses));
    for tally in tallies.iter().filter(|tally| tally.address != listeners.address) {
        assert_eq!(tally.filtered[Reason::NetUnreach.index()], 65_535, "{tally:?}");
        assert_eq!((tally.open, tally.closed, tally.not_scanned), (0, 0, 0));
    }
    // Nobody else is in this network, so this is exact without a witness.
    assert_eq!(open_ports(&tallies[1]), Vec::from_iter(listeners.ports.iter().copied()));
    assert_eq!(tallies[1].closed, 65_535 - 10);
}

fn a_copy_of_what_a_running_scan_has_found_takes_memory() {
    let listeners = Listeners::bind(own_address(), 120);
    let ports: PortSet = list(&listeners.ports).parse().unwrap();
    let plan = ScanPlan { ports, ..full_range([listeners.address]) };
    // As much as the scan itself takes.
    let scanner = || scanner(64).with_memory(3 << 10);
    runtime().block_on(async {
        // Six seconds, of which the first finding takes few.
        let slow = ScanPlan { rate: NonZeroU32::new(20), ..plan.clone() };
        let scan = scanner().try_start(&slow).unwrap();
        let mut milestones = scan.milestones();
        let found = milestones.wait_for(|milestone| milestone.found > 0).await.unwrap();
        assert!(!found.finished);
        drop(found);
        assert!(scan.try_tallies().is_err());
        // One that is over has its findings in what it took.
        let scan = scanner().try_start(&plan).unwrap();
        scan.finished().await;
        assert_eq!(scan.try_tallies().unwrap()[0].open, 120);
    });
}

fn scanner(descriptors: usize) -> Scanner {
    Scanner::new(descriptors, FANOUTS)
}

fn scan(scanner: &Scanner, plan: &ScanPlan) -> Vec<AddressTally> {
    runtime().block_on(scanner.scan(plan))
}

fn full_range(addresses: impl Into<Vec<IpAddr>>) -> ScanPlan {
    ScanPlan {
        timeout: DEFAULT_TIMEOUT,
        keep: Keep::NotClosed,
        ..ScanPlan::new(addresses.into(), PortSet::all())
    }
}

/// Checks a full-range scan of an address that hides nothing.
#[track_caller]
fn assert_exact(tally: &AddressTally, listeners: &Listeners, witness: Witness) {
    let open = open_ports(tally);
    listeners.assert_found(&open, &witness.seen());
    assert_eq!((tally.filtered_total(), tally.not_scanned), (0, 0), "{tally:?}");
    assert_eq!(tally.open as usize, open.len());
    assert_eq!(tally.open + tally.closed, 65_535);
    assert_eq!(tally.shortage, None);
}

fn open_ports(tally: &AddressTally) -> Vec<u16> {
    let open = tally.findings.iter().filter(|finding| finding.state == PortState::Open);
    open.map(|finding| finding.port).collect()
}
