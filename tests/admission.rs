//! The limits on scans: how many at once, how fast, and for how long.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::ask::{
    Streamed, audit_lines, get_with, sample, serve, serving, wait_for_sockets_closed,
};
use support::client::{Connection, Reply};
use support::service::Service;
use support::targets::{Listeners, Silent};
use support::{own_address, wait_for};

/// A scan that runs until its caller leaves, of an address of its own.
struct LongScan {
    silent: Silent,
    connection: Connection,
}

impl LongScan {
    #[track_caller]
    fn start(service: &Service, more: &str) -> Self {
        let silent = Silent::bind(own_address(), 1);
        let mut connection = Connection::open(service.address);
        let before = sample(service, "open_ports_scans_running");
        connection.request("GET", &silent_query(&silent, 30_000, more));
        wait_for("the scan to run", || {
            (sample(service, "open_ports_scans_running") > before).then_some(())
        });
        Self { silent, connection }
    }
}

fn silent_query(silent: &Silent, timeout_ms: u32, more: &str) -> String {
    let (address, port) = (silent.address, silent.list());
    format!("/open-ports?domain={address}&ports={port}&timeoutMs={timeout_ms}{more}")
}

/// Seconds, at least one.
#[track_caller]
fn retry_after(reply: &Reply) -> u64 {
    let seconds = reply.header("retry-after").expect("Retry-After").parse().unwrap();
    assert!(seconds >= 1, "{reply:?}");
    seconds
}

#[track_caller]
fn assert_not_admitted(reply: &Reply, status: u16, kind: &str) -> u64 {
    let problem = reply.problem(status);
    assert_eq!(problem["type"], format!("urn:open-ports:problem:{kind}"));
    retry_after(reply)
}

#[test]
fn identical_scans_at_the_same_time_probe_once_and_share_the_outcome() {
    let service = serve(&[]);
    let listener = Listeners::bind(own_address(), 1);
    let address = listener.address;
    let ports = format!("1-40,{}", listener.list());
    let query = format!("/open-ports?domain={address}&ports={ports}&rate=20&details=true");
    let open = || sample(&service, "open_ports_ports_total{state=\"open\"}");
    let running = || sample(&service, "open_ports_scans_running");

    service.get(&query).report();
    // An accepted connection may be counted a moment after it was made.
    let alone = wait_for("a probe", || Some(listener.probed()).filter(|&count| count > 0));
    assert_eq!(open(), 1.0);

    // The same by another spelling of the address.
    let spelled = query.replacen(&address.to_string(), &format!("::ffff:{address}"), 1);
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| service.get(&query));
        wait_for("the first scan to run", || (running() == 1.0).then_some(()));
        let second = scope.spawn(|| service.get(&spelled));
        wait_for("both scans to end", || {
            (first.is_finished() && second.is_finished()).then_some(())
        });
        (first.join().unwrap(), second.join().unwrap())
    });
    assert_eq!(open(), 2.0, "one more port was found open, not two");
    let connections = wait_for("one more scan's connections", || {
        Some(listener.probed()).filter(|&count| count >= 2 * alone)
    });
    assert_eq!(connections, 2 * alone);
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    let (first, second) = (first.report(), second.report());
    assert_eq!(first["addresses"], second["addresses"]);
    assert_eq!(first["elapsed_ms"], second["elapsed_ms"]);
    let lines =
        wait_for("three audit lines", || Some(audit_lines(&service)).filter(|l| l.len() == 3));
    assert!(lines.iter().all(|line| line["outcome"] == "complete" && line["open"] == 1));
}

