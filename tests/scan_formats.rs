//! The formats of `open-ports scan`, each read back. `scripts/formats` also has
//! programs by others read them.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use support::own_address;
use support::service::{open_ports, run};
use support::targets::{Listeners, Silent};

#[test]
fn every_format_has_the_same_ports_and_counts_them_all() {
    let targets = Targets::bind();
    let (host, ports) = (targets.host(), targets.ports());
    let expected: BTreeMap<u16, &str> = targets.states();
    for (format, read) in FORMATS {
        for details in [false, true] {
            let mut arguments = vec!["scan", &host, "-p", &ports, "--timeout-ms", "200"];
            arguments.extend(["--format", format]);
            arguments.extend(details.then_some("--details"));
            let ended = run(open_ports(&arguments));
            assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{format}");
            let Read { rows, ignored } = read(&ended.stdout, &host);
            let found: BTreeMap<u16, &str> =
                rows.iter().map(|(port, state)| (*port, state.as_str())).collect();
            let mut wanted = expected.clone();
            let details = details && format != "plain";
            wanted.retain(|_, state| *state == "open" || details);
            assert_eq!(found, wanted, "{format}");
            assert_eq!(rows.len(), found.len(), "{format}: a port twice");
            if let Some(ignored) = ignored {
                let closed = usize::from(targets.closed);
                let filtered = if details { 0 } else { targets.silent.ports.len() };
                assert_eq!(ignored, (closed, filtered), "{format}");
            }
        }
    }
}

#[test]
fn a_port_record_has_its_host_and_when_it_was_found() {
    let listeners = Listeners::bind_at(own_address(), 8080).unwrap();
    let host = listeners.address.to_string();
    let ended = run(open_ports(&["scan", &host, "-p8080", "--format", "ndjson"]));
    let lines = records(&ended.stdout);
    let [line, end] = &lines[..] else { panic!("{ended:?}") };
    assert_eq!((&line["type"], &end["type"]), (&"port".into(), &"end".into()));
    assert_eq!((&line["host"], &line["address"]), (&Value::from(&*host), &Value::from(&*host)));
    assert_eq!((&line["port"], &line["state"]), (&8080.into(), &"open".into()));
    assert_eq!((&line["service"], &line["service_method"]), (&"http-alt".into(), &"table".into()));
    assert!(line["rtt_ms"].as_f64().unwrap() > 0.0);
    let timestamp = line["timestamp"].as_str().unwrap();
    let form: String =
        timestamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(form, "0000-00-00T00:00:00.000000Z");
}

#[test]
fn hosts_that_were_not_scanned_are_in_the_documents() {
    let names = ["no-such-host.invalid", "169.254.169.254"];
    for (format, find) in [
        (
            "json",
            "\"domain\":\"{}\",\"from_port\":1,\"to_port\":1,\"open_ports\":[],\"complete\":false",
        ),
        ("ndjson", "{\"type\":\"host\",\"host\":\"{}\",\"complete\":false,\"reason\":\""),
        ("grepable", "# {}: "),
        ("xml", "<target specification=\"{}\" status=\"skipped\"/>"),
    ] {
        let arguments = ["scan", names[0], names[1], "-p1", "--format", format];
        let ended = run(open_ports(&arguments));
        assert_eq!(ended.status.code(), Some(3), "{ended:?}");
        for name in names {
            assert!(ended.stdout.contains(&find.replace("{}", name)), "{format}: {ended:?}");
        }
    }
}

