//! Each format of a reply, read to its end, and clients that stop reading.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot be set up has to fail, and prints what it measured"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use support::ask::{Streamed, audit_lines, get_with, request_head, sample, serve};
use support::client::{Connection, Reply, ports};
use support::service::{Service, open_ports, run};
use support::targets::{Listeners, Refused, Silent};
use support::{own_address, wait_for};

support::trials::main! {
    ndjson_has_each_finding_once_and_ends_with_the_whole_report,
    server_sent_events_are_the_same_records,
    plain_text_is_one_open_port_a_line,
    a_format_is_negotiated_and_the_query_takes_precedence,
    a_port_is_reported_when_it_is_found_and_progress_once_a_second,
    an_open_port_is_reported_while_the_scan_goes_on,
    the_scan_of_a_client_that_leaves_ends_within_a_second,
    a_stream_that_was_cut_has_no_end_record_and_no_last_chunk,
    a_reader_that_pauses_costs_no_memory_and_gets_everything_in_the_end: OwnNetwork,
    each_port_of_an_address_without_a_route_has_its_row: OwnNetwork,
    a_page_costs_a_connection_and_one_that_scans_costs_a_stream: OwnNetwork,
}

/// Two open ports, a refused and a silent one of one address, and closed ports above
/// them.
struct Mixed {
    open: Listeners,
    silent: Silent,
    query: String,
    /// The same with the closed ports, at a low rate.
    slow_query: String,
}

impl Mixed {
    fn bind(more: &str) -> Self {
        let address = own_address();
        let (open, silent) = (Listeners::bind(address, 2), Silent::bind(address, 1));
        let refused = Refused::bind(address).port;
        let ports = format!("{},{},{refused}", open.list(), silent.list());
        let query = format!("/open-ports?domain={address}&ports={ports}{more}");
        let slow_query = format!("{query}&rate=6").replace("&ports=", "&ports=65501-65535,");
        Self { open, silent, query, slow_query }
    }

    /// The rows of a report with details, as records of a stream without rtt.
    fn findings(&self) -> BTreeSet<String> {
        let address = self.open.address;
        let row = |port: &u16, state, reason| {
            json!({
                "type": "port", "address": address, "port": port, "state": state, "reason": reason,
            })
            .to_string()
        };
        let open = self.open.ports.iter().map(|port| row(port, "open", "syn-ack"));
        open.chain(self.silent.ports.iter().map(|port| row(port, "filtered", "no-response")))
            .collect()
    }
}

/// A record without its rtt, which an answered probe must have.
#[track_caller]
fn without_rtt(record: &Value) -> String {
    let mut record = record.clone();
    let rtt = record.as_object_mut().unwrap().remove("rtt_ms");
    assert_eq!(rtt.is_some_and(|rtt| rtt.as_f64().unwrap() > 0.0), record["state"] == "open");
    record.to_string()
}

#[track_caller]
fn assert_fresh(reply: &Reply, media_type: &str) {
    assert_eq!((reply.status, reply.header("content-type")), (200, Some(media_type)));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("vary"), Some("Accept"));
    assert!(reply.header("server-timing").is_some_and(|steps| steps.starts_with("resolve;dur=")));
}

fn of_type<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["type"] == kind).collect()
}

fn ndjson_has_each_finding_once_and_ends_with_the_whole_report() {
    let service = serve(&[]);
    for details in [true, false] {
        let mixed = Mixed::bind(&format!("&timeoutMs=300&details={details}"));
        let accept = [("Accept", "application/x-ndjson")];
        let stream = Streamed::open(service.address, &mixed.query, &accept);
        assert_fresh(&stream.reply(), "application/x-ndjson");
        assert_eq!(stream.reply().header("transfer-encoding"), Some("chunked"));
        assert_eq!(stream.reply().header("x-accel-buffering"), Some("no"));
        let records = stream.records();
        let told: Vec<String> = of_type(&records, "port").into_iter().map(without_rtt).collect();
        let wanted: BTreeSet<String> = mixed
            .findings()
            .into_iter()
            .filter(|row| details || row.contains("\"open\""))
            .collect();
        assert_eq!((told.len(), BTreeSet::from_iter(told)), (wanted.len(), wanted));

        let (end, before) = records.split_last().unwrap();
        assert_eq!(end["type"], "end");
        assert!(of_type(before, "end").is_empty());
        let whole = service.get(&mixed.query).report();
        assert_eq!(shape(&end["report"]), shape(&whole));
        assert_eq!(ports(&end["report"]["open_ports"]), Vec::from_iter(mixed.open.ports.clone()));
    }
}

