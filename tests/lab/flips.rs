//! Watches while the target's packet filter changes at known times.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use oorandom::Rand64;
use serde::Deserialize;

use super::hosts::{Hosts, Lab, SCRIPT};
use super::run::Run;
use super::scenario::Goal;

/// A watch of a port whose rule is flipped again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flips {
    pub(crate) name: &'static str,
    /// How the wire treats frames.
    pub(crate) wire: &'static str,
    /// What the rule does while it is on.
    pub(crate) rule: &'static str,
    /// The state that it gives the port.
    pub(crate) state: &'static str,
    pub(crate) every: &'static str,
    /// How far from its flip a change may be dated, if that is measured.
    pub(crate) goal: Goal,
}

/// The rows of the table that `scripts/lab-bench` measures. Its times are how late the
/// latest of the changes is dated.
pub(crate) const TABLE: &[Flips] = &[
    DROPPED,
    Flips {
        name: "watch: 20 flips to reject with RST",
        rule: "reject with tcp reset",
        state: "closed",
        ..DROPPED
    },
    Flips {
        name: "watch: 20 flips to reject with admin-prohibited",
        rule: "reject with icmp type admin-prohibited",
        ..DROPPED
    },
    Flips { name: "watch: 20 flips to drop, every 5 ms", every: "5ms", ..DROPPED },
    Flips {
        name: "watch: 20 flips to drop, 5 % loss each way",
        wire: "loss=5%",
        // Several probes in a row may be lost just before or after a flip.
        goal: Goal { seconds: Some(0.06), runs: 3 },
        ..DROPPED
    },
    Flips {
        name: "watch: 20 flips to drop, 50 ms rtt ± 10",
        wire: "delay=25ms,jitter=5ms",
        // A probe that started that much before a flip sees it.
        goal: Goal { seconds: Some(0.05), runs: 3 },
        ..DROPPED
    },
];

/// What a watch of 100 ports takes, asked every 20 ms, whose rule is this.
pub(crate) const LOADS: &[(&str, Option<&str>)] = &[
    ("watch: load of 100 closed ports every 20 ms", None),
    ("watch: load of 100 silent ports every 20 ms", Some("drop")),
];

/// The most that it may take, as a share of a core.
pub(crate) const MOST_LOAD: f64 = 0.1;

const DROPPED: Flips = Flips {
    name: "watch: 20 flips to drop",
    wire: "",
    rule: "drop",
    state: "filtered",
    every: "10ms",
    goal: Goal { seconds: Some(0.02), runs: 3 },
};

/// A record of the watch, as much of it as is checked.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Record {
    States { states: Vec<Row> },
    Change { at: String, from: String, to: String },
    Missed { probes: u64 },
    Progress {},
    End { missed: u64 },
}

#[derive(Debug, Deserialize)]
struct Row {
    state: Option<String>,
}

/// A flip of the rule: it took effect between these two times.
#[derive(Clone, Copy, Debug)]
struct Flip {
    before: SystemTime,
    after: SystemTime,
}

impl Flips {
    /// Watches one port through all flips, in its own lab. The time of the run is how
    /// late the latest of the changes is dated.
    ///
    /// # Errors
    /// When the lab failed, which says nothing about the program.
    pub(crate) fn run_once(&self, program: &Path, seed: u64) -> io::Result<Run> {
        let lab = lab(self.wire, seed)?;
        let mut filter = Filter::open(&lab.hosts)?;
        let mut watch = Watch::start(&lab.hosts, program, &["-p", "80", "--every", self.every])?;
        match watch.next()? {
            Some(Record::States { states }) if is_open(&states) => {}
            other => return Err(io::Error::other(format!("at first: {other:?}"))),
        }
        let mut draws = Rand64::new(seed.into());
        let mut flips = Vec::new();
        for turn in 0..FLIPS {
            // Shorter and longer than it takes until silence is told.
            thread::sleep(Duration::from_millis(draws.rand_range(250..700)));
            flips.push(filter.flip("80", if turn % 2 == 0 { Some(self.rule) } else { None })?);
        }
        // The last one is told by then.
        thread::sleep(Duration::from_secs(2));
        let (changes, missed) = watch.stop()?;
        let mut faults = Vec::new();
        if changes.len() != FLIPS {
            faults.push(format!("{} changes, not {FLIPS}", changes.len()));
        }
        let mut latest = Duration::ZERO;
        for (turn, ((at, from, to), flip)) in changes.iter().zip(&flips).enumerate() {
            let states = if turn % 2 == 0 { ("open", self.state) } else { (self.state, "open") };
            if (from.as_str(), to.as_str()) != states {
                faults.push(format!("change {turn} is from {from} to {to}"));
            }
            // It took effect at some time in between: the worst case counts.
            let late = at.duration_since(flip.before).unwrap_or_default();
            let early = flip.after.duration_since(*at).unwrap_or_default();
            latest = latest.max(late).max(early);
            if late.max(early) > FAR {
                faults.push(format!("change {turn} is dated {late:?} late, {early:?} early"));
            }
        }
        if missed > 0 {
            eprintln!("{}: {missed} probes were missed", self.name);
        }
        Ok(Run { seed, elapsed: latest, faults, dropped_by_hosts: lab.hosts.dropped()? })
    }
}

