//! Sweeps of a network behind a router, most of whose addresses nobody has.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use oorandom::Rand64;

use super::attached::Report;
use super::hosts::{Lab, SCRIPT};
use super::run::Run;
use super::scenario::Goal;

/// A sweep of a routed network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routed {
    pub(crate) name: &'static str,
    /// The length of the network's prefix.
    pub(crate) prefix: u8,
    /// How many hosts are near, and how many are 300 ms away.
    pub(crate) near: usize,
    pub(crate) far: usize,
    pub(crate) goal: Goal,
}

/// The rows of the table that `scripts/lab-bench` measures.
pub(crate) const TABLE: &[Routed] = &[
    SPARSE,
    Routed {
        name: "routed /16, 512 hosts with 3 open of 5 ports",
        prefix: 16,
        near: 512,
        goal: Goal { seconds: Some(10.0), runs: 5 },
        ..SPARSE
    },
    MIXED,
];

/// The sweeps that tests run.
pub(crate) const TRIALS: &[Routed] = &[SPARSE, MIXED];

const SPARSE: Routed = Routed {
    name: "routed /20, 64 hosts with 3 open of 5 ports",
    prefix: 20,
    near: 64,
    far: 0,
    goal: Goal { seconds: Some(1.5), runs: 5 },
};

const MIXED: Routed = Routed {
    name: "routed /21, 32 hosts near by and 8 at 300 ms",
    prefix: 21,
    near: 32,
    far: 8,
    goal: Goal { seconds: None, runs: 10 },
};

impl Routed {
    /// Sweeps once, in its own lab.
    ///
    /// # Errors
    /// When the lab failed, which says nothing about the program.
    pub(crate) fn run_once(&self, program: &Path, seed: u64) -> io::Result<Run> {
        let hosts = self.draw_hosts(seed);
        let (near, far) = hosts.split_at(self.near);
        let list = |hosts: &[IpAddr]| {
            hosts.iter().map(IpAddr::to_string).collect::<Vec<String>>().join(",")
        };
        let mut options =
            vec!["--routed".to_owned(), list(near), "--open".to_owned(), list_of_ports()];
        if !far.is_empty() {
            options.extend(["--beyond", &list(far), "--wire", "delay=150ms"].map(str::to_owned));
        }
        let lab = Lab::up_by(Path::new(SCRIPT), &options)?;
        let network = format!("{NETWORK}/{}", self.prefix);
        let started = Instant::now();
        let ended = lab.hosts.on_scanner(|| {
            let mut sweep = Command::new("prlimit");
            sweep.arg(format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}")).arg(program);
            sweep.args(["scan", &network, "-p", "22,80,443,3306,8080", "--format", "json"]);
            sweep.stdin(Stdio::null()).stderr(Stdio::inherit()).output()
        })?;
        let elapsed = started.elapsed();
        let mut faults = self.faults(&hosts, &serde_json::from_slice(&ended.stdout)?);
        if !ended.status.success() {
            faults.push(format!("the scan ended with {}", ended.status));
        }
        Ok(Run { seed, elapsed, faults, dropped_by_hosts: lab.hosts.dropped()? })
    }

    /// Everything that is wrong in `report`, in a few words each.
    fn faults(&self, hosts: &[IpAddr], report: &Report) -> Vec<String> {
        let hosts: BTreeSet<&IpAddr> = hosts.iter().collect();
        let (mut seen, mut missed, mut wrong) = (0, 0, 0);
        for address in report.hosts.iter().flat_map(|host| &host.addresses) {
            seen += 1;
            let silent = address.filtered_by.get("no-response").copied().unwrap_or_default();
            let open = OPEN.iter().filter(|port| address.open_ports.contains(port)).count();
            let found = (address.closed, silent);
            if hosts.contains(&address.address) {
                missed += OPEN.len() - open;
                wrong += usize::from(found != (2, 0));
            } else {
                wrong += usize::from(found != (0, 5));
            }
        }
        let mut faults = Vec::new();
        if missed > 0 {
            faults.push(format!("{missed} of {} open ports missed", hosts.len() * OPEN.len()));
        }
        if wrong > 0 {
            faults
                .push(format!("{wrong} addresses with other closed or filtered ports than theirs"));
        }
        if seen != self.addresses() {
            faults.push(format!("{seen} addresses, not {}", self.addresses()));
        }
        if !report.complete {
            faults.push("not complete".to_owned());
        }
        faults
    }

    /// Chooses the hosts, first those near by; a seed always gives the same.
    fn draw_hosts(&self, seed: u64) -> Vec<IpAddr> {
        let mut draws = Rand64::new(seed.into());
        let (mut drawn, mut hosts) = (BTreeSet::new(), Vec::new());
        while hosts.len() < self.near + self.far {
            let nth = u32::try_from(draws.rand_range(0..self.addresses())).expect("a network's");
            if drawn.insert(nth) {
                hosts.push(Ipv4Addr::from_bits(NETWORK.to_bits() + nth).into());
            }
        }
        hosts
    }

    fn addresses(&self) -> u64 {
        1 << (32 - self.prefix)
    }
}

fn list_of_ports() -> String {
    OPEN.map(|port| port.to_string()).join(",")
}

const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 92, 0, 0);

/// How many descriptors the scanner may open.
const DESCRIPTORS: u32 = 20_000;

/// The ports, of five, that have a listener on each host.
const OPEN: [u16; 3] = [22, 80, 443];
