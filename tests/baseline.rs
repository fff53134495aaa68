//! `open-ports scan --against` and `--learn`: what changed since an earlier run, and what
//! is open as what ought to be.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::fs;
use std::net::IpAddr;

use serde_json::{Value, json};
use support::own_address;
use support::service::{Ended, open_ports, run};
use support::shards::json;
use support::targets::{Listeners, Silent, free_port};
use tempfile::TempDir;

/// Listeners of which one leaves and another comes, and a folder for files.
struct Host {
    address: IpAddr,
    stays: Listeners,
    ports: String,
    leaving: u16,
    coming: u16,
    folder: TempDir,
}

impl Host {
    /// The host, with what is going to leave.
    fn new() -> (Self, Listeners) {
        let address = own_address();
        let (stays, leaves) = (Listeners::bind(address, 1), Listeners::bind(address, 1));
        let (leaving, coming) = (*leaves.ports.first().unwrap(), free_port());
        let ports = format!("{},{leaving},{coming}", stays.list());
        let folder = tempfile::tempdir().unwrap();
        (Self { address, stays, ports, leaving, coming, folder }, leaves)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn scan(&self, more: &[&str]) -> Ended {
        let address = self.address.to_string();
        run(open_ports(&[&["scan", &address, "-p", &self.ports], more].concat()))
    }

    /// Closes one port and opens another.
    fn change(&self, leaves: Listeners) -> Listeners {
        drop(leaves);
        Listeners::bind_at(self.address, self.coming).unwrap()
    }
}

#[test]
fn what_changed_is_printed_after_the_results() {
    let (host, leaves) = Host::new();
    for name in ["a.json", "a.ndjson", "a.xml", "a.gnmap"] {
        let first = host.scan(&["--output", &host.path(name)]);
        assert_eq!(first.status.code(), Some(0), "{first:?}");
    }
    let baselines = ["a.json", "a.ndjson", "a.xml", "a.gnmap"].map(|name| host.path(name));
    for baseline in &baselines {
        let same = host.scan(&["--against", baseline, "--format", "table"]);
        assert_eq!(same.status.code(), Some(0), "{same:?}");
        assert!(same.stdout.ends_with("no change: 3 ports compared\n"), "{same:?}");
    }
    let _comes = host.change(leaves);
    let Host { address, leaving, coming, .. } = host;
    let opened = format!("+ {address}:{coming} open");
    let lost = format!("- {address}:{leaving} open → closed");
    let mut lines = [(leaving, lost), (coming, opened)];
    lines.sort();
    let [(_, one), (_, two)] = lines;
    let said = format!("{one}\n{two}\n2 changes: 3 ports compared\n");
    for baseline in &baselines {
        let table = host.scan(&["--against", baseline, "--format", "table"]);
        assert_eq!((table.status.code(), &*table.stderr), (Some(5), ""), "{table:?}");
        assert!(table.stdout.ends_with(&format!("filtered\n{said}")), "{table:?}");
        // Where a format has no such lines, standard error has them.
        let plain = host.scan(&["--against", baseline]);
        assert_eq!(plain.status.code(), Some(5), "{plain:?}");
        assert_eq!(plain.stdout.lines().count(), 2, "{plain:?}");
        let told: String = plain
            .stderr
            .lines()
            .map(|line| format!("{}\n", line.strip_prefix("open-ports: ").unwrap()))
            .collect();
        assert_eq!(told, said);
    }
    let document = json(&host.scan(&["--against", &baselines[0], "--format", "json"]).stdout);
    let drift = &document["drift"];
    assert_eq!((&drift["same"], &drift["compared"]), (&json!(false), &json!(3)));
    assert_eq!(drift["changes"].as_array().unwrap().len(), 2);
    let text = host.scan(&["--against", &baselines[1], "--format", "ndjson"]).stdout;
    let records: Vec<Value> = text.lines().map(json).collect();
    let types = records.iter().map(|record| record["type"].as_str().unwrap());
    let types: Vec<&str> = types.filter(|name| *name != "progress").collect();
    assert_eq!(types, ["port", "port", "change", "change", "drift", "end"]);
    // What was written is a baseline, too.
    host.write("b.ndjson", &text);
    let again = host.scan(&["--against", &host.path("b.ndjson"), "--format", "table"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
}

#[test]
fn a_host_without_an_open_port_is_known_from_records() {
    let (host, leaves) = Host::new();
    let only = host.leaving.to_string();
    let address = host.address.to_string();
    let scan = |more: &[&str]| run(open_ports(&[&["scan", &address, "-p", &only], more].concat()));
    drop(leaves);
    let nothing = scan(&["--output", &host.path("a.ndjson")]);
    assert_eq!(nothing.status.code(), Some(0), "{nothing:?}");
    let end = json(host.read("a.ndjson").lines().last().unwrap());
    assert_eq!(end["summary"]["nothing_open"], json!([address]));
    let _comes = Listeners::bind_at(host.address, host.leaving).unwrap();
    let opened = scan(&["--against", &host.path("a.ndjson"), "--format", "table"]);
    assert_eq!(opened.status.code(), Some(5), "{opened:?}");
    assert!(
        opened.stdout.contains(&format!("\n+ {address}:{only} open\n1 change: ")),
        "{opened:?}"
    );
}

#[test]
fn a_scan_that_its_deadline_cut_changes_nothing() {
    let silent = Silent::bind(own_address(), 4);
    let listeners = Listeners::bind(silent.address, 2);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (address, ports) =
        (silent.address.to_string(), format!("{},{}", silent.list(), listeners.list()));
    let scan = |more: &[&str]| run(open_ports(&[&["scan", &address, "-p", &ports], more].concat()));
    let whole =
        scan(&["--timeout-ms", "50", "--output", &path("a.json"), "--learn", &path("ports")]);
    assert_eq!(whole.status.code(), Some(0), "{whole:?}");
    let learned = fs::read_to_string(path("ports")).unwrap();
    assert_eq!(learned, format!("{address} {}\n", listeners.list()));
    let cut = ["--rate", "1", "--deadline-ms", "100", "--learn", &path("ports")];
    let against = ["--against", &path("a.json"), "--format", "table"];
    let ended = scan(&[&cut[..], &against].concat());
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
    assert!(!ended.stdout.lines().any(|line| line.starts_with(['+', '-', '~'])), "{ended:?}");
    assert!(ended.stdout.contains("not compared: not scanned now (deadline)"), "{ended:?}");
    assert!(ended.stderr.contains("stays as it is, because the scan is incomplete"), "{ended:?}");
    let updated = scan(&[&cut[..], &["--update"]].concat());
    assert_eq!(updated.status.code(), Some(4), "{updated:?}");
    assert!(updated.stderr.contains("1 host not scanned as a whole"), "{updated:?}");
    assert_eq!(fs::read_to_string(path("ports")).unwrap(), learned, "nothing is removed");
}

#[test]
fn what_is_open_becomes_what_is_expected() {
    let (host, leaves) = Host::new();
    let (address, file) = (host.address, host.path("ports"));
    let learned = host.scan(&["--learn", &file]);
    assert_eq!(learned.status.code(), Some(0), "{learned:?}");
    assert!(learned.stderr.contains(": 1 line added, 0 changed"), "{learned:?}");
    let met = run(open_ports(&["scan", "--expect-file", &file, "-p", &host.ports]));
    assert_eq!(met.status.code(), Some(0), "{met:?}");
    let other = own_address();
    let before = format!("# ours\n{other} 22,80 # not scanned\n\n{}# the end", host.read("ports"));
    host.write("ports", &before);
    let update = || host.scan(&["--learn", &file, "--update", "--quiet"]);
    let same = update();
    assert_eq!((same.status.code(), &*same.stderr), (Some(0), ""), "{same:?}");
    assert_eq!(host.read("ports"), before);
    let _comes = host.change(leaves);
    let changed = update();
    assert_eq!(changed.status.code(), Some(0), "{changed:?}");
    let mut open = [*host.stays.ports.first().unwrap(), host.coming];
    open.sort_unstable();
    let expected = format!(
        "# ours\n{other} 22,80 # not scanned\n\n{address} {},{}\n# the end",
        open[0], open[1]
    );
    assert_eq!(host.read("ports"), expected);
    let met = host.scan(&["--expect", &format!("{},{}", open[0], open[1])]);
    assert_eq!(met.status.code(), Some(0), "{met:?}");
    // A file that is not there yet is made.
    let made = host.scan(&["--learn", &host.path("new"), "--update"]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    assert_eq!(host.read("new"), format!("{address} {},{}\n", open[0], open[1]));
}

#[test]
fn bad_input_is_named_before_anything_is_scanned() {
    let (host, _leaves) = Host::new();
    host.write("bad", "web:22\n");
    host.write("ports", "web 22\ndb\n");
    let (bad, ports, missing) = (host.path("bad"), host.path("ports"), host.path("missing"));
    for (arguments, exit, error) in [
        (&["--against", &*bad][..], 2, format!("--against {bad}: is no report: ")),
        (&["--against", &*missing], 1, format!("--against {missing}: No such file")),
        (&["--learn", &*ports, "--update"], 2, format!("--learn {ports}: line 2: write a host")),
        (&["--update"], 2, "--update needs --learn".into()),
    ] {
        let ended = host.scan(arguments);
        assert_eq!((ended.status.code(), &*ended.stdout), (Some(exit), ""), "{ended:?}");
        assert!(ended.stderr.contains(&error), "{error}: {ended:?}");
    }
    assert_eq!(host.read("ports"), "web 22\ndb\n");
}
