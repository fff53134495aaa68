//! The replies of `GET /open-ports`, from the real binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::thread;
use std::time::{Duration, Instant};

use open_ports::limits::HEADER_READ_TIMEOUT;
use serde_json::{Value, json};

use support::ask::{Streamed, get_with};
use support::client::{Connection, ports};
use support::kernel::Witness;
use support::service::Service;
use support::targets::{Listeners, Refused, Silent, list};
use support::{namespace, own_address, wait_for};

support::trials::main! {
    a_report_is_one_line_of_json_with_its_fields_in_order,
    details_are_a_row_for_every_port_that_is_not_closed,
    a_range_ends_where_it_says_and_starts_at_port_1,
    named_sets_hold_as_many_ports_as_they_say,
    silent_ports_take_as_long_as_the_timeout_in_the_query,
    ipv6_addresses_are_accepted_with_and_without_brackets: Ipv6,
    differences_from_an_expectation_are_reported,
    no_open_port_can_be_expected,
    an_incomplete_scan_is_not_as_expected,
    expected_ports_are_scanned_too,
    only_a_complete_and_expected_answer_passes_a_gate,
    a_gate_says_what_is_not_known,
    a_stream_is_no_gate,
    json_is_indented_if_that_is_asked_for,
    a_scan_of_a_name_covers_all_its_addresses: OwnNames,
    of_a_name_with_too_many_addresses_the_same_ones_are_left_out_each_time: OwnNames,
    a_scan_of_a_name_covers_all_its_addresses_in_both_families: OwnNames | Ipv6,
    head_checks_the_query_but_never_scans,
    pipelined_requests_are_answered_in_order,
    unfinished_requests_and_idle_connections_end_at_the_limit_but_a_long_scan_does_not,
}

fn a_report_is_one_line_of_json_with_its_fields_in_order() {
    let (service, address) = (Service::start(), own_address());
    let (listeners, refused) = (Listeners::bind(address, 2), Refused::bind(address));
    let asked = BTreeSet::from_iter(listeners.ports.iter().copied().chain([refused.port]));
    let (first, last) = (asked.first().unwrap(), asked.last().unwrap());
    let open = listeners.list();

    let reply = service.get(&format!("/open-ports?domain={address}&ports={}", list(&asked)));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(
        without_times(&reply.body),
        format!(
            "{{\"domain\":\"{address}\",\"from_port\":{first},\"to_port\":{last},\
             \"open_ports\":[{open}],\"complete\":true,\"elapsed_ms\":_,\
             \"addresses\":[{{\"address\":\"{address}\",\"open_ports\":[{open}],\
             \"closed\":1,\"filtered\":0,\"not_scanned\":0,\
             \"timing\":{{\"rtt_ms\":_,\"timeout_ms\":_}}}}],\
             \"timing\":{{\"attempts\":1,\"loss\":0.0,\"window\":0,\"max_in_flight\":0}}}}\n"
        )
    );
}

fn details_are_a_row_for_every_port_that_is_not_closed() {
    let (service, address) = (Service::start(), own_address());
    let (listener, silent) = (Listeners::bind(address, 1), Silent::bind(address, 1));
    let refused = Refused::bind(address);
    let (open, filtered) = (listener.list(), silent.list());
    let asked = format!("{open},{filtered},{}", refused.port);
    let query = format!("/open-ports?domain={address}&ports={asked}&timeoutMs=50&details=");

    let open_row =
        format!("{{\"port\":{open},\"state\":\"open\",\"reason\":\"syn-ack\",\"rtt_ms\":_}}");
    let filtered_row =
        format!("{{\"port\":{filtered},\"state\":\"filtered\",\"reason\":\"no-response\"}}");
    let in_order = open.parse::<u16>().unwrap() < filtered.parse::<u16>().unwrap();
    let rows = if in_order { [&open_row, &filtered_row] } else { [&filtered_row, &open_row] };
    let rows = format!(",\"ports\":[{},{}]", rows[0], rows[1]);
    for (details, rows) in [("true", rows.as_str()), ("false", "")] {
        let body = without_times(&service.get(&(query.clone() + details)).body);
        let counts = "\"closed\":1,\"filtered\":1,\"not_scanned\":0,\
                      \"filtered_by\":{\"no-response\":1},\
                      \"timing\":{\"rtt_ms\":_,\"timeout_ms\":_}";
        let timing = "\"timing\":{\"attempts\":2,\"loss\":0.0,\"window\":1,\"max_in_flight\":1}";
        assert!(body.ends_with(&format!("{counts}{rows}}}],{timing}}}\n")), "{body}");
    }
}

