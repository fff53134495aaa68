//! `open-ports doctor` and `open-ports completions`.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use support::service::{open_ports, run};

#[test]
fn the_doctor_prints_what_limits_a_scan() {
    let ended = run(open_ports(&["doctor"]));
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""));
    for line in [
        "descriptors ",
        "window ",
        "silent host ",
        "source ports ",
        "conntrack ",
        "neighbours ",
        "IPv6 ",
    ] {
        assert!(ended.stdout.lines().any(|printed| printed.starts_with(line)), "{line}: {ended:?}");
    }
}

#[test]
fn the_doctor_knows_how_few_descriptors_a_shell_allows() {
    let with_limit = |limit: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n \"$1\" && exec \"$0\" doctor"]);
        run({
            command.args([env!("CARGO_BIN_EXE_open-ports"), limit]);
            command
        })
    };
    let few = with_limit("256");
    assert!(few.stdout.contains("\nwindow         228 probes in flight\n"), "{few:?}");
    assert!(few.stdout.contains("\nto change      raise the hard limit on descriptors"), "{few:?}");
    let too_few = with_limit("20");
    assert_eq!((too_few.status.code(), &*too_few.stdout), (Some(1), ""));
    assert!(too_few.stderr.contains("the limit of 20 open descriptors is too low"), "{too_few:?}");
}

#[test]
fn a_closed_standard_output_is_a_failure_if_there_is_output() {
    let with = |redirection: &str, arguments: &[&str]| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec \"$0\" \"$@\" {redirection}")]);
        shell.arg(env!("CARGO_BIN_EXE_open-ports")).args(arguments);
        run(shell)
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("found");
    let scan = ["scan", "127.0.0.1", "-p", "1"];
    for arguments in [&["doctor"][..], &["completions", "bash"], &["--version"], &["-h"], &scan] {
        let ended = with(">&-", arguments);
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {ended:?}");
        let message = "open-ports: cannot write the output: standard output is closed\n";
        assert_eq!(ended.stderr, message, "{arguments:?}");
        // /dev/null discards output on purpose, however it was opened.
        for redirection in [">/dev/null", "1<>/dev/null", "<&-", "2>&-"] {
            let ended = with(redirection, arguments);
            assert_eq!(ended.status.code(), Some(0), "{arguments:?} {redirection}: {ended:?}");
        }
    }
    let ended = with(">&-", &[&scan[..], &["--output", path.to_str().unwrap()]].concat());
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""));
    assert!(path.exists());
}

#[test]
fn completions_know_every_flag_and_shells_can_read_them() {
    for shell in ["bash", "fish", "nushell", "zsh"] {
        let ended = run(open_ports(&["completions", shell]));
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert!(ended.stdout.contains("expect-file") && ended.stdout.contains("max-scans"));
        // Shells that are installed here can parse their script.
        let check = Command::new(shell).args(["-n"]).stdin(Stdio::piped()).spawn();
        if let (Ok(mut check), false) = (check, shell == "nushell") {
            check.stdin.take().unwrap().write_all(ended.stdout.as_bytes()).unwrap();
            assert!(check.wait().unwrap().success(), "{shell}");
        }
    }
    assert_eq!(run(open_ports(&["completions", "cmd"])).status.code(), Some(2));
}
