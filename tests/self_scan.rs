//! Scans of 127.0.0.1. Only there are the source and the target address the same, so a
//! probe can connect to itself or to another probe.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;

use open_ports::limits::DEFAULT_TIMEOUT;
use open_ports::ports::PortSet;
use open_ports::scan::{ScanPlan, Scanner};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use support::kernel::Witness;
use support::targets::Listeners;
use support::{FANOUTS, runtime};

support::trials::main! {
    full_range_scans_at_the_same_time_show_no_phantoms: OwnNetworkIfAny,
    probes_from_few_ports_to_the_same_few_show_no_phantoms: OwnNetwork,
}

// If the engine did not check both ends of a connection, nearly every one of these
// scans would report a phantom or two.
fn full_range_scans_at_the_same_time_show_no_phantoms() {
    // Other programs listen on 127.0.0.1 for a short time, and a witness may miss one.
    let listeners = Listeners::bind(Ipv4Addr::LOCALHOST.into(), 300);
    // Also with so few sockets that the fan-outs wait for each other.
    for descriptors in [4096, 24, 4096, 24] {
        let scanner = Scanner::new(descriptors, FANOUTS);
        let witness = Witness::of(listeners.address);
        let mut open = BTreeSet::new();
        for found in scans_at_once(&runtime(), 3, &scanner, &self_scan()) {
            assert!(listeners.ports.is_subset(&found), "missed some: {found:?}");
            open.extend(found);
        }
        listeners.assert_found(&Vec::from_iter(open), &witness.seen());
    }
}

// If connections have few source ports, and those are the probed ports, probes often
// meet. The fewer ports there are, the more likely two probes cross twice in a row: with
// 9 ports it was seen once in some 5,000 rounds, and the chance falls with the fourth
// power of their number.
fn probes_from_few_ports_to_the_same_few_show_no_phantoms() {
    let (first, last, listening) = (40_000, 40_063, 40_007);
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", format!("{first} {last}")).unwrap();
    let _listener = Listeners::bind_at(Ipv4Addr::LOCALHOST.into(), listening).unwrap();
    let plan = ScanPlan { ports: PortSet::try_range(first, last).unwrap(), ..self_scan() };
    let (runtime, scanner) = (runtime(), Scanner::new(4096, NonZeroUsize::MIN));
    for round in 0..500 {
        for open in scans_at_once(&runtime, 4, &scanner, &plan) {
            assert_eq!(open, BTreeSet::from([listening]), "round {round}");
        }
    }
}

/// The open ports that each of `count` scans finds.
fn scans_at_once(
    runtime: &Runtime,
    count: usize,
    scanner: &Scanner,
    plan: &ScanPlan,
) -> Vec<BTreeSet<u16>> {
    let tallies = runtime.block_on(async {
        let mut scans = JoinSet::new();
        for _ in 0..count {
            let (scanner, plan) = (scanner.clone(), plan.clone());
            scans.spawn(async move { scanner.scan(&plan).await });
        }
        scans.join_all().await
    });
    let open = tallies.iter().map(|tallies| {
        let tally = &tallies[0];
        assert_eq!((tally.filtered_total(), tally.not_scanned), (0, 0), "{tally:?}");
        assert_eq!(tally.open + tally.closed, plan.ports.len());
        tally.findings.iter().map(|finding| finding.port).collect()
    });
    open.collect()
}

fn self_scan() -> ScanPlan {
    ScanPlan {
        timeout: DEFAULT_TIMEOUT,
        ..ScanPlan::new(vec![IpAddr::from(Ipv4Addr::LOCALHOST)], PortSet::all())
    }
}
