//! `open-ports scan` as people see it: the real binary on a terminal.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::fs;

use support::service::{open_ports, run};
use support::targets::{Listeners, Silent, free_port};
use support::terminal::{OnTerminal, Seen, progress_lines};
use support::{own_address, wait_for};

#[test]
fn ports_are_shown_as_they_are_found_and_the_table_that_stays_is_in_order() {
    let (listeners, silent) = some_of_both(3);
    let (host, ports) = (listeners.address.to_string(), ports(&listeners, &silent));
    // Slow enough for the line to be drawn several times.
    let seen = OnTerminal::start(&["scan", &host, "-p", &ports, "--rate", "10"], &[]).end();
    assert_eq!(seen.status.code(), Some(0), "{seen:?}");
    let row_above_line = |screen: &str| {
        let open =
            |line: &str| listeners.ports.iter().any(|&port| is_row(line, &host, port, "open"));
        let line = screen.lines().last().unwrap_or_default();
        screen.lines().any(open) && line.contains("asked") && line.contains("found")
    };
    assert!(seen.ever(row_above_line), "{seen:?}");
    let lines: Vec<&str> = seen.screen.lines().collect();
    let words: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(words, ["HOST", "PORT", "STATE", "SERVICE", "RTT"], "{seen:?}");
    for (line, &port) in lines[1..4].iter().zip(&listeners.ports) {
        assert!(is_row(line, &host, port, "open"), "{seen:?}");
    }
    assert!(lines[4].starts_with("1 host in ") && lines[4].contains("3 open"), "{seen:?}");
    assert!(lines[4].ends_with("12 filtered (no-response)"), "{seen:?}");
    assert_eq!(lines.len(), 5, "{seen:?}");
}

#[test]
fn hosts_are_in_the_order_typed() {
    let (one, two) = (Listeners::bind(own_address(), 2), Listeners::bind(own_address(), 2));
    let (first, second) = (two.address.to_string(), one.address.to_string());
    let ports = format!("{},{}", one.list(), two.list());
    let Seen { status, screen, .. } =
        OnTerminal::start(&["scan", &first, &second, "-p", &ports], &[]).end();
    assert_eq!(status.code(), Some(0), "{screen}");
    let rows = two.ports.iter().map(|port| (&first, port));
    let rows = rows.chain(one.ports.iter().map(|port| (&second, port)));
    for ((host, &port), line) in rows.zip(screen.lines().skip(1)) {
        assert!(is_row(line, host, port, "open"), "{screen}");
    }
}

#[test]
fn rows_of_many_hosts_come_as_hosts_end() {
    let listeners = Listeners::bind(own_address(), 2);
    let (host, ports) = (listeners.address.to_string(), listeners.list());
    let network = format!("{host}/24");
    let seen = OnTerminal::start(&["scan", &network, "-p", &ports], &[]).end();
    assert_eq!(seen.status.code(), Some(0), "{seen:?}");
    for (line, &port) in seen.screen.lines().skip(1).zip(&listeners.ports) {
        assert!(is_row(line, &host, port, "open"), "{seen:?}");
    }
    assert!(seen.screen.contains("256 hosts in "), "{seen:?}");
}

#[test]
fn control_c_stops_the_probes_and_keeps_what_is_known() {
    let (listeners, silent) = some_of_both(30);
    let (host, ports) = (listeners.address.to_string(), ports(&listeners, &silent));
    // Four seconds, and not one until an open port is found.
    let mut terminal = OnTerminal::start(&["scan", &host, "-p", &ports, "--rate", "10"], &[]);
    let running = |screen: &str| screen.contains(" open ") && screen.contains("asked");
    terminal.wait_for_screen("an open port and the progress line", running);
    terminal.type_in("\x03");
    let Seen { status, screen, .. } = terminal.end();
    assert_eq!(status.code(), Some(130), "{screen}");
    let row = |line: &&str| listeners.ports.iter().any(|&port| is_row(line, &host, port, "open"));
    let open = screen.lines().filter(row).count();
    let known = screen.lines().find(|line| line.starts_with("1 host in ")).unwrap();
    assert!(known.contains(&format!(": {open} open, 0 closed, ")), "{screen}");
    let (_, left) = screen.split_once("incomplete (interrupted): ").unwrap();
    let (left, _) = left.split_once(" ports not scanned").unwrap();
    assert!(known.ends_with(&format!(", {left} not scanned")), "{screen}");
    assert!(!screen.contains("asked"), "{screen}");
}

