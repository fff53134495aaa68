//! What the service makes of few descriptors, of none, and of clients that go
//! away; and how much memory it takes.

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use open_ports::limits::MIN_DESCRIPTORS;
use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use support::client::{self, Connection, ports};
use support::kernel::Witness;
use support::service::{Service, setting, with_descriptors};
use support::targets::{Listeners, Silent, list};
use support::{own_address, wait_for, wait_within};

#[test]
fn with_64_descriptors_scans_are_exact_alone_and_4_at_once() {
    scans_are_exact_with(64, 4);
}

#[test]
fn with_256_descriptors_scans_are_exact_alone_and_4_at_once() {
    scans_are_exact_with(256, 4);
}

#[test]
fn scans_are_exact_16_at_once() {
    scans_are_exact_with(4096, 16);
}

#[test]
fn with_the_fewest_descriptors_a_scan_is_exact() {
    let service = Service::spawn(with_descriptors(MIN_DESCRIPTORS));
    let listeners = Listeners::bind(own_address(), 300);
    assert_exact_scans(service.address, &listeners, 1);
}

fn scans_are_exact_with(descriptors: usize, at_once: usize) {
    let mut command = with_descriptors(descriptors);
    command.env("OPEN_PORTS_MAX_SCANS_PER_CALLER", "16");
    command.env("OPEN_PORTS_MAX_SCANS_PER_TARGET", "16");
    let service = Service::spawn(command);
    let listeners = Listeners::bind(own_address(), 300);
    assert_exact_scans(service.address, &listeners, 1);
    assert_exact_scans(service.address, &listeners, at_once);
    let warning = service.log().into_iter().find(|line| line.contains("WARN"));
    assert_eq!(warning, None);
}

// Whatever else a process opens, and whatever limit is set on it later, takes
// from the descriptors that were planned for probes.
#[test]
fn when_others_take_the_descriptors_a_report_is_exact_or_says_it_is_not_complete() {
    // A readiness set and a socket for each fan-out, and the look at the route.
    let enough = 2 * thread::available_parallelism().unwrap().get() + 5;
    let scans = [0, 1, 2, 3, 4, enough].map(|left| {
        thread::spawn(move || {
            let service = Service::start();
            let listeners = Listeners::bind(own_address(), 50);
            let witness = Witness::of(listeners.address);
            let mut connection = leave_descriptors(&service, left);
            let report = connection.get(&full_range(&listeners)).report();
            let (complete, seen) = (report["complete"] == true, witness.seen());
            if complete {
                assert_exact(&report, &listeners, &seen);
            } else {
                assert_honest(&report, &listeners, &seen);
            }
            assert!(if left == 0 { !complete } else { complete || left < enough }, "{report}");
        })
    });
    for scan in scans {
        scan.join().unwrap();
    }
}

#[test]
fn probes_that_find_no_descriptor_are_made_later() {
    let (service, address) = (Service::start(), own_address());
    let (listeners, silent) = (Listeners::bind(address, 50), Silent::bind(address, 50));
    let mut connection = leave_descriptors(&service, 12);
    let asked = list(listeners.ports.union(&silent.ports));
    let query = format!("/open-ports?domain={address}&ports={asked}&timeoutMs=200");
    let report = connection.get(&query).report();
    assert_eq!(report["complete"], true, "{report}");
    assert_eq!(ports(&report["open_ports"]), Vec::from_iter(listeners.ports.clone()));
    assert_eq!(report["addresses"][0]["filtered_by"], json!({ "no-response": 50 }));
}

/// Limits a service to so many descriptors more than it has open, and gives a
/// connection that was made before.
fn leave_descriptors(service: &Service, left: usize) -> Connection {
    let mut connection = Connection::open(service.address);
    // A scan first, so that what is opened once is open.
    connection.get("/open-ports?domain=127.0.0.1&toPort=1").report();
    let limit = u64::try_from(service.descriptors() + left).expect("few descriptors");
    let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
    prlimit(Some(service.pid()), Resource::Nofile, limit).expect("one's own child");
    connection
}

