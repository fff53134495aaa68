//! `open-ports scan` in scripts: what it scans, what it prints, and its exit status.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use support::kernel::Witness;
use support::service::{Ended, open_ports, run};
use support::targets::{Listeners, Silent, list};
use support::{own_address, wait_for};

#[test]
fn in_a_pipe_each_open_port_is_a_line() {
    let listeners = Listeners::bind(own_address(), 40);
    let witness = Witness::of(listeners.address);
    let ended = scan(&[&listeners.address.to_string(), "-p", "all"]);
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""));
    assert_exact(&ended, &listeners, witness);
}

#[test]
fn with_few_descriptors_the_result_is_the_same() {
    let listeners = Listeners::bind(own_address(), 40);
    for limit in ["64", "256"] {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n \"$1\" && shift && exec \"$@\"", "sh", limit]);
        command.arg(env!("CARGO_BIN_EXE_open-ports"));
        command.args(["scan", &listeners.address.to_string(), "-p", "all"]);
        let witness = Witness::of(listeners.address);
        let ended = run(command);
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert_exact(&ended, &listeners, witness);
    }
}

#[test]
fn ports_are_a_list_a_last_one_or_a_number_of_common_ones() {
    let listeners = Listeners::bind_at(own_address(), 8888).unwrap();
    let host = listeners.address.to_string();
    let finds = |ports: &[&str]| {
        let ended = scan(&[&[&*host], ports].concat());
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        lines(&ended.stdout).contains(&format!("{host}:8888"))
    };
    for ports in [&["-p", "8000-9000,top10"][..], &["-p8888"], &["--ports=8888"], &["-p-"]] {
        assert!(finds(ports), "{ports:?}");
    }
    for ports in [&["--to-port", "8888"][..], &["--top", "23"], &[]] {
        assert!(finds(ports), "{ports:?}");
    }
    assert!(!finds(&["--to-port", "8887"]) && !finds(&["--top", "22"]));
}

