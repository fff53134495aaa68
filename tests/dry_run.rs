//! `open-ports scan --dry-run`: what a scan would take.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use serde_json::Value;
use support::own_address;
use support::service::{open_ports, run};
use support::shards::json;
use support::targets::Listeners;

#[test]
fn a_dry_run_says_what_a_scan_takes_and_sends_nothing() {
    let listeners = Listeners::bind(own_address(), 2);
    let (host, ports) = (listeners.address.to_string(), listeners.list());
    let scan = ["scan", &host, "127.127.0.0/16", "host.invalid", "-p", &ports, "--dry-run"];
    let ended = run(open_ports(&scan));
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{ended:?}");
    for line in ["hosts ", "targets ", "descriptors ", "at best ", "if silent ", "at worst "] {
        assert!(ended.stdout.lines().any(|printed| printed.starts_with(line)), "{line}: {ended:?}");
    }
    let json_of = |more: &[&str]| {
        let ended = run(open_ports(&[&scan[..], &["--format", "json"], more].concat()));
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{ended:?}");
        json(&ended.stdout)
    };
    let whole = json_of(&[]);
    assert_eq!((&whole["hosts"], &whole["names"]), (&65_538.into(), &1.into()), "{whole}");
    assert_eq!(whole["targets"], 2 * 65_538);
    let shard = json_of(&["--shard", "2/2"]);
    assert_eq!(shard["hosts"], 32_769);
    let time = |document: &Value, name: &str| document[name].as_u64().unwrap();
    assert!(time(&shard, "silent_ms") <= time(&whole, "silent_ms"));
    assert!(time(&whole, "best_ms") <= time(&whole, "silent_ms"));
    // Within the time that it takes, one shard is enough; half of that takes more.
    let silent = time(&whole, "silent_ms");
    let within = |ms: u64| json_of(&["--deadline-ms", &ms.to_string()])["shards"]["silent"].clone();
    assert_eq!(within(silent), 1);
    assert!(within(silent / 2).as_u64().unwrap() > 1);
    assert_eq!(within(100), Value::Null, "a silent port takes 2 s");
    assert_eq!(listeners.probed(), 0);
    let bad = run(open_ports(&["scan", "127.0.0.0/99", "--dry-run"]));
    assert_eq!((bad.status.code(), &*bad.stdout), (Some(2), ""), "{bad:?}");
}