/// A report without its times, which differ from scan to scan.
fn shape(report: &Value) -> Value {
    match report {
        Value::Object(members) => {
            let timed = |name: &str| name.ends_with("_ms") || name == "timing";
            let kept = members.iter().filter(|(name, _)| !timed(name));
            kept.map(|(name, value)| (name.clone(), shape(value))).collect()
        }
        Value::Array(values) => values.iter().map(shape).collect(),
        value => value.clone(),
    }
}

fn server_sent_events_are_the_same_records() {
    let service = serve(&[]);
    let mixed = Mixed::bind("&timeoutMs=300&details=true");
    let accept = [("Accept", "text/event-stream")];
    let mut stream = Streamed::open(service.address, &mixed.slow_query, &accept);
    assert_fresh(&stream.reply(), "text/event-stream");
    // The HTML Standard, section 9.2.6: fields, and a blank line that ends the event.
    let (mut records, mut fields) = (Vec::new(), BTreeMap::new());
    while let Some(line) = stream.line() {
        match line.trim_end_matches('\n').split_once(": ") {
            Some((name, value)) => {
                let again = fields.insert(name.to_owned(), value.to_owned());
                assert_eq!(again, None, "{line}");
            }
            None => {
                assert_eq!(line, "\n");
                let record: Value = serde_json::from_str(&fields["data"]).unwrap();
                assert_eq!(fields["event"], record["type"].as_str().unwrap());
                assert_eq!(fields.len(), 2, "{fields:?}");
                records.push(record);
                fields.clear();
            }
        }
    }
    assert!(fields.is_empty(), "an event that was not dispatched: {fields:?}");
    let told = of_type(&records, "port").into_iter().map(without_rtt).collect::<BTreeSet<_>>();
    assert_eq!(told, mixed.findings());
    assert!(!of_type(&records, "progress").is_empty(), "{records:?}");
    let end = records.last().unwrap();
    assert_eq!((&end["type"], &end["report"]["complete"]), (&json!("end"), &json!(true)));
}

fn plain_text_is_one_open_port_a_line() {
    let service = serve(&[]);
    let mixed = Mixed::bind("&timeoutMs=100");
    let reply = get_with(service.address, &mixed.query, &[("Accept", "text/plain")]);
    assert_fresh(&reply, "text/plain; charset=utf-8");
    assert_eq!(reply.header("open-ports-complete"), Some("true"));
    // Words, as xargs expects them.
    let words: Vec<u16> = reply.body.split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert_eq!(words, Vec::from_iter(mixed.open.ports.clone()));
    assert_eq!(reply.body.lines().count(), words.len());
}

fn a_format_is_negotiated_and_the_query_takes_precedence() {
    let service = serve(&[]);
    let query = format!("/open-ports?domain={}&ports=1", own_address());
    let media_type = |query: &str, accept: &str| {
        let mut connection = Connection::open(service.address);
        connection.send(request_head("GET", query, &[("Accept", accept)]));
        let reply = connection.reply_to_head();
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.header("content-type").unwrap().to_owned()
    };
    assert_eq!(media_type(&query, "*/*"), "application/json");
    assert_eq!(media_type(&query, "text/html, */*;q=0.1"), "text/html; charset=utf-8");
    assert_eq!(media_type(&query, "text/html, application/json"), "application/json");
    assert_eq!(
        media_type(&query, "application/json;q=0.1, text/plain"),
        "text/plain; charset=utf-8"
    );
    for (format, wanted) in [
        ("json", "application/json"),
        ("ndjson", "application/x-ndjson"),
        ("sse", "text/event-stream"),
        ("text", "text/plain; charset=utf-8"),
    ] {
        assert_eq!(media_type(&format!("{query}&format={format}"), "image/png"), wanted);
    }
    let reply = get_with(service.address, &query, &[("Accept", "audio/basic, image/*")]);
    let problem = reply.problem(406);
    assert_eq!(reply.header("vary"), Some("Accept"));
    for offered in ["application/json", "application/x-ndjson", "text/event-stream", "text/plain"] {
        assert!(problem["detail"].as_str().unwrap().contains(offered), "{problem}");
    }
    assert!(problem["errors"]["Accept"].is_array());
    // No scan for it: four came from the fields, and four from the query.
    wait_for("eight audit lines", || (audit_lines(&service).len() == 8).then_some(()));
}