#[test]
fn a_shared_scan_runs_until_its_last_caller_leaves() {
    let service = serve(&[]);
    let first = LongScan::start(&service, "");
    let mut second = Connection::open(service.address);
    second.request("GET", &silent_query(&first.silent, 30_000, ""));
    let requests = || sample(&service, "open_ports_scans_total{outcome=\"cancelled\"}");
    // A third, to know that the second was taken up before the first left.
    let third =
        Streamed::open(service.address, &silent_query(&first.silent, 30_000, "&format=sse"), &[]);
    drop(first.connection);
    wait_for("the first to be given up", || (requests() == 1.0).then_some(()));
    assert_eq!(sample(&service, "open_ports_scans_running"), 1.0);
    drop(third);
    wait_for("the third to be given up", || (requests() == 2.0).then_some(()));
    assert_eq!(sample(&service, "open_ports_scans_running"), 1.0);
    drop(second);
    wait_for("the scan to stop", || {
        (sample(&service, "open_ports_scans_running") == 0.0).then_some(())
    });
    wait_for_sockets_closed(&service);
}

#[test]
fn the_limit_of_a_caller_is_a_429_and_the_limit_of_the_service_a_503() {
    for (flag, value, status, kind) in
        [("--max-scans-per-caller", "2", 429, "quota-used-up"), ("--max-scans", "2", 503, "full")]
    {
        let service = serve(&[flag, value]);
        let held = [LongScan::start(&service, ""), LongScan::start(&service, "")];
        let silent = Silent::bind(own_address(), 1);
        let further = || service.get(&silent_query(&silent, 50, ""));
        let refused = further();
        assert_not_admitted(&refused, status, kind);
        // A stream is refused as plainly.
        let stream = [("Accept", "application/x-ndjson")];
        let query = silent_query(&silent, 50, "");
        assert_not_admitted(&get_with(service.address, &query, &stream), status, kind);
        // Joining a scan does not add to those of the service.
        let same = silent_query(&held[0].silent, 30_000, "&format=sse");
        let other: IpAddr = "127.0.0.9".parse().unwrap();
        let sharing = Streamed::open_narrow_from(other, service.address, &same);
        assert_eq!(sharing.reply().status, 200, "{}", sharing.head);
        drop(sharing);
        drop(held);
        wait_for("room", || (further().status == 200).then_some(()));
    }
}

#[test]
fn an_address_has_one_scan_at_a_time_unless_configured_otherwise() {
    let one = serve(&[]);
    let mut command = serving(&[]);
    command.env("OPEN_PORTS_MAX_SCANS_PER_TARGET", "2");
    let two = Service::spawn(command);
    for (service, status) in [(&one, 503), (&two, 200)] {
        let long = LongScan::start(service, "");
        let address = long.silent.address;
        let other = format!("/open-ports?domain={address}&ports=1");
        let reply = service.get(&other);
        assert_eq!(reply.status, status, "{reply:?}");
        if status == 503 {
            assert_not_admitted(&reply, 503, "target-busy");
            assert!(reply.body.contains(&address.to_string()), "{reply:?}");
        }
        // An explanation probes nothing, and so does not count.
        service.get(&format!("{other}&explain=true")).report();
        service.get(&format!("/open-ports?domain={}&ports=1", own_address())).report();
    }
}

#[test]
fn a_client_that_obeys_retry_after_gets_in() {
    let service = serve(&["--max-scans", "1"]);
    let address = own_address();
    let other = format!("/open-ports?domain={}&ports=1", own_address());
    let mut slow = Connection::open(service.address);
    // 45 probes, 15 a second.
    slow.request("GET", &format!("/open-ports?domain={address}&ports=1-45&rate=15"));
    wait_for("a third of the scan", || {
        (sample(&service, "open_ports_ports_total{state=\"closed\"}") >= 15.0).then_some(())
    });
    let first = assert_not_admitted(&service.get(&other), 503, "full");
    // Two seconds are left, and the clock may have gone on.
    assert!((1..=3).contains(&first), "{first}");
    // It is an estimate: a client that obeys it gets in after a few attempts.
    let mut wait = first;
    let admitted = (0..3).any(|_| {
        thread::sleep(Duration::from_secs(wait));
        let reply = service.get(&other);
        wait = if reply.status == 200 { 0 } else { assert_not_admitted(&reply, 503, "full") };
        reply.status == 200
    });
    assert!(admitted, "still refused, for {wait} s more");
}

