//! Sweeps of a network that the scanner is attached to. The kernel has to resolve
//! each address, in a neighbour table that belongs to the whole node.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use oorandom::Rand64;
use serde::Deserialize;

use super::hosts::{Lab, SCRIPT};
use super::run::Run;
use super::scenario::{Family, Goal};

/// A sweep of an attached network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attached {
    pub(crate) name: &'static str,
    pub(crate) family: Family,
    /// The network that is swept, and how many of its addresses are scanned: not the
    /// scanner's own, nor the network's and the broadcast address.
    pub(crate) network: &'static str,
    pub(crate) left_out: &'static str,
    pub(crate) addresses: u32,
    pub(crate) goal: Goal,
}

/// The rows of the table that `scripts/lab-bench` measures.
pub(crate) const TABLE: &[Attached] = &[
    ALL,
    Attached {
        name: "attached IPv6 /116, 64 hosts with 3 open of 4 ports",
        family: Family::V6,
        network: "fd00:91::/116",
        left_out: "fd00:91::1",
        addresses: 4095,
        ..ALL
    },
];

/// The sweeps that tests run. The IPv6 one is a quarter of the table's row, as large
/// as the neighbour table.
pub(crate) const TRIALS: &[Attached] = &[
    ALL,
    Attached {
        name: "attached IPv6 /118, 64 hosts with 3 open of 4 ports",
        family: Family::V6,
        network: "fd00:91::/118",
        left_out: "fd00:91::1",
        addresses: 1023,
        ..ALL
    },
];

const ALL: Attached = Attached {
    name: "attached /20, 64 hosts with 3 open of 4 ports",
    family: Family::V4,
    network: "10.91.0.0/20",
    left_out: "10.91.0.1,10.91.15.255",
    addresses: 4094,
    goal: Goal { seconds: Some(60.0), runs: 5 },
};

/// The part of a sweep's report that is checked.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    pub(crate) hosts: Vec<HostReport>,
    pub(crate) complete: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct HostReport {
    pub(crate) addresses: Vec<AddressReport>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct AddressReport {
    pub(crate) address: IpAddr,
    pub(crate) open_ports: BTreeSet<u16>,
    pub(crate) closed: u32,
    #[serde(default)]
    pub(crate) filtered_by: BTreeMap<String, u32>,
}

impl Attached {
    /// Sweeps once, in its own lab.
    ///
    /// # Errors
    /// When the lab failed, which says nothing about the program.
    pub(crate) fn run_once(&self, program: &Path, seed: u64) -> io::Result<Run> {
        let hosts = self.draw_hosts(seed);
        let list: Vec<String> = hosts.iter().map(IpAddr::to_string).collect();
        let options = ["--attached", &list.join(","), "--open", "22,80,443"].map(str::to_owned);
        let lab = Lab::up_by(Path::new(SCRIPT), &options)?;
        let overflows_before = self.overflows()?;
        let started = Instant::now();
        let ended = lab.hosts.on_scanner(|| {
            let mut sweep = Command::new(program);
            sweep.args(["scan", self.network, "--exclude", self.left_out]);
            sweep.args(["-p", "22,80,443,8080", "--format", "json"]);
            sweep.stdin(Stdio::null()).stderr(Stdio::inherit()).output()
        })?;
        let elapsed = started.elapsed();
        let overflows = self.overflows()? - overflows_before;
        let mut faults = self.faults(&hosts, &serde_json::from_slice(&ended.stdout)?);
        if !ended.status.success() {
            faults.push(format!("the scan ended with {}", ended.status));
        }
        if overflows > 0 {
            faults.push(format!("the node's neighbour table overflowed {overflows} times"));
        }
        Ok(Run { seed, elapsed, faults, dropped_by_hosts: lab.hosts.dropped()? })
    }

    /// Everything that is wrong in `report`, in a few words each.
    fn faults(&self, hosts: &BTreeSet<IpAddr>, report: &Report) -> Vec<String> {
        let mut faults = Vec::new();
        let addresses: Vec<_> = report.hosts.iter().flat_map(|host| &host.addresses).collect();
        let (mut missed, mut wrong) = (0, 0);
        for address in &addresses {
            let found = (address.closed, address.filtered_by.get("host-unreach").copied());
            if hosts.contains(&address.address) {
                missed += OPEN.iter().filter(|port| !address.open_ports.contains(port)).count();
                wrong += usize::from(found != (1, None));
            } else {
                wrong += usize::from(found != (0, Some(PORTS)));
            }
        }
        if missed > 0 {
            faults.push(format!("{missed} of {} open ports missed", hosts.len() * OPEN.len()));
        }
        if wrong > 0 {
            faults
                .push(format!("{wrong} addresses with other closed or filtered ports than theirs"));
        }
        if addresses.len() != self.addresses as usize {
            faults.push(format!("{} addresses, not {}", addresses.len(), self.addresses));
        }
        if !report.complete {
            faults.push("not complete".to_owned());
        }
        faults
    }

    /// Chooses the addresses that the target answers for; a seed always gives the same.
    fn draw_hosts(&self, seed: u64) -> BTreeSet<IpAddr> {
        let mut draws = Rand64::new(seed.into());
        let mut hosts = BTreeSet::new();
        while hosts.len() < HOSTS {
            // Neither the scanner's own nor one that stands for the network.
            let nth = draws.rand_range(2..u64::from(self.addresses));
            hosts.insert(self.address(u32::try_from(nth).expect("as many as there are")));
        }
        hosts
    }

    fn address(&self, nth: u32) -> IpAddr {
        match self.family {
            Family::V4 => Ipv4Addr::from_bits(Ipv4Addr::new(10, 91, 0, 0).to_bits() + nth).into(),
            Family::V6 => {
                let network = Ipv6Addr::new(0xfd00, 0x91, 0, 0, 0, 0, 0, 0).to_bits();
                Ipv6Addr::from_bits(network + u128::from(nth)).into()
            }
        }
    }

    /// How often the node's neighbour table was full and no entry could be removed.
    fn overflows(&self) -> io::Result<u64> {
        let table = match self.family {
            Family::V4 => "arp_cache",
            Family::V6 => "ndisc_cache",
        };
        let shown = Command::new("ip").args(["-s", "ntable", "show", "name", table]).output()?;
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let count = shown.split("table_fulls ").nth(1).and_then(|rest| rest.split(' ').next());
        let count = count.and_then(|count| count.trim().parse().ok());
        count.ok_or_else(|| io::Error::other("ip does not show the neighbour table"))
    }
}

/// How many addresses the target answers for.
const HOSTS: usize = 64;

/// Ports that are scanned on each address.
const PORTS: u32 = 4;

/// How many of them have a listener.
const OPEN: [u16; 3] = [22, 80, 443];
