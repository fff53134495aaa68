//! Lines of a log that nobody reads, or that cannot be written, are lost and
//! counted. The service goes on.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, PipeReader, pipe};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::ask::sample_of;
use support::client::get;
use support::service::{on_any_port, open_ports, setting};
use support::{full_pipe, wait_for};

const DROPPED: &str = "open_ports_log_lines_dropped_total";

#[test]
fn lines_of_a_full_log_are_lost_and_counted_and_scans_go_on() {
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let service = Logging::to(full());
    let address = service.listener();
    for _ in 0..20 {
        assert_eq!(get(address, &query("1")).status, 200);
    }
    assert!(sample_of(&get(address, "/metrics").body, DROPPED) >= 20.0);
    assert_eq!(service.stopped().code(), Some(0));
}

#[test]
fn lines_of_a_log_without_a_reader_are_lost_and_counted_and_scans_go_on() {
    let (reader, writer) = pipe().unwrap();
    let service = Logging::to(writer);
    let (address, reader) = first_line(reader);
    drop(reader);
    for _ in 0..20 {
        assert_eq!(get(address, &query("1")).status, 200);
    }
    assert!(sample_of(&get(address, "/metrics").body, DROPPED) >= 20.0);
    assert_eq!(service.stopped().code(), Some(0));
}

#[test]
fn a_log_that_is_not_read_delays_nothing_and_what_is_read_later_is_complete() {
    let (reader, writer) = pipe().unwrap();
    let service = Logging::to(writer);
    let (address, reader) = first_line(reader);
    // Lines of some 8 KB: far more than the pipe and the queue hold.
    let odd: Vec<String> = (0..1300).map(|number| (2 * number + 1).to_string()).collect();
    let long = query(&odd.join(","));
    let asked = 400;
    for _ in 0..asked {
        assert_eq!(get(address, &long).status, 200);
        assert_eq!(get(address, "/livez").status, 200);
    }
    let dropped = sample_of(&get(address, "/metrics").body, DROPPED);
    assert!(dropped > 0.0 && dropped < f64::from(asked), "{dropped}");
    assert_eq!(service.stopped().code(), Some(0));
    let mut lines = reader.lines().map(Result::unwrap).peekable();
    let mut whole = 0;
    while let Some(line) = lines.next() {
        match serde_json::from_str::<Value>(&line) {
            Ok(_) => whole += 1,
            // The process ended in the middle of the last line.
            Err(error) => assert!(lines.peek().is_none(), "{error}: {line}"),
        }
    }
    assert!(whole > 0, "a pipe holds some lines");
}

#[test]
fn a_failed_start_ends_although_nobody_reads_the_reason() {
    let (_reader, writer) = full_pipe();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let service = Logging::of(open_ports(&["--listen", &listen]), writer);
    assert_eq!(service.wait().code(), Some(1));
}

/// A service, and the destination of its log.
struct Logging(Option<Child>);

impl Logging {
    fn to(log: impl Into<Stdio>) -> Self {
        Self::of(on_any_port(), log)
    }

    fn of(mut command: Command, log: impl Into<Stdio>) -> Self {
        Self(Some(command.stdin(Stdio::null()).stderr(log).spawn().unwrap()))
    }

    /// The address it listens on, from the kernel.
    fn listener(&self) -> SocketAddr {
        let folder = format!("/proc/{}", self.0.as_ref().unwrap().id());
        wait_for("the service to listen", || {
            let descriptors = fs::read_dir(format!("{folder}/fd")).unwrap();
            let links = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
            let links: Vec<String> = links.map(|link| link.display().to_string()).collect();
            let sockets = fs::read_to_string(format!("{folder}/net/tcp")).unwrap();
            sockets.lines().skip(1).find_map(|line| {
                let columns: Vec<&str> = line.split_whitespace().collect();
                // The state 0A is LISTEN, proc_net_tcp.
                let own = links.contains(&format!("socket:[{}]", columns[9]));
                let (_, port) = columns[1].split_once(':')?;
                let port = u16::from_str_radix(port, 16).unwrap();
                (own && columns[3] == "0A").then(|| SocketAddr::from(([127, 0, 0, 1], port)))
            })
        })
    }

    /// Sends SIGTERM and waits for the end.
    fn stopped(self) -> ExitStatus {
        kill_process(Pid::from_child(self.0.as_ref().unwrap()), Signal::TERM).unwrap();
        self.wait()
    }

    fn wait(mut self) -> ExitStatus {
        let mut child = self.0.take().unwrap();
        wait_for("the service to end", || child.try_wait().unwrap())
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A request that is logged and probes nothing.
fn query(ports: &str) -> String {
    format!("/open-ports?domain=127.0.0.1&explain=true&ports={ports}")
}

/// Reads the line with the address, and nothing after it.
fn first_line(reader: PipeReader) -> (SocketAddr, BufReader<PipeReader>) {
    // Byte by byte, so that the rest stays in the pipe.
    let mut reader = BufReader::with_capacity(1, reader);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let address = setting(&line, "listen").unwrap().parse().unwrap();
    (address, BufReader::new(reader.into_inner()))
}
