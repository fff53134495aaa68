//! `open-ports merge`: one report from those of shards.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::own_address;
use support::service::{Ended, open_ports, run};
use support::shards::{Network, Shards, json, lines, read};
use support::targets::{Silent, free_port};

#[test]
fn merged_documents_equal_the_report_on_the_whole() {
    let network = Network::new();
    let shards = Shards::of(&network.port, &network.network, 4, "json");
    let merged = shards.merge(&["--format", "json"]);
    assert_eq!((merged.status.code(), &*merged.stderr), (Some(0), ""), "{merged:?}");
    let whole = network.scan(&["--format", "json"]);
    assert_eq!(whole.status.code(), Some(0), "{whole:?}");
    assert_eq!(facts(&merged.stdout), facts(&whole.stdout));
    // A shard may have no hosts.
    let few = Shards::of(&network.port, "127.0.0.1", 3, "json").merge(&["--format", "json"]);
    assert_eq!((few.status.code(), &*few.stderr), (Some(0), ""), "{few:?}");
    assert_eq!(json(&few.stdout)["host_count"], 1);
    for format in ["plain", "csv", "ndjson", "table", "grepable", "xml"] {
        let merged = shards.merge(&["--format", format]);
        assert_eq!((merged.status.code(), &*merged.stderr), (Some(0), ""), "{merged:?}");
        let whole = network.scan(&["--format", format]);
        for listeners in &network.listeners {
            let host = listeners.address.to_string();
            let lines =
                |ended: &Ended| ended.stdout.lines().filter(|line| line.contains(&host)).count();
            assert_eq!(lines(&merged), lines(&whole), "{format}: {merged:?}");
        }
        let count = |ended: &Ended| {
            ended.stdout.lines().filter(|line| !line.contains("\"progress\"")).count()
        };
        assert_eq!(count(&merged), count(&whole), "{format}");
    }
}

#[test]
fn merged_records_equal_those_on_the_whole() {
    let network = Network::new();
    let shards = Shards::of(&network.port, &network.network, 4, "ndjson");
    let merged = shards.merge(&["--format", "ndjson"]);
    assert_eq!((merged.status.code(), &*merged.stderr), (Some(0), ""), "{merged:?}");
    let whole = network.scan(&["--format", "ndjson"]);
    let records = |text: &str| {
        // How far it is depends on how busy the machine is.
        let records = text.lines().filter(|line| !line.contains("\"progress\""));
        let records = records.map(|line| {
            let mut record = json(line);
            if let Some(summary) = record.get_mut("summary") {
                summary.as_object_mut().unwrap().remove("elapsed_ms");
            } else {
                for varying in ["rtt_ms", "timestamp"] {
                    record.as_object_mut().unwrap().remove(varying).unwrap();
                }
            }
            record.to_string()
        });
        records.collect::<BTreeSet<String>>()
    };
    assert_eq!(records(&merged.stdout), records(&whole.stdout));
    // A finding keeps the time at which it was made.
    let timestamps = |text: &str| {
        let records = text.lines().map(json);
        let times = records.filter_map(|record| Some(record["timestamp"].as_str()?.to_owned()));
        times.collect::<BTreeSet<String>>()
    };
    let of_shards = shards.paths.iter().flat_map(|path| timestamps(&read(path)));
    assert_eq!(timestamps(&merged.stdout), of_shards.collect());
    // It has no counts of each host.
    for format in ["json", "grepable", "xml"] {
        let refused = shards.merge(&["--format", format]);
        assert_eq!((refused.status.code(), &*refused.stdout), (Some(2), ""), "{refused:?}");
        assert!(refused.stderr.contains("which has no counts of each host"), "{refused:?}");
    }
}