#[test]
fn retry_after_is_no_later_than_the_deadline_of_the_running_scan() {
    let service = serve(&["--max-scans", "1"]);
    let _long = LongScan::start(&service, "&deadlineMs=20000");
    let silent = Silent::bind(own_address(), 1);
    let seconds = assert_not_admitted(&service.get(&silent_query(&silent, 50, "")), 503, "full");
    assert!((2..=20).contains(&seconds), "{seconds}");
}

#[test]
fn each_request_that_shares_a_scan_keeps_its_own_deadline() {
    let service = serve(&[]);
    let address = own_address();
    // 160 closed ports, 20 a second: eight seconds.
    let query = |deadline: u32, format: &str| {
        let ports = "fromPort=1&toPort=160&rate=20";
        format!("/open-ports?domain={address}&{ports}&deadlineMs={deadline}&format={format}")
    };
    let running = || sample(&service, "open_ports_scans_running");
    thread::scope(|scope| {
        let first = scope.spawn(|| service.get(&query(1_500, "json")).report());
        wait_for("the first to start", || (running() == 1.0).then_some(()));
        let whole = scope.spawn(|| service.get(&query(120_000, "json")).report());
        let brief = Streamed::open(service.address, &query(1_600, "ndjson"), &[]).records();
        let end = brief.last().unwrap()["report"].clone();
        for report in [first.join().unwrap(), end] {
            assert_eq!(report["reason"], "deadline", "{report}");
            let (not_scanned, all) = accounted(&report);
            assert!(not_scanned > 0 && all == 160, "{report}");
        }
        let whole = whole.join().unwrap();
        assert_eq!(whole["complete"], true, "{whole}");
        assert_eq!(accounted(&whole), (0, 160), "{whole}");
    });
}

/// Counts of the one address of a report, and their sum.
fn accounted(report: &Value) -> (u64, u64) {
    let address = &report["addresses"][0];
    let count = |name: &str| address[name].as_u64().unwrap();
    let open = address["open_ports"].as_array().unwrap().len() as u64;
    let not_scanned = count("not_scanned");
    (not_scanned, open + count("closed") + count("filtered") + not_scanned)
}

#[test]
fn a_scan_cut_short_by_its_deadline_is_a_200_that_says_so() {
    let service = serve(&[]);
    let query = |format: &str| {
        let address = own_address();
        let slow = "toPort=1000&rate=40&deadlineMs=500";
        format!("/open-ports?domain={address}&{slow}&format={format}")
    };
    let asked = Instant::now();
    let reply = service.get(&query("json"));
    assert_eq!(reply.header("open-ports-complete"), Some("false"));
    assert_eq!(reply.header("open-ports-reason"), Some("deadline"));
    let mut reports = vec![(reply.report(), asked.elapsed())];

    let asked = Instant::now();
    let records = Streamed::open(service.address, &query("ndjson"), &[]).records();
    reports.push((records.last().unwrap()["report"].clone(), asked.elapsed()));
    for (report, took) in reports {
        assert_eq!((&report["complete"], &report["reason"]), (&json!(false), &json!("deadline")));
        let (not_scanned, all) = accounted(&report);
        assert_eq!(all, 1000, "{report}");
        // The rate allows 20 probes in 500 ms, however busy the machine is.
        assert!((900..1000).contains(&not_scanned), "{report}");
        // The deadline is that of the request: the scan starts a little after it.
        let elapsed = Duration::from_secs_f64(report["elapsed_ms"].as_f64().unwrap() / 1e3);
        assert!(took >= Duration::from_millis(500), "{took:?}");
        assert!(elapsed <= took && elapsed < Duration::from_secs(5), "{elapsed:?} of {took:?}");
    }
    // Without open ports, the text has no lines.
    let mut connection = Connection::open(service.address);
    connection.request("GET", &query("text"));
    let text = connection.reply_to_head();
    assert_eq!((text.status, text.header("content-length")), (200, Some("0")));
    assert_eq!(text.header("open-ports-complete"), Some("false"));
    assert_eq!(text.header("open-ports-reason"), Some("deadline"));

    let lines =
        wait_for("three audit lines", || Some(audit_lines(&service)).filter(|l| l.len() == 3));
    for line in lines {
        assert_eq!(line["outcome"], "incomplete");
        assert!(line["not_scanned"].as_u64().unwrap() >= 900, "{line}");
    }
    // A complete scan says so too.
    let whole = service.get(&format!("/open-ports?domain={}&toPort=9", own_address()));
    assert_eq!(whole.header("open-ports-complete"), Some("true"));
    assert_eq!(whole.header("open-ports-reason"), None);
    let report = whole.report();
    assert_eq!((&report["complete"], report.get("reason")), (&json!(true), None));
}