fn a_port_is_reported_when_it_is_found_and_progress_once_a_second() {
    let service = serve(&[]);
    let listener = Listeners::bind(own_address(), 1);
    let (address, port) = (listener.address, listener.list());
    // The open port comes first or last of two passes over 200 probes at 50 a second.
    let query = format!("/open-ports?domain={address}&ports=1-200,{port}&rate=50&format=ndjson");
    let start = Instant::now();
    let mut stream = Streamed::open(service.address, &query, &[]);
    let (mut progress, mut seen) = (Vec::new(), BTreeSet::new());
    let report = loop {
        let record = stream.record().expect("an end record");
        seen.insert(record["type"].to_string());
        match record["type"].as_str().unwrap() {
            "progress" => progress.push((start.elapsed(), record)),
            "end" => break record["report"].clone(),
            _ => assert_eq!(record["port"], json!(listener.ports.first())),
        }
    };
    assert_eq!((stream.record(), seen.len()), (None, 3), "{seen:?}");
    let took = start.elapsed().as_secs_f64();
    // Four seconds, with a record each, or fewer on a busy machine.
    assert!(progress.len() >= 2 && progress.len() as f64 <= took, "{} in {took} s", progress.len());
    let count = |record: &Value, name: &str| record[name].as_u64().unwrap();
    for pair in progress.windows(2) {
        let [(_, before), (_, after)] = pair else { unreachable!() };
        assert!(count(before, "done") <= count(after, "done"));
    }
    for (at, record) in &progress {
        let (done, rate) = (count(record, "done"), count(record, "rate"));
        assert_eq!(count(record, "total"), 201);
        let asked = count(record, "asked");
        assert_eq!(asked - count(record, "waiting"), done, "{record}");
        assert!(count(record, "attempts") >= asked, "{record}");
        assert!(done as f64 <= 50.0 * at.as_secs_f64() * 1.1 + 2.0, "{done} done at {at:?}");
        assert!(rate <= 100, "{rate} a second");
    }
    assert_eq!(report["complete"], true);
}

fn an_open_port_is_reported_while_the_scan_goes_on() {
    let service = serve(&[]);
    let mixed = Mixed::bind("");
    let accept = [("Accept", "application/x-ndjson")];
    let mut stream = Streamed::open(service.address, &mixed.slow_query, &accept);
    while stream.record().expect("an open port")["type"] != "port" {}
    assert_eq!(sample(&service, "open_ports_scans_running"), 1.0);
}

