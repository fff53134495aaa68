//! `/sweep` and `/sd` over HTTP: what they find, refuse and leave out, and what they
//! take from the service.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]
#![allow(clippy::print_stdout, reason = "what was measured")]

mod support;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::ask::{Streamed, get_with, request_head, sample, serve, wait_for_sockets_closed};
use support::client::{Connection, Reply, ports};
use support::service::Service;
use support::targets::{Listeners, free_port, random};
use support::{own_address, wait_for};

/// Longer than the list that is accepted.
const LONG_LIST: usize = (1 << 20) + 1;

/// Sends a list, and returns the reply.
#[track_caller]
fn post(service: &Service, target: &str, media_type: &str, list: &str) -> Reply {
    let mut connection = Connection::open(service.address);
    let length = list.len().to_string();
    let fields = [("Content-Type", media_type), ("Content-Length", &length)];
    connection.send(request_head("POST", target, &fields));
    connection.send(list);
    connection.reply()
}

/// All records of an NDJSON reply.
#[track_caller]
fn records(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
    reply.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The summary in the last record, which must be the only one.
#[track_caller]
fn summary(records: &[Value]) -> &Value {
    let (end, before) = records.split_last().expect("a record");
    assert_eq!(end["type"], "end", "{end}");
    assert!(before.iter().all(|record| record["type"] != "end"), "{before:?}");
    &end["summary"]
}

/// The open ports in records, as `host address:port`.
fn open(records: &[Value]) -> BTreeSet<String> {
    let found = records.iter().filter(|record| record["type"] == "port");
    found
        .map(|record| {
            assert_eq!(record["state"], "open", "{record}");
            assert!(record["timestamp"].is_string(), "{record}");
            let text = |name: &str| record[name].as_str().unwrap().to_owned();
            format!("{} {}:{}", text("host"), text("address"), record["port"])
        })
        .collect()
}

/// The records about hosts.
fn hosts(records: &[Value]) -> Vec<&Value> {
    records.iter().filter(|record| record["type"] == "host").collect()
}

/// The lines about sweeps in a service's log.
fn audit_lines(service: &Service) -> Vec<Value> {
    let lines = service.log().into_iter();
    let lines = lines.map(|line| serde_json::from_str(&line).expect("a JSON object a line"));
    lines.filter(|line: &Value| line["message"] == "sweep").collect()
}

/// The same, once there are so many.
#[track_caller]
fn wait_for_audit_lines(service: &Service, count: usize) -> Vec<Value> {
    let lines = wait_for("the lines about the sweeps", || {
        Some(audit_lines(service)).filter(|lines| lines.len() >= count)
    });
    assert_eq!(lines.len(), count, "{lines:?}");
    lines
}

/// The only such line.
#[track_caller]
fn audit_line(service: &Service) -> Value {
    wait_for_audit_lines(service, 1).remove(0)
}

/// Waits until the service has no scan and no sweep any more.
fn wait_for_the_end(service: &Service) {
    wait_for("the sweep to end", || {
        (sample(service, "open_ports_scans_running") == 0.0).then_some(())
    });
    wait_for_sockets_closed(service);
}

/// Hosts with an open port each, on the same two ports, of which each has one or both.
struct Network {
    hosts: Vec<Listeners>,
    ports: String,
}

impl Network {
    fn bind(count: usize) -> Self {
        let hosts: Vec<Listeners> = (0..count).map(|_| Listeners::bind(own_address(), 1)).collect();
        let ports: BTreeSet<u16> = hosts.iter().flat_map(|host| host.ports.clone()).collect();
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        Self { hosts, ports: ports.join(",") }
    }

    fn address(&self, index: usize) -> String {
        self.hosts[index].address.to_string()
    }

    /// The addresses, separated by this.
    fn list(&self, separator: &str) -> String {
        let addresses: Vec<String> =
            self.hosts.iter().map(|host| host.address.to_string()).collect();
        addresses.join(separator)
    }

    /// What a sweep of these hosts finds.
    fn open(&self, indices: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
        let found = indices.into_iter().flat_map(|index| {
            let Listeners { address, ports, .. } = &self.hosts[index];
            ports.iter().map(move |port| format!("{address} {address}:{port}"))
        });
        found.collect()
    }

    fn probed(&self) -> usize {
        self.hosts.iter().map(Listeners::probed).sum()
    }
}

/// 64 addresses on which nobody listens, and a port.
fn empty_network() -> (String, u16) {
    let [a, b, c] = random().to_be_bytes()[..3].try_into().unwrap();
    // The addresses of `own_address` start at 127.128.0.0.
    let base = Ipv4Addr::new(127, 64 | a & 0x3f, b, c & 0xc0);
    (format!("{base}/26"), free_port())
}

#[test]
fn every_open_port_is_a_record_and_refused_hosts_name_their_rule() {
    let network = Network::bind(4);
    let denied = network.address(3);
    let service = serve(&["--allow", "127.0.0.0/8", "--deny", &denied]);
    let target = format!("/sweep?targets={},192.0.2.1&ports={}", network.list(","), network.ports);
    let reply = service.get(&target);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("x-accel-buffering"), Some("no"));
    let records = records(&reply);
    assert_eq!(open(&records), network.open(0..3));
    let refused: BTreeSet<String> = hosts(&records)
        .into_iter()
        .map(|record| {
            assert_eq!(
                (&record["complete"], &record["reason"]),
                (&json!(false), &json!("refused-by-policy"))
            );
            assert!(record["detail"].as_str().unwrap().contains(record["host"].as_str().unwrap()));
            format!("{} {}", record["host"], record["rule"])
        })
        .collect();
    let expected =
        [format!("\"{denied}\" \"deny {denied}\""), "\"192.0.2.1\" \"not-allowed\"".into()];
    assert_eq!(refused, BTreeSet::from(expected));
    assert_eq!(network.hosts[3].probed(), 0);

    let summary = summary(&records);
    let asked = network.ports.split(',').count() as u64;
    assert_eq!(summary["complete"], false);
    assert_eq!(summary["reason"], "refused-by-policy");
    assert_eq!((&summary["host_count"], &summary["address_count"]), (&json!(5), &json!(3)));
    assert_eq!((&summary["open"], &summary["closed"]), (&json!(3), &json!(3 * asked - 3)));
    assert_eq!((&summary["not_scanned"], &summary["unvisited_hosts"]), (&json!(0), &json!(0)));

    let line = audit_line(&service);
    assert_eq!((&line["route"], &line["outcome"]), (&json!("/sweep"), &json!("incomplete")));
    assert_eq!((&line["hosts"], &line["refused"]), (&json!(5), &json!(2)));
    assert_eq!(line["rules"], format!("deny {denied}, not-allowed"));
    assert_eq!((&line["open"], &line["closed"]), (&json!(3), &json!(3 * asked - 3)));
    assert!(line["targets"].as_str().unwrap().starts_with(&network.address(0)), "{line}");
    for (name, value) in [
        ("open_ports_scans_total{outcome=\"incomplete\"}", 1.0),
        ("open_ports_refusals_total{rule=\"not-allowed\"}", 1.0),
        ("open_ports_http_requests_total{route=\"/sweep\",status=\"200\"}", 1.0),
    ] {
        assert_eq!(sample(&service, name), value, "{name}");
    }
    wait_for_the_end(&service);
}

