//! `open-ports scan` as people see it: the real binary on a terminal.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use support::own_address;
use support::targets::{Listeners, Silent};
use support::terminal::{OnTerminal, Seen};

#[test]
fn the_table_fills_while_the_progress_line_stays_below_and_then_goes() {
    let (listeners, silent) = some_of_both(3);
    let (host, ports) = (listeners.address.to_string(), ports(&listeners, &silent));
    // Slow enough for the line to be drawn several times.
    let seen = OnTerminal::start(&["scan", &host, "-p", &ports, "--rate", "10"], &[]).end();
    assert_eq!(seen.status.code(), Some(0), "{seen:?}");
    let row_above_line = |screen: &str| {
        let open =
            |line: &str| listeners.ports.iter().any(|&port| is_row(line, &host, port, "open"));
        let line = screen.lines().last().unwrap_or_default();
        screen.lines().any(open) && line.contains("probes") && line.contains("found")
    };
    assert!(seen.ever(row_above_line), "{seen:?}");
    let lines: Vec<&str> = seen.screen.lines().collect();
    let words: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(words, ["HOST", "PORT", "STATE", "SERVICE", "RTT"], "{seen:?}");
    for &port in &listeners.ports {
        assert!(lines[1..4].iter().any(|line| is_row(line, &host, port, "open")), "{seen:?}");
    }
    assert!(lines[4].starts_with("1 host in ") && lines[4].contains("3 open"), "{seen:?}");
    assert_eq!(lines.len(), 5, "{seen:?}");
}

#[test]
fn control_c_stops_the_probes_and_keeps_what_is_known() {
    let (listeners, silent) = some_of_both(30);
    let (host, ports) = (listeners.address.to_string(), ports(&listeners, &silent));
    // Four seconds, and not one until an open port is found.
    let mut terminal = OnTerminal::start(&["scan", &host, "-p", &ports, "--rate", "10"], &[]);
    let running = |screen: &str| screen.contains(" open ") && screen.contains("probes");
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
    assert!(!screen.contains("probes"), "{screen}");
}

#[test]
fn filtered_ports_have_rows_if_asked_for_and_states_have_colours() {
    let (listeners, silent) = some_of_both(1);
    let (host, ports) = (listeners.address.to_string(), ports(&listeners, &silent));
    let scan = ["scan", &host, "-p", &ports, "--timeout-ms", "200", "--details"];
    for (environment, coloured) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let Seen { status, screen, bytes } = OnTerminal::start(&scan, environment).end();
        assert_eq!(status.code(), Some(0), "{screen}");
        for port in &silent.ports {
            assert!(screen.lines().any(|line| is_row(line, &host, *port, "filtered")), "{screen}");
        }
        let open = bytes.contains("\x1b[32mopen");
        let filtered = bytes.contains("\x1b[33mfiltered");
        assert_eq!((open, filtered), (coloured, coloured), "{bytes:?}");
    }
}

#[test]
fn other_formats_keep_their_form_beside_the_progress_line() {
    let (listeners, silent) = some_of_both(2);
    let (host, ports) = (listeners.address.to_string(), ports(&listeners, &silent));
    let scan = ["scan", &host, "-p", &ports, "--rate", "10", "--format", "plain"];
    let seen = OnTerminal::start(&scan, &[]).end();
    assert_eq!(seen.status.code(), Some(0), "{seen:?}");
    assert!(seen.ever(|screen| screen.contains("probes")), "{seen:?}");
    let mut lines: Vec<String> = seen.screen.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    let mut expected: Vec<String> =
        listeners.ports.iter().map(|port| format!("{host}:{port}")).collect();
    expected.sort_unstable();
    assert_eq!(lines, expected, "{seen:?}");
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
