//! What people type out of habit, and what `open-ports scan` makes of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::fs;

use support::own_address;
use support::service::{Ended, open_ports, run};
use support::targets::{Listeners, free_port};

#[test]
fn the_format_of_a_file_follows_from_its_ending_or_the_flag() {
    let listeners = Listeners::bind(own_address(), 1);
    let (host, port) = (listeners.address.to_string(), listeners.list());
    let folder = tempfile::tempdir().unwrap();
    let written = |flag: &str, name: &str| {
        let path = folder.path().join(name);
        let ended = scan(&[&host, "-p", &port, flag, path.to_str().unwrap()]);
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{flag} {name}");
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(path).unwrap();
        text
    };
    let plain = format!("{host}:{port}\n");
    for (flag, name, start) in [
        ("--output", "found.xml", "<?xml"),
        ("--output", "found.gnmap", "# open-ports"),
        ("--output", "found.json", "{"),
        ("--output", "found.txt", &*plain),
        ("--output", "found", &plain),
        ("-oX", "found", "<?xml"),
        ("-oG", "found.txt", "# open-ports"),
        ("-oJ", "found", "{"),
    ] {
        let text = written(flag, name);
        assert!(text.starts_with(start), "{flag} {name}: {text}");
    }
    let ended = scan(&[&host, "-p", &port, "-oX", "-"]);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with("<?xml"), "{ended:?}");
}

#[test]
fn one_scan_writes_several_files() {
    let listeners = Listeners::bind(own_address(), 2);
    let (host, ports) = (listeners.address.to_string(), listeners.list());
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("-oX", "found.xml", "portid=\"PORT\""),
        ("-oG", "found.gnmap", "PORT/open/tcp"),
        ("-oJ", "found.json", "\"open_ports\":[PORTS]"),
        ("--output", "found.csv", "PORT,tcp,open"),
        ("--output", "found.txt", "HOST:PORT\n"),
    ];
    let paths = files.map(|(_, name, _)| folder.path().join(name).to_str().unwrap().to_owned());
    let mut arguments = vec![&*host, "-p", &ports];
    for ((flag, ..), path) in files.iter().zip(&paths) {
        arguments.extend([flag, &**path]);
    }
    let ended = scan(&arguments);
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{ended:?}");
    for ((flag, _, found), path) in files.iter().zip(&paths) {
        let text = fs::read_to_string(path).unwrap();
        for port in ports.split(',') {
            let found = found.replace("PORTS", &ports).replace("PORT", port);
            let found = found.replace("HOST", &host);
            assert!(text.contains(&found), "{flag} without {found}: {text}");
        }
    }
    // A file that cannot be written is named before a probe is sent.
    let nowhere = folder.path().join("none/found.xml").to_str().unwrap().to_owned();
    let ended = scan(&[&host, "-p", &ports, "-oX", &nowhere, "-oG", &paths[1]]);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains(&nowhere), "{ended:?}");
}

#[test]
fn a_family_can_be_one_digit_and_no_ping_is_no_news() {
    let listeners = Listeners::bind(own_address(), 1);
    let (host, port) = (listeners.address.to_string(), listeners.list());
    let plain = format!("{host}:{port}\n");
    for flags in [&["-4"][..], &["-Pn"], &["-Pn", "-4"]] {
        let ended = scan(&[flags, &[&*host, "-p", &port]].concat());
        let printed = (ended.status.code(), &*ended.stdout, &*ended.stderr);
        assert_eq!(printed, (Some(0), &*plain, ""), "{flags:?}");
    }
    let other = scan(&["-6", &host, "-p", &port]);
    assert_eq!((other.status.code(), &*other.stdout), (Some(2), ""), "{other:?}");
    let message = format!("open-ports: --family excludes {host}, which is IPv4\n");
    assert_eq!(other.stderr, message);
    let name = scan(&["-6", "127.1", "-p", &port]);
    assert_eq!((name.status.code(), &*name.stdout), (Some(3), ""), "{name:?}");
    let both = scan(&["-4", "-6", &host, "-p", &port]);
    assert_eq!(both.status.code(), Some(2), "{both:?}");
    assert!(both.stderr.contains("-4 excludes the other family"), "{both:?}");
}

