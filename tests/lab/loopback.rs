//! The row without a network: all ports of the scanner itself, compared with an
//! earlier build of the program.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::hosts::{Hosts, Lab};
use super::scan::scan;
use super::scenario::{Scenario, list};

/// The row's name.
pub(crate) const NAME: &str = "loopback, full range";

/// The lowest throughput allowed, as a share of the earlier build's.
pub(crate) const LEAST_RATIO: f64 = 0.95;

/// The throughput of `program` as a share of that of `before`: medians of scans that
/// alternate, so that other load on the machine affects both alike.
pub(crate) fn throughput_ratio(plain: &Scenario, program: &Path, before: &Path) -> io::Result<f64> {
    let scenario = Scenario { open: LISTENERS, ..*plain };
    let lab = Lab::up(plain, &plain.cast(0), 0)?;
    let _listeners = Listeners::start(&lab.hosts, &list(&scenario.cast(1).open))?;
    let (mut now, mut then) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (program, times) in [(program, &mut now), (before, &mut then)] {
            let observed = scan(&lab.hosts, program, &scenario, "127.0.0.1")?;
            if observed.report.open_ports.len() <= LISTENERS {
                // The service itself also listens.
                return Err(io::Error::other("a scan of loopback missed open ports"));
            }
            times.push(observed.elapsed);
        }
    }
    Ok(median(&mut then).as_secs_f64() / median(&mut now).as_secs_f64())
}

/// The median.
pub(crate) fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// A process with listeners on the scanner, ended on drop.
struct Listeners(Child);

impl Listeners {
    fn start(hosts: &Hosts, ports: &str) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let mut listening = Command::new(program);
        listening.args(["listen", ports]).stdout(Stdio::piped());
        let mut process = hosts.on_scanner(|| listening.spawn())?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped above")).read_line(&mut line)?;
        Ok(Self(process))
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As many listeners as in the design's figures.
const LISTENERS: usize = 101;

/// How many scans each build makes.
const ROUNDS: usize = 11;