fn a_range_ends_where_it_says_and_starts_at_port_1() {
    let (service, listeners) = (Service::start(), Listeners::bind(own_address(), 20));
    let address = listeners.address;
    let (first, last) = (*listeners.ports.first().unwrap(), *listeners.ports.last().unwrap());
    let witness = Witness::of(address);
    for (range, from, to) in [
        (format!("toPort={last}"), 1, last),
        (format!("fromPort={first}&toPort={last}"), first, last),
        ("toPort=65535".to_owned(), 1, 65_535),
        ("ports=all".to_owned(), 1, 65_535),
    ] {
        let report = service.get(&format!("/open-ports?domain={address}&{range}")).report();
        let open = ports(&report["open_ports"]);
        assert_eq!((&report["from_port"], &report["to_port"]), (&json!(from), &json!(to)));
        assert!(listeners.ports.iter().all(|port| open.contains(port)), "{range}: {open:?}");
        assert_eq!(report["complete"], true);
        assert_eq!(accounted(&report["addresses"][0]), u64::from(to - from) + 1, "{range}");
        assert_eq!(report["addresses"][0]["filtered"], 0);
    }
    let between =
        format!("/open-ports?domain={address}&fromPort={}&toPort={}", first + 1, last - 1);
    let open = ports(&service.get(&between).report()["open_ports"]);
    assert!(!open.contains(&first) && !open.contains(&last));
    let seen = witness.seen();
    assert!(open.iter().all(|port| seen.contains(port)), "{open:?}");
}

fn named_sets_hold_as_many_ports_as_they_say() {
    let (service, listeners) = (Service::start(), Listeners::bind(own_address(), 1));
    let (address, port) = (listeners.address, listeners.list());
    let witness = Witness::of(address);
    let scan = |list: String| {
        let report = service.get(&format!("/open-ports?domain={address}&ports={list}")).report();
        (ports(&report["open_ports"]), accounted(&report["addresses"][0]))
    };
    let (_, count) = scan("top100".into());
    assert_eq!(count, 100);
    let (_, count) = scan("top1000".into());
    assert_eq!(count, 1000);
    let (open, count) = scan(format!("top3,{port}"));
    // 80, 23 and 443, which the listener is not: it is not privileged.
    assert_eq!(count, 4);
    listeners.assert_found(&open, &witness.seen());
}

fn silent_ports_take_as_long_as_the_timeout_in_the_query() {
    let (service, silent) = (Service::start(), Silent::bind(own_address(), 1));
    let (address, port) = (silent.address, silent.list());
    for (timeout, least) in [("&timeoutMs=300", 300.0), ("", 2000.0)] {
        let query = format!("/open-ports?domain={address}&ports={port}{timeout}");
        let report = service.get(&query).report();
        let elapsed = report["elapsed_ms"].as_f64().unwrap();
        assert!(elapsed >= least && elapsed <= least + 2000.0, "{elapsed} for {least}");
        assert_eq!(report["addresses"][0]["filtered_by"], json!({ "no-response": 1 }));
        assert_eq!((&report["open_ports"], &report["complete"]), (&json!([]), &json!(true)));
    }
}

