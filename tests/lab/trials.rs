//! The lab's tests: of the program in each scenario, and of the lab itself.

use std::io;
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Completion, Failed, Trial};

use super::attached::Attached;
use super::flips::{self, Flips};
use super::hosts::Lab;
use super::routed::Routed;
use super::rows::{BEYOND, PLAIN, TABLE};
use super::run::run_once;
use super::scenario::Scenario;
use super::{PROGRAM, attached, flood, routed};
use crate::ignored::cannot_run;

/// All tests. They take some three minutes, a quarter of it for the attached network.
/// They do not check how fast scans are; `scripts/lab-bench` does.
pub(crate) fn all() -> Vec<Trial> {
    let lacks = lacks();
    let scenarios = TABLE.iter().chain(BEYOND);
    let scenarios =
        scenarios.map(|scenario| trial(&lacks, scenario.name, move || is_exact(scenario)));
    let of_the_lab = [
        trial(&lacks, "the wire drops nothing at full speed", the_wire_drops_nothing),
        trial(&lacks, "a lab whose script was killed is removed", killed_labs_are_removed),
        trial(&lacks, "a lab that runs is left alone", running_labs_are_left_alone),
    ];
    let attached = attached::TRIALS.iter();
    let attached = attached.map(|row| trial(&lacks, row.name, move || is_exact_on(row)));
    let routed = routed::TRIALS.iter();
    let routed = routed.map(|row| trial(&lacks, row.name, move || is_exact_behind(row)));
    let watched = flips::TABLE.iter();
    let watched = watched.map(|row| trial(&lacks, row.name, move || tells_each_flip(row)));
    let of_watches = [
        trial(&lacks, "watch: loss alone is no change", || no_faults(flips::loss_is_no_change)),
        trial(&lacks, "watch: what settles is right in 10 of 10", || no_faults(flips::settles)),
        trial(&lacks, "watch: an answer to a repeated SYN dates nothing", || {
            no_faults(flips::repeated_syns_date_nothing)
        }),
    ];
    let scans = of_the_lab.into_iter().chain(scenarios).chain(attached).chain(routed);
    scans.chain(watched).chain(of_watches).collect()
}

/// Why the lab cannot run here; `None` if it can.
fn lacks() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs to run as root".to_owned());
    }
    let missing = |tool: &&str| Command::new("sh").args(["-c", "command -v \"$0\"", tool]).output();
    let tools = ["ip", "nft", "ethtool", "setpriv", "prlimit"];
    let tool = tools.iter().find(|tool| !missing(tool).is_ok_and(|it| it.status.success()))?;
    Some(format!("needs {tool}"))
}

fn trial(
    lacks: &Option<String>,
    name: &str,
    test: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> Trial {
    let lacks = lacks.clone();
    Trial::ignorable_test(name, move || match lacks {
        Some(why) => cannot_run(&why),
        None => test().map(|()| Completion::Completed).map_err(Failed::from),
    })
}

fn is_exact(scenario: &Scenario) -> Result<(), String> {
    let run = run_once(scenario, Path::new(PROGRAM), SEED).map_err(|error| error.to_string())?;
    if run.faults.is_empty() { Ok(()) } else { Err(run.faults.join("\n")) }
}

fn is_exact_on(network: &Attached) -> Result<(), String> {
    let run = network.run_once(Path::new(PROGRAM), SEED).map_err(|error| error.to_string())?;
    if run.faults.is_empty() { Ok(()) } else { Err(run.faults.join("\n")) }
}

fn is_exact_behind(network: &Routed) -> Result<(), String> {
    let run = network.run_once(Path::new(PROGRAM), SEED).map_err(|error| error.to_string())?;
    if run.faults.is_empty() { Ok(()) } else { Err(run.faults.join("\n")) }
}

fn tells_each_flip(flips: &Flips) -> Result<(), String> {
    let run = flips.run_once(Path::new(PROGRAM), SEED).map_err(|error| error.to_string())?;
    if run.faults.is_empty() { Ok(()) } else { Err(run.faults.join("\n")) }
}

fn no_faults(work: fn(&Path, u64) -> io::Result<Vec<String>>) -> Result<(), String> {
    let faults = work(Path::new(PROGRAM), SEED).map_err(|error| error.to_string())?;
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

fn the_wire_drops_nothing() -> Result<(), String> {
    flood::frames_a_second(&PLAIN).map(drop).map_err(|error| error.to_string())
}

fn killed_labs_are_removed() -> Result<(), String> {
    let left = || -> io::Result<Vec<String>> {
        let mut lab = Lab::up(&PLAIN, &PLAIN.cast(SEED), SEED)?;
        lab.kill()?;
        let name = lab.hosts.name.clone();
        drop(lab);
        // Its process id is that of a running process, which started at another time.
        let reused = format!("op-{}-1", std::process::id());
        Command::new("ip").args(["netns", "add", &format!("{reused}-scan")]).status()?;
        clean_up()?;
        Ok([namespaces(&name)?, namespaces(&reused)?].concat())
    };
    let left = left().map_err(|error| error.to_string())?;
    if left.is_empty() { Ok(()) } else { Err(format!("left behind: {}", left.join(", "))) }
}

fn running_labs_are_left_alone() -> Result<(), String> {
    let hosts = || -> io::Result<Vec<String>> {
        let elsewhere = tempfile::tempdir()?;
        let script = elsewhere.path().join("by-another-name");
        std::os::unix::fs::symlink(super::hosts::SCRIPT, &script)?;
        let lab = Lab::up_by(&script, &PLAIN.options(&PLAIN.cast(SEED), SEED))?;
        clean_up()?;
        namespaces(&lab.hosts.name)
    };
    let hosts = hosts().map_err(|error| error.to_string())?;
    if hosts.len() == 3 { Ok(()) } else { Err(format!("only {hosts:?} are left")) }
}

fn clean_up() -> io::Result<()> {
    let cleaned = Command::new(super::hosts::SCRIPT).arg("clean").status()?;
    if cleaned.success() { Ok(()) } else { Err(io::Error::other(cleaned.to_string())) }
}

/// The hosts that the lab of this name has.
fn namespaces(lab: &str) -> io::Result<Vec<String>> {
    let hosts = Command::new("ip").args(["netns", "list"]).output()?;
    let hosts = String::from_utf8_lossy(&hosts.stdout).into_owned();
    Ok(hosts.lines().filter(|host| host.starts_with(lab)).map(str::to_owned).collect())
}

/// Any seed will do. It is constant, so that every run tests the same.
const SEED: u64 = 1;
