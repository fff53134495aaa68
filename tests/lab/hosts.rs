//! A running lab: work on its hosts, and how it ends.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use super::scenario::{Cast, Scenario};
use super::wire::{Accounts, READY};

/// Two hosts and a wire, removed on drop.
// `scripts/lab` ends when its standard input does, so a lab does not outlive the
// process that started it, even if that is killed.
#[derive(Debug)]
pub(crate) struct Lab {
    script: Child,
    lines: Receiver<String>,
    pub(crate) hosts: Hosts,
}

/// The hosts of a lab.
#[derive(Debug)]
pub(crate) struct Hosts {
    /// The common start of the names of their network namespaces.
    pub(crate) name: String,
}

/// What the target's kernel counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overruns {
    /// Connections that found the accept queue full.
    pub(crate) accept: u64,
    /// SYNs that were dropped, for this or another reason.
    pub(crate) syns: u64,
}

impl Lab {
    /// Builds the scenario's hosts.
    pub(crate) fn up(scenario: &Scenario, cast: &Cast, seed: u64) -> io::Result<Self> {
        Self::up_by(SCRIPT.as_ref(), &scenario.options(cast, seed))
    }

    /// Builds the hosts for these options of the script; `script` may be another path
    /// to it.
    pub(crate) fn up_by(script: &Path, options: &[String]) -> io::Result<Self> {
        let mut script = Command::new(script)
            .arg("hold")
            .args(options)
            .env("LAB_PROGRAM", std::env::current_exe()?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(script.stdout.take().expect("piped above"));
        let (line, lines) = channel();
        thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|it| line.send(it))
        });
        let mut lab = Self { script, lines, hosts: Hosts { name: String::new() } };
        lab.hosts.name = match lab.next_line()?.split_once(' ') {
            Some((READY, name)) => name.to_owned(),
            _ => return Err(io::Error::other("the lab did not come up")),
        };
        Ok(lab)
    }

    /// Removes the lab and returns the wire's account.
    pub(crate) fn down(mut self) -> io::Result<Accounts> {
        drop(self.script.stdin.take());
        let line = self.next_line()?;
        serde_json::from_str(&line).map_err(io::Error::from)
    }

    /// Kills the script, so that it cannot clean up.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.script.kill()
    }

    fn next_line(&self) -> io::Result<String> {
        let gone = |_| io::Error::other("the lab's script ended, or says nothing");
        self.lines.recv_timeout(PATIENCE).map_err(gone)
    }
}

impl Hosts {
    /// Does `work` in a thread on the scanner. Processes that it starts run there too.
    pub(crate) fn on_scanner<T: Send>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        on_host(&format!("{}-scan", self.name), work)
    }

    /// Does `work` in a thread on the target.
    pub(crate) fn on_target<T: Send>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        on_host(&format!("{}-target", self.name), work)
    }

    /// What the target's kernel counted so far.
    pub(crate) fn overruns(&self) -> io::Result<Overruns> {
        self.on_target(|| {
            let text = fs::read_to_string("/proc/thread-self/net/netstat")?;
            let count = |name| tcp_counter(&text, name).ok_or(io::ErrorKind::InvalidData);
            Ok(Overruns { accept: count("ListenOverflows")?, syns: count("ListenDrops")? })
        })
    }

    /// Frames that the hosts dropped before the wire.
    pub(crate) fn dropped(&self) -> io::Result<u64> {
        let dropped = || {
            let text = fs::read_to_string("/proc/thread-self/net/dev")?;
            dropped_frames(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
        };
        Ok(self.on_scanner(dropped)? + self.on_target(dropped)?)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        // The script may fail to clean up; the next lab does it then.
        let _ = self.script.wait();
    }
}

/// Does `work` in a thread that has moved to a network namespace.
fn on_host<T: Send>(host: &str, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let namespace = File::open(format!("/run/netns/{host}"))?;
    thread::scope(|scope| {
        let there = scope.spawn(|| {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            work()
        });
        there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A counter of the kernel's TcpExt group: a line of names, and one of counts.
fn tcp_counter(netstat: &str, name: &str) -> Option<u64> {
    let mut lines = netstat.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, counts) = (lines.next()?, lines.next()?);
    let at = names.split(' ').position(|it| it == name)?;
    counts.split(' ').nth(at)?.parse().ok()
}

/// The frames that an interface could not send: the twelfth figure of its line.
fn dropped_frames(dev: &str) -> Option<u64> {
    let line = dev.lines().find_map(|line| line.trim_start().strip_prefix("eth0:"))?;
    line.split_whitespace().nth(11)?.parse().ok()
}

pub(crate) const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lab");

/// A lab is up in a quarter of a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);