fn ipv6_addresses_are_accepted_with_and_without_brackets() {
    let service = Service::start();
    let listeners = Listeners::bind(Ipv6Addr::LOCALHOST.into(), 3);
    for (written, domain) in
        [("::1", "::1"), ("[::1]", "[::1]"), ("%5B0:0::1%5D", "[0:0::1]"), ("0::1", "0::1")]
    {
        let query = format!("/open-ports?domain={written}&ports={}", listeners.list());
        let report = service.get(&query).report();
        assert_eq!(report["domain"], domain);
        assert_eq!(report["addresses"][0]["address"], "::1");
        assert_eq!(ports(&report["open_ports"]), Vec::from_iter(listeners.ports.clone()));
    }
    // An IPv4-mapped IPv6 address is scanned as the IPv4 address.
    let listeners = Listeners::bind(own_address(), 3);
    let query = format!(
        "/open-ports?domain=[::ffff:{}]&ports={}&family=ipv4",
        listeners.address,
        listeners.list()
    );
    let report = service.get(&query).report();
    assert_eq!(report["addresses"][0]["address"], listeners.address.to_string());
    assert_eq!(ports(&report["open_ports"]), Vec::from_iter(listeners.ports.clone()));
}

fn differences_from_an_expectation_are_reported() {
    let (service, address) = (Service::start(), own_address());
    let (listeners, refused) = (Listeners::bind(address, 3), Refused::bind(address));
    let [first, second, third] = Vec::from_iter(listeners.ports.clone()).try_into().unwrap();
    let closed = refused.port;
    let all = listeners.list();
    let query = format!("/open-ports?domain={address}&ports={all},{closed}");
    let report = service.get(&query).report();
    for member in ["as_expected", "unexpected", "missing"] {
        assert_eq!(report.get(member), None, "{report}");
    }
    for (expected, unexpected, missing) in [
        (all.clone(), vec![], vec![]),
        (format!("{first},{second}"), vec![third], vec![]),
        (format!("{all},{closed}"), vec![], vec![closed]),
        (format!("{second},{closed}"), vec![first, third], vec![closed]),
        ("none".to_owned(), vec![first, second, third], vec![]),
    ] {
        let query = format!("{query}&expect={expected}");
        let report = service.get(&query).report();
        let differs = !(unexpected.is_empty() && missing.is_empty());
        assert_eq!(report["as_expected"], !differs, "{expected}: {report}");
        assert_eq!(ports(&report["unexpected"]), unexpected, "{expected}: {report}");
        assert_eq!(ports(&report["missing"]), missing, "{expected}: {report}");
        // The report at the end of a stream has the same members.
        let stream = Streamed::open(service.address, &format!("{query}&format=ndjson"), &[]);
        let end = stream.records().pop().unwrap();
        for member in ["as_expected", "unexpected", "missing"] {
            assert_eq!(end["report"][member], report[member], "{expected}: {end}");
        }
    }
}

fn no_open_port_can_be_expected() {
    let (service, address) = (Service::start(), own_address());
    let refused = Refused::bind(address);
    let query = format!("/open-ports?domain={address}&ports={}&expect=none", refused.port);
    let report = service.get(&query).report();
    assert_eq!(report["as_expected"], true, "{report}");
    assert_eq!((&report["unexpected"], &report["missing"]), (&json!([]), &json!([])));
}

fn an_incomplete_scan_is_not_as_expected() {
    let (service, address) = (Service::start(), own_address());
    let query = format!("/open-ports?domain={address}&ports=all&rate=1&deadlineMs=100&expect=none");
    let report = service.get(&query).report();
    assert_eq!((&report["complete"], &report["as_expected"]), (&json!(false), &json!(false)));
    assert_eq!((&report["unexpected"], &report["missing"]), (&json!([]), &json!([])));
}

fn expected_ports_are_scanned_too() {
    let (service, address) = (Service::start(), own_address());
    let (listeners, refused) = (Listeners::bind(address, 1), Refused::bind(address));
    let (port, expected) = (refused.port, listeners.list());
    let query = format!("/open-ports?domain={address}&ports={port}&expect={expected}");
    let report = service.get(&query).report();
    assert_eq!(
        (ports(&report["open_ports"]), &report["as_expected"]),
        (listeners.ports.iter().copied().collect::<Vec<_>>(), &json!(true))
    );
    let missing = format!("/open-ports?domain={address}&ports={expected}&expect={expected},{port}");
    let report = service.get(&missing).report();
    assert_eq!(ports(&report["missing"]), [port], "{report}");
}