#[test]
fn a_list_is_swept_like_the_same_targets_in_a_query() {
    let network = Network::bind(3);
    let service = serve(&[]);
    let list = format!(
        "# hosts\n{}\n{} {} # two\n",
        network.address(0),
        network.address(1),
        network.address(2)
    );
    for media_type in ["text/plain", "text/plain; charset=utf-8"] {
        let target = format!("/sweep?ports={}", network.ports);
        let records = records(&post(&service, &target, media_type, &list));
        assert_eq!(open(&records), network.open(0..3));
        assert_eq!(summary(&records)["complete"], true);
    }
    let line = wait_for_audit_lines(&service, 2).remove(0);
    assert_eq!(line["targets"], network.list(","));
    assert_eq!((&line["hosts"], &line["outcome"]), (&json!(3), &json!("complete")));
    // In chunks, whose length is not known in advance.
    let mut connection = Connection::open(service.address);
    let fields = [("Content-Type", "text/plain"), ("Transfer-Encoding", "chunked")];
    let target = format!("/sweep?ports={}", network.ports);
    connection.send(request_head("POST", &target, &fields));
    for line in list.lines() {
        connection.send(format!("{:x}\r\n{line}\n\r\n", line.len() + 1));
    }
    connection.send("0\r\n\r\n");
    assert_eq!(open(&records(&connection.reply())), network.open(0..3));
    // The connection goes on.
    assert_eq!(connection.get("/livez").status, 200);
}

