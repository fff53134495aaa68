//! `open-ports scan --shard`: a disjoint part of a sweep.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::collections::BTreeSet;

use support::service::{open_ports, run};
use support::shards::{Network, Shards, json, read};

#[test]
fn shards_are_disjoint_and_together_the_whole() {
    let network = Network::new();
    let mut all = Vec::new();
    for number in 1..=4 {
        let ended = network.scan(&["--shard", &format!("{number}/4"), "--format", "json"]);
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{ended:?}");
        let document = json(&ended.stdout);
        assert_eq!(document["host_count"], 16, "the same number in each");
        let shard = &document["shard"];
        assert_eq!((&shard["number"], &shard["count"]), (&number.into(), &4.into()));
        assert_eq!((&shard["seed"], &shard["ports"]), (&0.into(), &network.port.as_str().into()));
        let hosts = document["hosts"].as_array().unwrap().clone();
        all.extend(hosts.iter().map(|host| host["domain"].as_str().unwrap().to_owned()));
    }
    let different = BTreeSet::from_iter(&all);
    assert_eq!((all.len(), different.len()), (64, 64));
}

#[test]
fn a_pod_of_an_indexed_job_scans_its_shard() {
    let network = Network::new();
    let scan = ["scan", &network.network, "-p", &network.port, "--shard", "auto"];
    let pod = |index: Option<&str>| {
        let mut command = open_ports(&[&scan[..], &["--format", "ndjson"]].concat());
        command.env_remove("JOB_COMPLETION_INDEX").env("OPEN_PORTS_SHARDS", "4");
        index.map(|index| command.env("JOB_COMPLETION_INDEX", index));
        run(command)
    };
    let ended = pod(Some("2"));
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{ended:?}");
    let last = json(ended.stdout.lines().last().unwrap());
    assert_eq!(last["summary"]["shard"]["number"], 3, "pods are counted from 0: {last}");
    let typed = network.scan(&["--shard", "3/4", "--format", "ndjson"]);
    assert_eq!(
        json(typed.stdout.lines().last().unwrap())["summary"]["shard"],
        last["summary"]["shard"]
    );
    for index in [None, Some("4"), Some("x")] {
        let ended = pod(index);
        assert_eq!((ended.status.code(), &*ended.stdout), (Some(2), ""), "{ended:?}");
        assert!(ended.stderr.contains("--shard auto: JOB_COMPLETION_INDEX"), "{ended:?}");
    }
}

#[test]
fn a_shard_that_there_is_not_is_refused() {
    for (shard, message) in [
        ("0/4", "--shard must name one of the shards 1/4 to 4/4"),
        ("5/4", "--shard must name one of the shards 1/4 to 4/4"),
        ("4", "--shard must be a shard and the number of shards, like 3/16"),
    ] {
        let ended = run(open_ports(&["scan", "127.0.0.1", "-p1", "--shard", shard]));
        assert_eq!((ended.status.code(), &*ended.stdout), (Some(2), ""), "{ended:?}");
        assert!(ended.stderr.contains(message), "{ended:?}");
    }
}

#[test]
fn a_shard_without_hosts_is_no_error() {
    let port = Network::new().port;
    let shards = Shards::of(&port, "127.0.0.1", 3, "json");
    let counts = shards.paths.iter().map(|path| json(&read(path))["host_count"].as_u64().unwrap());
    assert_eq!(counts.sum::<u64>(), 1);
    // A list without hosts is one.
    let excluded = ["scan", "127.0.0.1", "--exclude", "127.0.0.0/8", "--shard", "1/3"];
    let ended = run(open_ports(&excluded));
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains("there is no host left to scan"), "{ended:?}");
}
