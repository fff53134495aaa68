//! Ctrl-C stops every command, no matter what it waits for, and a sweep of refused
//! hosts takes no memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write, pipe};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, kill_process};
use support::service::open_ports;
use support::targets::{Listeners, Silent};
use support::{full_pipe, own_address, wait_for};

/// A network of 16 million hosts, none of which may be scanned.
const REFUSED: [&str; 6] = ["scan", "10.0.0.0/8", "--allow", "none", "-p", "1"];

/// The promise is a second. This allows for a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// The memory that a sweep may take, in kB.
const MEMORY: u64 = 40 * 1024;

#[test]
fn refused_hosts_take_no_memory_and_do_not_delay_a_signal() {
    let mut scan = Scan::start(&[&REFUSED[..], &["--format", "grepable"]].concat(), |command| {
        command.stdout(Stdio::piped()).stderr(Stdio::null());
    });
    let lines = count_lines(scan.0.stdout.take().unwrap());
    scan.wait_for("many hosts to be told of", |_| lines.load(Ordering::Relaxed) > 300_000);
    assert_eq!(scan.stopped_by(Signal::INT), Some(130));
}

#[test]
fn an_endless_list_takes_no_memory_and_does_not_delay_a_signal() {
    let scan = ["scan", "--targets", "-", "--allow", "none", "-p", "1", "--format", "grepable"];
    let mut scan = Scan::start(&scan, |command| {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    });
    let mut list = scan.0.stdin.take().unwrap();
    let writer = thread::spawn(move || {
        let mut text = String::new();
        for host in 0x0a00_0000u32.. {
            text += &format!("{}\n", std::net::Ipv4Addr::from(host));
            // Until the reader is gone.
            if text.len() > 4096 && list.write_all(std::mem::take(&mut text).as_bytes()).is_err() {
                return;
            }
        }
    });
    let lines = count_lines(scan.0.stdout.take().unwrap());
    scan.wait_for("many hosts to be told of", |_| lines.load(Ordering::Relaxed) > 300_000);
    assert_eq!(scan.stopped_by(Signal::INT), Some(130));
    writer.join().unwrap();
}

#[test]
fn output_that_nobody_reads_does_not_delay_a_signal() {
    for format in ["grepable", "json", "xml"] {
        let (reader, writer) = pipe().unwrap();
        let mut scan = Scan::start(&[&REFUSED[..], &["--format", format]].concat(), |command| {
            command.stdout(writer).stderr(Stdio::null());
        });
        scan.wait_for("a full pipe", |_| ioctl_fionread(&reader).unwrap() > 60_000);
        assert_eq!(scan.stopped_by(Signal::INT), Some(130), "{format}");
    }
}

#[test]
fn complaints_that_nobody_reads_do_not_delay_a_signal() {
    let (_reader, writer) = full_pipe();
    let mut scan = Scan::start(&REFUSED, |command| {
        command.stdout(Stdio::null()).stderr(writer);
    });
    scan.wait_for("the command to be ready", |scan| scan.catches(Signal::INT));
    assert_eq!(scan.stopped_by(Signal::INT), Some(130));
}

#[test]
fn an_output_pipe_without_a_reader_does_not_delay_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let output = ["--output", fifo.to_str().unwrap()];
        let mut scan = Scan::start(&[&REFUSED[..], &output].concat(), |command| {
            command.stderr(Stdio::null());
        });
        scan.wait_for("the command to be ready", |scan| scan.catches(signal));
        assert_eq!(scan.stopped_by(signal), Some(128 + signal.as_raw()));
    }
}

#[test]
fn other_commands_end_on_a_signal_although_nobody_reads_their_output() {
    for arguments in [&["doctor"][..], &["completions", "bash"], &["--help"]] {
        let (_reader, writer) = full_pipe();
        let mut command = Scan::start(arguments, |command| {
            command.stdout(writer).stderr(Stdio::null());
        });
        command.wait_for("the command to wait for its reader", |command| {
            command.file("wchan").contains("pipe_w") || command.file("status").contains("S (sleep")
        });
        let ended = command.stopped(Signal::INT);
        assert!(ended.signal() == Some(2) || ended.code() == Some(130), "{ended:?}");
    }
}