fn the_scan_of_a_client_that_leaves_ends_within_a_second() {
    const SILENT: usize = 200;
    let service = serve(&[]);
    let before = service.descriptors();
    let silent = Silent::bind(own_address(), SILENT);
    let (address, ports) = (silent.address, silent.list());
    let ask = format!("/open-ports?domain={address}&ports={ports}&timeoutMs=30000&details=true");
    for (format, leave) in [
        ("ndjson", Leave::Close),
        ("ndjson", Leave::Abort),
        ("sse", Leave::Close),
        ("json", Leave::Close),
        ("json", Leave::Abort),
        // The server ends before it has read everything that was sent.
        ("ndjson", Leave::AskAndClose),
    ] {
        let mut connection = Connection::open(service.address);
        connection.request("GET", &format!("{ask}&format={format}"));
        wait_for("every probe to be in flight", || {
            (service.descriptors() > before + SILENT).then_some(())
        });
        match leave {
            Leave::Close => drop(connection),
            Leave::Abort => connection.abort(),
            Leave::AskAndClose => {
                connection.request("GET", "/livez");
                drop(connection);
            }
        }
        let left = Instant::now();
        wait_for("its descriptors to be free", || (service.descriptors() <= before).then_some(()));
        let took = left.elapsed();
        println!("{format}, {leave:?}: free after {took:?}");
        // The promise is a second, and a probe would wait for 30.
        assert!(took < Duration::from_secs(3), "{format}, {leave:?}: {took:?}");
    }
    assert_eq!(sample(&service, "open_ports_probes_in_flight"), 0.0);
}

#[derive(Clone, Copy, Debug)]
enum Leave {
    Close,
    Abort,
    AskAndClose,
}

fn a_stream_that_was_cut_has_no_end_record_and_no_last_chunk() {
    let mut service = serve(&["--grace", "1"]);
    let mixed = Mixed::bind("&format=ndjson");
    let mut stream = Streamed::open(service.address, &mixed.slow_query, &[]);
    assert!(stream.record().is_some());
    service.signal(Signal::TERM);
    let cut = loop {
        match stream.try_line() {
            Ok(line) => assert!(!line.expect("no end").contains("\"type\":\"end\"")),
            Err(error) => break error,
        }
    };
    assert!(cut.to_string().starts_with("cut off"), "{cut}");
    assert!(service.wait().success());
    service.wait_for_log("cutting some off");
}

fn a_reader_that_pauses_costs_no_memory_and_gets_everything_in_the_end() {
    const STALL: Duration = Duration::from_secs(10);
    // Every port of it is filtered, at once: each is a record.
    let route = ["route", "add", "prohibit", "192.0.2.1"];
    assert!(std::process::Command::new("ip").args(route).status().unwrap().success());
    let service = serve(&[]);
    let query = "/open-ports?domain=192.0.2.1&ports=all&details=true&format=ndjson";
    let rss = |service: &Service| service.status("VmRSS");
    let idle = rss(&service);
    let mut stream = Streamed::open_narrow(service.address, query);
    let mut records = vec![stream.record().unwrap()];
    wait_for("the scan to end", || {
        (sample(&service, "open_ports_scans_running") == 0.0).then_some(())
    });
    let (start, mut seen) = (Instant::now(), Vec::new());
    while start.elapsed() < STALL {
        seen.push(rss(&service));
        thread::sleep(Duration::from_millis(100));
    }
    let (least, most) = (seen.iter().min().unwrap(), seen.iter().max().unwrap());
    println!("idle {idle} kB, while nobody read {least} to {most} kB");
    assert!(most - least < 512, "from {least} to {most} kB while nobody read");
    // 65,535 findings of 8 bytes, once in the order found and once sorted.
    assert!(*most < idle + 8 * 1024, "{idle} kB before, {most} kB while nobody read");
    assert_eq!(
        sample(&service, "open_ports_scans_total{outcome=\"complete\"}"),
        0.0,
        "reported early"
    );

    records.extend(stream.records());
    println!("at the end {} kB", rss(&service));
    let told: BTreeSet<u64> =
        of_type(&records, "port").iter().map(|record| record["port"].as_u64().unwrap()).collect();
    assert_eq!((told.len(), of_type(&records, "port").len()), (65_535, 65_535));
    let report = &records.last().unwrap()["report"];
    assert_eq!(report["addresses"][0]["ports"].as_array().unwrap().len(), 65_535);
    assert_eq!(report["addresses"][0]["filtered_by"], json!({ "admin-prohibited": 65_535 }));
}

