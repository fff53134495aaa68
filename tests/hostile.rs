//! Hostile and broken clients: health checks are answered all the same, and the
//! service gets back the descriptors and the memory that they took.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test tells what it measured"
)]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use open_ports::limits;

use support::ask::{Streamed, request_head, sample, serve, wait_for_sockets_closed};
use support::client::{Connection, get};
use support::service::{Service, with_descriptors};
use support::targets::Silent;
use support::{own_address, wait_for};

/// How long health checks took.
struct Latencies(Vec<Duration>);

impl Latencies {
    /// Asks `/livez` again and again, on a new connection each, for as long as
    /// `going_on` says.
    #[track_caller]
    fn of_livez(service: SocketAddr, mut going_on: impl FnMut() -> bool) -> Self {
        let mut latencies = Vec::new();
        while going_on() {
            let start = Instant::now();
            assert_eq!(get(service, "/livez").body, "ok\n");
            latencies.push(start.elapsed());
            thread::sleep(Duration::from_millis(5));
        }
        latencies.sort_unstable();
        Self(latencies)
    }

    /// Prints them. The promise is a tenth of a second. This test runs beside others
    /// and unoptimized, and so allows ten times that.
    #[track_caller]
    fn assert_short(&self, when: &str) {
        let Self(sorted) = self;
        let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
        let (median, p99, most) = (at(0.5), at(0.99), at(1.0));
        println!(
            "{when}: {} times /livez, median {median:?}, p99 {p99:?}, most {most:?}",
            sorted.len()
        );
        assert!(p99 < Duration::from_secs(1), "p99 of /livez {when}: {p99:?}");
    }
}

/// The descriptors and the memory that a service holds.
#[derive(Debug)]
struct Holdings {
    descriptors: usize,
    rss_kb: u64,
}

impl Holdings {
    fn of(service: &Service) -> Self {
        Self { descriptors: service.descriptors(), rss_kb: service.status("VmRSS") }
    }

    /// Waits until the service holds as few descriptors again, and about as much
    /// memory.
    #[track_caller]
    fn assert_back(&self, service: &Service, slack_kb: u64) -> Self {
        wait_for("descriptors to come back", || {
            (service.descriptors() <= self.descriptors).then_some(())
        });
        let Self { descriptors, rss_kb } = *self;
        let now = Self { descriptors, rss_kb: service.status("VmRSS") };
        println!("{self:?} before, {now:?} after");
        assert!(now.rss_kb <= rss_kb + slack_kb, "{self:?} before, {now:?} after");
        now
    }
}

/// A fraction of what a service has at rest.
const SLACK_KB: u64 = 2048;

/// The memory of so many connections, each in the middle of a request.
const CONNECTIONS_KB: u64 = limits::MAX_CONNECTIONS as u64 * 40;

#[test]
fn two_thousand_connections_at_once_lock_nobody_out() {
    let _ = open_ports::machine::descriptors::raise_descriptor_limit();
    let service = serve(&[]);
    let storm = || {
        let mut connections = Vec::new();
        for turn in 0..2000 {
            let mut stream = TcpStream::connect(service.address).unwrap();
            let start: &[u8] = match turn % 4 {
                0 => b"",
                1 => b"GET /open-po",
                2 => b"GET /livez HTTP/1.1\r\nX-Half: ",
                _ => b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
            };
            // It may be closed again already.
            let _ = stream.write_all(start);
            connections.push(stream);
        }
        let mut turns = 0..200;
        Latencies::of_livez(service.address, || turns.next().is_some())
            .assert_short("beside 2,000 connections");
        assert!(service.descriptors() < 1000, "no cap on connections");
    };
    let mut before = Holdings::of(&service);
    // An allocator keeps what it once had; from storm to storm it must not grow.
    for slack_kb in [CONNECTIONS_KB, SLACK_KB + CONNECTIONS_KB / 2, SLACK_KB] {
        storm();
        before = before.assert_back(&service, slack_kb);
    }
}

#[test]
fn a_storm_while_scans_hold_every_descriptor_delays_no_health_check() {
    const SILENT: usize = 200;
    let service = Service::spawn(with_descriptors(256));
    let address = service.address;
    let silent: Vec<Silent> = (0..3).map(|_| Silent::bind(own_address(), SILENT)).collect();
    let storm = || {
        let scans: Vec<Streamed> = silent
            .iter()
            .map(|silent| {
                let (host, ports) = (silent.address, silent.list());
                let query = format!("/open-ports?domain={host}&ports={ports}&timeoutMs=30000");
                Streamed::open(address, &query, &[("Accept", "text/event-stream")])
            })
            .collect();
        let budget = sample(&service, "open_ports_descriptors_budgeted");
        wait_for("every descriptor to be in use", || {
            (sample(&service, "open_ports_descriptors_used") == budget).then_some(())
        });
        let (stop, made) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            for kind in 0..3 {
                let (stop, made) = (&stop, &made);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        made.fetch_add(hostile_connection(address, kind), Ordering::Relaxed);
                    }
                });
            }
            let (start, stopping) = (Instant::now(), Stop(&stop));
            let latencies =
                Latencies::of_livez(address, || start.elapsed() < Duration::from_secs(3));
            drop(stopping);
            let when = format!("beside {} connections of a storm", made.load(Ordering::Relaxed));
            latencies.assert_short(&when);
        });
        assert_eq!(sample(&service, "open_ports_scans_running"), 3.0, "the scans went on");
        drop(scans);
    };
    let mut before = Holdings::of(&service);
    for slack_kb in [CONNECTIONS_KB, SLACK_KB] {
        storm();
        before = before.assert_back(&service, slack_kb);
    }
    wait_for_sockets_closed(&service);
}