/// Has nothing but loss for a while; a change would be invented.
pub(crate) fn loss_is_no_change(program: &Path, seed: u64) -> io::Result<Vec<String>> {
    let lab = lab("loss=5%", seed)?;
    let arguments = ["-p", "80,81", "--every", "5ms"];
    let mut watch = Watch::start(&lab.hosts, program, &arguments)?;
    watch.next()?;
    thread::sleep(Duration::from_secs(20));
    let (changes, _) = watch.stop()?;
    Ok(changes.iter().map(|change| format!("invented: {change:?}")).collect())
}

/// Opens the port for less than it has to hold, and then for good.
pub(crate) fn settles(program: &Path, seed: u64) -> io::Result<Vec<String>> {
    let lab = lab("", seed)?;
    let mut filter = Filter::open(&lab.hosts)?;
    let mut faults = Vec::new();
    for turn in 0..10 {
        filter.flip("80", Some("drop"))?;
        let arguments = ["--until", "80=open", "--settle", "1s", "--within", "1m"];
        let watch =
            Watch::start(&lab.hosts, program, &[&arguments[..], &["--every", "10ms"]].concat())?;
        thread::sleep(Duration::from_millis(300));
        filter.flip("80", None)?;
        thread::sleep(Duration::from_millis(300));
        filter.flip("80", Some("drop"))?;
        // Much longer than the shortest silence that the watch reports. A busy machine may
        // run neither program for a while.
        thread::sleep(Duration::from_millis(500));
        let opened = filter.flip("80", None)?;
        let (code, end) = watch.end()?;
        let now = SystemTime::now();
        let since = held_since(&end);
        let is_right = since.is_some_and(|since| {
            since + FAR >= opened.before && since + Duration::from_secs(1) <= now
        });
        if code != Some(0) || end["outcome"] != "met" || !is_right {
            faults.push(format!("turn {turn}: {code:?}, {end}, opened {:?}", opened.before));
        }
    }
    Ok(faults)
}

/// Opens the port before the kernel repeats the SYN of a probe that was silent, and lets
/// the watch see the answer to that late.
pub(crate) fn repeated_syns_date_nothing(program: &Path, seed: u64) -> io::Result<Vec<String>> {
    let lab = lab("", seed)?;
    let mut filter = Filter::open(&lab.hosts)?;
    filter.flip("80", Some("drop"))?;
    let arguments = ["-p", "80", "--until", "80=open", "--within", "1m", "--every", "10ms"];
    let watch = Watch::start(&lab.hosts, program, &arguments)?;
    // Some probes are in flight, and none of them has been silent for as long as it may.
    thread::sleep(Duration::from_millis(300));
    watch.signal(Signal::SIGSTOP)?;
    let opened = filter.flip("80", None)?;
    // By now the kernel has repeated all of them.
    thread::sleep(Duration::from_millis(1500));
    watch.signal(Signal::SIGCONT)?;
    let (code, end) = watch.end()?;
    let is_right = held_since(&end).is_some_and(|since| since >= opened.before);
    if code == Some(0) && end["outcome"] == "met" && is_right {
        return Ok(Vec::new());
    }
    Ok(vec![format!("{code:?}, {end}, opened {:?}", opened.before)])
}

/// Since when the condition of a watch that has ended held.
fn held_since(end: &serde_json::Value) -> Option<SystemTime> {
    humantime::parse_rfc3339(end["held_since"].as_str()?).ok()
}

