//! What this machine allows a scan, how fast that makes it, and what to change.
//!
//! Only [`Machine::observe`] reads the kernel's files. The rest is computed from
//! what it found, so that the advice is tested with the facts of other machines.

use std::fmt;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::descriptors::{DescriptorPlan, TooFewDescriptors};
use super::memory::memory_limit;
use super::neighbours::{Family, TableRoom};
use crate::limits;
use crate::ports::PortSet;

/// What this machine allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// The soft and the hard limit on open descriptors, before this process raised
    /// the soft one; `None` is no limit.
    descriptors: (Option<u64>, Option<u64>),
    /// The first and last port that the kernel chooses for outgoing connections.
    source_ports: Option<(u16, u16)>,
    /// The firewall's table of connections, if it can be seen.
    conntrack: Option<Conntrack>,
    /// The node's neighbour tables of IPv4 and of IPv6.
    neighbours: [Option<TableRoom>; 2],
    /// How far this machine's IPv6 addresses reach.
    ipv6: Ipv6Reach,
    /// Cores that this process may use.
    cores: NonZeroUsize,
    /// The cgroup's limit on memory, in bytes.
    memory: Option<u64>,
}

/// The table in which the firewall tracks connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Conntrack {
    /// How many entries fit.
    max: u64,
    /// How many entries there are.
    used: u64,
    /// How long an unanswered connection keeps its entry.
    syn_sent: Duration,
    /// Whose entries these are.
    seen: Seen,
}

/// Which of a node's tables of connections a process sees. Each network namespace
/// counts its own entries; what a pod sends also has entries in the node's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// The node's.
    Node,
    /// That of a namespace on the node, as in a pod.
    Namespace,
}

/// What can be reached over IPv6, judged by the addresses of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ipv6Reach {
    /// Nothing: it has no IPv6 address.
    Nowhere,
    /// Only this host.
    Loopback,
    /// Only hosts on the same link.
    Link,
    /// Whatever has a route.
    Everywhere,
}

/// What this machine shares between all that runs on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// How many neighbours a scan looks for at a time, over IPv4 and over IPv6.
    pub(crate) neighbours: [Option<u64>; 2],
    /// How many connections more the firewall can track, and how many a second it
    /// forgets of a scan.
    pub(crate) conntrack: Option<(u64, u64)>,
    /// How many ports there are for outgoing connections.
    pub(crate) source_ports: Option<u32>,
}

/// What that means for a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    machine: Machine,
    /// The most probes in flight if memory had no limit.
    roomy: usize,
    /// The most probes in flight.
    window: usize,
    /// How long a scan of all ports of a silent host takes.
    silent_host: Duration,
}

impl Machine {
    /// Looks at the machine that this process runs on. `descriptors` are the soft
    /// and the hard limit that the process started with.
    pub(crate) fn observe(descriptors: (Option<u64>, Option<u64>), cores: NonZeroUsize) -> Self {
        let number = |path: &str| read(path)?.parse().ok();
        let conntrack = number(CONNTRACK_MAX).zip(number(CONNTRACK_COUNT)).map(|(max, used)| {
            let seconds = number(CONNTRACK_SYN_SENT);
            let syn_sent = seconds.map_or(DEFAULT_SYN_SENT, Duration::from_secs);
            Conntrack { max, used, syn_sent, seen: Seen::by(CONNTRACK_MAX) }
        });
        let range = read("/proc/sys/net/ipv4/ip_local_port_range");
        let interfaces = read("/proc/net/if_inet6").unwrap_or_default();
        Self {
            descriptors,
            source_ports: range.as_deref().and_then(port_range),
            conntrack,
            neighbours: [Family::V4, Family::V6].map(|family| TableRoom::observe(family).ok()),
            ipv6: Ipv6Reach::of_interfaces(&interfaces),
            cores,
            memory: memory_limit(),
        }
    }

