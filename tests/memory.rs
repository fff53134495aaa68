//! The service in a container of 128 MiB, as it is deployed, and requests whose
//! replies are larger than that.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]
#![allow(clippy::print_stderr, reason = "what was measured")]

mod support;

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Deserialize;
use serde::de::IgnoredAny;
use tempfile::TempDir;

use support::ask::{Streamed, sample};
use support::cgroup::Cgroup;
use support::namespace::with_hosts;
use support::service::{Service, on_any_port, open_ports, run};
use support::wait_for;

support::trials::main! {
    a_row_for_each_of_a_million_ports_is_in_the_report: Cgroup | OwnNetwork | OwnNames,
    a_hundred_readers_of_one_scan_all_get_it: Cgroup | OwnNetwork | OwnNames,
    scans_that_do_not_fit_are_refused_and_come_later: Cgroup | OwnNetwork | OwnNames,
    a_scan_that_can_never_fit_is_refused_for_good: Cgroup | OwnNetwork | OwnNames,
    the_command_needs_no_more_memory_for_a_million_rows: Cgroup | OwnNetwork | OwnNames,
}

/// A service in a cgroup, and what has to last as long.
struct Confined {
    service: Service,
    cgroup: Cgroup,
    _files: TempDir,
}

impl Confined {
    /// Every name that it can resolve has the 16 addresses of a network.
    fn start() -> Self {
        Self::with_memory(MEMORY)
    }

    fn with_memory(bytes: u64) -> Self {
        add_prohibited_networks();
        let cgroup = Cgroup::with_memory(bytes);
        let (command, files) = with_hosts(&hosts(), &cgroup.confine(&on_any_port()));
        Self { service: Service::spawn(command), cgroup, _files: files }
    }

    /// Ends the service, which must not have been killed before.
    fn end(self) {
        assert_eq!(self.service.get("/livez").status, 200);
        eprintln!("{} MB at most", self.cgroup.peak().map_or(0, |bytes| bytes >> 20));
        drop(self.service);
    }
}

/// Adds networks where every port is filtered, and each at once.
fn add_prohibited_networks() {
    let route = ["route", "add", "prohibit", "198.18.0.0/15"];
    assert!(Command::new("ip").args(route).status().unwrap().success());
}

/// Two names that have the 16 addresses of a network each.
fn hosts() -> String {
    let of_name = |name| (1..=16).map(move |host| format!("198.18.{name}.{host} name{name}\n"));
    (1..=2).flat_map(of_name).collect()
}

/// A report, and of its rows only their number.
#[derive(Deserialize)]
struct Report {
    complete: bool,
    addresses: Vec<Address>,
}

/// What the command writes.
#[derive(Deserialize)]
struct Document {
    hosts: Vec<Report>,
}

#[derive(Deserialize)]
struct Address {
    filtered: usize,
    #[serde(default)]
    ports: Vec<IgnoredAny>,
}

impl Report {
    #[track_caller]
    fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap()
    }

    #[track_caller]
    fn assert_whole(&self, addresses: usize, rows: usize) {
        assert!(self.complete);
        let counts: Vec<_> =
            self.addresses.iter().map(|it| (it.filtered, it.ports.len())).collect();
        assert_eq!(counts, vec![(rows, rows); addresses]);
    }
}

fn a_row_for_each_of_a_million_ports_is_in_the_report() {
    let confined = Confined::start();
    let query = "/open-ports?domain=name1&ports=all&details=true";
    let mut reply = Streamed::open(confined.service.address, query, &[]);
    assert_eq!(reply.reply().status, 200, "{}", reply.head);
    Report::read(&reply.line().unwrap()).assert_whole(16, 65_535);
    confined.end();
}

fn a_hundred_readers_of_one_scan_all_get_it() {
    const READERS: usize = 100;
    let confined = Confined::start();
    let address = confined.service.address;
    let begun = AtomicUsize::new(0);
    let read = |number: usize| {
        let counted = Counted(&begun);
        let format = if number.is_multiple_of(10) { "ndjson" } else { "json" };
        // Slow enough for all of them to come, or most.
        let scan = format!("domain=198.18.1.1&ports=1-{ROWS}&details=true&rate=4000");
        let query = format!("/open-ports?{scan}&format={format}");
        // One caller may not join so often.
        let client = [127, 0, 2, u8::try_from(number).unwrap()];
        let reply = Streamed::open_narrow_from(client.into(), address, &query);
        drop(counted);
        // So that all replies are there at once, and nobody reads them.
        wait_for("all replies to begin", || {
            (begun.load(Ordering::Acquire) == READERS).then_some(())
        });
        read_to_the_end(reply)
    };
    let whole = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|number| {
                let read = &read;
                scope.spawn(move || read(number))
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).filter(|&whole| whole).count()
    });
    eprintln!("{whole} of {READERS} readers have the report");
    assert!(whole >= READERS / 2, "{whole} have it");
    confined.end();
}