#[test]
fn progress_on_a_silent_host_moves_and_the_time_left_never_grows() {
    let silent = Silent::bind(own_address(), 12);
    let (host, ports) = (silent.address.to_string(), silent.list());
    // Each port is waited for one second, and then three.
    let seen = OnTerminal::start(&["scan", &host, "-p", &ports, "--timeout-ms", "4000"], &[]).end();
    assert_eq!(seen.status.code(), Some(0), "{seen:?}");
    let lines = progress_lines(&seen.bytes);
    let number = |line: &str, unit: &str| -> Option<u64> {
        line.split(unit).next().filter(|&before| before != line)?.rsplit(' ').next()?.parse().ok()
    };
    let percent: Vec<u64> = lines.iter().filter_map(|line| number(line, "%")).collect();
    let left: Vec<u64> = lines.iter().filter_map(|line| number(line, " s left")).collect();
    assert_eq!(percent.len(), lines.len(), "{lines:?}");
    assert!(left.len() >= lines.len() / 2, "{lines:?}");
    assert!(percent.is_sorted() && percent.last() > percent.first(), "{lines:?}");
    assert!(left.is_sorted_by(|before, after| before >= after), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("12 of 12 asked")), "{lines:?}");
    let again = |line: &String| line.contains("12 of 12 silent ones asked again");
    assert!(lines.iter().any(again), "{lines:?}");
    let words = format!("no answer from {host} at all: is there a route, a VPN?");
    assert!(seen.screen.lines().last().unwrap().ends_with(&words), "{seen:?}");
}

#[test]
fn filtered_ports_have_rows_if_asked_for_and_states_have_colours() {
    let (listeners, silent) = some_of_both(1);
    let (host, ports) = (listeners.address.to_string(), ports(&listeners, &silent));
    let scan = ["scan", &host, "-p", &ports, "--timeout-ms", "200", "--details"];
    for (environment, coloured) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let Seen { status, screen, bytes } = OnTerminal::start(&scan, environment).end();
        assert_eq!(status.code(), Some(0), "{screen}");
        let titles: Vec<&str> = screen.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(titles[2..4], ["STATE", "REASON"], "{screen}");
        for port in &silent.ports {
            let row = screen.lines().find(|line| is_row(line, &host, *port, "filtered"));
            assert!(row.is_some_and(|row| row.contains("  no-response")), "{screen}");
        }
        let open = bytes.contains("\x1b[32mopen");
        let filtered = bytes.contains("\x1b[33mfiltered");
        assert_eq!((open, filtered), (coloured, coloured), "{bytes:?}");
    }
}

#[test]
fn a_dumb_terminal_gets_no_escape_sequences_and_nothing_is_redrawn() {
    let (listeners, silent) = some_of_both(2);
    let (host, ports) = (listeners.address.to_string(), ports(&listeners, &silent));
    let scan = ["scan", &host, "-p", &ports, "--rate", "10", "--expect", "none"];
    let seen = OnTerminal::start(&scan, &[("TERM", "dumb")]).end();
    assert_eq!(seen.status.code(), Some(5), "{seen:?}");
    assert!(!seen.bytes.contains('\x1b'), "{seen:?}");
    // The terminal itself puts the returns before the line feeds.
    assert!(!seen.bytes.replace("\r\n", "\n").contains('\r'), "{seen:?}");
    assert_eq!(seen.bytes.matches(" open ").count(), 2, "{seen:?}");
}

#[test]
fn without_colours_progress_is_redrawn_all_the_same() {
    let (listeners, silent) = some_of_both(2);
    let (host, ports) = (listeners.address.to_string(), ports(&listeners, &silent));
    let scan = ["scan", &host, "-p", &ports, "--rate", "10", "--expect", "none"];
    let seen = OnTerminal::start(&scan, &[("NO_COLOR", "1")]).end();
    assert_eq!(seen.status.code(), Some(5), "{seen:?}");
    assert!(progress_lines(&seen.bytes).len() > 1, "{seen:?}");
    let colours = ["\x1b[0m", "\x1b[31m", "\x1b[32m", "\x1b[33m"];
    assert!(colours.iter().all(|colour| !seen.bytes.contains(colour)), "{seen:?}");
}