#[test]
fn a_body_that_is_no_list_of_hosts_is_refused_before_a_probe_is_sent() {
    let network = Network::bind(1);
    let service = serve(&[]);
    let target = &format!("/sweep?ports={}", network.ports);
    let address = network.address(0);
    for (list, fault) in [
        (format!("{address}\n{address}\n10.0.0.0/33\n"), "line 3: \"10.0.0.0/33\" must have"),
        (format!("{address}\n\nhttp://{address}"), "line 3: "),
        (format!("{address}\n\u{1}{}", "x".repeat(5000)), "line 2 is not a list of hosts"),
    ] {
        let problem = post(&service, target, "text/plain", &list).problem(400);
        assert_eq!(problem["type"], "urn:open-ports:problem:invalid-parameters");
        let fault_of = problem["errors"]["body"][0].as_str().unwrap();
        assert!(fault_of.starts_with(fault), "{problem}");
    }
    for media_type in
        ["application/json", "text/html", "text/plain; charset=latin1", "", "nonsense"]
    {
        let reply = post(&service, target, media_type, &address);
        reply.problem(415);
        assert_eq!(reply.header("accept-post"), Some("text/plain"));
    }
    let mut connection = Connection::open(service.address);
    let length = address.len().to_string();
    connection.send(request_head("POST", target, &[("Content-Length", &length)]));
    connection.send(&address);
    connection.reply().problem(415);
    for list in ["", "# nobody\n\n"] {
        post(&service, target, "text/plain", list).problem(422);
    }
    // The hosts are in the body alone.
    let both = format!("{target}&targets={address}");
    let problem = post(&service, &both, "text/plain", &address).problem(400);
    assert!(problem["errors"]["targets"].is_array(), "{problem}");
    assert_eq!(network.probed(), 0);
}

#[test]
fn a_list_that_is_too_long_is_refused_whether_its_length_is_known_or_not() {
    let network = Network::bind(1);
    let service = serve(&[]);
    let target = &format!("/sweep?ports={}", network.ports);
    let list = format!("{}\n", network.address(0)).repeat(LONG_LIST / 8);
    let list = &list[..LONG_LIST];
    post(&service, target, "text/plain", list).problem(413);

    let mut connection = Connection::open(service.address);
    let fields = [("Content-Type", "text/plain"), ("Transfer-Encoding", "chunked")];
    connection.send(request_head("POST", target, &fields));
    connection.send(format!("{:x}\r\n{list}\r\n0\r\n\r\n", list.len()));
    connection.reply().problem(413);

    // A client that waits for the go-ahead is refused at once, and sends nothing.
    let mut connection = Connection::open(service.address);
    let fields = [
        ("Content-Type", "text/plain"),
        ("Content-Length", &LONG_LIST.to_string()),
        ("Expect", "100-continue"),
    ];
    connection.send(request_head("POST", target, &fields));
    connection.reply().problem(413);

    // The longest list is read.
    let longest = format!("{}\n{}", network.address(0), " ".repeat(LONG_LIST));
    let longest = longest[..LONG_LIST - 1].replace("        ", "       \n");
    let records = records(&post(&service, target, "text/plain", &longest));
    assert_eq!(open(&records), network.open([0]));
}

#[test]
fn parameters_are_checked_like_those_of_a_scan() {
    let service = serve(&[]);
    let problem =
        service.get("/sweep?targets=10.0.0.0/33&ports=0&domain=x&format=text").problem(400);
    let names: Vec<&String> = problem["errors"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["domain", "format", "ports", "targets"], "{problem}");
    service.get("/sweep?ports=1").problem(400);
    service.get("/sd?targets=127.0.0.1&ports=1&format=json").problem(400);
    let text = [("Accept", "text/plain")];
    get_with(service.address, "/sweep?targets=127.0.0.1&ports=1", &text).problem(406);
    for target in ["/sweep", "/sd"] {
        let mut connection = Connection::open(service.address);
        connection.send(request_head("HEAD", &format!("{target}?targets=127.0.0.1&ports=1"), &[]));
        assert_eq!(connection.reply_to_head().status, 200);
        connection.send(request_head("HEAD", target, &[]));
        assert_eq!(connection.reply_to_head().status, 400);
        connection.request("DELETE", target);
        let reply = connection.reply();
        reply.problem(405);
        let allow = if target == "/sweep" { "GET, HEAD, POST" } else { "GET, HEAD" };
        assert_eq!(reply.header("allow"), Some(allow));
    }
    assert!(audit_lines(&service).is_empty(), "{:?}", service.log());
}