fn only_a_complete_and_expected_answer_passes_a_gate() {
    let (service, address) = (Service::start(), own_address());
    let (listener, refused) = (Listeners::bind(address, 1), Refused::bind(address));
    let (open, closed) = (listener.list(), refused.port);
    let scan = format!("/open-ports?domain={address}&ports={open},{closed}");
    let verdict = |query: &str| {
        let reply = service.get(query);
        (reply.status, reply.header("open-ports-as-expected").map(str::to_owned))
    };
    let said = |status: u16, verdict: &str| (status, Some(verdict.to_owned()));
    assert_eq!(verdict(&scan), (200, None));
    for (format, body) in [("json", "{\"domain\":"), ("text", &*format!("{open}\n"))] {
        let scan = format!("{scan}&format={format}");
        assert_eq!(verdict(&format!("{scan}&expect={open}")), said(200, "true"));
        assert_eq!(verdict(&format!("{scan}&expect={closed}")), said(200, "false"));
        for status in [409, 412, 424] {
            let gate = format!("{scan}&expectFailStatus={status}");
            assert_eq!(verdict(&format!("{gate}&expect={open}")), said(200, "true"));
            for differs in [&*closed.to_string(), &*format!("{open},{closed}"), "none"] {
                let gate = format!("{gate}&expect={differs}");
                assert_eq!(verdict(&gate), said(status, "false"), "{gate}");
                // What was found is there all the same.
                let reply = service.get(&gate);
                assert!(reply.body.starts_with(body), "{reply:?}");
                assert_eq!(reply.header("open-ports-complete"), Some("true"), "{reply:?}");
                assert_eq!(reply.header("cache-control"), Some("no-store"), "{reply:?}");
            }
        }
    }
    // Nor does a refusal pass.
    let gate = "&toPort=1&expect=none&expectFailStatus=409";
    service.get(&format!("/open-ports?domain=169.254.169.254{gate}")).problem(403);
    service.get(&format!("/open-ports?domain=no-such-name.invalid{gate}")).problem(422);
    service.get(&format!("/open-ports?domain={address}{gate}&explain=true")).problem(400);
}

fn a_gate_says_what_is_not_known() {
    let service = Service::start();
    let listener = Listeners::bind_at(own_address(), 8080).unwrap();
    // Two ports of three have no turn in this time.
    let scan = format!(
        "/open-ports?domain={}&ports=8080-8279&rate=20&deadlineMs=3000&expectFailStatus=409",
        listener.address
    );
    for (expected, verdict) in [("8080", "unknown"), ("8080,8279", "unknown"), ("none", "false")] {
        let reply = service.get(&format!("{scan}&expect={expected}"));
        assert_eq!(reply.status, 409, "{reply:?}");
        assert_eq!(reply.header("open-ports-complete"), Some("false"), "{reply:?}");
        assert_eq!(reply.header("open-ports-as-expected"), Some(verdict), "{reply:?}");
        assert_eq!(reply.json()["as_expected"], false, "{reply:?}");
    }
}

fn a_stream_is_no_gate() {
    let service = Service::start();
    let gate =
        format!("/open-ports?domain={}&toPort=1&expect=none&expectFailStatus=409", own_address());
    for format in ["ndjson", "sse"] {
        let problem = service.get(&format!("{gate}&format={format}")).problem(400);
        assert!(problem["errors"]["expectFailStatus"].is_array(), "{problem}");
    }
    // A format may also come from Accept.
    let stream = [("Accept", "text/event-stream")];
    let problem = get_with(service.address, &gate, &stream).problem(400);
    assert!(problem["errors"]["expectFailStatus"].is_array(), "{problem}");
    assert_eq!(get_with(service.address, &gate, &[("Accept", "application/json")]).status, 200);
}

