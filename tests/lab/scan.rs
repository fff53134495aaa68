//! One scan by the real program on the lab's scanner. Only this file knows the
//! program's arguments and its replies.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::hosts::Hosts;
use super::scenario::{Scenario, Way};

/// The program's report, and how long it took.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) report: Report,
    pub(crate) elapsed: Duration,
}

/// What the command reports.
#[derive(Debug, Deserialize)]
struct Whole {
    hosts: Vec<Report>,
}

/// The part of a report that scenarios check.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Report {
    pub(crate) open_ports: BTreeSet<u16>,
    pub(crate) complete: bool,
    pub(crate) addresses: Vec<AddressReport>,
    pub(crate) timing: Effort,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Effort {
    pub(crate) loss: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AddressReport {
    pub(crate) closed: usize,
    #[serde(default)]
    pub(crate) filtered_by: BTreeMap<String, usize>,
    #[serde(default)]
    pub(crate) accepts_everything: bool,
    pub(crate) timing: Option<Timing>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Timing {
    pub(crate) rtt_ms: f64,
}

/// Scans `address` as the scenario says, with the program at `binary`.
pub(crate) fn scan(
    hosts: &Hosts,
    binary: &Path,
    scenario: &Scenario,
    address: &str,
) -> io::Result<Observed> {
    hosts.on_scanner(|| {
        if scenario.by == Way::Command {
            return at_the_prompt(binary, scenario, address);
        }
        let service = Service::start(binary, scenario.descriptors)?;
        let query = format!("/open-ports?domain={address}&toPort={}", scenario.ports);
        let started = Instant::now();
        let body = service.get(&query)?;
        let elapsed = started.elapsed();
        Ok(Observed { report: serde_json::from_str(&body)?, elapsed })
    })
}

/// Scans with the command; its whole run counts.
fn at_the_prompt(binary: &Path, scenario: &Scenario, address: &str) -> io::Result<Observed> {
    let mut command = limited(binary, scenario.descriptors);
    command.args(["scan", address, "-p", &format!("1-{}", scenario.ports)]);
    command.args(["--format", "json", "--details"]).stdin(Stdio::null());
    let started = Instant::now();
    let output = command.output()?;
    let elapsed = started.elapsed();
    let mut whole: Whole = serde_json::from_slice(&output.stdout)?;
    match whole.hosts.pop() {
        Some(report) if whole.hosts.is_empty() => Ok(Observed { report, elapsed }),
        _ => Err(io::Error::other("the report is not of one host")),
    }
}

/// `binary`, with so many descriptors.
fn limited(binary: &Path, descriptors: u32) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={descriptors}:{descriptors}")).arg(binary);
    command
}

/// The program, serving on this host, ended on drop.
struct Service {
    process: Child,
    address: SocketAddr,
}

impl Service {
    fn start(binary: &Path, descriptors: u32) -> io::Result<Self> {
        let mut process = limited(binary, descriptors)
            .args(["--listen", "127.0.0.1:0", "--log-format", "text"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = BufReader::new(process.stderr.take().expect("piped above"));
        let (found, address) = channel();
        // Reads to the end, so that the program never waits for a reader.
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let words = line.split(' ').filter_map(|word| word.strip_prefix("listen="));
                // The receiver is gone once it has what it waited for.
                let _ = words.filter_map(|it| it.parse().ok()).try_for_each(|it| found.send(it));
            }
        });
        match address.recv_timeout(PATIENCE) {
            Ok(address) => Ok(Self { process, address }),
            Err(_) => {
                process.kill()?;
                Err(io::Error::other("the program does not serve"))
            }
        }
    }

    /// The body of the reply, whose status has to be 200.
    fn get(&self, target: &str) -> io::Result<String> {
        let mut connection = TcpStream::connect(self.address)?;
        connection.set_read_timeout(Some(LONGEST_SCAN))?;
        // A reply in HTTP/1.0 ends with its connection and is never chunked.
        write!(connection, "GET {target} HTTP/1.0\r\nhost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.0 200 ") => Ok(body.to_owned()),
            _ => Err(io::Error::other(format!("{target} was answered: {answer}"))),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program starts within milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Far beyond any goal: with few descriptors, a scan whose ports are all filtered
/// takes some minutes.
const LONGEST_SCAN: Duration = Duration::from_secs(600);