#[test]
fn a_sweep_of_which_nothing_can_be_scanned_gets_a_status_that_says_why() {
    let service = serve(&["--allow", "127.0.0.0/8"]);
    for route in ["/sweep", "/sd"] {
        let ask = |query: &str| service.get(&format!("{route}?ports=1&{query}"));
        let problem = ask("targets=192.0.2.0/28").problem(403);
        assert_eq!(problem["type"], "urn:open-ports:problem:refused-by-policy");
        assert_eq!(problem["rule"], "not-allowed");
        assert!(problem["detail"].as_str().unwrap().starts_with("Policy refuses all 16 hosts."));
        let problem = ask("targets=no-such-host.invalid").problem(422);
        assert_eq!(problem["type"], "urn:open-ports:problem:not-resolved");
        let problem = ask("targets=no-such-host.invalid,192.0.2.1").problem(403);
        assert!(problem["detail"].as_str().unwrap().contains("refuses 1 of 2"), "{problem}");
        ask("targets=127.0.0.0/30&exclude=127.0.0.0/8").problem(422);
    }
    let lines = wait_for_audit_lines(&service, 8);
    let outcomes: Vec<&str> = lines.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    let expected = ["refused", "not-resolved", "refused", "not-resolved"].repeat(2);
    assert_eq!(outcomes, expected);
    assert_eq!((&lines[0]["hosts"], &lines[0]["refused"]), (&json!(16), &json!(16)));
}

#[test]
fn a_refusal_after_the_first_thousand_hosts_is_a_record() {
    let service = serve(&["--allow", "127.0.0.0/8"]);
    let reply = service.get("/sweep?targets=192.0.0.0/21&ports=1");
    let records = records(&reply);
    assert_eq!((hosts(&records).len(), open(&records).len()), (2048, 0));
    assert_eq!(summary(&records)["host_count"], 2048);
    assert_eq!(audit_line(&service)["refused"], 2048);
}

#[test]
fn a_name_that_does_not_resolve_is_reported_and_the_sweep_goes_on() {
    let network = Network::bind(1);
    let service = serve(&[]);
    let targets = format!("no-such-host.invalid,{}", network.address(0));
    let records =
        records(&service.get(&format!("/sweep?targets={targets}&ports={}", network.ports)));
    assert_eq!(open(&records), network.open([0]));
    let [host] = hosts(&records)[..] else { panic!("{records:?}") };
    assert_eq!(
        (&host["host"], &host["reason"]),
        (&json!("no-such-host.invalid"), &json!("not-resolved"))
    );
    assert!(host["detail"].as_str().unwrap().starts_with("no-such-host.invalid does not resolve"));
    assert_eq!(summary(&records)["reason"], "not-resolved");
}

#[test]
fn too_many_targets_are_refused_before_a_probe_is_sent() {
    let network = Network::bind(1);
    let service = serve(&["--max-sweep-targets", "256"]);
    let address = network.address(0);
    let ports = &network.ports;
    let ask = |targets: &str| service.get(&format!("/sweep?targets={targets}&ports={ports}"));
    for targets in ["127.0.0.0/23", "0.0.0.0/0", "::/97"] {
        let problem = ask(&format!("{address},{targets}")).problem(422);
        assert_eq!(problem["type"], "urn:open-ports:problem:too-many-targets");
        assert!(problem["detail"].as_str().unwrap().contains("a sweep may have 256"), "{problem}");
    }
    post(
        &service,
        &format!("/sweep?ports={ports}"),
        "text/plain",
        &format!("{address}\n10.0.0.0/24"),
    )
    .problem(422);
    service.get(&format!("/sd?targets={address}&ports=1-257")).problem(422);
    assert_eq!(network.probed(), 0);
    // An address that is named twice counts once.
    let again = format!("{address},").repeat(300);
    assert_eq!(open(&records(&ask(again.trim_end_matches(',')))), network.open([0]));
}