#[test]
fn a_closed_terminal_leaves_a_complete_file_and_nothing_else() {
    let silent = Silent::bind(own_address(), 20);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("found");
    let (host, ports) = (silent.address.to_string(), silent.list());
    let output = path.to_str().unwrap();
    let scan = ["scan", &host, "-p", &ports, "--rate", "2", "--format", "json", "--output", output];
    let mut scan = Scan::start(&scan, |command| {
        command.stderr(Stdio::null());
    });
    scan.wait_for("the output to be begun", |_| names(folder.path()).len() == 1);
    assert_eq!(scan.stopped_by(Signal::HUP), Some(129));
    assert_eq!(names(folder.path()), ["found"]);
    let document: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(document["reason"], "interrupted");
}

#[test]
fn a_command_that_is_to_outlive_its_terminal_does() {
    let listeners = Listeners::bind(own_address(), 10);
    let (host, ports) = (listeners.address.to_string(), listeners.list());
    let mut command = Command::new("nohup");
    command.arg(env!("CARGO_BIN_EXE_open-ports"));
    command.args(["scan", &host, "-p", &ports, "--rate", "5"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut scan = Scan(command.spawn().unwrap());
    scan.wait_for("the command to be ready", |scan| scan.catches(Signal::INT));
    kill_process(scan.pid(), Signal::HUP).unwrap();
    let stdout = BufReader::new(scan.0.stdout.take().unwrap());
    assert_eq!(stdout.lines().count(), 10);
    assert_eq!(scan.0.wait().unwrap().code(), Some(0));
}

#[test]
fn an_output_that_cannot_be_finished_leaves_no_file() {
    // The complaints cannot be written, so the command never gets to its end.
    let (_reader, writer) = full_pipe();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("found");
    let output = ["--output", path.to_str().unwrap()];
    let mut scan = Scan::start(&[&REFUSED[..], &output].concat(), |command| {
        command.stderr(writer);
    });
    scan.wait_for("the output to be begun", |_| names(folder.path()).len() == 1);
    // Before its first complaint it could still finish the file.
    scan.wait_for("a complaint to wait for its reader", Scan::is_writing_to_a_pipe);
    assert_eq!(scan.stopped_by(Signal::TERM), Some(143));
    assert_eq!(names(folder.path()), [""; 0]);
}

/// A running command.
struct Scan(Child);

impl Scan {
    fn start(arguments: &[&str], set_up: impl FnOnce(&mut Command)) -> Self {
        let mut command = open_ports(arguments);
        command.stdin(Stdio::null()).process_group(0);
        set_up(&mut command);
        Self(command.spawn().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.0.id())).unwrap()
    }

    /// Waits, and checks that memory stays small meanwhile.
    #[track_caller]
    fn wait_for(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        wait_for(what, || {
            let ended = self.0.try_wait().unwrap();
            assert!(ended.is_none(), "ended before its time: {ended:?}");
            assert!(self.memory() < MEMORY, "{what}: {} kB", self.memory());
            condition(self).then_some(())
        });
    }

    /// The most memory that it ever had, in kB.
    fn memory(&self) -> u64 {
        let status = self.file("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse().unwrap())
    }

    /// Whether a thread of it waits until a pipe has room.
    fn is_writing_to_a_pipe(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        // A thread may have ended meanwhile.
        let waits =
            threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("wchan")).ok());
        waits.into_iter().any(|wait| wait.contains("pipe_w"))
    }

    /// Whether a signal no longer has its default action.
    fn catches(&self, signal: Signal) -> bool {
        let status = self.file("status");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal.as_raw() - 1) & 1 == 1
    }

    #[track_caller]
    fn stopped(mut self, signal: Signal) -> ExitStatus {
        let sent = Instant::now();
        kill_process(self.pid(), signal).unwrap();
        let ended = wait_for("the command to end", || self.0.try_wait().unwrap());
        assert!(sent.elapsed() < SOON, "{:?}", sent.elapsed());
        ended
    }

    /// Sends a signal and returns the exit status, which must come soon.
    #[track_caller]
    fn stopped_by(self, signal: Signal) -> Option<i32> {
        self.stopped(signal).code()
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads to the end, and counts the lines so far.
fn count_lines(out: impl std::io::Read + Send + 'static) -> Arc<AtomicUsize> {
    let lines = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lines);
    thread::spawn(move || {
        for _ in BufReader::new(out).lines().map_while(Result::ok) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    lines
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
