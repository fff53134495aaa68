//! A start that cannot work ends at once, with one line that says why. So a bad
//! rollout stops at its first pod.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn an_invalid_setting_is_named_on_one_line() {
    let cases: [Case<'_>; 12] = [
        (&["--alow", "any"], &[], 2, "--alow"),
        (&["--listen"], &[], 2, "--listen"),
        (&["scam"], &[], 2, "scam"),
        (&["--allow", "10.0.0.0/33"], &[], 2, "--allow: \"10.0.0.0/33\""),
        (&[], &[("OPEN_PORTS_DENY", "10.0.0/8")], 2, "OPEN_PORTS_DENY: \"10.0.0/8\""),
        (&["--max-scans", "0"], &[], 2, "--max-scans: \"0\" is not"),
        (&[], &[("OPEN_PORTS_GRACE", "30s")], 2, "OPEN_PORTS_GRACE: \"30s\" is not"),
        (&[], &[("PORT", "80a")], 2, "PORT: \"80a\" is not a port"),
        (&["--tokens", "/nowhere/tokens"], &[], 1, "tokens: read \"/nowhere/tokens\""),
        (&["--listen", "0.0.0.0:0"], &[], 2, "say what they may scan"),
        (&[], &[("PORT", "8080")], 2, "say what they may scan"),
        (&["--listen", "192.0.2.1:0", "--allow", "any"], &[], 1, "cannot listen on 192.0.2.1:0"),
    ];
    for (arguments, environment, status, reason) in cases {
        assert_stops(arguments, environment, status, reason);
    }
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let reason = format!("cannot listen on {address}: ");
    assert_stops(&["--listen", &address], &[], 1, &reason);
    let other = ["--listen", "127.0.0.1:0", "--metrics-listen", &address];
    assert_stops(&other, &[], 1, &reason);
}

#[test]
fn a_token_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    fs::write(&path, "no colon in here\n").unwrap();
    let path = path.to_str().unwrap();
    assert_stops(&["--listen", "127.0.0.1:0", "--tokens", path], &[], 1, "tokens: ");
    let folder = folder.path().to_str().unwrap();
    assert_stops(&["--listen", "127.0.0.1:0", "--tokens", folder], &[], 1, "tokens: ");
}

#[track_caller]
fn assert_stops(arguments: &[&str], environment: &[(&str, &str)], status: i32, reason: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_open-ports"));
    command.env_clear().args(arguments).envs(environment.iter().copied()).stdin(Stdio::null());
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while process.try_wait().unwrap().is_none() {
        if start.elapsed() > DEADLINE {
            process.kill().unwrap();
            panic!("{arguments:?} {environment:?} is still running");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?} {environment:?}: {said}");
    assert!(said.starts_with("open-ports: ") && said.contains(reason), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(output.stdout.is_empty(), "{said}");
}

/// Ends a test that hangs: longer than a start takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Arguments, environment, exit status, and what the message names.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], i32, &'a str);