#[test]
fn a_document_has_a_report_on_each_host_and_the_summary() {
    let network = Network::bind(3);
    let denied = network.address(2);
    let service = serve(&["--deny", &denied]);
    let target = format!("/sweep?targets={}&ports={}", network.list(","), network.ports);
    let named = service.get(&format!("{target}&format=json")).report();
    let negotiated = get_with(service.address, &target, &[("Accept", "application/json")]).report();
    for document in [named, negotiated] {
        assert_eq!((&document["complete"], &document["host_count"]), (&json!(false), &json!(3)));
        let reports = document["hosts"].as_array().unwrap();
        assert_eq!(reports.len(), 3);
        for report in reports {
            let domain = report["domain"].as_str().unwrap();
            if domain == denied {
                assert_eq!(report["reason"], "refused-by-policy");
                assert_eq!(report["rule"], format!("deny {denied}"));
                continue;
            }
            let host = network.hosts.iter().find(|host| host.address.to_string() == domain);
            assert_eq!(report["complete"], true);
            assert_eq!(ports(&report["open_ports"]), Vec::from_iter(host.unwrap().ports.clone()));
        }
    }
    // One with many rows is written in parts.
    let details = format!(
        "/sweep?targets={}&ports=all&details=true&expect=1-65535&format=json",
        network.address(0)
    );
    let document = service.get(&details).report();
    let report = &document["hosts"][0];
    let missing = ports(&report["missing"]).len();
    assert_eq!(missing + ports(&report["open_ports"]).len(), 65_535, "all expected");
    assert_eq!(document["host_count"], 1);
}

#[test]
fn server_sent_events_are_the_same_records() {
    let network = Network::bind(2);
    let service = serve(&[]);
    let target = format!("/sweep?targets={}&ports={}&format=sse", network.list(","), network.ports);
    let reply = service.get(&target);
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let records: Vec<Value> = reply
        .body
        .split_terminator("\n\n")
        .map(|event| {
            let (kind, data) = event.split_once('\n').unwrap();
            let record: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(kind.strip_prefix("event: "), record["type"].as_str());
            record
        })
        .collect();
    assert_eq!(open(&records), network.open(0..2));
    assert_eq!(summary(&records)["complete"], true);
}

#[test]
fn a_host_that_differs_from_what_is_expected_has_a_record() {
    let network = Network::bind(2);
    let service = serve(&[]);
    let expected = network.hosts[0].list();
    let target =
        format!("/sweep?targets={}&ports={}&expect={expected}", network.list(","), network.ports);
    let records = records(&service.get(&target));
    let [host] = hosts(&records)[..] else { panic!("{records:?}") };
    assert_eq!(host["host"], network.address(1));
    assert_eq!((&host["complete"], &host["as_expected"]), (&json!(true), &json!(false)));
    assert_eq!(ports(&host["unexpected"]), Vec::from_iter(network.hosts[1].ports.clone()));
    assert_eq!(ports(&host["missing"]), Vec::from_iter(network.hosts[0].ports.clone()));
    assert_eq!(summary(&records)["complete"], true);
}

#[test]
fn excluded_addresses_are_not_probed() {
    let network = Network::bind(3);
    let service = serve(&[]);
    let target = format!(
        "/sweep?targets={}&ports={}&exclude={}",
        network.list(","),
        network.ports,
        network.address(1)
    );
    let records = records(&service.get(&target));
    assert_eq!(open(&records), network.open([0, 2]));
    assert_eq!(summary(&records)["host_count"], 2);
    assert_eq!(network.hosts[1].probed(), 0);
}

#[test]
fn what_the_deadline_leaves_is_counted_and_the_rate_is_kept() {
    let service = serve(&[]);
    let (network, port) = empty_network();
    let target = format!("/sweep?targets={network}&ports={port}&rate=10&deadlineMs=1000");
    let records = records(&service.get(&target));
    let summary = summary(&records);
    assert_eq!((&summary["complete"], &summary["reason"]), (&json!(false), &json!("deadline")));
    let count = |name: &str| summary[name].as_u64().unwrap();
    assert_eq!(
        count("closed") + count("filtered") + count("not_scanned") + count("unvisited_hosts"),
        64
    );
    // Some more than ten, because the bucket may be full at the start.
    assert!(count("closed") + count("filtered") <= 30, "{summary}");
    assert_eq!(summary["bound_by"], "rate", "{summary}");
}