fn a_page_costs_a_connection_and_one_that_scans_costs_a_stream() {
    const TABS: usize = 50;
    let quotas = ["--max-scans", "64", "--max-scans-per-caller", "64"];
    let rss = |service: &Service| service.status("VmRSS");
    // What 50 streams take: of scans of all ports, which have an answer a second.
    let of_streams = |more: &str| {
        let service = serve(&quotas);
        let idle = rss(&service);
        let open = || {
            let address = own_address();
            let query =
                format!("/open-ports?domain={address}&ports=all&rate=1&format=ndjson{more}");
            Streamed::open(service.address, &query, &[])
        };
        let mut streams: Vec<Streamed> = (0..TABS).map(|_| open()).collect();
        let wanted = if more.is_empty() { "progress" } else { "states" };
        for stream in &mut streams {
            while stream.record().expect("a record")["type"] != wanted {}
        }
        assert_eq!(sample(&service, "open_ports_scans_running"), TABS as f64);
        rss(&service) - idle
    };
    let (plain, drawn) = (of_streams(""), of_streams("&states=true"));
    let service = serve(&quotas);
    // The first page is made, and its code read from the disk.
    get_with(service.address, "/", &[("Accept", "text/html")]);
    let idle = rss(&service);
    let mut tabs: Vec<Connection> = (0..TABS).map(|_| Connection::open(service.address)).collect();
    for tab in &mut tabs {
        // As browsers ask.
        let fields = [("Accept", "text/html"), ("Accept-Encoding", "gzip, deflate, br")];
        tab.send(request_head("GET", "/", &fields));
        assert_eq!(tab.reply_to_head().status, 200);
    }
    let pages = rss(&service) - idle;
    println!("{TABS} streams {plain} kB, with states {drawn} kB, {TABS} idle pages {pages} kB");
    // 24 KiB for the states of all ports, 6 KiB for what each fan-out found last, and the
    // record that is written.
    assert!(drawn <= plain + TABS as u64 * 64, "{plain} kB, with states {drawn} kB");
    // A connection each, and what the page took to be compressed once.
    assert!(pages <= TABS as u64 * 64 + 4096, "{pages} kB");
}

fn each_port_of_an_address_without_a_route_has_its_row() {
    const PORTS: usize = 3_000;
    const NO_ROUTE: &str = "open-ports: this machine has no route to 192.0.2.1\n\
                            open-ports: incomplete (no-route)\n";
    let service = serve(&[]);
    let query = format!("/open-ports?domain=192.0.2.1&ports=1-{PORTS}&details=true");
    let row = |port: usize| json!({ "port": port, "state": "filtered", "reason": "net-unreach" });
    let without_service = |row: &Value| {
        let mut row = row.clone();
        for member in ["service", "service_method", "type", "address"] {
            row.as_object_mut().unwrap().remove(member);
        }
        row
    };
    let wanted: Vec<Value> = (1..=PORTS).map(row).collect();
    let assert_rows = |rows: &[&Value]| {
        let told: Vec<Value> = rows.iter().map(|row| without_service(row)).collect();
        assert!(told == wanted, "{} rows, the first {:?}", told.len(), told.first());
    };
    let report = service.get(&query).report();
    let address = &report["addresses"][0];
    assert_eq!(address["filtered"], PORTS);
    assert_rows(&Vec::from_iter(address["ports"].as_array().unwrap()));

    let stream = Streamed::open(service.address, &format!("{query}&format=ndjson"), &[]);
    let records = stream.records();
    assert_rows(&of_type(&records, "port"));
    let end = &records.last().unwrap()["report"]["addresses"][0];
    assert_rows(&Vec::from_iter(end["ports"].as_array().unwrap()));

    // The number that fits into a pipe.
    let formats = [("csv", ",net-unreach"), ("ndjson", "net-unreach"), ("xml", "<port ")];
    for (format, of_a_row) in formats {
        let scan = ["scan", "192.0.2.1", "-p", "1-200", "--details", "--format", format];
        let ended = run(open_ports(&scan));
        assert_eq!(ended.status.code(), Some(4), "{ended:?}");
        assert_eq!(ended.stderr, NO_ROUTE);
        let rows = ended.stdout.lines().filter(|line| line.contains(of_a_row)).count();
        assert_eq!(rows, 200, "{format}: {}", ended.stdout);
    }
}
