//! One run of one scenario: start the hosts, scan, stop the hosts, judge.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::hosts::Lab;
use super::scan::scan;
use super::scenario::{Rest, Scenario};
use super::verdict;

/// A scan of a scenario, judged.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) elapsed: Duration,
    /// What was wrong; empty if the scan was exact.
    pub(crate) faults: Vec<String>,
    /// Frames that the hosts dropped themselves. A host that sends thousands at once,
    /// as the kernel does when it repeats all SYNs of a burst, overflows its own
    /// queue (net.core.netdev_max_backlog).
    pub(crate) dropped_by_hosts: u64,
}

/// Runs a scenario once, in its own lab.
///
/// # Errors
/// When the lab failed, which says nothing about the program.
pub(crate) fn run_once(scenario: &Scenario, program: &Path, seed: u64) -> io::Result<Run> {
    let cast = scenario.cast(seed);
    let lab = Lab::up(scenario, &cast, seed)?;
    let dropped_before = lab.hosts.dropped()?;
    let observed = scan(&lab.hosts, program, scenario, scenario.address())?;
    let overruns = lab.hosts.overruns()?;
    let dropped_by_hosts = lab.hosts.dropped()? - dropped_before;
    let accounts = lab.down()?;
    for (way, account) in [("to", &accounts.there), ("from", &accounts.back)] {
        if account.dropped > 0 {
            let dropped = account.dropped;
            return Err(io::Error::other(format!(
                "the wire itself dropped {dropped} frames {way} the target"
            )));
        }
    }
    let mut faults = verdict::faults(scenario, &cast, &observed.report);
    if scenario.rest == Rest::Open && overruns.accept > 0 {
        faults.push(format!("the target's accept queue overran {} times", overruns.accept));
    }
    Ok(Run { seed, elapsed: observed.elapsed, faults, dropped_by_hosts })
}
