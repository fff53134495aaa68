//! The scans that README and docs/command.md show, run as written.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::env;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::namespace;
use support::service::{Ended, run};
use support::targets::Listeners;

support::trials::main! {
    the_scans_of_readme_do_what_it_shows: OwnNetwork | OwnNames,
    the_checks_of_readme_fail_where_nothing_is_open: OwnNetwork | OwnNames,
    what_readme_shows_of_changes_is_run: OwnNetwork | OwnNames,
}

/// A command of README, and the output that it shows.
#[derive(Debug, PartialEq)]
struct Example {
    command: String,
    shown: String,
}

fn the_scans_of_readme_do_what_it_shows() {
    set_up_network();
    let _listeners = OPEN.map(|(address, port)| {
        let address = IpAddr::V4(Ipv4Addr::from(address));
        Listeners::bind_at(address, port).unwrap()
    });
    let examples = examples("console", "$ open-ports scan ");
    assert!(examples.len() >= 4, "{examples:?}");
    for example in examples {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ports.txt"), expected_ports()).unwrap();
        let ended = run_in(folder.path(), &example.command);
        if example.command.contains("--expect-file ") {
            assert_eq!(ended.status.code(), Some(5), "{example:?}: {ended:?}");
            assert_eq!(ended.stderr, "open-ports: 10.0.0.7: unexpected 22\n", "{example:?}");
        } else {
            assert_eq!(ended.status.code(), Some(0), "{example:?}: {ended:?}");
            assert_eq!(ended.stderr, "", "{example:?}");
        }
        // README shows all of the output or none.
        if !example.shown.is_empty() {
            assert_eq!(ended.stdout, example.shown, "{example:?}");
        }
        let output = output_of(&example.command);
        if let Some(name) = output.filter(|name| name.ends_with(".ndjson")) {
            let text = fs::read_to_string(folder.path().join(name)).unwrap();
            assert_eq!(open_in(&text), [("10.0.0.7", 22), ("db.internal", 5432)].map(named));
            assert_eq!(ended.stdout, "");
        }
    }
}

fn the_checks_of_readme_fail_where_nothing_is_open() {
    set_up_network();
    let checks = examples("console", "$ open-ports scan ");
    let checks = checks.iter().filter(|example| example.command.contains("--expect "));
    assert!(checks.clone().count() >= 2);
    for check in checks {
        let folder = tempfile::tempdir().unwrap();
        let expected = check.command.rsplit(' ').next().unwrap();
        let ended = run_in(folder.path(), &check.command);
        assert_eq!(ended.status.code(), Some(5), "{check:?}: {ended:?}");
        assert!(ended.stderr.ends_with(&format!(": missing {expected}\n")), "{ended:?}");
    }
}

/// The open ports of README's example network.
const OPEN: [([u8; 4], u16); 5] = [
    ([127, 0, 0, 1], 8080),
    ([10, 0, 0, 7], 22),
    ([10, 0, 1, 5], 5432),
    ([10, 0, 1, 6], 22),
    ([10, 0, 1, 6], 443),
];

const HOSTS: &str = "10.0.1.5 db.internal\n10.0.1.6 web.internal\n";

/// Makes all addresses of README's networks local.
fn set_up_network() {
    for network in ["10.0.0.0/24", "10.0.1.0/24"] {
        let mut command = Command::new("ip");
        command.args(["route", "add", "local", network, "dev", "lo"]);
        assert!(command.status().unwrap().success(), "{command:?}");
    }
}

/// Today's scan against yesterday's, a learned baseline, and a wait for a port.
fn what_readme_shows_of_changes_is_run() {
    set_up_network();
    let _listeners = OPEN.map(|(address, port)| {
        let address = IpAddr::V4(Ipv4Addr::from(address));
        Listeners::bind_at(address, port).unwrap()
    });
    let folder = tempfile::tempdir().unwrap();
    let run = |line: &str| run_in(folder.path(), line);
    let only = |prompt: &str| {
        let found = examples("sh", prompt).into_iter().next();
        found.unwrap_or_else(|| panic!("nothing shows {prompt:?}")).command
    };

    let against = only("open-ports scan web.internal -p 1-1024 --against ");
    let (scan, yesterday) = against.split_once(" --against ").unwrap();
    let ended = run(&format!("{scan} --output {yesterday}"));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let ended = run(&against);
    assert_eq!(ended.status.code(), Some(0), "{against}: {ended:?}");
    let new = Listeners::bind_at(IpAddr::from([10, 0, 1, 6]), 80).unwrap();
    let ended = run(&against);
    assert_eq!(ended.status.code(), Some(5), "{against}: {ended:?}");
    assert!(ended.stderr.contains(": + web.internal:80 open\n"), "{against}: {ended:?}");
    drop(new);

    let learn = only("open-ports scan web.internal db.internal -p all --learn ");
    assert_eq!(run(&learn).status.code(), Some(0), "{learn}");
    let ended = run(&only("open-ports scan --expect-file ports.txt -p all"));
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{ended:?}");

    let watch = only("open-ports watch db.internal --until ");
    let ended = run(&watch);
    assert_eq!(ended.status.code(), Some(0), "{watch}: {ended:?}");
}

/// The examples in blocks of a `language` that begin with `prompt`, without a `$ ` of it.
fn examples(language: &str, prompt: &str) -> Vec<Example> {
    let shown = concat!(include_str!("../README.md"), include_str!("../docs/command.md"));
    let fence = format!("```{language}\n");
    let blocks = shown.split(&*fence).skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    let mut found = Vec::new();
    for block in blocks {
        let mut lines = block.lines().peekable();
        while let Some(line) = lines.next() {
            let mut shown = String::new();
            // In other blocks each line is a command.
            while let Some(output) =
                lines.next_if(|line| language == "console" && !line.starts_with("$ "))
            {
                shown += output;
                shown += "\n";
            }
            if line.starts_with(prompt) {
                let command = line.strip_prefix("$ ").unwrap_or(line).to_owned();
                found.push(Example { command, shown });
            }
        }
    }
    found
}

/// The file of expected ports in docs/command.md.
fn expected_ports() -> &'static str {
    let shown = include_str!("../docs/command.md");
    let (_, rest) = shown.split_once("```text\n# ports.txt\n").unwrap();
    rest.split("```").next().unwrap()
}

/// Runs a line of a shell in `folder`, where names mean what they do in README.
fn run_in(folder: &Path, line: &str) -> Ended {
    let binary = Path::new(env!("CARGO_BIN_EXE_open-ports"));
    let path = env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell.args(["-c", line]);
    let (mut command, _files) = namespace::with_hosts(HOSTS, &shell);
    command.current_dir(folder);
    command.env("PATH", format!("{}:{path}", binary.parent().unwrap().display()));
    run(command)
}

/// The file that a command writes to.
fn output_of(command: &str) -> Option<&str> {
    command.split("--output ").nth(1)?.split(' ').next()
}

/// The open ports in the lines of a scan's NDJSON, each with its host as typed.
fn open_in(text: &str) -> Vec<(String, u16)> {
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut open: Vec<(String, u16)> = records
        .filter(|record| record["state"] == "open")
        .map(|record| {
            let port = u16::try_from(record["port"].as_u64().unwrap()).unwrap();
            (record["host"].as_str().unwrap().to_owned(), port)
        })
        .collect();
    open.sort();
    open
}

fn named((host, port): (&str, u16)) -> (String, u16) {
    (host.to_owned(), port)
}
