//! Sweeps over many hosts find every open port and no other, and their memory does
//! not grow with the number of hosts.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Stdio;

use support::service::{open_ports, run};
use support::targets::{Listeners, random};
use support::wait_for;

#[test]
fn every_listener_on_four_thousand_hosts_is_found_and_no_other() {
    let (network, listeners) = network_with_listeners(20);
    let ports: BTreeSet<u16> = listeners.iter().flat_map(|one| one.ports.clone()).collect();
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let ended = run(open_ports(&["scan", &network, "-p", &ports.join(",")]));
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""));
    let found: BTreeSet<&str> = ended.stdout.lines().collect();
    assert_eq!(found.len(), ended.stdout.lines().count(), "a line twice");
    let expected: Vec<String> = listeners
        .iter()
        .flat_map(|one| one.ports.iter().map(|port| format!("{}:{port}", one.address)))
        .collect();
    assert_eq!(found, expected.iter().map(String::as_str).collect());
}

#[test]
fn memory_stays_below_sixteen_megabytes() {
    let (network, _listeners) = network_with_listeners(1);
    for format in ["plain", "json"] {
        let mut command = open_ports(&["scan", &network, "--top", "20", "--format", format]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
        let status = format!("/proc/{}/status", child.id());
        let (mut peak, mut code) = (0, 0);
        let ended = wait_for("the sweep to end", || {
            let status = fs::read_to_string(&status).unwrap_or_default();
            let kilobytes = |field: &str| -> usize {
                let line = status.lines().find_map(|line| line.strip_prefix(field));
                let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
                number.map_or(0, |number| number.trim().parse().unwrap())
            };
            peak = peak.max(kilobytes("VmHWM:"));
            code = code.max(kilobytes("RssFile:"));
            child.try_wait().unwrap()
        });
        assert!(ended.success());
        // Of a build for debugging, many more pages of code are in memory.
        let counted = if cfg!(debug_assertions) { peak.saturating_sub(code) } else { peak };
        assert!((1..16 * 1024).contains(&counted), "{format}: {peak} kB, {code} kB of it code");
    }
}

/// 4,096 addresses that no other test uses, with listeners on some of them.
fn network_with_listeners(count: usize) -> (String, Vec<Listeners>) {
    let [a, b] = random().to_be_bytes()[..2].try_into().unwrap();
    // The addresses of `own_address` start at 127.128.0.0.
    let base = u32::from(Ipv4Addr::new(127, 64 | a & 0x3f, b & 0xf0, 0));
    let listen = |_| {
        let host = base + u32::try_from(random() % 4096).unwrap();
        wait_for("a port to listen on", || {
            let port = 1024 + u16::try_from(random() % 60_000).unwrap();
            Listeners::bind_at(IpAddr::from(Ipv4Addr::from(host)), port).ok()
        })
    };
    let network = format!("{}/20", Ipv4Addr::from(base));
    (network, (0..count).map(listen).collect())
}
