//! A part of a sweep over HTTP, and what a sweep would take.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use support::service::{Service, open_ports, run};
use support::shards::Network;

fn sweep(service: &Service, query: &str) -> String {
    let reply = service.get(&format!("/sweep?{query}"));
    assert_eq!(reply.status, 200, "{query}: {reply:?}");
    reply.body
}

#[test]
fn the_shards_of_a_sweep_are_disjoint_and_merge_to_the_whole() {
    let network = Network::new();
    let service = Service::start();
    let asked = format!("targets={}&ports={}", network.network, network.port);
    for format in ["ndjson", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for number in 1..=4 {
            let text = sweep(&service, &format!("{asked}&format={format}&shard={number}/4"));
            let file = folder.path().join(format!("{number}.{format}"));
            fs::write(&file, &text).unwrap();
            files.push(file.to_str().unwrap().to_owned());
        }
        let mut found = BTreeSet::new();
        for file in &files {
            for line in merge(&[file]).1.lines() {
                assert!(found.insert(line.to_owned()), "{line} is in two shards");
            }
        }
        assert_eq!(found, network.plain());
        let all: Vec<&str> = files.iter().map(String::as_str).collect();
        let (status, merged) = merge(&all);
        let merged: BTreeSet<String> = merged.lines().map(str::to_owned).collect();
        assert_eq!((status, merged), (Some(0), network.plain()), "{format}");
        assert_eq!(merge(&all[1..]).0, Some(4), "one shard is missing");
    }
}

/// Merges files to lines of open ports. Returns the exit status, too.
fn merge(files: &[&str]) -> (Option<i32>, String) {
    let ended = run(open_ports(&[&["merge", "--format", "plain"], files].concat()));
    (ended.status.code(), ended.stdout)
}

#[test]
fn a_shard_without_hosts_is_whole_and_says_which_it_is() {
    let service = Service::start();
    let hosts: Vec<u64> = (1..=3)
        .map(|number| {
            let query = format!("targets=127.0.0.1&ports=1&format=json&shard={number}/3");
            let reply: Value = serde_json::from_str(&sweep(&service, &query)).unwrap();
            assert_eq!(
                (&reply["complete"], &reply["shard"]["number"]),
                (&json!(true), &json!(number))
            );
            reply["host_count"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(hosts.iter().sum::<u64>(), 1, "{hosts:?}");
}

#[test]
fn a_shard_that_there_is_not_is_refused() {
    let service = Service::start();
    for shard in ["0/4", "5/4", "1/0", "4", "x/4", "1/4/4", ""] {
        let reply = service.get(&format!("/sweep?targets=127.0.0.1&ports=1&shard={shard}"));
        let problem = reply.problem(400);
        assert!(problem["errors"]["shard"].is_array(), "{shard}: {problem}");
    }
    service.get("/sd?targets=127.0.0.1&ports=1&shard=1/2").problem(400);
}

#[test]
fn what_a_sweep_would_take_is_told_without_a_probe_as_the_command_does() {
    let network = Network::new();
    let service = Service::start();
    let asked =
        format!("targets={},web.test&ports={},1&explain=true", network.network, network.port);
    let told: Value = serde_json::from_str(&sweep(&service, &asked)).unwrap();
    let members = json!({"dry_run": true, "hosts": 65, "names": 1, "ports": 2, "targets": 130});
    for (name, value) in members.as_object().unwrap() {
        assert_eq!(told[name], *value, "{told}");
    }
    assert!(network.listeners.iter().all(|listeners| listeners.probed() == 0), "{told}");
    let ports = format!("{},1", network.port);
    let command =
        ["scan", &network.network, "web.test", "-p", &ports, "--dry-run", "--format", "json"];
    let ended = run(open_ports(&command));
    let by_command: Value = serde_json::from_str(&ended.stdout).unwrap();
    for name in ["hosts", "names", "ports", "targets", "packets"] {
        assert_eq!(told[name], by_command[name], "{name}");
    }
    // Larger than a sweep may be: to divide it, one has to know by how much.
    let large = sweep(&service, "targets=10.0.0.0/8&ports=1-1024&explain=true");
    let large: Value = serde_json::from_str(&large).unwrap();
    assert_eq!(large["targets"], (1_u64 << 24) * 1024, "{large}");
    let shards = large["shards"]["silent"].as_u64().unwrap();
    assert!(shards > 1, "{large}");
    let part = sweep(&service, "targets=10.0.0.0/8&ports=1-1024&explain=true&shard=1/1024");
    let part: Value = serde_json::from_str(&part).unwrap();
    assert_eq!((&part["hosts"], &part["shards"]), (&json!(1 << 14), &large["shards"]), "{part}");
    service.get("/sweep?targets=127.0.0.1&ports=1&explain=perhaps").problem(400);
}
