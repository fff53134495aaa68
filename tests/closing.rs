//! Connections that end: because of the client, because there are too many, and
//! because the service is to stop. No accepted request is lost.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test tells what it measured, and fails where it cannot be set up"
)]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use support::ask::{Streamed, request_head, sample, serve};
use support::client::Connection;
use support::service::{Service, setting, with_descriptors, with_limit};
use support::targets::Silent;
use support::{DEADLINE, own_address, wait_for};

/// Sends a request, closes the sending side as `nc -N` does, and returns every byte
/// of the reply.
#[track_caller]
fn half_closing(service: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(service).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn a_half_closed_client_gets_its_reply() {
    let service = serve(&[]);
    let silent = Silent::bind(own_address(), 1);
    let (address, port) = (silent.address, silent.list());
    let scan = format!("/open-ports?domain={address}&ports={port}&timeoutMs=50");
    for (target, end) in [
        ("/livez", "ok\n"),
        (&scan, "}\n"),
        (&format!("{scan}&format=text"), "\r\n\r\n"),
        (&format!("{scan}&format=ndjson"), "}\n\r\n0\r\n\r\n"),
    ] {
        let reply = half_closing(service.address, &request_head("GET", target, &[]));
        // On a busy machine even a short scan takes long.
        let reply = reply.strip_prefix("HTTP/1.1 102 Processing\r\n\r\n").unwrap_or(&reply);
        assert!(reply.starts_with("HTTP/1.1 200 ") && reply.ends_with(end), "{target}: {reply:?}");
    }
    // Two requests, and an HTTP/1.0 client.
    let two = request_head("GET", &scan, &[]) + &request_head("GET", "/livez", &[]);
    let replies = half_closing(service.address, &two);
    assert_eq!(replies.matches("HTTP/1.1 200 ").count(), 2, "{replies:?}");
    let old = format!("GET {scan} HTTP/1.0\r\n\r\n");
    let reply = half_closing(service.address, &old);
    assert!(reply.starts_with("HTTP/1.0 200 ") && reply.ends_with("}\n"), "{reply:?}");
}

#[test]
fn a_half_closed_client_waits_for_a_long_scan_and_gets_interim_replies() {
    let service = serve(&[]);
    let silent = Silent::bind(own_address(), 1);
    let (address, port) = (silent.address, silent.list());
    let target = format!("/open-ports?domain={address}&ports={port}&timeoutMs=4000");
    let reply = half_closing(service.address, &request_head("GET", &target, &[]));
    let (interim, reply) = reply.split_once("\r\n\r\n").unwrap();
    assert_eq!(interim, "HTTP/1.1 102 Processing");
    assert!(reply.starts_with("HTTP/1.1 200 ") && reply.ends_with("}\n"), "{reply:?}");
    // No interim reply for a client whose sending side is open, nor for an HTTP/1.0
    // client, which would not understand it (RFC 9110, section 15.2).
    let mut connection = Connection::open(service.address);
    assert_eq!(connection.get(&target).report()["addresses"][0]["filtered"], 1);
    let reply = half_closing(service.address, &format!("GET {target} HTTP/1.0\r\n\r\n"));
    assert!(reply.starts_with("HTTP/1.0 200 ") && reply.ends_with("}\n"), "{reply:?}");
}

#[test]
fn half_closed_connections_hold_nothing_once_they_are_answered() {
    let service = serve(&[]);
    let before = service.descriptors();
    let held: Vec<TcpStream> = ["", "GET /livez HTT", &request_head("GET", "/livez", &[])]
        .into_iter()
        .map(|start| {
            let mut stream = TcpStream::connect(service.address).unwrap();
            stream.write_all(start.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            stream
        })
        .collect();
    for mut stream in held.iter() {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
    wait_for("their descriptors", || (service.descriptors() <= before).then_some(()));
}

#[test]
fn a_burst_with_few_free_connections_is_answered_completely() {
    // So few descriptors leave 12 connections; streams hold 9 of them.
    const BURST: usize = 20;
    const ROUNDS: usize = 10;
    let service = Service::spawn(with_descriptors(64));
    let silent = Silent::bind(own_address(), 1);
    let (address, port) = (silent.address, silent.list());
    let query = format!("/open-ports?domain={address}&ports={port}&timeoutMs=30000&format=sse");
    let streams: Vec<Streamed> =
        (0..9).map(|_| Streamed::open(service.address, &query, &[])).collect();
    for round in 0..ROUNDS {
        let mut clients: Vec<Connection> =
            (0..BURST).map(|_| Connection::open(service.address)).collect();
        // Some of them are accepted already, and the others wait for their slots.
        thread::sleep(Duration::from_millis(20));
        for client in &mut clients {
            client.request("GET", "/livez");
        }
        let replies = clients.into_iter().map(Connection::reply_or_end);
        let lost = replies.filter(|reply| reply.as_ref().is_none_or(|reply| reply.body != "ok\n"));
        assert_eq!(lost.count(), 0, "lost of {BURST} in round {round}");
    }
    drop(streams);
}

/// What a client saw that used one connection again and again.
#[derive(Debug, Default)]
struct Seen {
    answered: usize,
    told_to_close: usize,
    lost: usize,
}

/// Sends requests at intervals, on one connection as long as that lasts, until
/// nobody listens.
fn keep_asking(service: SocketAddr, pause: Duration, stopped: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    while let Ok(stream) = TcpStream::connect(service) {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        loop {
            thread::sleep(pause);
            // As HTTP clients do: a connection that was closed meanwhile is not used
            // again.
            stream.set_nonblocking(true).unwrap();
            let closed = !matches!(
                stream.peek(&mut [0]).map_err(|error| error.kind()),
                Err(ErrorKind::WouldBlock)
            );
            stream.set_nonblocking(false).unwrap();
            if closed {
                break;
            }
            match answer(&stream) {
                Some(head) => {
                    seen.answered += 1;
                    if head.contains("connection: close") {
                        assert!(stopped.load(Ordering::Relaxed), "closed too soon");
                        seen.told_to_close += 1;
                        break;
                    }
                }
                None => {
                    seen.lost += 1;
                    break;
                }
            }
        }
    }
    seen
}

/// Sends a request and reads the reply; `None` if there is none.
fn answer(mut stream: &TcpStream) -> Option<String> {
    stream.write_all(request_head("GET", "/livez", &[]).as_bytes()).ok()?;
    let mut reply = Vec::new();
    while !reply.ends_with(b"ok\n") {
        let mut bytes = [0; 1024];
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return None,
            Ok(count) => reply.extend_from_slice(&bytes[..count]),
        }
    }
    Some(String::from_utf8(reply).unwrap())
}

#[test]
fn keep_alive_clients_lose_no_request_when_the_service_stops() {
    for (signal, drain_delay) in [(Signal::TERM, "0"), (Signal::TERM, "1"), (Signal::HUP, "1")] {
        let mut service = serve(&["--drain-delay", drain_delay]);
        let (address, stopped) = (service.address, AtomicBool::new(false));
        let seen: Vec<Seen> = thread::scope(|scope| {
            let stopped = &stopped;
            // Some of them never pause, so that a request is always in flight.
            let clients: Vec<_> = (0..8)
                .map(|client| {
                    let pause = Duration::from_millis(10 * (client % 4));
                    scope.spawn(move || keep_asking(address, pause, stopped))
                })
                .collect();
            thread::sleep(Duration::from_millis(300));
            stopped.store(true, Ordering::Relaxed);
            service.signal(signal);
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        assert_eq!(service.wait().code(), Some(0), "{:?}", service.log());
        let sum = |count: fn(&Seen) -> usize| seen.iter().map(count).sum::<usize>();
        println!(
            "drain delay {drain_delay}: {} answered, {} lost",
            sum(|s| s.answered),
            sum(|s| s.lost)
        );
        assert_eq!(sum(|seen| seen.lost), 0, "drain delay {drain_delay}: {seen:?}");
        assert!(seen.iter().any(|seen| seen.told_to_close > 0), "{seen:?}");
    }
}

#[test]
fn an_idle_connection_may_send_one_more_request_after_the_signal() {
    for drain_delay in ["0", "60"] {
        let mut service = serve(&["--drain-delay", drain_delay, "--grace", "60"]);
        let mut idle = Connection::open(service.address);
        assert_eq!(idle.get("/livez").header("connection"), None);
        let mut unused = Connection::open(service.address);
        service.signal(Signal::TERM);
        service.wait_for_log("stopping");
        for connection in [&mut idle, &mut unused] {
            // The service logs the signal a moment before it acts on it.
            while connection.get("/readyz").header("connection") != Some("close") {}
            assert_eq!(connection.rest(), b"");
        }
        if drain_delay == "0" {
            assert_eq!(service.wait().code(), Some(0), "{:?}", service.log());
        } else {
            // New clients are accepted, for one request each.
            let mut late = Connection::open(service.address);
            let reply = late.get("/readyz");
            assert_eq!((reply.status, reply.header("connection")), (503, Some("close")));
            assert_eq!(late.rest(), b"");
        }
    }
}

#[test]
fn connections_that_wait_to_be_accepted_are_answered_before_the_listener_closes() {
    let mut service = serve(&[]);
    // The stopped process sees the signal and the requests once it continues.
    service.signal(Signal::STOP);
    let mut waiting: Vec<Connection> = (0..50)
        .map(|_| {
            let mut connection = Connection::open(service.address);
            connection.request("GET", "/livez");
            connection
        })
        .collect();
    service.signal(Signal::TERM);
    service.signal(Signal::CONT);
    for connection in &mut waiting {
        assert_eq!(connection.reply().body, "ok\n");
    }
    assert_eq!(service.wait().code(), Some(0), "{:?}", service.log());
}

#[test]
fn new_clients_are_answered_or_refused_until_the_end() {
    for _ in 0..5 {
        let mut service = serve(&[]);
        let address = service.address;
        let lost: usize = thread::scope(|scope| {
            let clients: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(move || {
                        let mut lost = 0;
                        while let Ok(stream) = TcpStream::connect(address) {
                            stream.set_read_timeout(Some(DEADLINE)).unwrap();
                            lost += usize::from(answer(&stream).is_none());
                        }
                        lost
                    })
                })
                .collect();
            thread::sleep(Duration::from_millis(100));
            service.signal(Signal::TERM);
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        });
        assert_eq!(lost, 0, "connected, but not answered");
        assert_eq!(service.wait().code(), Some(0), "{:?}", service.log());
    }
}

#[test]
fn a_terminal_that_closes_does_not_cut_running_scans() {
    let mut service = serve(&[]);
    let silent = Silent::bind(own_address(), 5);
    let (address, ports) = (silent.address, silent.list());
    let target = format!("/open-ports?domain={address}&ports={ports}&timeoutMs=1500");
    let mut connection = Connection::open(service.address);
    connection.request("GET", &target);
    wait_for("the scan to run", || {
        (sample(&service, "open_ports_scans_running") == 1.0).then_some(())
    });
    service.signal(Signal::HUP);
    let line = service.wait_for_log("stopping");
    assert_eq!(setting(&line, "signal").as_deref(), Some("1"), "{line}");
    assert_eq!(connection.reply().report()["addresses"][0]["filtered"], 5);
    assert_eq!(service.wait().code(), Some(0), "{:?}", service.log());
}

#[test]
fn a_service_started_with_nohup_outlives_its_terminal() {
    let mut service = Service::spawn(with_limit("trap '' HUP"));
    service.signal(Signal::HUP);
    service.signal(Signal::TERM);
    let line = service.wait_for_log("stopping");
    assert_eq!(setting(&line, "signal").as_deref(), Some("15"), "{line}");
    assert_eq!(service.wait().code(), Some(0), "{:?}", service.log());
}