#[test]
fn verbose_prints_the_plan_and_every_host_and_quiet_prints_errors_alone() {
    let listeners = Listeners::bind(own_address(), 2);
    let (host, ports) = (listeners.address.to_string(), listeners.list());
    let verbose = scan(&["-v", &host, "-p", &ports, "--seed", "7", "--timeout-ms", "500"]);
    assert_eq!(verbose.status.code(), Some(0), "{verbose:?}");
    assert_eq!(verbose.stdout.lines().count(), 2, "{verbose:?}");
    let notes: Vec<&str> = verbose.stderr.lines().collect();
    assert!(notes[0].starts_with("open-ports: 1 host, 2 ports on each"), "{verbose:?}");
    assert_eq!(notes[1], "open-ports: the order is random; --seed 7 repeats it");
    assert!(notes[2].starts_with("open-ports: 500 ms for an answer, at most "), "{verbose:?}");
    assert!(notes[2].ends_with(" any number of probes a second, no deadline"), "{verbose:?}");
    let found = format!("open-ports: {host}: 2 open, 0 closed, 0 filtered");
    assert!(notes[3].starts_with(&found), "{verbose:?}");
    assert_eq!(notes.len(), 4, "{verbose:?}");

    let quiet = scan(&["-q", &host, "no-such-host.invalid", "-p", &ports]);
    assert_eq!((quiet.status.code(), quiet.stdout.lines().count()), (Some(3), 2), "{quiet:?}");
    assert!(quiet.stderr.contains("no-such-host.invalid does not resolve"), "{quiet:?}");
    let both = scan(&["-q", "-v", &host, "-p", &ports]);
    assert_eq!(both.status.code(), Some(2), "{both:?}");
    assert_eq!(both.stderr, "open-ports: --quiet excludes --verbose\n");
}

#[test]
fn ports_may_be_services_and_ranges_may_be_open() {
    let listeners = Listeners::bind_at(own_address(), 8008).unwrap();
    let host = listeners.address.to_string();
    for ports in ["http,http-alt", "8000-", "-8100", "22,8008,", "-"] {
        let ended = scan(&[&host, "-p", ports]);
        assert_eq!(ended.status.code(), Some(0), "{ports}: {ended:?}");
        let found = format!("{host}:8008");
        assert!(ended.stdout.lines().any(|line| line == found), "{ports}: {ended:?}");
    }
}

#[test]
fn what_plain_prints_can_be_scanned_again() {
    let one = Listeners::bind(own_address(), 2);
    let other = Listeners::bind(own_address(), 1);
    let (first, second) = (one.address.to_string(), other.address.to_string());
    let all = format!("{},{}", one.list(), other.list());
    let found = scan(&[&first, &second, "-p", &all]);
    assert_eq!(sorted(&found.stdout).len(), 3, "{found:?}");

    // As words, and as a list that an editor of Windows has saved.
    let words: Vec<&str> = found.stdout.lines().collect();
    let again = scan(&words);
    assert_eq!((again.status.code(), sorted(&again.stdout)), (Some(0), sorted(&found.stdout)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("found");
    fs::write(&path, format!("\u{feff}{}", found.stdout.replace('\n', ",\r\n"))).unwrap();
    let path = path.to_str().unwrap();
    for flag in ["--targets", "-iL"] {
        let again = scan(&[flag, path]);
        assert_eq!((again.status.code(), sorted(&again.stdout)), (Some(0), sorted(&found.stdout)));
    }
    // Other ports may be named for the hosts of a list.
    let narrow = scan(&["-iL", path, "-p", &other.list()]);
    assert_eq!(
        (narrow.status.code(), narrow.stdout),
        (Some(0), format!("{second}:{}\n", other.list()))
    );
}

#[test]
fn ports_behind_hosts_are_scanned_on_every_host() {
    let address = own_address();
    let listeners = Listeners::bind(address, 2);
    let ports: Vec<u16> = listeners.ports.iter().copied().collect();
    let (host, other) = (address.to_string(), own_address().to_string());
    let words = [format!("{host}:{}", ports[0]), format!("{other}:{}", ports[1])];
    let ended = scan(&[&words[0], &words[1]]);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let both: Vec<String> = ports.iter().map(|port| format!("{host}:{port}")).collect();
    assert_eq!(sorted(&ended.stdout), sorted(&both.join("\n")));
}

#[test]
fn a_port_late_in_a_long_list_has_to_be_known_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hosts");
    // More than are read before the scan starts.
    let list = "127.0.0.1:1\n".repeat(20_000) + "127.0.0.1:2\n";
    fs::write(&path, list).unwrap();
    let path = path.to_str().unwrap();
    let ended = scan(&["--targets", path]);
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    let message = "--targets: line 20001: \"127.0.0.1:2\" names a port that is not to be scanned";
    assert!(ended.stderr.contains(message), "{ended:?}");
    let ended = scan(&["--targets", path, "-p", "1,2"]);
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""));
}