#[test]
fn the_ceilings_of_the_operator_hold_for_every_request() {
    let mut command = serving(&["--max-scan-rate", "40"]);
    command.env("OPEN_PORTS_MAX_DEADLINE", "1").env("OPEN_PORTS_MAX_SCANS_PER_CALLER", "1");
    let service = Service::spawn(command);
    let query = format!("/open-ports?domain={}&toPort=400", own_address());
    let problem = service.get(&format!("{query}&rate=41&deadlineMs=1001")).problem(400);
    assert_eq!(
        problem["errors"],
        json!({
            "rate": ["must be 1 to 40 probes per second"],
            "deadlineMs": ["must be 100 to 1000 ms"],
        })
    );
    // They also hold for a request that does not mention them.
    let report = service.get(&query).report();
    assert_eq!(report["reason"], "deadline");
    let (not_scanned, _) = accounted(&report);
    assert!((300..400).contains(&not_scanned), "{report}");
    let _long = LongScan::start(&service, "");
    assert_not_admitted(&service.get(&query), 429, "quota-used-up");
}

#[test]
fn probes_start_no_faster_than_the_rate() {
    const PORTS: usize = 60;
    const RATE: f64 = 40.0;
    let service = serve(&[]);
    let listeners = Listeners::bind(own_address(), PORTS);
    let (address, ports) = (listeners.address, listeners.list());
    let query = format!("/open-ports?domain={address}&ports={ports}&rate=40");
    let start = Instant::now();
    let report = thread::scope(|scope| {
        let reply = scope.spawn(|| service.get(&query));
        while !reply.is_finished() {
            // Counted before the clock is read, which allows more. An open local port
            // may be probed twice.
            let accepted = listeners.probed() as f64;
            let most = 2.0 * (RATE * start.elapsed().as_secs_f64() * 1.1 + 2.0);
            assert!(accepted <= most, "{accepted} connections where {most} are allowed");
            thread::sleep(Duration::from_millis(10));
        }
        reply.join().unwrap().report()
    });
    assert_eq!(report["open_ports"], json!(listeners.ports));
    let seconds = report["elapsed_ms"].as_f64().unwrap() / 1000.0;
    let least = PORTS as f64 / RATE;
    assert!(seconds >= 0.9 * least && seconds <= 10.0 * least, "{seconds} s for {least} s");
}

#[test]
fn all_scans_together_keep_to_the_rate_limit_of_the_service() {
    let service = serve(&["--max-rate", "40"]);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                service.get(&format!("/open-ports?domain={}&toPort=20", own_address())).report()
            });
        }
    });
    let (seconds, least) = (start.elapsed().as_secs_f64(), 60.0 / 40.0);
    assert!(seconds >= 0.9 * least && seconds <= 10.0 * least, "{seconds} s for {least} s");
}