/// The share of a core that a watch of 100 ports takes, asked every 20 ms.
pub(crate) fn load(program: &Path, rule: Option<&str>) -> io::Result<f64> {
    let lab = lab("", 1)?;
    let mut filter = Filter::open(&lab.hosts)?;
    if rule.is_some() {
        filter.flip("1000-1099", rule)?;
    }
    let arguments = ["-p", "1000-1099", "--every", "20ms"];
    let mut watch = Watch::start(&lab.hosts, program, &arguments)?;
    watch.next()?;
    let (begun, before) = (Instant::now(), watch.cpu_time()?);
    thread::sleep(Duration::from_secs(10));
    let share = (watch.cpu_time()? - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    let (_, missed) = watch.stop()?;
    if missed > 0 {
        eprintln!("{missed} probes were missed");
    }
    Ok(share)
}

/// A target that listens on port 80, and whose other ports are closed.
fn lab(wire: &str, seed: u64) -> io::Result<Lab> {
    let seed = seed.to_string();
    let mut options = vec!["--open", "80,81", "--rule", "closed", "--seed", &seed];
    if !wire.is_empty() {
        options.extend(["--wire", wire]);
    }
    let options: Vec<String> = options.into_iter().map(str::to_owned).collect();
    Lab::up_by(Path::new(SCRIPT), &options)
}

fn is_open(states: &[Row]) -> bool {
    states.iter().all(|row| row.state.as_deref() == Some("open"))
}

/// The target's packet filter, changed by a program that has started already: a change
/// takes a fraction of a millisecond then, and its time is known as well.
struct Filter {
    process: Child,
    replies: io::Lines<BufReader<ChildStdout>>,
}

impl Filter {
    fn open(hosts: &Hosts) -> io::Result<Self> {
        let mut process = hosts.on_target(|| {
            let mut nft = Command::new("nft");
            nft.arg("-i").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
        })?;
        let replies = BufReader::new(process.stdout.take().expect("piped above")).lines();
        let mut filter = Self { process, replies };
        let chain = "chain inet flips incoming";
        filter.run("add table inet flips")?;
        filter.run(&format!("add {chain} {{ type filter hook input priority -10; }}"))?;
        Ok(filter)
    }

    /// Gives `ports` of the target a rule, or all ports none.
    fn flip(&mut self, ports: &str, rule: Option<&str>) -> io::Result<Flip> {
        match rule {
            Some(rule) => {
                self.run(&format!("add rule inet flips incoming tcp dport {{ {ports} }} {rule}"))
            }
            None => self.run("flush chain inet flips incoming"),
        }
    }

    /// Runs a command, and waits until it was done: the next one has a reply.
    fn run(&mut self, command: &str) -> io::Result<Flip> {
        let before = SystemTime::now();
        let stdin = self.process.stdin.as_mut().expect("piped above");
        writeln!(stdin, "{command}\nlist tables")?;
        stdin.flush()?;
        for line in self.replies.by_ref() {
            if line?.ends_with("table inet flips") {
                return Ok(Flip { before, after: SystemTime::now() });
            }
        }
        Err(io::Error::other(format!("nft does not take: {command}")))
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program, watching the target from the scanner. Ended on drop.
struct Watch {
    process: Child,
    lines: io::Lines<BufReader<ChildStdout>>,
}

type Changes = Vec<(SystemTime, String, String)>;

impl Watch {
    fn start(hosts: &Hosts, program: &Path, arguments: &[&str]) -> io::Result<Self> {
        let mut process = hosts.on_scanner(|| {
            let mut watch = Command::new(program);
            watch.args(["watch", "10.77.0.2", "--format", "ndjson"]).args(arguments);
            watch.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
        })?;
        let lines = BufReader::new(process.stdout.take().expect("piped above")).lines();
        Ok(Self { process, lines })
    }

    fn next(&mut self) -> io::Result<Option<Record>> {
        match self.lines.next() {
            Some(line) => Ok(Some(serde_json::from_str(&line?)?)),
            None => Ok(None),
        }
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = Pid::from_raw(self.process.id().cast_signed());
        Ok(kill(pid, signal)?)
    }

    /// Stops it, and returns the changes that it told, and how many probes it missed.
    fn stop(mut self) -> io::Result<(Changes, u64)> {
        self.signal(Signal::SIGTERM)?;
        let (mut changes, mut missed) = (Vec::new(), None);
        while let Some(record) = self.next()? {
            match record {
                Record::Change { at, from, to } => {
                    let at = humantime::parse_rfc3339(&at).map_err(io::Error::other)?;
                    changes.push((at, from, to));
                }
                Record::End { missed: count } => missed = Some(count),
                Record::Missed { probes } => eprintln!("{probes} probes were missed"),
                Record::States { .. } | Record::Progress {} => {}
            }
        }
        let missed = missed.ok_or_else(|| io::Error::other("no last record"))?;
        Ok((changes, missed))
    }

    /// Waits for its end; returns its exit status and its last record.
    fn end(mut self) -> io::Result<(Option<i32>, serde_json::Value)> {
        let mut last = serde_json::Value::Null;
        for line in self.lines.by_ref() {
            last = serde_json::from_str(&line?)?;
        }
        Ok((self.process.wait()?.code(), last))
    }

    /// The processor time that it has taken so far.
    fn cpu_time(&self) -> io::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // proc_pid_stat(5): the name, in parentheses, may contain anything.
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let ticks: u64 = fields.skip(11).take(2).filter_map(|it| it.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 1000 / TICKS_A_SECOND))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const FLIPS: usize = 20;

/// No date is as far from its flip, on a busy machine either: a date that is so wrong
/// belongs to another flip.
const FAR: Duration = Duration::from_millis(200);

/// USER_HZ, which is the same on all architectures that matter.
const TICKS_A_SECOND: u64 = 100;