#[test]
fn a_host_that_accepts_everything_still_does_when_it_is_merged() {
    let network = Network::new();
    let shards = Shards::of(&network.port, &network.network, 2, "ndjson");
    // As such a host would be: loopback has none.
    let host = network.listeners[0].address.to_string();
    let record = format!(
        r#"{{"type":"host","host":"{host}","complete":true,"accepts_everything":["{host}"]}}"#
    );
    let with = shards.paths.iter().find(|path| read(path).contains(&host)).unwrap();
    let text = read(with);
    let end = text.rfind(r#"{"type":"end""#).unwrap();
    fs::write(with, format!("{}{record}\n{}", &text[..end], &text[end..])).unwrap();
    let merged = shards.merge(&["--format", "ndjson"]);
    let note = format!("open-ports: {host} accepts connections on ports that nobody uses\n");
    assert_eq!((merged.status.code(), &*merged.stderr), (Some(0), &*note), "{merged:?}");
    let hosts: Vec<&str> =
        merged.stdout.lines().filter(|line| line.contains(r#""type":"host""#)).collect();
    assert_eq!(hosts, [record]);
    let table = shards.merge(&["--format", "table"]);
    assert_eq!((table.status.code(), &*table.stderr), (Some(0), &*note), "{table:?}");
    assert!(table.stdout.contains(&host), "{table:?}");
}

#[test]
fn files_may_be_pipes_and_standard_input() {
    let network = Network::new();
    for format in ["json", "ndjson"] {
        let shards = Shards::of(&network.port, &network.network, 2, format);
        let (first, second) = (shards.path(0), shards.path(1));
        let mut pipes = Command::new("sh");
        let line = "cat \"$1\" | \"$0\" merge \"$2\" - --format plain";
        pipes.args(["-c", line, env!("CARGO_BIN_EXE_open-ports"), first, second]);
        let merged = run(pipes);
        assert_eq!((merged.status.code(), &*merged.stderr), (Some(0), ""), "{merged:?}");
        assert_eq!(lines(&merged.stdout), network.plain());
        let mut redirected = open_ports(&["merge", "-", second]);
        redirected.stdin(File::open(first).unwrap());
        redirected.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = redirected.output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(lines(&stdout), network.plain());
    }
}

#[test]
fn a_missing_shard_is_named_and_the_result_is_incomplete() {
    let network = Network::new();
    for format in ["json", "ndjson"] {
        let mut shards = Shards::of(&network.port, &network.network, 4, format);
        shards.paths.remove(1);
        let merged = shards.merge(&["--format", "ndjson"]);
        assert_eq!(merged.status.code(), Some(4), "{merged:?}");
        assert!(merged.stderr.contains("open-ports: shard 2/4 is missing\n"), "{merged:?}");
        assert!(merged.stderr.contains("incomplete (missing-shard)"), "{merged:?}");
        let summary = &json(merged.stdout.lines().last().unwrap())["summary"];
        assert_eq!(
            (&summary["complete"], &summary["reason"]),
            (&false.into(), &"missing-shard".into())
        );
        assert_eq!(summary["host_count"], 48);
    }
}

#[test]
fn a_cut_shard_is_named_and_what_it_has_is_merged_once() {
    let network = Network::new();
    for format in ["json", "ndjson"] {
        let shards = Shards::of(&network.port, &network.network, 2, format);
        for path in &shards.paths {
            let whole = read(path);
            // The lines before the last one, and a part of that.
            let (before, last) = whole.trim_end().rsplit_once('\n').unwrap_or(("", &whole));
            fs::write(path, format!("{before}\n{}", &last[..last.len() / 2])).unwrap();
            let merged = shards.merge(&[]);
            fs::write(path, &whole).unwrap();
            assert_eq!(merged.status.code(), Some(4), "{merged:?}");
            let message = format!("open-ports: {} is cut; what it has is merged", path.display());
            assert!(merged.stderr.contains(&message), "{merged:?}");
            assert!(merged.stderr.contains(" is missing\n"), "{merged:?}");
            assert_eq!(lines(&merged.stdout), network.plain(), "{merged:?}");
            assert_eq!(merged.stdout.lines().count(), 3, "none of them twice");
        }
        // The log of a pod that was killed, beside that of the pod that came after it.
        let again = shards.folder.path().join("again");
        let whole = read(&shards.paths[0]);
        fs::write(&again, &whole[..whole.len() - 20]).unwrap();
        let mut with_both = shards;
        with_both.paths.push(again);
        let merged = with_both.merge(&[]);
        assert_eq!(merged.status.code(), Some(0), "{merged:?}");
        assert!(merged.stderr.contains("again is cut; "), "{merged:?}");
        assert_eq!(merged.stdout.lines().count(), 3, "none of them twice");
    }
}

#[test]
fn a_record_that_is_missing_in_the_middle_is_noticed() {
    let network = Network::new();
    let shards = Shards::of(&network.port, &network.network, 2, "ndjson");
    let path = shards.paths.iter().max_by_key(|path| read(path).lines().count()).unwrap();
    let whole = read(path);
    let found = whole.lines().count() - 1;
    let (_, rotated) = whole.split_once('\n').unwrap();
    fs::write(path, format!("{rotated}open-ports: be careful\n")).unwrap();
    let merged = shards.merge(&[]);
    assert_eq!(merged.status.code(), Some(4), "{merged:?}");
    assert_eq!(merged.stdout.lines().count(), 2, "{merged:?}");
    let name = path.display();
    for message in [
        format!("{name}: its summary counts {found} open ports, but it has {}\n", found - 1),
        format!("{name}: open-ports: be careful\n"),
        format!("{name} is cut"),
    ] {
        assert!(merged.stderr.contains(&message), "{message}: {merged:?}");
    }
}

#[test]
fn a_shard_that_is_there_twice_is_named_and_counts_once() {
    let network = Network::new();
    for format in ["json", "ndjson"] {
        let mut shards = Shards::of(&network.port, &network.network, 3, format);
        let copy = shards.folder.path().join("copy");
        fs::copy(&shards.paths[2], &copy).unwrap();
        shards.paths.push(copy);
        let merged = shards.merge(&["--format", "ndjson"]);
        assert_eq!(merged.status.code(), Some(4), "{merged:?}");
        assert!(merged.stderr.contains("open-ports: shard 3/3 is there twice, in "), "{merged:?}");
        let summary = &json(merged.stdout.lines().last().unwrap())["summary"];
        assert_eq!((&summary["host_count"], &summary["open"]), (&64.into(), &3.into()));
        assert_eq!(summary["reason"], "repeated-shard");
    }
}

#[test]
fn files_that_do_not_belong_together_are_refused_with_what_differs() {
    let network = Network::new();
    let (folder, other_port) = (tempfile::tempdir().unwrap(), free_port().to_string());
    let file = |name: &str, arguments: &[&str]| {
        let path = folder.path().join(name);
        let output = ["--output", path.to_str().unwrap(), "--format", "ndjson"];
        let ended = run(open_ports(&[&["scan"], arguments, &output].concat()));
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        path.to_str().unwrap().to_owned()
    };
    let (net, port) = (&*network.network, &*network.port);
    let first = file("first", &[net, "-p", port, "--shard", "1/2"]);
    for (name, arguments, message) in [
        ("seed", &[net, "-p", port, "--shard", "2/2", "--seed", "7"][..], "--seed 7 and 0"),
        ("count", &[net, "-p", port, "--shard", "2/3"], "3 shards and 2"),
        ("ports", &[net, "-p", &other_port, "--shard", "2/2"], "ports "),
        ("list", &["127.0.0.1", "-p", port, "--shard", "2/2"], "their lists of hosts differ"),
        ("whole", &[net, "-p", port], "it was written without --shard"),
    ] {
        let other = file(name, arguments);
        let merged = run(open_ports(&["merge", &first, &other]));
        assert_eq!((merged.status.code(), &*merged.stdout), (Some(2), ""), "{name}: {merged:?}");
        assert!(merged.stderr.contains(message), "{name}: {merged:?}");
        assert!(merged.stderr.contains(&other), "{name}: {merged:?}");
    }
}

#[test]
fn what_is_no_report_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("found");
    let name = path.to_str().unwrap();
    fs::write(&path, "127.0.0.1:22\n").unwrap();
    let ended = run(open_ports(&["merge", name]));
    assert_eq!((ended.status.code(), &*ended.stdout), (Some(2), ""), "{ended:?}");
    assert!(ended.stderr.contains(&format!("{name} is no output of open-ports scan")), "{ended:?}");
    for (arguments, status, message) in [
        (&["merge"][..], 2, "name the files to merge"),
        (&["merge", name, "--format", "yaml"], 2, "--format must be one of table, plain, json"),
        (&["merge", "/nowhere/found"], 1, "/nowhere/found: No such file"),
    ] {
        let ended = run(open_ports(arguments));
        assert_eq!(ended.status.code(), Some(status), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(message), "{arguments:?}: {ended:?}");
    }
    fs::write(&path, "").unwrap();
    let ended = run(open_ports(&["merge", name]));
    assert_eq!((ended.status.code(), &*ended.stdout), (Some(2), ""), "{ended:?}");
    assert!(ended.stderr.contains("none of the reports has an end"), "{ended:?}");
}

#[test]
fn a_merged_report_ends_as_the_scan_would_have() {
    let network = Network::new();
    let folder = tempfile::tempdir().unwrap();
    for (scan, status) in [
        (&[&*network.network, "--expect", "none"][..], 5),
        (&[&network.network, "no-such-host.invalid"], 3),
    ] {
        let mut merge = vec!["merge".to_owned(), "--format".into(), "json".into()];
        for shard in ["1/2", "2/2"] {
            let path = folder.path().join(shard.replace('/', "-"));
            let path = path.to_str().unwrap();
            let more =
                ["-p", &network.port, "--shard", shard, "--format", "json", "--output", path];
            let ended = run(open_ports(&[&["scan"], scan, &more].concat()));
            assert!(matches!(ended.status.code(), Some(0 | 3 | 5)), "{ended:?}");
            merge.push(path.to_owned());
        }
        let merge: Vec<&str> = merge.iter().map(String::as_str).collect();
        let merged = run(open_ports(&merge));
        assert_eq!(merged.status.code(), Some(status), "{merged:?}");
        let whole = network.scan(&[&scan[1..], &["--format", "json"]].concat());
        assert_eq!(whole.status.code(), Some(status), "{whole:?}");
        assert_eq!(facts(&merged.stdout), facts(&whole.stdout));
    }
}

#[test]
fn a_shard_that_a_deadline_cuts_short_makes_the_whole_incomplete() {
    let silent = Silent::bind(own_address(), 1);
    let (host, port) = (silent.address.to_string(), silent.list());
    let shards = Shards::with(&[&host, "-p", &port, "--deadline-ms", "100"], 2, "json");
    let merged = shards.merge(&["--format", "json"]);
    assert_eq!(merged.status.code(), Some(4), "{merged:?}");
    let document = json(&merged.stdout);
    assert_eq!((&document["reason"], &document["not_scanned"]), (&"deadline".into(), &1.into()));
}

/// What a document says of each host and of all, without how long it took.
fn facts(text: &str) -> (Vec<String>, Value) {
    let mut document = json(text);
    let members = document.as_object_mut().unwrap();
    members.remove("elapsed_ms");
    let Some(Value::Array(hosts)) = members.remove("hosts") else { panic!("no hosts: {text}") };
    let mut hosts: Vec<String> = hosts
        .into_iter()
        .map(|mut host| {
            for varying in ["elapsed_ms", "timing"] {
                host.as_object_mut().unwrap().remove(varying);
            }
            for address in host["addresses"].as_array_mut().unwrap() {
                address.as_object_mut().unwrap().remove("timing");
                for row in address["ports"].as_array_mut().into_iter().flatten() {
                    row.as_object_mut().unwrap().remove("rtt_ms");
                }
            }
            host.to_string()
        })
        .collect();
    hosts.sort_unstable();
    (hosts, document)
}