    /// What all that runs on it shares.
    pub(crate) fn room(&self) -> Room {
        let at_a_time = |room: &TableRoom| u64::try_from(room.at_a_time()).unwrap_or(u64::MAX);
        let free = |table: Conntrack| (table.max.saturating_sub(table.used), table.sustained());
        let ports = |(first, last)| u32::from(last) - u32::from(first) + 1;
        Room {
            neighbours: self.neighbours.map(|room| room.as_ref().map(at_a_time)),
            conntrack: self.conntrack.map(free),
            source_ports: self.source_ports.map(ports),
        }
    }

    /// What it means for a scan. `silent_host` returns how long a scan of all ports
    /// of a silent host takes with a given number of descriptors for probes.
    ///
    /// # Errors
    /// When there are too few descriptors to scan at all.
    pub(crate) fn diagnosis(
        self,
        silent_host: impl FnOnce(usize) -> Duration,
    ) -> Result<Diagnosis, TooFewDescriptors> {
        let limit = self.descriptors.1.and_then(|limit| usize::try_from(limit).ok());
        let plan = DescriptorPlan::try_new(limit.unwrap_or(usize::MAX))?;
        let window = plan.within(self.memory).for_command();
        let silent_host = silent_host(window);
        Ok(Diagnosis { machine: self, roomy: plan.for_command(), window, silent_host })
    }
}

impl Diagnosis {
    /// How many probes a second a scan sends when nothing answers.
    fn silent_rate(&self) -> u64 {
        let ports = f64::from(PortSet::all().len());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let rate = (ports / self.silent_host.as_secs_f64()) as u64;
        rate
    }

    /// What to change on this machine; empty if nothing.
    fn advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        if self.roomy < limits::MAX_PROBE_DESCRIPTORS / 2 {
            let enough = limits::MAX_PROBE_DESCRIPTORS
                + limits::OWN_DESCRIPTORS
                + limits::LOOKUP_DESCRIPTORS * limits::MAX_LOOKUPS;
            advice.push(format!(
                "raise the hard limit on descriptors to {enough} for the widest window (ulimit -Hn, \
                 LimitNOFILE= of systemd, --ulimit nofile= of a container)"
            ));
        }
        if let Some((first, last)) = self.machine.source_ports
            && last - first < FEW_SOURCE_PORTS
        {
            advice.push(
                "widen the range of source ports (sysctl net.ipv4.ip_local_port_range): scans of \
                 one port of many hosts share it with everything else"
                    .into(),
            );
        }
        if let Some(conntrack) = self.machine.conntrack
            && conntrack.sustained() < self.silent_rate()
        {
            let rate = conntrack.sustained();
            advice.push(format!(
                "scan silent hosts with --rate {rate}, or raise net.netfilter.nf_conntrack_max of \
                 the node: a full table drops other people's connections too"
            ));
        }
        for (room, name) in self.machine.neighbours.iter().zip(["ipv4", "ipv6"]) {
            if let Some(TableRoom { max, overflows: times @ 1.., .. }) = room {
                advice.push(format!(
                    "raise net.{name}.neigh.default.gc_thresh3 of the node, which is {max}: its \
                     neighbour table was full {times} times, and packets were dropped"
                ));
            }
        }
        if self.window < self.roomy {
            let clients = limits::MAX_CONNECTIONS * limits::CONNECTION_MEMORY;
            let sockets = clients + self.roomy * limits::PROBE_MEMORY;
            // `DescriptorPlan::within` keeps a quarter for what scans find.
            let enough = limits::PROCESS_MEMORY + sockets.div_ceil(3) * 4;
            advice.push(format!(
                "allow {} MB of memory for {} probes in flight: sockets count as memory of the \
                 cgroup",
                enough.div_ceil(1 << 20),
                self.roomy
            ));
        }
        advice
    }
}

impl Conntrack {
    /// How many unanswered probes a second the table has room for.
    fn sustained(&self) -> u64 {
        (self.max.saturating_sub(self.used) / self.syn_sent.as_secs().max(1)).max(1)
    }
}