#[test]
fn the_order_is_that_of_the_hosts_typed_and_of_the_ports_in_every_run() {
    let [one, two, three] = [(); 3].map(|()| Listeners::bind(own_address(), 5));
    let hosts = [&three, &one, &two].map(|host| host.address.to_string());
    let ports = [&one, &two, &three].map(Listeners::list).join(",");
    let open = [&three, &one, &two].into_iter().zip(&hosts);
    let open: Vec<(String, u16)> =
        open.flat_map(|(host, name)| host.ports.iter().map(|&port| (name.clone(), port))).collect();
    let scan = |format: &str| {
        let [first, second, third] = &hosts;
        let ended =
            run(open_ports(&["scan", first, second, third, "-p", &ports, "--format", format]));
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        ended.stdout
    };
    let row = |line: &str, separator: char| {
        let mut fields = line.split(separator).filter(|field| !field.is_empty());
        (fields.next().unwrap().to_owned(), fields.next().and_then(|port| port.parse().ok()))
    };
    for _ in 0..3 {
        let plain = scan("plain");
        let rows: Vec<_> = plain.lines().map(|line| row(line, ':')).collect();
        let wanted = open.iter().map(|(host, port)| (host.clone(), Some(*port)));
        let wanted: Vec<(String, Option<u16>)> = wanted.collect();
        assert_eq!(rows, wanted, "{plain}");
        let table = scan("table");
        let rows: Vec<_> = table.lines().skip(1).take(15).map(|line| row(line, ' ')).collect();
        assert_eq!(rows, wanted, "{table}");
        let csv = scan("csv");
        let rows: Vec<(String, u16)> = csv
            .lines()
            .skip(1)
            .map(|line| line.split(',').collect::<Vec<_>>())
            .map(|fields| (fields[0].to_owned(), fields[2].parse().unwrap()))
            .collect();
        assert_eq!(rows, open, "{csv}");
        let grepable = scan("grepable");
        let names = grepable.lines().filter(|line| line.contains("\tPorts: "));
        let names: Vec<&str> = names.map(|line| line.split(' ').nth(1).unwrap()).collect();
        assert_eq!(names, hosts, "{grepable}");
    }
}

/// What a format has about one host: a row for some ports and, in some formats, how
/// many closed and filtered ports have no row.
struct Read {
    rows: Vec<(u16, String)>,
    ignored: Option<(usize, usize)>,
}

type Reader = fn(&str, &str) -> Read;

const FORMATS: [(&str, Reader); 7] = [
    ("table", read_table),
    ("plain", read_plain),
    ("json", read_json),
    ("ndjson", read_ndjson),
    ("csv", read_csv),
    ("grepable", read_grepable),
    ("xml", read_xml),
];

fn read_table(text: &str, host: &str) -> Read {
    let (rows, summary) = text.trim_end().rsplit_once('\n').unwrap();
    let rows = rows.lines().skip(1).map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0], host);
        (words[1].parse().unwrap(), words[2].to_owned())
    });
    let rows: Vec<(u16, String)> = rows.collect();
    let count = |state: &str| {
        let (before, _) = summary.split_once(&format!(" {state}")).unwrap();
        before.rsplit_once(' ').unwrap().1.parse::<usize>().unwrap()
    };
    let filtered = rows.iter().filter(|(_, state)| state == "filtered").count();
    Read { ignored: Some((count("closed"), count("filtered") - filtered)), rows }
}

fn read_plain(text: &str, host: &str) -> Read {
    let row = |line: &str| {
        let (before, port) = line.rsplit_once(':').unwrap();
        assert_eq!(before, host);
        (port.parse().unwrap(), "open".to_owned())
    };
    Read { rows: text.lines().map(row).collect(), ignored: None }
}

fn read_json(text: &str, host: &str) -> Read {
    let document: Value = serde_json::from_str(text).unwrap();
    assert_eq!((&document["complete"], &document["host_count"]), (&true.into(), &1.into()));
    let report = &document["hosts"][0];
    assert_eq!(report["domain"], host);
    let address = &report["addresses"][0];
    let rows: Vec<(u16, String)> =
        address["ports"].as_array().unwrap().iter().map(row_of_json).collect();
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let filtered = rows.iter().filter(|(_, state)| state == "filtered").count();
    let ignored = (number(&address["closed"]), number(&address["filtered"]) - filtered);
    Read { rows, ignored: Some(ignored) }
}

fn read_ndjson(text: &str, host: &str) -> Read {
    let mut records = records(text);
    let end = records.pop().unwrap();
    let summary = &end["summary"];
    assert_eq!((&end["type"], &summary["complete"]), (&"end".into(), &true.into()));
    assert_eq!((&summary["host_count"], summary.get("reason")), (&1.into(), None));
    let row = |record: &Value| {
        assert_eq!((&record["type"], &record["host"]), (&"port".into(), &host.into()));
        row_of_json(record)
    };
    let rows: Vec<(u16, String)> = records.iter().map(row).collect();
    let number = |name: &str| usize::try_from(summary[name].as_u64().unwrap()).unwrap();
    let filtered = rows.iter().filter(|(_, state)| state == "filtered").count();
    assert_eq!(number("open") + filtered, rows.len());
    Read { ignored: Some((number("closed"), number("filtered") - filtered)), rows }
}