#[test]
fn a_sweep_counts_as_one_scan_of_its_caller() {
    let service = serve(&["--max-scans-per-caller", "1"]);
    let (network, port) = empty_network();
    let slow = format!("/sweep?targets={network}&ports={port}&rate=1");
    let mut stream = Streamed::open(service.address, &slow, &[]);
    assert!(stream.record().is_some(), "progress");
    assert_eq!(sample(&service, "open_ports_scans_running"), 1.0);
    for target in [&*slow, "/sd?targets=127.0.0.1&ports=1", "/open-ports?domain=127.0.0.1&ports=1"]
    {
        let reply = service.get(target);
        let problem = reply.problem(429);
        assert_eq!(problem["type"], "urn:open-ports:problem:quota-used-up", "{target}");
        assert!(reply.header("retry-after").is_some(), "{target}");
    }
    let first = "open_ports_scans_total{outcome=\"cancelled\"}";
    assert_eq!(sample(&service, first), 0.0);
    drop(stream);
    wait_for_the_end(&service);
    assert_eq!(service.get("/open-ports?domain=127.0.0.1&ports=1").status, 200);
    wait_for("the count of the sweep", || (sample(&service, first) == 1.0).then_some(()));
}

#[test]
fn a_sweep_ends_when_its_client_leaves() {
    let service = serve(&[]);
    for (route, format) in [("sweep", "&format=ndjson"), ("sweep", "&format=json"), ("sd", "")] {
        let (network, port) = empty_network();
        let mut connection = Connection::open(service.address);
        let target = format!("/{route}?targets={network}&ports={port}&rate=1{format}");
        connection.request("GET", &target);
        wait_for("the sweep to run", || {
            (sample(&service, "open_ports_scans_running") == 1.0).then_some(())
        });
        drop(connection);
        let left = Instant::now();
        wait_for_the_end(&service);
        let took = left.elapsed();
        println!("{route}{format}: ended after {took:?}");
        // The promise is a second or two, and the sweep would take a minute.
        assert!(took < Duration::from_secs(30), "{route}{format}: {took:?}");
    }
    for line in wait_for_audit_lines(&service, 3) {
        assert_eq!((&line["outcome"], &line["hosts"]), (&json!("cancelled"), &json!(64)), "{line}");
    }
}

#[test]
fn a_host_that_is_being_scanned_for_somebody_else_waits_for_its_turn() {
    let network = Network::bind(3);
    let service = serve(&[]);
    // At one probe a second, this takes a quarter of an hour.
    let busy = network.address(1);
    let long = format!("/open-ports?domain={busy}&ports=1-1000&rate=1&format=ndjson");
    let scan = Streamed::open(service.address, &long, &[]);
    let target = format!("/sweep?targets={}&ports={}", network.list(","), network.ports);
    let mut stream = Streamed::open(service.address, &target, &[]);
    let mut records: Vec<Value> = Vec::new();
    while open(&records).len() < 2 {
        records.push(stream.record().expect("two open ports"));
    }
    assert_eq!(open(&records), network.open([0, 2]));
    // Meanwhile records say how far the sweep is.
    let ports = network.ports.split(',').count() as u64;
    while records.last().unwrap()["done"] != 2 * ports {
        records.push(stream.record().expect("progress"));
    }
    assert_eq!(records.last().unwrap()["total"], 3 * ports);
    drop(scan);
    records.extend(stream.records());
    assert_eq!(open(&records), network.open(0..3));
    assert_eq!(summary(&records)["complete"], true);
}

#[test]
fn an_address_of_a_sweep_is_busy_for_other_scans_while_its_batch_runs() {
    let service = serve(&[]);
    let (network, port) = empty_network();
    let slow = format!("/sweep?targets={network}&ports={port}&rate=1");
    let mut stream = Streamed::open(service.address, &slow, &[]);
    assert!(stream.record().is_some(), "progress");
    let address = network.strip_suffix("/26").unwrap();
    let reply = service.get(&format!("/open-ports?domain={address}&ports=1"));
    let problem = reply.problem(503);
    assert_eq!(problem["type"], "urn:open-ports:problem:target-busy");
    drop(stream);
    wait_for_the_end(&service);
    assert_eq!(service.get(&format!("/open-ports?domain={address}&ports=1")).status, 200);
}