impl Seen {
    /// The kernel lets only the first network namespace set the limit of all, and takes
    /// the right to write away from the file elsewhere (nf_conntrack_standalone.c).
    fn by(limit: &str) -> Self {
        let mode = fs::metadata(limit).map(|file| file.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o200 != 0) { Self::Node } else { Self::Namespace }
    }
}

impl Ipv6Reach {
    /// Reads /proc/net/if_inet6, whose fourth column is an address's scope
    /// (`IPV6_ADDR_*` in the kernel's include/net/ipv6.h).
    fn of_interfaces(list: &str) -> Self {
        let scopes = list.lines().filter_map(|line| line.split_whitespace().nth(3));
        let reach = scopes.map(|scope| match scope {
            "10" => Self::Loopback,
            "20" => Self::Link,
            _ => Self::Everywhere,
        });
        reach.max().unwrap_or(Self::Nowhere)
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, window, silent_host, .. } = self;
        let limit = |limit: Option<u64>| limit.map_or("none".into(), |limit| limit.to_string());
        let (soft, hard) = machine.descriptors;
        let mut line = |what: &str, text: String| writeln!(f, "{what:14} {text}");
        line("descriptors", format!("soft limit {}, hard limit {}", limit(soft), limit(hard)))?;
        line("window", format!("{window} probes in flight"))?;
        line(
            "silent host",
            format!(
                "all 65535 ports in {:.1} s at most, {} probes a second",
                silent_host.as_secs_f64(),
                self.silent_rate()
            ),
        )?;
        let source_ports = machine.source_ports.zip(machine.room().source_ports);
        let source_ports = source_ports
            .map(|((first, last), count)| format!("{first} to {last}, {count} of them"));
        line("source ports", source_ports.unwrap_or_else(|| UNSEEN.into()))?;
        let conntrack = machine.conntrack.map(|table| {
            let Conntrack { max, used, .. } = table;
            let room = table.sustained();
            match table.seen {
                Seen::Node => {
                    format!("{used} of {max} entries used; room for {room} silent probes a second")
                }
                Seen::Namespace => format!(
                    "{used} of {max} entries used in this network namespace, room for {room} \
                     silent probes a second; the node also counts them in its own table, which \
                     is not seen from here"
                ),
            }
        });
        line("conntrack", conntrack.unwrap_or_else(|| UNSEEN.into()))?;
        let tables = machine.neighbours.iter().zip(["IPv4", "IPv6"]);
        let tables: Vec<String> = tables
            .filter_map(|(room, family)| {
                let TableRoom { max, used, .. } = (*room)?;
                let at_a_time = room.as_ref().map_or(0, TableRoom::at_a_time);
                Some(format!(
                    "{family} {used} of {max} entries used, looks for {at_a_time} at a time"
                ))
            })
            .collect();
        line("neighbours", if tables.is_empty() { UNSEEN.into() } else { tables.join("; ") })?;
        let reach = match machine.ipv6 {
            Ipv6Reach::Nowhere => "none",
            Ipv6Reach::Loopback => "this host only",
            Ipv6Reach::Link => "neighbours only",
            Ipv6Reach::Everywhere => "yes",
        };
        line("IPv6", reach.into())?;
        line("cores", format!("{}, a fan-out each", machine.cores))?;
        let memory = machine.memory.map(|bytes| format!("limited to {} MB", bytes >> 20));
        line("memory", memory.unwrap_or_else(|| "no limit seen".into()))?;
        for advice in self.advice() {
            line("to change", advice)?;
        }
        Ok(())
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn port_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once(char::is_whitespace)?;
    let (first, last) = (first.parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then_some((first, last))
}

const CONNTRACK_COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
const CONNTRACK_MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
const CONNTRACK_SYN_SENT: &str = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_syn_sent";

/// The kernel's default (nf_conntrack_proto_tcp.c).
const DEFAULT_SYN_SENT: Duration = Duration::from_secs(120);

/// Half of the usual range, 32768 to 60999.
const FEW_SOURCE_PORTS: u16 = 14_000;

const UNSEEN: &str = "not seen from here";

#[cfg(test)]
mod tests;
