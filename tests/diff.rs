//! `open-ports diff`: two reports, of whatever program, compared honestly.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use oorandom::Rand32;
use serde_json::{Value, json};
use support::own_address;
use support::service::{Ended, open_ports, run};
use support::shards::json;
use support::targets::{Listeners, Silent, free_port};
use support::trials;
use tempfile::TempDir;

trials::main! {
    it_agrees_with_ndiff_on_twenty_pairs_of_reports_of_nmap: Ndiff,
    reports_of_nmap_and_of_this_program_are_compared_in_every_format: Nmap,
    what_was_not_scanned_in_both_is_listed_with_the_reason,
    a_scan_that_its_deadline_cut_has_no_changes,
    bad_input_is_named,
    the_same_is_said_as_json_and_as_records,
    a_name_is_compared_by_name_when_its_addresses_change,
}

/// A folder of reports.
struct Reports(TempDir);

impl Reports {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.0.path().join(name), text).unwrap();
        self.path(name)
    }

    fn diff(&self, before: &str, now: &str, more: &[&str]) -> Ended {
        let (before, now) = (self.path(before), self.path(now));
        run(open_ports(&[&["diff", &before, &now], more].concat()))
    }
}

type States = BTreeMap<u16, &'static str>;

/// nmap's XML about the TCP ports of hosts, as nmap 7.93 writes it.
fn nmap_xml(hosts: &BTreeMap<String, States>) -> String {
    let asked: BTreeSet<u16> = hosts.values().flat_map(|states| states.keys().copied()).collect();
    let services: Vec<String> = asked.iter().map(u16::to_string).collect();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE nmaprun>\n\
         <?xml-stylesheet href=\"file:///usr/bin/../share/nmap/nmap.xsl\" type=\"text/xsl\"?>\n\
         <nmaprun scanner=\"nmap\" args=\"nmap\" start=\"1\" version=\"7.93\" xmloutputversion=\"1.05\">\n\
         <scaninfo type=\"connect\" protocol=\"tcp\" numservices=\"{}\" services=\"{}\"/>\n",
        asked.len(),
        services.join(",")
    );
    for (address, states) in hosts {
        write!(
            xml,
            "<host><status state=\"up\" reason=\"user-set\" reason_ttl=\"0\"/>\n\
             <address addr=\"{address}\" addrtype=\"ipv4\"/>\n<hostnames>\n</hostnames>\n<ports>"
        )
        .unwrap();
        // nmap lists a state's ports unless they are many.
        let count = |state: &str| states.values().filter(|other| **other == state).count();
        let is_extra = |state: &str| state != "open" && count(state) > 25;
        for state in ["closed", "filtered"].into_iter().filter(|state| is_extra(state)) {
            let count = count(state);
            write!(
                xml,
                "<extraports state=\"{state}\" count=\"{count}\">\n\
                 <extrareasons reason=\"r\" count=\"{count}\"/>\n</extraports>\n"
            )
            .unwrap();
        }
        for (port, state) in states.iter().filter(|(_, state)| !is_extra(state)) {
            writeln!(
                xml,
                "<port protocol=\"tcp\" portid=\"{port}\"><state state=\"{state}\" reason=\"r\" \
                 reason_ttl=\"0\"/></port>"
            )
            .unwrap();
        }
        xml += "</ports>\n</host>\n";
    }
    let hosts = hosts.len();
    xml + &format!(
        "<runstats><finished time=\"1\" elapsed=\"0.1\" exit=\"success\"/>\
         <hosts up=\"{hosts}\" down=\"0\" total=\"{hosts}\"/></runstats>\n</nmaprun>\n"
    )
}