/// Whether there is a report, which then is whole, or a refusal.
fn read_to_the_end(mut reply: Streamed) -> bool {
    if reply.reply().status == 503 {
        assert!(reply.reply().header("retry-after").is_some(), "{}", reply.head);
        return false;
    }
    assert_eq!(reply.reply().status, 200, "{}", reply.head);
    let mut line = reply.line().unwrap();
    if reply.reply().header("content-type") == Some("application/x-ndjson") {
        let mut rows = 0;
        while !line.starts_with("{\"type\":\"end\"") {
            rows += usize::from(line.starts_with("{\"type\":\"port\""));
            line = reply.line().unwrap();
        }
        assert_eq!(rows, ROWS);
        let report = line.strip_prefix("{\"type\":\"end\",\"report\":").unwrap();
        line = report.strip_suffix("}\n").unwrap().to_owned();
    }
    Report::read(&line).assert_whole(1, ROWS);
    assert!(reply.line().is_none());
    true
}

/// Counts a reader whose reply has begun, or who has failed.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

fn scans_that_do_not_fit_are_refused_and_come_later() {
    let confined = Confined::start();
    let address = confined.service.address;
    let first = "/open-ports?domain=name1&ports=1-20000&details=true&format=ndjson";
    let held = Streamed::open_narrow(address, first);
    assert_eq!(held.reply().status, 200, "{}", held.head);
    let second = "/open-ports?domain=name2&ports=all&details=true";
    let assert_refused = || {
        let refused = confined.service.get(second);
        let problem = refused.problem(503);
        assert_eq!(problem["type"], "urn:open-ports:problem:no-memory");
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
    };
    assert_refused();
    wait_for("the first scan to end", || {
        (sample(&confined.service, "open_ports_scans_running") == 0.0).then_some(())
    });
    // Nobody has read what it found.
    assert_refused();
    // Small ones go on.
    let small = confined.service.get("/open-ports?domain=name2&ports=1-100&details=true").report();
    assert_eq!(small["addresses"][15]["ports"].as_array().unwrap().len(), 100);
    drop(held);
    wait_for("the memory to be free", || {
        let mut reply = Streamed::open(address, &format!("{second}&format=ndjson"), &[]);
        (reply.reply().status == 200).then(|| reply.line().unwrap())
    });
    confined.end();
}

fn a_scan_that_can_never_fit_is_refused_for_good() {
    let confined = Confined::with_memory(MEMORY / 4);
    let refused = confined.service.get("/open-ports?domain=name1&ports=all");
    let problem = refused.problem(400);
    assert!(problem["errors"]["ports"][0].as_str().unwrap().contains("KB"), "{problem}");
    let report = confined.service.get("/open-ports?domain=name1&ports=1-1000").report();
    assert_eq!(report["addresses"][15]["filtered"], 1000);
    confined.end();
}

fn the_command_needs_no_more_memory_for_a_million_rows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report");
    add_prohibited_networks();
    let cgroup = Cgroup::with_memory(MEMORY);
    let scan = ["scan", "name1", "-p", "all", "--details", "--format", "json", "--output"];
    let mut command = open_ports(&scan);
    command.arg(&file);
    let (command, _files) = with_hosts(&hosts(), &cgroup.confine(&command));
    let ended = run(command);
    assert!(ended.status.success(), "{ended:?}");
    eprintln!("{} MB at most", cgroup.peak().map_or(0, |bytes| bytes >> 20));
    let document: Document = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(document.hosts.len(), 1);
    document.hosts[0].assert_whole(16, 65_535);
}

/// Ports that each of many readers gets a row for.
const ROWS: usize = 20_000;

/// The limit in kustomize/base.
const MEMORY: u64 = 128 << 20;