#[test]
fn two_sweeps_of_one_network_both_find_everything() {
    let network = Network::bind(8);
    let service = serve(&[]);
    let target = format!("/sweep?targets={}&ports={}", network.list(","), network.ports);
    let streams: Vec<Streamed> =
        (0..4).map(|_| Streamed::open(service.address, &target, &[])).collect();
    for stream in streams {
        let records = stream.records();
        assert_eq!(open(&records), network.open(0..8));
        assert_eq!(summary(&records)["complete"], true);
    }
}

#[test]
fn the_memory_of_a_large_sweep_stays_flat() {
    let service = serve(&["--max-sweep-targets", "16777216"]);
    // Warm: a first request grows a process once.
    assert_eq!(service.get("/sweep?targets=127.0.0.0/24&ports=1").status, 200);
    let before = service.status("VmRSS");
    let port = free_port();
    let target = format!("/sweep?targets=127.0.0.0/8&ports={port}");
    let mut stream = Streamed::open(service.address, &target, &[]);
    let mut done = 0;
    for _ in 0..3 {
        let record = stream.record().expect("progress");
        assert_eq!((&record["type"], &record["total"]), (&json!("progress"), &json!(1 << 24)));
        done = record["done"].as_u64().unwrap();
    }
    let grown = service.status("VmHWM").saturating_sub(before);
    println!("{done} targets, {grown} kB more");
    assert!(done > 0);
    assert!(grown < 16 * 1024, "{grown} kB after {done} targets");
    drop(stream);
    wait_for_the_end(&service);
}

#[test]
fn a_sweep_whose_reply_is_not_read_starts_no_further_batch() {
    let service = serve(&["--allow", "127.0.0.0/8"]);
    // Each host is a record of 200 bytes, 13 MB in all.
    let target = "/sweep?targets=127.0.0.1,192.0.0.0/16&ports=1";
    let warm = service.get("/sweep?targets=192.0.0.0/21&ports=1");
    assert_eq!(warm.status, 200);
    let before = service.status("VmRSS");
    let mut stream = Streamed::open_narrow(service.address, target);
    assert!(stream.record().is_some());
    let grown = service.status("VmHWM").saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} kB");
    assert_eq!(sample(&service, "open_ports_scans_running"), 1.0);
    // In the end the reader gets everything.
    let records = stream.records();
    assert_eq!(summary(&records)["host_count"], 65_537);
    let grown = service.status("VmHWM").saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} kB");
}

#[test]
fn open_ports_are_targets_of_prometheus() {
    let network = Network::bind(3);
    let service = serve(&[]);
    let query = format!("targets={}&ports={}", network.list(","), network.ports);
    let reply = service.get(&format!("/sd?{query}"));
    let groups = reply.report();
    let expected: Vec<Value> = (0..3)
        .map(|index| {
            let Listeners { address, ports, .. } = &network.hosts[index];
            let port = ports.first().unwrap();
            json!({
                "targets": [format!("{address}:{port}")],
                "labels": {
                    "__meta_open_ports_host": address.to_string(),
                    "__meta_open_ports_address": address.to_string(),
                    "__meta_open_ports_port": port.to_string(),
                },
            })
        })
        .collect();
    let mut own: Vec<Value> = groups.as_array().unwrap().clone();
    own.sort_by_key(Value::to_string);
    let mut wanted = expected;
    wanted.sort_by_key(Value::to_string);
    assert_eq!(own, wanted);
    assert_eq!(service.get(&format!("/sd?{query}")).report(), groups, "in the same order");
    assert_eq!(wait_for_audit_lines(&service, 2)[0]["route"], "/sd");
}

#[test]
fn a_discovery_that_left_something_out_is_503() {
    let network = Network::bind(1);
    let service = serve(&["--allow", "127.0.0.0/8"]);
    let (slow, port) = empty_network();
    for query in [
        format!("targets={},192.0.2.1&ports={}", network.address(0), network.ports),
        format!("targets={},no-such-host.invalid&ports={}", network.address(0), network.ports),
        format!("targets={slow}&ports={port}&rate=1&deadlineMs=500"),
    ] {
        let problem = service.get(&format!("/sd?{query}")).problem(503);
        assert_eq!(problem["type"], "urn:open-ports:problem:incomplete", "{query}");
        assert!(problem["detail"].as_str().unwrap().contains("left out"), "{problem}");
    }
    // Nothing open is the whole truth too.
    let none = service.get(&format!("/sd?targets=127.0.0.1&ports={port}")).report();
    assert_eq!(none, json!([]));
}