#[test]
fn a_client_that_goes_away_frees_its_sockets_within_a_second() {
    let service = Service::spawn(with_descriptors(256));
    let probes: usize = setting(&service.log()[0], "probes").unwrap().parse().unwrap();
    // Far more than can be asked at once, so that each fan-out has its fill.
    let silent = Silent::bind(own_address(), 3 * probes);
    let query =
        format!("/open-ports?domain={}&ports={}&timeoutMs=30000", silent.address, silent.list());
    let before = service.descriptors();
    for goodbye in [drop, Connection::abort] {
        let mut connection = Connection::open(service.address);
        connection.request("GET", &query);
        wait_for("all descriptors to be in use", || {
            (service.descriptors() > before + probes).then_some(())
        });
        goodbye(connection);
        wait_within(Duration::from_secs(1), "the descriptors to be free", || {
            (service.descriptors() <= before).then_some(())
        });
    }
    // The budget has them back as well, or this would wait for ever.
    let listeners = Listeners::bind(own_address(), 10);
    let query = format!("/open-ports?domain={}&ports={}", listeners.address, listeners.list());
    assert_eq!(ports(&service.get(&query).report()["open_ports"]).len(), 10);
}

#[test]
fn memory_stays_small_when_idle_and_during_a_full_scan() {
    let service = Service::start();
    assert_eq!(service.get("/").status, 200);
    // A build for debugging is as frugal, but has several times the code.
    let code = || if cfg!(debug_assertions) { service.status("RssFile") } else { 0 };
    let idle = service.status("VmRSS") - code();
    let listeners = Listeners::bind(own_address(), 300);
    assert_exact_scans(service.address, &listeners, 1);
    let peak = service.status("VmHWM") - code();
    eprintln!("resident memory: {idle} kB idle, {peak} kB at most");
    assert!(idle < 6_000, "{idle} kB idle");
    assert!(peak < 12_000, "{peak} kB in a scan");
}

/// Runs `count` full-range scans at the same time, and checks each.
fn assert_exact_scans(service: SocketAddr, listeners: &Listeners, count: usize) {
    let witness = Witness::of(listeners.address);
    let reports = thread::scope(|scope| {
        // No two ask the same, which would make them share a scan.
        let scan = |n| {
            let query = format!("{}&timeoutMs={}", full_range(listeners), 2000 + n);
            move || client::get(service, &query).report()
        };
        let scans: Vec<_> = (0..count).map(|n| scope.spawn(scan(n))).collect();
        scans.into_iter().map(|scan| scan.join().expect("a report")).collect::<Vec<_>>()
    });
    let seen = witness.seen();
    for report in reports {
        assert_exact(&report, listeners, &seen);
    }
}

fn full_range(listeners: &Listeners) -> String {
    format!("/open-ports?domain={}&toPort=65535", listeners.address)
}

#[track_caller]
fn assert_exact(report: &Value, listeners: &Listeners, seen: &BTreeSet<u16>) {
    let open = ports(&report["open_ports"]);
    listeners.assert_found(&open, seen);
    assert_eq!(report["complete"], true, "{report}");
    let address = &report["addresses"][0];
    assert_eq!((&address["filtered"], &address["not_scanned"]), (&0.into(), &0.into()));
    assert_eq!(address["closed"], 65_535 - open.len());
}

#[track_caller]
fn assert_honest(report: &Value, listeners: &Listeners, seen: &BTreeSet<u16>) {
    assert_eq!(report["reason"], "no-descriptors", "{report}");
    let open = BTreeSet::from_iter(ports(&report["open_ports"]));
    assert!(open.is_subset(seen), "{report}");
    let address = &report["addresses"][0];
    assert_eq!(address["filtered"], 0, "{report}");
    let count = |name: &str| address[name].as_u64().expect("a count");
    assert_eq!(open.len() as u64 + count("closed") + count("not_scanned"), 65_535, "{report}");
    // What was missed is among what was not scanned.
    let missed = listeners.ports.difference(&open).count();
    assert!(count("not_scanned") >= missed as u64 && count("not_scanned") > 0, "{report}");
}