/// The records of a scan, except those on progress: how many there are depends on the
/// machine.
fn records(text: &str) -> Vec<Value> {
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|record| record["type"] != "progress").collect()
}

fn row_of_json(row: &Value) -> (u16, String) {
    let port = u16::try_from(row["port"].as_u64().unwrap()).unwrap();
    let (state, reason) = (row["state"].as_str().unwrap(), row["reason"].as_str().unwrap());
    let expected = if state == "open" { "syn-ack" } else { "no-response" };
    assert_eq!((reason, row.get("rtt_ms").is_some()), (expected, state == "open"));
    (port, state.to_owned())
}

fn read_csv(text: &str, host: &str) -> Read {
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let rows = lines.map(|fields| {
        assert_eq!(fields.len(), header.len());
        let field = |name| fields[header.iter().position(|&column| column == name).unwrap()];
        assert_eq!((field("host"), field("ip"), field("protocol")), (host, host, "tcp"));
        (field("port").parse().unwrap(), field("state").to_owned())
    });
    Read { rows: rows.collect(), ignored: None }
}

fn read_grepable(text: &str, host: &str) -> Read {
    let line = text.lines().find(|line| line.contains("\tPorts: ")).unwrap();
    let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
    for field in line.split('\t') {
        let (name, value) = field.split_once(": ").unwrap();
        assert!(fields.insert(name, value).is_none());
    }
    assert_eq!(fields["Host"], format!("{host} ()"));
    let row = |port: &str| {
        let parts: Vec<&str> = port.split('/').collect();
        assert_eq!((parts.len(), parts[2]), (8, "tcp"));
        (parts[0].parse().unwrap(), parts[1].to_owned())
    };
    let ignored = fields.get("Ignored State").copied().unwrap_or_default();
    let count = |state: &str| {
        let found = ignored.split(", ").find_map(|part| part.strip_prefix(state));
        let count = found.map(|count| count.trim_matches([' ', '(', ')']).parse().unwrap());
        count.unwrap_or(0)
    };
    let rows = fields["Ports"].split(", ").map(row).collect();
    Read { rows, ignored: Some((count("closed"), count("filtered"))) }
}

fn read_xml(text: &str, host: &str) -> Read {
    let document = roxmltree::Document::parse(text).unwrap();
    let all = |name| document.descendants().filter(move |node| node.has_tag_name(name));
    assert_eq!(all("address").next().unwrap().attribute("addr"), Some(host));
    let finished = all("finished").next().unwrap();
    assert_eq!(finished.attribute("exit"), Some("success"));
    let row = |port: roxmltree::Node<'_, '_>| {
        let state = port.children().find(|node| node.has_tag_name("state")).unwrap();
        let number = port.attribute("portid").unwrap().parse().unwrap();
        (number, state.attribute("state").unwrap().to_owned())
    };
    let count = |state| {
        let mut extra = all("extraports").filter(|node| node.attribute("state") == Some(state));
        extra.next().map_or(0, |node| node.attribute("count").unwrap().parse().unwrap())
    };
    Read {
        rows: all("port").map(row).collect(),
        ignored: Some((count("closed"), count("filtered"))),
    }
}

/// Open, closed and silent ports of one address.
struct Targets {
    listeners: Listeners,
    silent: Silent,
    closed: u8,
}

impl Targets {
    fn bind() -> Self {
        let address = own_address();
        let (listeners, silent) = (Listeners::bind(address, 12), Silent::bind(address, 3));
        Self { listeners, silent, closed: 5 }
    }

    fn host(&self) -> String {
        self.listeners.address.to_string()
    }

    /// With ports that nobody listens on: 1 to 5.
    fn ports(&self) -> String {
        format!("1-{},{},{}", self.closed, self.listeners.list(), self.silent.list())
    }

    fn states(&self) -> BTreeMap<u16, &'static str> {
        let with = |ports: &BTreeSet<u16>, state| {
            ports.iter().map(|&port| (port, state)).collect::<Vec<_>>()
        };
        let open = with(&self.listeners.ports, "open");
        open.into_iter().chain(with(&self.silent.ports, "filtered")).collect()
    }
}