fn json_is_indented_if_that_is_asked_for() {
    let (service, silent) = (Service::start(), Silent::bind(own_address(), 2));
    let scan = format!("/open-ports?domain={}&details=true", silent.address);
    let few = format!("{scan}&ports={}&timeoutMs=50&expect=none", silent.list());
    // A list of thousands of ports does not fit into one chunk.
    let many = format!("{scan}&toPort=9000&timeoutMs=50&expect=1-9000");
    for query in [&few, &many, &format!("{many}&explain=true")] {
        let reply = service.get(&format!("{query}&pretty=true"));
        let sorted = serde_json::to_string_pretty(&reply.report()).unwrap();
        assert!(reply.body.starts_with("{\n  \"domain\": "), "{query}");
        // The members of a `Value` are in another order.
        let lines = |text: &str| {
            let mut lines: Vec<String> =
                text.lines().map(|line| line.trim_end_matches(',').to_owned()).collect();
            lines.sort();
            lines
        };
        assert!(lines(&reply.body) == lines(&sorted), "{query}: {}", &reply.body[..400]);
    }
    for format in ["ndjson", "text"] {
        service.get(&format!("{few}&pretty=true&format={format}")).problem(400);
    }
}

fn a_scan_of_a_name_covers_all_its_addresses() {
    assert_scanned_by_name(&[own_address(), own_address()]);
}

fn a_scan_of_a_name_covers_all_its_addresses_in_both_families() {
    assert_scanned_by_name(&[own_address(), own_address(), Ipv6Addr::LOCALHOST.into()]);
}

fn of_a_name_with_too_many_addresses_the_same_ones_are_left_out_each_time() {
    let all: Vec<String> = (1..=20).map(|last| format!("127.0.3.{last}")).collect();
    let upwards: String = all.iter().map(|it| format!("{it} many.open-ports.test\n")).collect();
    let downwards: String =
        all.iter().rev().map(|it| format!("{it} many.open-ports.test\n")).collect();
    for hosts in [upwards, downwards] {
        let service = namespace::service_with_hosts(&hosts);
        let report = service.get("/open-ports?domain=many.open-ports.test&ports=1").report();
        let scanned: Vec<&str> = report["addresses"]
            .as_array()
            .unwrap()
            .iter()
            .map(|facts| facts["address"].as_str().unwrap())
            .collect();
        assert_eq!(scanned, all[..16], "{report}");
        assert_eq!(report["addresses_left_out"], json!(all[16..]), "{report}");
        assert_eq!(report["reason"], "too-many-addresses");
        let sweep = service.get("/sweep?targets=many.open-ports.test&ports=1");
        assert!(sweep.body.contains("\"addresses_left_out\":[\"127.0.3.17\","), "{sweep:?}");
    }
}

#[track_caller]
fn assert_scanned_by_name(addresses: &[IpAddr]) {
    let listeners: Vec<Listeners> =
        addresses.iter().map(|&address| Listeners::bind(address, 5)).collect();
    let name = "several.open-ports.test";
    let hosts: String =
        listeners.iter().map(|listeners| format!("{} {name}\n", listeners.address)).collect();
    let service = namespace::service_with_hosts(&hosts);
    let asked = BTreeSet::from_iter(listeners.iter().flat_map(|each| each.ports.iter().copied()));

    for family in ["any", "ipv4", "ipv6"] {
        let meant = |address: &IpAddr| match family {
            "ipv4" => address.is_ipv4(),
            "ipv6" => address.is_ipv6(),
            _ => true,
        };
        let targets: Vec<&Listeners> =
            listeners.iter().filter(|listeners| meant(&listeners.address)).collect();
        if targets.is_empty() {
            continue;
        }
        let ports_asked = list(&asked);
        let query = format!("/open-ports?domain={name}&family={family}&ports={ports_asked}");
        let report = service.get(&query).report();
        assert_eq!((&report["domain"], &report["complete"]), (&json!(name), &json!(true)));
        let addresses = report["addresses"].as_array().unwrap();
        assert_eq!(addresses.len(), targets.len(), "{report}");
        let mut all = BTreeSet::new();
        for target in targets {
            let wanted = target.address.to_string();
            let found = addresses.iter().find(|found| found["address"] == wanted.as_str());
            let open = BTreeSet::from_iter(ports(&found.expect("every address")["open_ports"]));
            assert!(open.is_superset(&target.ports), "{report}");
            all.extend(open);
        }
        assert_eq!(ports(&report["open_ports"]), Vec::from_iter(all), "{report}");
    }

    let unknown = service.get("/open-ports?domain=nobody.open-ports.test&toPort=1").problem(422);
    assert!(unknown["errors"]["domain"].is_array(), "{unknown}");
    let localhost = service.get("/open-ports?domain=127.1&toPort=1&family=ipv6").problem(422);
    assert!(localhost["errors"]["domain"].is_array(), "{localhost}");
}