/// Two runs on the same hosts and ports.
fn pair(seed: u64) -> [BTreeMap<String, States>; 2] {
    let mut random = Rand32::new(seed);
    let ports: BTreeSet<u16> = (0..random.rand_range(1..200))
        .map(|_| u16::try_from(random.rand_range(1..65536)).unwrap())
        .collect();
    // In some pairs almost everything is closed, in others filtered.
    let weights = [random.rand_range(1..20), random.rand_range(1..20)];
    let (mut before, mut now) = (BTreeMap::new(), BTreeMap::new());
    for host in 1..=random.rand_range(1..5) {
        let mut state = || match random.rand_range(0..weights[0] + weights[1] + 3) {
            n if n < weights[0] => "closed",
            n if n < weights[0] + weights[1] => "filtered",
            _ => "open",
        };
        let then: States = ports.iter().map(|&port| (port, state())).collect();
        let mut later = then.clone();
        for state_now in later.values_mut() {
            if state() == "open" {
                *state_now = state();
            }
        }
        let address = format!("192.0.2.{host}");
        before.insert(address.clone(), then);
        now.insert(address, later);
    }
    [before, now]
}

type Changes = BTreeSet<(char, String, u16)>;

/// The ports that ndiff shows as open on one side alone.
fn of_ndiff(text: &str) -> Changes {
    let (mut host, mut lines) = (String::new(), BTreeSet::new());
    for line in text.lines() {
        let (sign, rest) = line.split_at(line.len().min(1));
        if let Some(name) = rest.strip_suffix(':').filter(|name| name.starts_with("192.")) {
            host = name.to_owned();
        } else if let Some((port, state)) = rest.split_once("/tcp")
            && state.trim() == "open"
        {
            lines.insert((sign.chars().next().unwrap(), host.clone(), port.parse().unwrap()));
        }
    }
    lines
}

/// The same of this program's lines.
fn of_ours(text: &str) -> Changes {
    let changes = text.lines().filter(|line| line.starts_with(['+', '-']));
    let change = |line: &str| {
        let mut words = line.split(' ');
        let sign = words.next().unwrap().chars().next().unwrap();
        let (host, port) = words.next().unwrap().rsplit_once(':').unwrap();
        (sign, host.to_owned(), port.parse().unwrap())
    };
    changes.map(change).collect()
}

fn it_agrees_with_ndiff_on_twenty_pairs_of_reports_of_nmap() {
    let reports = Reports::new();
    let mut all = 0;
    for seed in 1..=20 {
        let [before, now] = pair(seed);
        let paths =
            [reports.write("a.xml", &nmap_xml(&before)), reports.write("b.xml", &nmap_xml(&now))];
        let ndiff = Command::new("ndiff").args(&paths).output().unwrap();
        let theirs = of_ndiff(&String::from_utf8(ndiff.stdout).unwrap());
        let ours = reports.diff("a.xml", "b.xml", &[]);
        assert_eq!(of_ours(&ours.stdout), theirs, "seed {seed}: {ours:?}");
        // By the states themselves.
        let mut known = Changes::new();
        for (host, states) in &before {
            for (port, state) in states {
                match (*state, now[host][port]) {
                    ("open", later) if later != "open" => known.insert(('-', host.clone(), *port)),
                    (earlier, "open") if earlier != "open" => {
                        known.insert(('+', host.clone(), *port))
                    }
                    _ => false,
                };
            }
        }
        assert_eq!(theirs, known, "seed {seed}");
        let expected = if before == now { 0 } else { 5 };
        if !known.is_empty() || before == now {
            assert_eq!(ours.status.code(), Some(expected), "seed {seed}: {ours:?}");
        }
        all += known.len();
        let same = reports.diff("a.xml", "a.xml", &[]);
        assert_eq!(same.status.code(), Some(0), "{same:?}");
        assert!(same.stdout.starts_with("no change: "), "{same:?}");
    }
    assert!(all > 100, "{all} changes are too few to tell");
}