#[test]
fn hosts_are_addresses_networks_ranges_and_lists_without_excluded_ones() {
    let [first, second, third] = neighbours();
    let port = listening_on(&[&first, &second, &third]);
    let open = |arguments: &[&str]| {
        let ended = scan(&[arguments, &["-p", &port]].concat());
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        hosts(&ended.stdout)
    };
    let [one, two, three] = [&first, &second, &third].map(|host| host.address.to_string());
    let all = BTreeSet::from([one.clone(), two.clone(), three.clone()]);
    let last = three.rsplit_once('.').unwrap().1;
    assert_eq!(open(&[&one, &two, &three]), all);
    assert_eq!(open(&[&format!("{one}/24")]), all);
    assert_eq!(open(&[&format!("{one}-{three}")]), all);
    assert_eq!(open(&[&format!("{one}-{last}"), &two]), all, "and none of them twice");
    let excluded = open(&[&format!("{one}/24"), "--exclude", &format!("{two},{three}/32")]);
    assert_eq!(excluded, BTreeSet::from([one.clone()]));

    let file = format!("# hosts\n{one} {two} # two\n{three}-{last}\n");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hosts");
    fs::write(&path, &file).unwrap();
    assert_eq!(open(&["--targets", path.to_str().unwrap()]), all);

    let mut command = open_ports(&["scan", "--targets", "-", "-p", &port]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(file.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(hosts(&String::from_utf8(output.stdout).unwrap()), all);
}

#[test]
fn a_list_longer_than_what_is_read_at_once_is_scanned_to_its_end() {
    let listeners = Listeners::bind(own_address(), 1);
    let (host, port) = (listeners.address, listeners.list());
    let mut command = open_ports(&["scan", "--targets", "-", "-p", &port]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut hosts = String::new();
    for number in 0..20_000u32 {
        // Nobody listens on any of these.
        let [.., high, low] = number.to_be_bytes();
        hosts.push_str(&format!("127.127.{high}.{low}\n"));
    }
    stdin.write_all(hosts.as_bytes()).unwrap();
    writeln!(stdin, "{host}\nnot:a:host").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "an invalid line: {stderr}");
    assert!(stderr.contains("--targets: line 20002: \"not:a:host\" is not an IPv6 address"));
    // Hosts are read in parts. The part with the invalid line is not scanned, the
    // part before it is.
    assert_eq!(output.stdout, b"", "{stderr}");
    assert!(stderr.contains("incomplete"), "{stderr}");
}

#[test]
fn an_invalid_command_line_is_refused_with_every_error() {
    for (arguments, message) in [
        (&[][..], "name a host to scan"),
        (
            &["127.0.0.1:80", "-p", "22"],
            "127.0.0.1:80 names a port that is not to be scanned; give all ports with -p",
        ),
        (&["127.0.0.1:0"], "127.0.0.1:0 has a port that is none; ports are 1 to 65535"),
        (&["localhost:ssh"], "localhost:ssh holds a port; give the host alone, and ports with -p"),
        (&["localhost", "-p", "0"], "-p \"0\" is not a port"),
        (&["localhost", "-p", "1", "--top", "3"], "-p excludes --to-port and --top"),
        (&["localhost", "--top", "0"], "--top must be 1 to 1000"),
        (&["localhost", "--to-port", "65536"], "--to-port must be 1 to 65535"),
        (&["localhost", "--seed", "-1"], "--seed must be a number"),
        (&["localhost", "--exclude", "web"], "--exclude web is a name; give its addresses"),
        (&["localhost", "--allow", "10/8"], "--allow \"10/8\" is not a list of rules"),
        (&["localhost", "-p", "htp"], "-p \"htp\" is not a port (1 to 65535), a range"),
        (&["localhost", "-p1", "--expect", "htp"], "--expect \"htp\" is not a port"),
        (&["127.0.0.1", "--exclude", "127.0.0.0/8"], "there is no host left to scan"),
        (&["127.0.0.1,", "--exclude", "::1,127.0.0.1,"], "there is no host left to scan"),
        (
            &["localhost", "--timeout-ms", "1", "--format", "yaml"],
            "--format must be one of table, plain, json, ndjson, csv, grepable, xml, junit, tap, \
             github, sarif, file-sd; \
             --timeout-ms must be 50 to 30000 ms",
        ),
        (&["localhost", "--colour"], "--colour"),
    ] {
        let ended = scan(arguments);
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.starts_with("open-ports: "), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(message), "{arguments:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
}

#[test]
fn control_characters_are_printed_escaped_and_on_one_line() {
    let evil = "e\u{1b}[2J\u{9b}31m\u{202e}\nvil";
    let shown = "e\\u{1b}[2J\\u{9b}31m\\u{202e}\\nvil";
    let flag = format!("--{evil}");
    let path = format!("/nowhere/{evil}");
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, "e\u{1b}[2J\u{9b}31m\u{202e}vil\n").unwrap();
    for arguments in [
        &["scan", evil][..],
        &["scan", "127.0.0.1", "-p", evil],
        &["scan", "127.0.0.1", "--exclude", evil],
        &["scan", "127.0.0.1", "--allow", evil],
        &["scan", "127.0.0.1", "--family", "any", &flag],
        &["scan", "127.0.0.1", "--output", &path],
        &["scan", "127.0.0.1", "--expect-file", &path],
        &["scan", "--targets", &path],
        &["scan", "--targets", hosts.to_str().unwrap()],
        &[evil],
        &[&flag],
        &["completions", evil],
        &["--tokens", &path, "--listen", "127.0.0.1:0"],
        &["--listen", evil],
        &["healthcheck", "--listen", evil],
    ] {
        let ended = run(open_ports(arguments));
        assert!(matches!(ended.status.code(), Some(1 | 2)), "{arguments:?}: {ended:?}");
        let message = ended.stderr.strip_suffix('\n').unwrap();
        let acts = |c: char| c.is_control() || c == '\u{202e}';
        assert!(!message.contains(acts), "{arguments:?}: {message:?}");
        let shown = shown.replace("\\n", "");
        assert!(message.replace("\\n", "").contains(&shown), "{arguments:?}: {message:?}");
    }
    // Nor are they in the output.
    let port = support::targets::free_port().to_string();
    let output = folder.path().join(evil);
    let output = output.to_str().unwrap();
    let written = scan(&["127.0.0.1", "-p", &port, "--format", "grepable", "--output", output]);
    assert_eq!(written.status.code(), Some(0), "{written:?}");
    let text = fs::read_to_string(output).unwrap();
    assert!(text.contains(shown) && !text.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{text}");
}

#[test]
fn a_name_that_does_not_resolve_does_not_hold_up_the_others() {
    let listeners = Listeners::bind(own_address(), 1);
    // RFC 6761: names under .invalid never resolve.
    let host = listeners.address.to_string();
    let ended = scan(&["no-such-host.invalid", &host, "-p", &listeners.list()]);
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    assert_eq!(lines(&ended.stdout), plain(listeners.address, &listeners.ports));
    let complaints: Vec<&str> = ended.stderr.lines().collect();
    assert!(complaints[0].contains("no-such-host.invalid does not resolve"), "{ended:?}");
    assert_eq!(complaints[1..], ["open-ports: incomplete (not-resolved)"]);
}

#[test]
fn a_scan_that_a_deadline_cuts_short_is_incomplete() {
    let silent = Silent::bind(own_address(), 1);
    let host = silent.address.to_string();
    let ended = scan(&[&host, "-p", &silent.list(), "--deadline-ms", "100"]);
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
    assert_eq!(ended.stderr, "open-ports: incomplete (deadline): 1 port not scanned\n");
    // Hosts that were not visited are counted too. There are more than are started
    // at once.
    let many = ["127.0.0.0/10", "-p", "1-9", "--rate", "100", "--deadline-ms", "200"];
    let ended = scan(&many);
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
    assert!(ended.stderr.contains(" hosts not visited\n"), "{ended:?}");
}

#[test]
fn policy_holds_for_the_command_too() {
    let listeners = Listeners::bind(own_address(), 1);
    let (host, port) = (listeners.address.to_string(), listeners.list());
    let denied = scan(&[&host, "-p", &port, "--deny", "127.0.0.0/8"]);
    let other = scan(&[&host, "-p", &port, "--allow", "10.0.0.0/8"]);
    let never = scan(&["169.254.169.254", "-p", &port, "--allow", "any"]);
    let mut command = open_ports(&["scan", &host, "-p", &port]);
    let by_variable = run({
        command.env("OPEN_PORTS_DENY", "loopback");
        command
    });
    for (ended, message) in [
        (denied, format!("{host} is denied by 127.0.0.0/8")),
        (other, format!("{host} is not in the allow list")),
        (never, "169.254.169.254 is never scanned (cloud-metadata)".into()),
        (by_variable, format!("{host} is denied by loopback")),
    ] {
        assert_eq!(ended.status.code(), Some(4), "{ended:?}");
        assert!(ended.stderr.contains(&message), "{ended:?}");
        assert!(ended.stderr.contains("incomplete (refused-by-policy)"), "{ended:?}");
        assert_eq!(ended.stdout, "");
    }
    assert_eq!(listeners.probed(), 0);
}

#[test]
fn expectations_decide_the_exit_status() {
    let listeners = Listeners::bind(own_address(), 3);
    let host = listeners.address.to_string();
    let ports: Vec<u16> = listeners.ports.iter().copied().collect();
    let closed = support::targets::free_port();
    let asked = list(ports.iter().chain([&closed]));
    let expect = |expected: &str| scan(&[&host, "-p", &asked, "--expect", expected]);
    let met = expect(&listeners.list());
    assert_eq!((met.status.code(), &*met.stderr), (Some(0), ""));
    let other = expect(&format!("{},{},{closed}", ports[0], ports[1]));
    assert_eq!(other.status.code(), Some(5), "{other:?}");
    let message = format!("open-ports: {host}: unexpected {}; missing {closed}\n", ports[2]);
    assert_eq!(other.stderr, message);
    assert_eq!(expect("none").status.code(), Some(5));
    // What is found is printed all the same.
    assert_eq!(lines(&other.stdout), plain(listeners.address, &listeners.ports));

    let (folder, other_host) = (tempfile::tempdir().unwrap(), own_address());
    let path = folder.path().join("expected");
    let path = path.to_str().unwrap();
    let from_file = |text: String| {
        fs::write(path, text).unwrap();
        scan(&["--expect-file", path, "-p", &asked, "--format", "json"])
    };
    let met = from_file(format!("{host} {} # all\n{other_host} none\n", listeners.list()));
    assert_eq!(met.status.code(), Some(0), "{met:?}");
    let missed = from_file(format!("{host} {}\n{other_host} {closed}\n", listeners.list()));
    assert_eq!(missed.status.code(), Some(5), "{missed:?}");
    assert_eq!(missed.stderr, format!("open-ports: {other_host}: missing {closed}\n"));
    let document: serde_json::Value = serde_json::from_str(&missed.stdout).unwrap();
    for report in document["hosts"].as_array().unwrap() {
        let as_expected = report["domain"] == *host;
        assert_eq!(report["as_expected"], as_expected, "{report}");
    }
    assert_eq!(from_file(format!("{host} 22 80\n")).status.code(), Some(2));
}

fn scan(arguments: &[&str]) -> Ended {
    run(open_ports(&[&["scan"], arguments].concat()))
}

fn lines(text: &str) -> BTreeSet<String> {
    let lines: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), text.lines().count(), "a line twice: {text}");
    lines
}

fn plain(host: IpAddr, ports: &BTreeSet<u16>) -> BTreeSet<String> {
    ports.iter().map(|port| format!("{host}:{port}")).collect()
}

/// Checks that plain lines have all ports of the listeners, and no port that nobody
/// listened on.
#[track_caller]
fn assert_exact(ended: &Ended, listeners: &Listeners, witness: Witness) {
    let seen = witness.seen();
    let port = |line: &String| {
        let (host, port) = line.rsplit_once(':').unwrap();
        assert_eq!(host, listeners.address.to_string());
        port.parse().unwrap()
    };
    let mut open: Vec<u16> = lines(&ended.stdout).iter().map(port).collect();
    open.sort_unstable();
    listeners.assert_found(&open, &seen);
}

/// The hosts of plain lines.
fn hosts(text: &str) -> BTreeSet<String> {
    lines(text).iter().map(|line| line.rsplit_once(':').unwrap().0.to_owned()).collect()
}

/// Listeners at one port of three addresses, which are in a network of their own.
fn neighbours() -> [Listeners; 3] {
    let IpAddr::V4(own) = own_address() else { unreachable!("loopback of IPv4") };
    let [_, b, c, _] = own.octets();
    // The second octet of `own_address` is 128 or more, and of these less.
    wait_for("a port that is free on three addresses", || {
        let port = support::targets::free_port();
        let at = |d| Listeners::bind_at([127, b & 0x7f, c, d].into(), port).ok();
        Some([at(5)?, at(130)?, at(201)?])
    })
}

fn listening_on(listeners: &[&Listeners]) -> String {
    let ports: BTreeSet<&u16> = listeners.iter().flat_map(|host| &host.ports).collect();
    assert_eq!(ports.len(), 1);
    list(ports)
}