fn head_checks_the_query_but_never_scans() {
    let (service, listener) = (Service::start(), Listeners::bind(own_address(), 1));
    let query = format!("/open-ports?domain={}&ports={}", listener.address, listener.list());
    let mut connection = Connection::open(service.address);
    connection.request("HEAD", &query);
    let reply = connection.reply_to_head();
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    connection.request("HEAD", "/open-ports");
    assert_eq!(connection.reply_to_head().status, 400);
    // This scan makes one connection to the listener, after any that the first
    // request could have made.
    connection.get(&query).report();
    wait_for("the listener to be probed", || (listener.probed() > 0).then_some(()));
    assert_eq!(listener.probed(), 1);
}

fn pipelined_requests_are_answered_in_order() {
    let (service, listener) = (Service::start(), Listeners::bind(own_address(), 1));
    let scan = format!("/open-ports?domain={}&ports={}", listener.address, listener.list());
    let mut connection = Connection::open(service.address);
    let wanted =
        [("/", 200), (&*scan, 200), ("/nowhere", 404), ("/open-ports?x", 400), (&scan, 200)];
    let requests =
        wanted.map(|(target, _)| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    connection.send(requests.concat());
    for (target, status) in wanted {
        assert_eq!(connection.reply().status, status, "{target}");
    }
}

// One test for all of these, since each takes as long as the limit.
fn unfinished_requests_and_idle_connections_end_at_the_limit_but_a_long_scan_does_not() {
    let (service, silent) = (Service::start(), Silent::bind(own_address(), 1));
    let start = Instant::now();
    let address = service.address;
    let closed_after = |send: &'static str, replies: usize| {
        thread::spawn(move || {
            let mut connection = Connection::open(address);
            connection.send(send);
            for _ in 0..replies {
                connection.reply();
            }
            connection.rest();
            start.elapsed()
        })
    };
    let closed = [
        closed_after("GET /open-ports?domain=", 0),
        closed_after("GET / HTTP/1.1\r\nHost: localhost\r\nX-Half: a", 0),
        closed_after("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 1),
        closed_after("", 0),
    ];
    let longer = HEADER_READ_TIMEOUT + Duration::from_secs(1);
    let query = format!(
        "/open-ports?domain={}&ports={}&timeoutMs={}",
        silent.address,
        silent.list(),
        longer.as_millis()
    );
    let report = service.get(&query).report();
    assert_eq!(report["addresses"][0]["filtered"], 1);
    for closed in closed {
        let after = closed.join().unwrap();
        assert!(after >= HEADER_READ_TIMEOUT && after < HEADER_READ_TIMEOUT * 2, "{after:?}");
    }
}

/// How many ports of an address the report accounts for.
fn accounted(address: &Value) -> u64 {
    let counts = ["closed", "filtered", "not_scanned"]
        .map(|count| address[count].as_u64().expect("a count"));
    ports(&address["open_ports"]).len() as u64 + counts.iter().sum::<u64>()
}

/// A body with each duration, which differs from run to run, replaced by `_`.
fn without_times(body: &str) -> String {
    let mut parts = body.split("_ms\":");
    let mut masked = parts.next().expect("one part at least").to_owned();
    for part in parts {
        let rest = part
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == 'e' || c == '-');
        assert!(rest.len() < part.len(), "no number: {body}");
        masked += "_ms\":_";
        masked += rest;
    }
    masked
}
