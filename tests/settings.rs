//! Which settings are in force, and how variables that are no settings are handled.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use support::ask::serving;
use support::service::{Service, open_ports, run, setting};

#[test]
fn a_variable_that_is_not_utf_8_stops_every_command_that_reads_it() {
    for arguments in [
        &["--listen", "127.0.0.1:0"][..],
        &["scan", "127.0.0.1", "-p", "1"],
        &["healthcheck", "--listen", "127.0.0.1:1"],
    ] {
        for name in ["OPEN_PORTS_DENY", "OPEN_PORTS_TOKENS", "PORT"] {
            let mut command = open_ports(arguments);
            command.env(name, OsStr::from_bytes(b"10.0.0.0/8\xff"));
            let ended = run(command);
            assert_eq!(ended.status.code(), Some(2), "{arguments:?} {name}: {ended:?}");
            let message = format!("open-ports: the environment variable {name} is not UTF-8\n");
            assert_eq!(ended.stderr, message, "{arguments:?}");
        }
    }
}

#[test]
fn a_bad_setting_ends_every_command_with_2_and_all_of_them_are_named() {
    let bad = [("OPEN_PORTS_ALLOW", "10.0.0.0/33"), ("OPEN_PORTS_DENY", "10.0.0.1/8")];
    for (arguments, variables, named) in [
        (&["--grace", "-1", "--max-scans", "0"][..], &bad[..], &["--grace", "--max-scans"][..]),
        (&["serve", "--log", "loud"], &bad, &["--log"]),
        (&["scan", "127.0.0.1", "-p", "0", "--rate", "0"], &bad, &["-p", "--rate"]),
        (&["healthcheck", "--listen", "nowhere"], &[], &["--listen"]),
        (&["healthcheck"], &[("OPEN_PORTS_LISTEN", "nowhere")], &[]),
        (&["doctor", "--fast", "--slow"], &[], &["--fast", "--slow"]),
        (&["completions", "cmd"], &[], &["cmd"]),
    ] {
        let mut command = open_ports(arguments);
        command.envs(variables.iter().copied());
        let ended = run(command);
        assert_eq!(
            (ended.status.code(), &*ended.stdout),
            (Some(2), ""),
            "{arguments:?}: {ended:?}"
        );
        assert_eq!(ended.stderr.lines().count(), 1, "{arguments:?}: {ended:?}");
        for name in named.iter().chain(variables.iter().map(|(name, _)| name)) {
            assert!(ended.stderr.contains(name), "{name}, {arguments:?}: {ended:?}");
        }
    }
}

#[test]
fn a_misspelt_variable_is_warned_of_and_a_service_link_is_not() {
    let links = ["OPEN_PORTS_SERVICE_HOST", "OPEN_PORTS_PORT", "OPEN_PORTS_PORT_80_TCP_ADDR"];
    let warning = "OPEN_PORTS_DENI is not a setting; it is ignored";
    let mut command = serving(&[]);
    command.env("OPEN_PORTS_DENI", "any").envs(links.map(|name| (name, "tcp://10.0.0.1:80")));
    let service = Service::spawn(command);
    let line = service.wait_for_log(warning);
    assert_eq!(setting(&line, "level").as_deref(), Some("WARN"), "{line}");
    assert!(!service.log().join("\n").contains("OPEN_PORTS_PORT"), "{:?}", service.log());

    let mut command = open_ports(&["scan", "127.0.0.1", "-p", "1"]);
    command.env("OPEN_PORTS_DENI", "any").envs(links.map(|name| (name, "tcp://10.0.0.1:80")));
    let ended = run(command);
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), format!("open-ports: {warning}\n")));

    // A start that fails because a variable is misspelt prints both.
    let mut command = open_ports(&["--listen", "0.0.0.0:0"]);
    command.env("OPEN_PORTS_ALOW", "any");
    let ended = run(command);
    assert_eq!(ended.status.code(), Some(2));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines[0], "open-ports: OPEN_PORTS_ALOW is not a setting; it is ignored");
    assert!(lines[1].contains("say what they may scan"), "{lines:?}");
}

#[test]
fn the_first_line_of_the_log_has_the_settings() {
    let service = Service::spawn(serving(&[]));
    let line = service.log()[0].clone();
    assert_eq!(
        ["allow", "deny", "tokens", "tokens_file", "max_scans", "max_rate"]
            .map(|name| setting(&line, name)),
        [Some("any"), Some("none"), Some("none"), None, Some("16"), Some("0")]
            .map(|value| value.map(str::to_owned))
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    fs::write(&path, "ci:0123456789abcdef\nops:fedcba9876543210\n").unwrap();
    let path = path.to_str().unwrap();
    let allow = ["--allow", "loopback, 10.0.0.0/8:22", "--deny", "10.0.0.1"];
    let others = ["--tokens", path, "--max-scans", "3", "--grace", "7"];
    let service = Service::spawn(serving(&[&allow[..], &others].concat()));
    let line = service.log()[0].clone();
    assert_eq!(
        ["allow", "deny", "tokens", "tokens_file", "max_scans", "grace"]
            .map(|name| setting(&line, name)),
        ["loopback,10.0.0.0/8:22", "10.0.0.1", "2", path, "3", "7"]
            .map(|value| Some(value.to_owned()))
    );
    assert!(!line.contains("0123456789"), "{line}");
}