#[test]
fn what_is_expected_is_scanned_whatever_the_ports_are() {
    let address = own_address();
    let listeners = Listeners::bind(address, 1);
    let (host, open) = (address.to_string(), listeners.list());
    let closed = free_port().to_string();
    let plain = format!("{host}:{open}\n");
    let met = scan(&[&host, "--expect", &open, "-p", &closed]);
    assert_eq!((met.status.code(), &*met.stdout, &*met.stderr), (Some(0), &*plain, ""));
    for ports in [&["--to-port", "1"][..], &["--top", "1"], &[]] {
        // Others may listen on common ports of all addresses.
        let ended = scan(&[&[&*host, "--expect", &open], ports].concat());
        assert!(ended.stdout.contains(&plain), "{ports:?}: {ended:?}");
        assert!(!ended.stderr.contains("missing"), "{ports:?}: {ended:?}");
    }
    let missing = scan(&[&host, "-p", &open, "--expect", &format!("{open},{closed}")]);
    assert_eq!(missing.status.code(), Some(5), "{missing:?}");
    assert_eq!(missing.stderr, format!("open-ports: {host}: missing {closed}\n"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("expected");
    fs::write(&path, format!("\u{feff}{host} {open},\n")).unwrap();
    let met = scan(&["--expect-file", path.to_str().unwrap(), "-p", &closed]);
    assert_eq!((met.status.code(), met.stdout, &*met.stderr), (Some(0), plain, ""));
}

#[test]
fn who_forgets_scan_or_misspells_something_learns_what_was_meant() {
    for (words, message) in [
        ("example.org", "example.org is not a command; did you mean: open-ports scan example.org"),
        (
            "10.0.0.1 -p 22",
            "10.0.0.1 is not a command; did you mean: open-ports scan 10.0.0.1 -p 22",
        ),
        (
            "10.0.0.0/24 -Pn",
            "10.0.0.0/24 is not a command; did you mean: open-ports scan 10.0.0.0/24 -Pn",
        ),
        ("scna web -p 22", "scna is not a command; did you mean: open-ports scan web -p 22"),
        (
            "-p 22 -Pn 10.0.0.1",
            "-p is an option of scan; did you mean: open-ports scan -p 22 -Pn 10.0.0.1",
        ),
        (
            "no/command",
            "no/command is not a command; the commands are serve, scan, watch, matrix, merge, diff, \
             doctor, healthcheck, vantage, completions",
        ),
        ("scan web --prots 22", "--prots is not an option of scan; did you mean --ports?"),
        (
            "scan web --colour -oN a --timeout 5",
            "--colour is not an option of scan; see open-ports scan --help; \
             -oN is not an option of scan; did you mean -oX?; \
             --timeout is not an option of scan; did you mean --timeout-ms?",
        ),
        ("--alow any", "--alow is not an option of serve; did you mean --allow?"),
        ("serve -p 22", "-p is not an option of serve; see open-ports serve --help"),
        ("doctor -v", "-v is not an option of doctor; see open-ports doctor --help"),
    ] {
        let ended = run(open_ports(&words.split(' ').collect::<Vec<_>>()));
        assert_eq!((ended.status.code(), &*ended.stdout), (Some(2), ""), "{words}: {ended:?}");
        assert_eq!(ended.stderr, format!("open-ports: {message}\n"), "{words}");
    }
}

#[test]
fn help_has_a_usage_of_one_line_and_names_the_values() {
    let help = |words: &[&str]| {
        let ended = run(open_ports(words));
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{words:?}");
        ended.stdout
    };
    let of_scan = help(&["scan", "--help"]);
    for line in [
        "Usage: open-ports scan [OPTIONS] [host...]\n\n",
        "  -p, --ports <list> ",
        " -iL, --targets <file> ",
        " -oX, --output-xml <file> ",
        "      --format <table|plain|json|ndjson|csv|grepable|xml|junit|tap|github|sarif|\n                file-sd>\n",
        "  -4, --ipv4 ",
        "  -h, --help ",
        "  -Pn is accepted and changes nothing",
    ] {
        assert!(of_scan.contains(line), "{line:?} in {of_scan}");
    }
    for words in [&["help", "scan"][..], &["scan", "-h"], &["-h", "scan"], &["scan", "web", "-h"]] {
        assert_eq!(help(words), of_scan, "{words:?}");
    }
    let of_serve = help(&["serve", "help"]);
    assert!(of_serve.starts_with("Usage: open-ports serve [OPTIONS]\n\n"), "{of_serve}");
    assert!(of_serve.contains("      --max-scans <count> "), "{of_serve}");
    let of_all = help(&["--help"]);
    assert!(of_all.starts_with("Usage: open-ports [COMMAND] [OPTIONS]\n\n"), "{of_all}");
    assert!(of_all.contains("  completions "), "{of_all}");
    let of_completions = help(&["completions", "help"]);
    assert!(of_completions.contains(" [OPTIONS] <bash|fish|nushell|zsh>\n"), "{of_completions}");
    for text in [of_scan, of_serve, of_all, of_completions] {
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}

fn sorted(lines: &str) -> Vec<String> {
    let mut lines: Vec<String> = lines.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

fn scan(arguments: &[&str]) -> Ended {
    run(open_ports(&[&["scan"], arguments].concat()))
}
