//! Addresses of attached networks, for most of which nobody answers.
//!
//! What needs a second host is in the network lab.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use open_ports::machine::neighbours::{Family, Neighbours, TableRoom};
use serde_json::{Value, json};
use support::service::{open_ports, run};

support::trials::main! {
    an_address_that_nobody_answers_for_has_all_its_ports_filtered: OwnNetwork,
    dead_neighbours_are_looked_for_together_however_many_ports_they_have: OwnNetwork,
    a_neighbour_that_the_deadline_comes_before_is_not_scanned: OwnNetwork,
    looking_for_neighbours_keeps_to_the_rate: OwnNetwork,
    only_addresses_that_the_kernel_would_have_to_look_for_are_neighbours: OwnNetwork,
    the_room_of_the_neighbour_tables_can_be_seen_from_any_network: OwnNetwork,
    the_doctor_says_that_a_network_counts_its_own_connections: OwnNetwork,
}

fn the_doctor_says_that_a_network_counts_its_own_connections() {
    let ended = run(open_ports(&["doctor"]));
    let line = ended.stdout.lines().find(|line| line.starts_with("conntrack ")).unwrap();
    let is_there = Path::new("/proc/sys/net/netfilter/nf_conntrack_max").exists();
    let words = if is_there { " in this network namespace, room for " } else { "not seen" };
    assert!(line.contains(words), "{line}");
}

fn an_address_that_nobody_answers_for_has_all_its_ports_filtered() {
    attach();
    for dead in ["10.92.0.7", "fd00:92::7"] {
        let report = scan(&[dead, "-p", "all"]);
        let address = &report["hosts"][0]["addresses"][0];
        assert_eq!(address["filtered_by"], json!({ "host-unreach": 65_535 }), "{address}");
        assert_eq!(report["complete"], true);
    }
}

fn dead_neighbours_are_looked_for_together_however_many_ports_they_have() {
    attach();
    let started = Instant::now();
    let report = scan(&["10.92.0.64-127", "-p", "all"]);
    assert_eq!(report["filtered"], 64 * 65_535);
    assert_eq!(report["complete"], true);
    // Together they take the timeout of 2 s; three at a time, 43 s.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

fn a_neighbour_that_the_deadline_comes_before_is_not_scanned() {
    attach();
    let report = scan(&["10.92.0.7", "-p", "1-100", "--deadline-ms", "200"]);
    let address = &report["hosts"][0]["addresses"][0];
    assert_eq!((&address["not_scanned"], &address["filtered"]), (&json!(100), &json!(0)));
    assert_eq!(report["hosts"][0]["reason"], "deadline", "{report}");
}

fn looking_for_neighbours_keeps_to_the_rate() {
    attach();
    let started = Instant::now();
    let report = scan(&["10.92.0.64-93", "-p", "80", "--rate", "10", "--timeout-ms", "50"]);
    assert_eq!(report["filtered"], 30);
    // The first of 30 goes at once.
    assert!(started.elapsed() > Duration::from_millis(2_800), "{:?}", started.elapsed());
}

fn only_addresses_that_the_kernel_would_have_to_look_for_are_neighbours() {
    attach();
    for command in [
        "link add veth2 type veth peer name veth3",
        "link set veth2 up arp off",
        "link set veth3 up",
        "address add 10.93.0.1/24 dev veth2",
        "route add 10.94.0.0/24 via 10.92.0.9",
        "route add fd00:94::/64 via fd00:92::9",
        "neighbour add 10.92.0.8 lladdr 02:00:00:00:00:08 dev veth0",
        "neighbour add fd00:92::8 lladdr 02:00:00:00:00:08 dev veth0",
    ] {
        ip(command);
    }
    let addresses = [
        "10.92.0.7",   // attached
        "10.92.0.1",   // this host
        "10.92.0.8",   // known
        "10.92.0.255", // all hosts
        "10.93.0.7",   // behind an interface without link-layer addresses
        "10.94.0.7",   // behind a gateway
        "10.95.0.7",   // nowhere
        "127.0.0.1",
        "fd00:92::7", // attached
        "fd00:92::1", // this host
        "fd00:92::8", // known
        "fd00:94::7", // behind a gateway
        "::1",
    ];
    let addresses = addresses.map(|address| address.parse::<IpAddr>().unwrap());
    let neighbours = Neighbours::default().unresolved(&addresses);
    let found: Vec<_> = neighbours.iter().map(|one| one.address.to_string()).collect();
    assert_eq!(found, ["10.92.0.7", "fd00:92::7"]);
}

fn the_room_of_the_neighbour_tables_can_be_seen_from_any_network() {
    for family in [Family::V4, Family::V6] {
        let room = TableRoom::observe(family).unwrap();
        assert!(room.max > 0 && room.at_a_time() > 0, "{room:?}");
    }
}

/// Attaches this host to networks with nobody else: the other end of the wire is an
/// interface without an address.
fn attach() {
    for command in [
        "link add veth0 type veth peer name veth1",
        "link set veth0 up",
        "link set veth1 up",
        "address add 10.92.0.1/24 dev veth0",
        "address add fd00:92::1/64 dev veth0 nodad",
    ] {
        ip(command);
    }
}

fn ip(command: &str) {
    let status = Command::new("ip").args(command.split(' ')).status().unwrap();
    assert!(status.success(), "ip {command}");
}

/// The report of a scan.
fn scan(arguments: &[&str]) -> Value {
    let ended = run(open_ports(&[&["scan", "--format", "json"], arguments].concat()));
    serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"))
}