/// Ends the threads that watch it, even if the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Connects and misbehaves; returns the number of connections.
fn hostile_connection(service: SocketAddr, kind: usize) -> usize {
    let Ok(mut stream) = TcpStream::connect(service) else { return 0 };
    let _ = match kind {
        0 => Ok(()),
        1 => stream.write_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n"),
        _ => stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    };
    1
}

#[test]
fn a_client_that_sends_a_byte_now_and_then_is_closed() {
    let service = serve(&[]);
    let mut stream = TcpStream::connect(service.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let start = Instant::now();
    let head = request_head("GET", "/livez", &[("X-Slow", &"a".repeat(10_000))]);
    for byte in head.bytes() {
        let gone = stream.write_all(&[byte]).is_err();
        let closed = match stream.read(&mut [0; 1024]) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        if gone || closed {
            break;
        }
        assert!(start.elapsed() < 10 * limits::HEADER_READ_TIMEOUT, "still connected");
    }
    assert!(start.elapsed() >= limits::HEADER_READ_TIMEOUT, "{:?}", start.elapsed());
}

#[test]
fn a_thousand_pipelined_requests_are_answered_in_order() {
    let service = serve(&[]);
    let mut connection = Connection::open(service.address);
    let targets = ["/livez", "/nowhere", "/openapi.json", "/open-ports"];
    let statuses = [200, 404, 200, 400];
    let requests: String = targets.iter().map(|target| request_head("GET", target, &[])).collect();
    connection.send(requests.repeat(250));
    for turn in 0..1000 {
        assert_eq!(connection.reply().status, statuses[turn % 4], "reply {turn}");
    }
}

#[test]
fn a_client_that_sends_requests_and_never_reads_is_no_longer_read() {
    let service = serve(&[]);
    let before = service.status("VmRSS");
    let mut stream = TcpStream::connect(service.address).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let requests = request_head("GET", "/metrics", &[]).repeat(100);
    let mut sent = 0;
    // A write that blocks for a second means that the service does not read.
    while stream.write_all(requests.as_bytes()).is_ok() {
        sent += requests.len();
        assert!(sent < 1 << 30, "the service reads without end");
    }
    let after = service.status("VmRSS");
    println!("{sent} bytes were taken; {before} kB before, {after} kB after");
    assert!(after < before + SLACK_KB, "{before} kB before, {after} kB after");
    assert_eq!(service.get("/livez").status, 200);
}

#[test]
fn heads_that_are_too_large_are_refused_with_a_problem() {
    let service = serve(&[]);
    let long = "a".repeat(limits::MAX_HEAD_BYTES);
    let many: Vec<String> = (0..200).map(|turn| format!("X-{turn}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "a")).collect();
    let half: Vec<(&str, &str)> = vec![("X-Long", &long[..limits::MAX_HEAD_BYTES / 2])];
    for (head, status) in [
        (request_head("GET", "/livez", &[("X-Long", &long)]), 431),
        (request_head("GET", "/livez", &[(&long, "a")]), 431),
        (request_head("GET", "/livez", &many), 431),
        (request_head("GET", &format!("/livez?{}", &long[..limits::MAX_TARGET_BYTES]), &[]), 414),
        (request_head("GET", "/livez", &half), 200),
    ] {
        let mut connection = Connection::open(service.address);
        connection.send(&head);
        let reply = connection.reply();
        match status {
            200 => assert_eq!(reply.status, 200, "{reply:?}"),
            _ => drop(reply.problem(status)),
        }
    }
    // A head without an end: the service reads up to its limit, and refuses it.
    let mut stream = TcpStream::connect(service.address).unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nX-Endless: ").unwrap();
    while stream.write_all(long.as_bytes()).is_ok() {}
    assert_eq!(service.get("/livez").status, 200);
}

#[test]
fn streams_leave_connections_to_others() {
    // So few descriptors leave 12 connections, 9 of them for scans.
    let service = Service::spawn(with_descriptors(64));
    let silent = Silent::bind(own_address(), 1);
    let (address, port) = (silent.address, silent.list());
    let query = format!("/open-ports?domain={address}&ports={port}&timeoutMs=30000&format=sse");
    // All of them share one scan, and no caller may have all connections.
    let callers = ["127.0.0.2", "127.0.0.3"].map(|address| address.parse().unwrap());
    let streams: Vec<Streamed> = (0..9)
        .map(|count| {
            let stream = Streamed::open_narrow_from(callers[count % 2], service.address, &query);
            assert_eq!(stream.reply().status, 200, "{}", stream.head);
            stream
        })
        .collect();
    for _ in 0..20 {
        let refused = service.get(&query);
        assert_eq!(refused.problem(503)["type"], "urn:open-ports:problem:full");
        assert!(refused.header("retry-after").is_some());
        assert_eq!(service.get("/livez").status, 200);
    }
    drop(streams);
    wait_for("room", || {
        (Streamed::open(service.address, &query, &[]).reply().status == 200).then_some(())
    });
}