#[test]
fn colours_can_be_forced_into_a_pipe() {
    let listeners = Listeners::bind(own_address(), 1);
    let (host, ports) = (listeners.address.to_string(), listeners.list());
    for (environment, coloured) in [
        (&[][..], false),
        (&[("CLICOLOR_FORCE", "1")], true),
        (&[("CLICOLOR_FORCE", "0")], false),
        (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
    ] {
        let mut command = open_ports(&["scan", &host, "-p", &ports, "--format", "table"]);
        let ended = run({
            command.env_remove("NO_COLOR").envs(environment.iter().copied());
            command
        });
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{ended:?}");
        assert_eq!(ended.stdout.contains("\x1b[32mopen"), coloured, "{environment:?}: {ended:?}");
    }
}

#[test]
fn lines_are_cut_to_the_width_that_the_terminal_has_now() {
    const NARROW: usize = 30;
    let (listeners, silent) = some_of_both(2);
    let (host, ports) = (listeners.address.to_string(), ports(&listeners, &silent));
    let terminal = OnTerminal::start(&["scan", &host, "-p", &ports, "--rate", "4"], &[]);
    let is_narrow = |line: &String| line.len() < NARROW;
    let drawn = || progress_lines(&terminal.written());
    // More is drawn all the time, and the last line may not be whole.
    let last_whole = || drawn().into_iter().rev().nth(1);
    wait_for("a line that is longer", || last_whole().filter(|line| !is_narrow(line)));
    terminal.resize(u16::try_from(NARROW).unwrap());
    wait_for("a line that is cut", || last_whole().filter(is_narrow));
    let before = drawn().len();
    let seen = terminal.end();
    assert_eq!(seen.status.code(), Some(0), "{seen:?}");
    let after = &progress_lines(&seen.bytes)[before..];
    assert!(!after.is_empty() && after.iter().all(is_narrow), "{after:?}");
}

#[test]
fn the_verdict_on_expected_ports_comes_after_the_table_in_its_colour() {
    let listeners = Listeners::bind(own_address(), 2);
    let (host, closed) = (listeners.address.to_string(), free_port().to_string());
    let asked = format!("{},{closed}", listeners.list());
    let open: Vec<String> = listeners.ports.iter().map(u16::to_string).collect();
    let scan = |expected: &str| {
        let scan = ["scan", &host, "-p", &asked, "--expect", expected];
        OnTerminal::start(&scan, &[]).end()
    };
    let met = scan(&listeners.list());
    assert_eq!(met.status.code(), Some(0), "{met:?}");
    let words = format!("as expected: {} open", open.join(", "));
    assert!(met.bytes.contains(&format!("\x1b[32m{words}\x1b[0m")), "{met:?}");
    assert_eq!(met.screen.lines().last(), Some(&*words));
    let not_met = scan(&format!("{},{closed}", open[0]));
    assert_eq!(not_met.status.code(), Some(5), "{not_met:?}");
    let words = format!("unexpected: {}; missing: {closed}", open[1]);
    assert!(not_met.bytes.contains(&format!("\x1b[31m{words}\x1b[0m")), "{not_met:?}");
    // It is not said twice.
    assert_eq!(not_met.screen.lines().last(), Some(&*words));
    assert_eq!(not_met.screen.matches("unexpected").count(), 1, "{not_met:?}");
}

#[test]
fn a_person_sees_the_table_although_the_results_go_to_a_file() {
    let listeners = Listeners::bind(own_address(), 2);
    let (host, ports) = (listeners.address.to_string(), listeners.list());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("found");
    let output = path.to_str().unwrap();
    let scan = ["scan", &host, "-p", &ports, "--format", "ndjson", "--output", output];
    let seen = OnTerminal::start(&scan, &[]).end();
    assert_eq!(seen.status.code(), Some(0), "{seen:?}");
    for (line, &port) in seen.screen.lines().skip(1).zip(&listeners.ports) {
        assert!(is_row(line, &host, port, "open"), "{seen:?}");
    }
    assert!(seen.screen.lines().last().unwrap().starts_with("1 host in "), "{seen:?}");
    let text = fs::read_to_string(path).unwrap();
    let records: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 3, "{text}");
    assert_eq!(records[2]["summary"]["open"], 2, "{text}");
}

#[test]
fn other_formats_keep_their_form_beside_the_progress_line() {
    let (listeners, silent) = some_of_both(2);
    let (host, ports) = (listeners.address.to_string(), ports(&listeners, &silent));
    let scan = ["scan", &host, "-p", &ports, "--rate", "10", "--format", "plain"];
    let seen = OnTerminal::start(&scan, &[]).end();
    assert_eq!(seen.status.code(), Some(0), "{seen:?}");
    assert!(!progress_lines(&seen.bytes).is_empty(), "{seen:?}");
    let lines: Vec<&str> = seen.screen.lines().collect();
    let expected: Vec<String> =
        listeners.ports.iter().map(|port| format!("{host}:{port}")).collect();
    assert_eq!(lines, expected, "{seen:?}");
}

#[test]
fn a_quiet_scan_has_no_progress_line() {
    let (listeners, silent) = some_of_both(2);
    let (host, ports) = (listeners.address.to_string(), ports(&listeners, &silent));
    let seen = OnTerminal::start(&["scan", "-q", &host, "-p", &ports, "--rate", "10"], &[]).end();
    assert_eq!(seen.status.code(), Some(0), "{seen:?}");
    assert!(!seen.bytes.contains("probes") && seen.screen.contains(" open "), "{seen:?}");
}

#[test]
fn help_fits_the_terminal_and_has_examples() {
    let Seen { status, bytes, .. } = OnTerminal::start(&["scan", "--help"], &[]).end();
    assert_eq!(status.code(), Some(0));
    assert!(bytes.contains("Examples:") && bytes.contains("open-ports scan example.org"));
    let (_, options) = bytes.split_once("Options:").unwrap();
    assert!(options.lines().all(|line| line.chars().count() <= 80), "{options}");
}

/// Open ports, and silent ones of the same address.
fn some_of_both(open: usize) -> (Listeners, Silent) {
    let address = own_address();
    (Listeners::bind(address, open), Silent::bind(address, 12))
}

fn ports(listeners: &Listeners, silent: &Silent) -> String {
    format!("{},{}", listeners.list(), silent.list())
}

fn is_row(line: &str, host: &str, port: u16, state: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next() == Some(host)
        && words.next() == Some(&port.to_string())
        && words.next() == Some(state)
}