fn reports_of_nmap_and_of_this_program_are_compared_in_every_format() {
    let reports = Reports::new();
    let address = own_address();
    let (stays, leaves) = (Listeners::bind(address, 2), Listeners::bind(address, 1));
    let (open, gone) = (stays.list(), leaves.list());
    // nmap knows its ports well only if they are typed.
    let free = free_port();
    let ports = format!("{open},{gone},{free}");
    let scan = |run_name: &str| {
        let (host, base) = (address.to_string(), reports.path(run_name));
        let nmap = Command::new("nmap")
            .args(["-sT", "-Pn", "-n", "-p", &ports, "-oA", &base, &host])
            .output()
            .unwrap();
        assert!(nmap.status.success(), "{nmap:?}");
        let json = format!("{base}.json");
        let mut arguments = vec!["scan", &host, "-p", &ports, "--details", "--output", &json];
        let others = ["ndjson", "xml", "gnmap"].map(|end| format!("{base}-ours.{end}"));
        others.iter().for_each(|path| arguments.extend(["--output", path]));
        let ours = run(open_ports(&arguments));
        assert_eq!(ours.status.code(), Some(0), "{ours:?}");
    };
    scan("before");
    drop(leaves);
    scan("now");
    let files = [".xml", ".gnmap", ".json", "-ours.ndjson", "-ours.xml", "-ours.gnmap"];
    for before in files {
        for now in files {
            let compared = reports.diff(&format!("before{before}"), &format!("now{now}"), &[]);
            assert_eq!(compared.status.code(), Some(5), "{before} {now}: {compared:?}");
            let lines: Vec<&str> = compared.stdout.lines().collect();
            let line = format!("- {address}:{gone} open → ");
            assert!(lines[0].starts_with(&line), "{before} {now}: {lines:?}");
            assert_eq!(lines[1..], ["1 change: 4 ports compared"], "{before} {now}");
            let same = reports.diff(&format!("now{before}"), &format!("now{now}"), &[]);
            assert_eq!(same.status.code(), Some(0), "{before} {now}: {same:?}");
            assert_eq!(same.stdout, "no change: 4 ports compared\n", "{before} {now}");
        }
    }
}

/// A document with the report on one host, whose only address it is.
fn document(host: &str, ports: &str, open: &[u16], not_open: [u32; 3]) -> String {
    let [closed, filtered, not_scanned] = not_open;
    let complete = not_scanned == 0;
    let reason = if complete { "" } else { "\"reason\":\"deadline\"," };
    let bounds: Vec<&str> = ports.split([',', '-']).collect();
    let (first, last) = (bounds[0], bounds[bounds.len() - 1]);
    let open_count = open.len();
    format!(
        "{{\"hosts\":[\n{{\"domain\":\"{host}\",\"from_port\":{first},\"to_port\":{last},\
         \"open_ports\":{open:?},\"complete\":{complete},{reason}\"elapsed_ms\":1.0,\
         \"addresses\":[{{\"address\":\"192.0.2.1\",\"open_ports\":{open:?},\"closed\":{closed},\
         \"filtered\":{filtered},\"not_scanned\":{not_scanned}}}],\
         \"timing\":{{\"attempts\":1,\"loss\":0.0,\"max_in_flight\":1}}}}\n],\
         \"complete\":{complete},{reason}\"host_count\":1,\"address_count\":1,\
         \"open\":{open_count},\"closed\":{closed},\"filtered\":{filtered},\
         \"not_scanned\":{not_scanned},\"unvisited_hosts\":0,\"elapsed_ms\":1.0,\
         \"ports\":\"{ports}\"}}\n"
    )
}

