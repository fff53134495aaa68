//! Measures the rows of the table and writes the table.

use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use argh::FromArgs;

use super::attached;
use super::flips;
use super::flood;
use super::loopback::{self, median};
use super::routed;
use super::rows::{PLAIN, TABLE};
use super::run::{Run, run_once};
use super::scenario::Goal;

/// Measure the table of the lab.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "bench")]
pub(crate) struct BenchArgs {
    /// the file to write
    #[argh(option)]
    out: Option<PathBuf>,
    /// the program to measure
    #[argh(option, default = "super::PROGRAM.into()")]
    program: PathBuf,
    /// an earlier build of it, to compare on loopback
    #[argh(option)]
    before: Option<PathBuf>,
    /// only rows whose name contains this
    #[argh(option, default = "String::new()")]
    rows: String,
    /// runs of each row, instead of the row's own number
    #[argh(option)]
    runs: Option<usize>,
}

/// A measured row.
struct Row {
    name: String,
    goal: String,
    measured: String,
    passed: Option<bool>,
    notes: Vec<String>,
}

/// Measures each row, prints it at once, and writes the file at the end.
pub(crate) fn measure(args: &BenchArgs) -> io::Result<()> {
    let conditions = Conditions::now()?;
    println!("{conditions}");
    let mut rows = Vec::new();
    for scenario in TABLE.iter().filter(|scenario| scenario.name.contains(&args.rows)) {
        let run = |seed| run_once(scenario, &args.program, seed);
        rows.push(Row::measure(args, scenario.name, scenario.goal, run)?);
    }
    for network in attached::TABLE.iter().filter(|network| network.name.contains(&args.rows)) {
        let run = |seed| network.run_once(&args.program, seed);
        rows.push(Row::measure(args, network.name, network.goal, run)?);
    }
    for network in routed::TABLE.iter().filter(|network| network.name.contains(&args.rows)) {
        let run = |seed| network.run_once(&args.program, seed);
        rows.push(Row::measure(args, network.name, network.goal, run)?);
    }
    for watch in flips::TABLE.iter().filter(|watch| watch.name.contains(&args.rows)) {
        let run = |seed| watch.run_once(&args.program, seed);
        rows.push(Row::measure(args, watch.name, watch.goal, run)?);
    }
    for (name, rule) in flips::LOADS.iter().filter(|(name, _)| name.contains(&args.rows)) {
        rows.push(Row::of_load(name, flips::load(&args.program, *rule)?));
        rows.last().into_iter().for_each(Row::print);
    }
    if loopback::NAME.contains(&args.rows) {
        rows.push(Row::of_loopback(args)?);
        rows.last().into_iter().for_each(Row::print);
    }
    match &args.out {
        Some(path) => fs::write(path, document(&conditions, &rows)),
        None => Ok(()),
    }
}

impl Row {
    /// Measures a row, and prints it at once.
    fn measure(
        args: &BenchArgs,
        name: &str,
        goal: Goal,
        run: impl FnMut(u64) -> io::Result<Run>,
    ) -> io::Result<Self> {
        let runs = (1..).take(args.runs.unwrap_or(goal.runs)).map(run);
        let row = Self::of_runs(name, goal, &runs.collect::<io::Result<Vec<Run>>>()?);
        row.print();
        Ok(row)
    }

    fn of_runs(name: &str, goal: Goal, runs: &[Run]) -> Self {
        let mut times: Vec<Duration> = runs.iter().map(|run| run.elapsed).collect();
        let median = median(&mut times).as_secs_f64();
        let exact = runs.iter().filter(|run| run.faults.is_empty()).count();
        let in_time = goal.seconds.is_none_or(|seconds| median <= seconds);
        let wanted = match goal.seconds {
            Some(seconds) => format!("right in {} of {0}; {seconds} s", runs.len()),
            None => format!("right in {} of {0}", runs.len()),
        };
        let mut notes: Vec<String> = Vec::new();
        for run in runs {
            notes.extend(run.faults.iter().map(|fault| format!("run {}: {fault}", run.seed)));
            if run.dropped_by_hosts > 0 {
                let dropped = run.dropped_by_hosts;
                notes.push(format!(
                    "run {}: the hosts' own queues dropped {dropped} frames",
                    run.seed
                ));
            }
        }
        Self {
            name: name.to_owned(),
            goal: wanted,
            measured: format!("right in {exact} of {}; {median:.2} s", runs.len()),
            passed: Some(exact == runs.len() && in_time),
            notes,
        }
    }