fn what_was_not_scanned_in_both_is_listed_with_the_reason() {
    let reports = Reports::new();
    let few = document("web", "1-100", &[22], [99, 0, 0]);
    let more = document("web", "1-1000", &[22, 443], [998, 0, 0]);
    let other = document("db", "1-100", &[22], [99, 0, 0]).replace("192.0.2.1", "192.0.2.2");
    let cut = document("web", "1-100", &[22], [9, 0, 90]);
    for (before, now, exit, lines) in [
        (
            &few,
            &more,
            0,
            "? web:101-1000 not compared: not asked for before\nno change: 100 ports compared\n",
        ),
        (
            &more,
            &few,
            0,
            "? web:101-1000 not compared: not asked for now\nno change: 100 ports compared\n",
        ),
        (
            &few,
            &other,
            4,
            "? db:1-100 not compared: the host was not scanned before\n\
             ? web:1-100 not compared: the host was not scanned now\nno port could be compared\n",
        ),
        (
            &few,
            &cut,
            4,
            "? web:1-21,23-100 not compared: not scanned now (deadline)\nno change known: 1 port compared\n",
        ),
        (
            &document("web", "1-100", &[22, 25], [98, 0, 0]),
            &cut,
            4,
            "? web:1-21,23-100 not compared: not scanned now (deadline)\nno change known: 1 port compared\n",
        ),
        (
            &document("web", "22,80,443", &[], [1, 2, 0]),
            &document("web", "22,80,443", &[80], [2, 0, 0]),
            5,
            "+ web:80 open\n1 change: 3 ports compared\n",
        ),
        (
            &document("web", "22,80,443", &[80], [2, 0, 0]),
            &document("web", "22,80,443", &[], [0, 3, 0]),
            5,
            "~ web:22,443 closed → filtered\n- web:80 open → filtered\n2 changes: 3 ports compared\n",
        ),
    ] {
        reports.write("before", before);
        reports.write("now", now);
        let compared = reports.diff("before", "now", &[]);
        assert_eq!(compared.stdout, lines);
        assert_eq!(compared.status.code(), Some(exit), "{compared:?}");
    }
}

fn a_scan_that_its_deadline_cut_has_no_changes() {
    let reports = Reports::new();
    let silent = Silent::bind(own_address(), 8);
    let listeners = Listeners::bind(silent.address, 2);
    let (host, ports) =
        (silent.address.to_string(), format!("{},{}", silent.list(), listeners.list()));
    for format in ["json", "ndjson", "xml", "gnmap"] {
        let (before, now) = (format!("before.{format}"), format!("now.{format}"));
        let scan = |name: &str, more: &[&str]| {
            let path = reports.path(name);
            let scan = ["scan", &host, "-p", &ports, "--output", &path];
            run(open_ports(&[&scan[..], more].concat()))
        };
        let whole = scan(&before, &["--timeout-ms", "50"]);
        assert_eq!(whole.status.code(), Some(0), "{whole:?}");
        // So slow that most ports are not asked before the deadline.
        let cut = scan(&now, &["--rate", "1", "--deadline-ms", "100"]);
        assert_eq!(cut.status.code(), Some(4), "{cut:?}");
        let compared = reports.diff(&before, &now, &[]);
        assert_eq!(compared.status.code(), Some(4), "{format}: {compared:?}");
        assert_eq!(of_ours(&compared.stdout), Changes::new(), "{format}: {compared:?}");
        assert!(compared.stdout.contains("not scanned now ("), "{format}: {compared:?}");
    }
}