    /// A watch that took this share of a core.
    fn of_load(name: &str, share: f64) -> Self {
        Self {
            name: name.to_owned(),
            goal: format!("{} % of a core", flips::MOST_LOAD * 100.0),
            measured: format!("{:.1} %", share * 100.0),
            passed: Some(share <= flips::MOST_LOAD),
            notes: Vec::new(),
        }
    }

    fn of_loopback(args: &BenchArgs) -> io::Result<Self> {
        let ratio = match &args.before {
            Some(before) => Some(loopback::throughput_ratio(&PLAIN, &args.program, before)?),
            None => None,
        };
        Ok(Self {
            name: loopback::NAME.to_owned(),
            goal: format!("{} of the throughput before", loopback::LEAST_RATIO),
            measured: ratio.map_or("not measured".to_owned(), |ratio| format!("{ratio:.2}")),
            passed: ratio.map(|ratio| ratio >= loopback::LEAST_RATIO),
            notes: Vec::new(),
        })
    }

    fn verdict(&self) -> &'static str {
        match self.passed {
            Some(true) => "pass",
            Some(false) => "**fail**",
            None => "–",
        }
    }

    fn print(&self) {
        println!("{:9} {} ({}): {}", self.verdict(), self.name, self.goal, self.measured);
        self.notes.iter().for_each(|note| println!("          {note}"));
    }
}

fn document(conditions: &Conditions, rows: &[Row]) -> String {
    let mut text = String::from(INTRODUCTION);
    let passed = rows.iter().filter(|row| row.passed == Some(true)).count();
    let mut line = |line: String| writeln!(text, "{line}").expect("text takes more text");
    line(format!("{conditions}\n"));
    line(format!("{passed} of {} rows pass.\n", rows.len()));
    line("| scenario | goal | measured | |".to_owned());
    line("|---|---|---|---|".to_owned());
    for row in rows {
        line(format!("| {} | {} | {} | {} |", row.name, row.goal, row.measured, row.verdict()));
    }
    let failed = rows.iter().filter(|row| !row.notes.is_empty());
    for (at, row) in failed.enumerate() {
        if at == 0 {
            line("\n## Notes".to_owned());
        }
        line(format!("\n{}:\n", row.name));
        row.notes.iter().for_each(|note| line(format!("- {note}")));
    }
    text
}

/// What the figures were measured on.
struct Conditions {
    machine: String,
    /// The machine's load average of the last minute.
    load: String,
    wire_frames_a_second: f64,
}

impl Conditions {
    fn now() -> io::Result<Self> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        let machine = format!(
            "{} × {}, Linux {}, {}, {}, {}",
            std::thread::available_parallelism().map_or(0, usize::from),
            model.unwrap_or("unknown").trim_start_matches([' ', '\t', ':']),
            read("/proc/sys/kernel/osrelease"),
            version(super::PROGRAM, "--version"),
            version("ip", "-V"),
            version("nft", "--version"),
        );
        let load = read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned();
        Ok(Self { machine, load, wire_frames_a_second: flood::frames_a_second(&PLAIN)? })
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, load, wire_frames_a_second } = self;
        write!(
            f,
            "Measured on {machine}; load average {load} before the first row. The wire alone carried \
             {wire_frames_a_second:.0} frames a second each way, and dropped none.",
        )
    }
}

/// The first line of a program's version text.
fn version(program: &str, flag: &str) -> String {
    let output = Command::new(program).arg(flag).output();
    let text = output.map_or(String::new(), |it| String::from_utf8_lossy(&it.stdout).into_owned());
    text.lines().next().unwrap_or_default().to_owned()
}

const INTRODUCTION: &str = "# The network lab

Written by `scripts/lab-bench`, which measured every row; do not edit. A row is right when the scan
found exactly what was there. Times are medians, as a client of the service sees them; those of a
watch are how far the worst of its changes is dated from its flip.

";