fn bad_input_is_named() {
    let reports = Reports::new();
    let good = document("web", "1-100", &[22], [99, 0, 0]);
    reports.write("good", &good);
    let xml = nmap_xml(&pair(1)[0]);
    let missing = reports.diff("good", "missing", &[]);
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    assert!(missing.stderr.contains("missing: No such file"), "{missing:?}");
    let bomb = "<!DOCTYPE nmaprun [<!ENTITY a \"b\">]>\n<nmaprun>&a;</nmaprun>";
    let latin = b"<nmaprun>\n\xe4</nmaprun>";
    for (bytes, error) in [
        (&b""[..], "is empty"),
        (b"web:22\n", "is no report: neither JSON, NDJSON, nmap's XML (-oX)"),
        (b"{\"hosts\":[]}", "missing field `complete`"),
        (b"{\"domain\":\"web\"}", "is no report: missing field"),
        (b"{\"type\":\"port\"}\n", "line 1: missing field"),
        (b"<html>\n</html>", "line 1: is <html>, not <nmaprun>"),
        (xml.split("</host>").next().unwrap().as_bytes(), "line "),
        (xml.replace("portid=\"", "portid=\"x").as_bytes(), " is no port"),
        (xml.replace("addr=\"192", "addr=\"x").as_bytes(), "is no address"),
        (bomb.as_bytes(), "line 1: declares an entity"),
        (latin, "line 2 is not UTF-8"),
        (b"# Nmap 7.93 scan initiated x as: nmap\nweb 22\n", "line 2: is no line of nmap's"),
        (b"Host: web ()\tStatus: Up\n", "line 1: \"web\" is no address"),
        (b"Host: 192.0.2.1 ()\tPorts: ssh/open\n", "line 1: \"ssh/open\" is no port"),
    ] {
        fs::write(Path::new(&reports.path("bad")), bytes).unwrap();
        for (before, now) in [("bad", "good"), ("good", "bad")] {
            let ended = reports.diff(before, now, &[]);
            assert_eq!((ended.status.code(), &*ended.stdout), (Some(2), ""), "{error}: {ended:?}");
            assert!(ended.stderr.contains("bad: "), "{ended:?}");
            assert!(ended.stderr.contains(error), "{error}: {ended:?}");
        }
    }
    for arguments in [&["diff"][..], &["diff", "a"], &["diff", "a", "b", "c"]] {
        let ended = run(open_ports(arguments));
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    }
    let ended = reports.diff("good", "good", &["--format", "csv"]);
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains("--format must be one of table, json, ndjson"), "{ended:?}");
}

fn the_same_is_said_as_json_and_as_records() {
    let reports = Reports::new();
    reports.write("before", &document("web", "22,80", &[22], [1, 0, 0]));
    reports.write("now", &document("web", "22,80,443", &[80], [2, 0, 0]));
    let change = |port: u16, from: &str, to: &str| json!({ "host": "web", "port": port, "from": from, "to": to });
    let changes = [change(22, "open", "closed"), change(80, "closed", "open")];
    let not_compared = json!({ "hosts": ["web"], "ports": "443", "missing": "before", "reason": "port-not-asked" });
    let ended = reports.diff("before", "now", &["--format", "json"]);
    assert_eq!(ended.status.code(), Some(5), "{ended:?}");
    let expected = json!({
        "same": false, "compared": 2, "changes": changes, "not_compared": [not_compared],
    });
    assert_eq!(json(&ended.stdout), expected);
    let ended = reports.diff("before", "now", &["--format", "ndjson"]);
    let records: Vec<Value> = ended.stdout.lines().map(json).collect();
    let types: Vec<&str> = records.iter().map(|record| record["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["change", "change", "not-compared", "drift"]);
    for (record, change) in records.iter().zip(&changes) {
        let mut record = record.clone();
        record.as_object_mut().unwrap().remove("type");
        assert_eq!(record, *change);
    }
    assert_eq!(
        records[3],
        json!({ "type": "drift", "same": false, "compared": 2, "changes": 2, "not_compared": 1 })
    );
}

fn a_name_is_compared_by_name_when_its_addresses_change() {
    let reports = Reports::new();
    let before = document("web", "22,80", &[22], [1, 0, 0]);
    reports.write("before", &before);
    reports.write("moved", &before.replace("192.0.2.1", "192.0.2.9"));
    let moved = reports.diff("before", "moved", &[]);
    assert_eq!(
        moved.stdout,
        "? web compared by name: its addresses were 192.0.2.1 and are 192.0.2.9\n\
         no change: 2 ports compared\n"
    );
    assert_eq!(moved.status.code(), Some(0), "{moved:?}");
}
