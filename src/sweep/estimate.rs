//! How long a sweep takes at best and at worst, and what that depends on, before a
//! probe is sent.
//!
//! The model knows the engine's own bounds and what this machine allows. It does not
//! know the network: a host that answers is faster than one that does not, and where
//! packets are lost, silent ports are asked again.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{ADDRESSES_A_BATCH, MAX_BATCHES, TARGETS_A_BATCH};
use crate::limits;
use crate::machine::doctor::Room;
use crate::scan::Scanner;

/// What a sweep is to probe.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// All hosts.
    pub(crate) hosts: u64,
    /// Those of them that are names, and may have several addresses.
    pub(crate) names: u64,
    /// Addresses on attached networks, of IPv4 and of IPv6.
    pub(crate) attached: [u64; 2],
    /// The ports of each host.
    pub(crate) ports: u32,
    /// How long a probe waits for an answer.
    pub(crate) timeout: Duration,
    /// Probes a second, at most.
    pub(crate) rate: Option<NonZeroU32>,
}

/// Something that keeps a sweep from being faster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// A word for it.
    pub(crate) name: &'static str,
    /// How much it allows.
    pub(crate) allows: String,
    /// How long the sweep takes at least because of it, if nothing answers.
    pub(crate) takes: Duration,
}

/// How long a sweep takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// Hosts times ports, if each name has one address.
    pub(crate) targets: u64,
    /// Packets that it takes to find that nothing answers.
    pub(crate) packets: u64,
    /// If everything answers at once.
    pub(crate) best: Duration,
    /// If nothing answers and nothing is lost.
    pub(crate) silent: Duration,
    /// If packets are lost as well, and each name has as many addresses as are scanned.
    pub(crate) worst: Duration,
    /// What binds, the tightest first.
    pub(crate) bounds: Vec<Bound>,
}

/// How many shards are needed for a given time; `None` if no number is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shards {
    /// If nothing answers and nothing is lost.
    pub(crate) silent: Option<u64>,
    /// At worst.
    pub(crate) worst: Option<u64>,
}

/// What the sweep runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground<'a> {
    /// It bounds what is in flight.
    pub(crate) scanner: &'a Scanner,
    /// What the machine has room for.
    pub(crate) room: &'a Room,
}

impl Load {
    /// No hosts yet, which are to be probed like this.
    pub(crate) fn none(ports: u32, timeout: Duration, rate: Option<NonZeroU32>) -> Self {
        Self { hosts: 0, names: 0, attached: [0; 2], ports, timeout, rate }
    }

    /// One of `count` shards of it, the largest.
    fn shard(&self, count: u64) -> Self {
        Self {
            hosts: self.hosts.div_ceil(count),
            names: self.names.div_ceil(count),
            attached: self.attached.map(|addresses| addresses.div_ceil(count)),
            ..*self
        }
    }

    /// The load of which this is one of `count` shards.
    pub(crate) fn whole(&self, count: u64) -> Self {
        Self {
            hosts: self.hosts.saturating_mul(count),
            names: self.names.saturating_mul(count),
            attached: self.attached.map(|addresses| addresses.saturating_mul(count)),
            ..*self
        }
    }

    /// The same if each name has as many addresses as are scanned.
    fn with_most_addresses(&self) -> Self {
        let more = self.names.saturating_mul(limits::MAX_ADDRESSES as u64 - 1);
        Self { hosts: self.hosts.saturating_add(more), ..*self }
    }

    fn targets(&self) -> u64 {
        self.hosts.saturating_mul(self.ports.into())
    }
}

impl Estimate {
    /// Estimates a sweep of `load`.
    pub(crate) fn new(load: &Load, ground: Ground<'_>) -> Self {
        let bounds = bounds(load, ground);
        let silent = slowest(&bounds);
        let most = load.with_most_addresses();
        let lossy = limits::RETRY_PATIENCE.saturating_mul(count(rounds(&most, ground)));
        let worst = slowest(&self::bounds(&most, ground)).saturating_add(lossy);
        let targets = load.targets();
        let work = seconds(
            targets,
            1.0 / PROBE_WORK.as_secs_f64() * ground.scanner.fanouts().get() as f64,
        );
        let paced = load.rate.map_or(Duration::ZERO, |rate| seconds(targets, rate.get().into()));
        let best = work.max(paced).min(silent);
        Self { targets, packets: targets.saturating_mul(ATTEMPTS), best, silent, worst, bounds }
    }

    /// What binds most.
    pub(crate) fn binds(&self) -> &'static str {
        self.bounds[0].name
    }
}

impl Shards {
    /// How many shards of `load` it takes to be done within `time`, each on a machine
    /// like this one.
    pub(crate) fn within(time: Duration, load: &Load, ground: Ground<'_>) -> Self {
        let fewest = |takes: fn(&Estimate) -> Duration| {
            let fits = |count| takes(&Estimate::new(&load.shard(count), ground)) <= time;
            // More shards never take longer.
            let (mut too_few, mut enough) = (0, load.hosts.max(1));
            if !fits(enough) {
                return None;
            }
            while too_few + 1 < enough {
                let middle = too_few + (enough - too_few) / 2;
                if fits(middle) { enough = middle } else { too_few = middle }
            }
            Some(enough)
        };
        Self { silent: fewest(|it| it.silent), worst: fewest(|it| it.worst) }
    }
}

/// The most targets that a sweep has in flight at a time, apart from what the machine
/// allows.
fn at_once(ports: u32) -> u64 {
    let ports = u64::from(ports);
    let addresses = (TARGETS_A_BATCH / ports).clamp(1, ADDRESSES_A_BATCH as u64);
    MAX_BATCHES as u64 * addresses * ports
}

fn rounds(load: &Load, Ground { scanner, .. }: Ground<'_>) -> u64 {
    scanner.rounds(load.targets(), at_once(load.ports))
}

/// What binds a sweep of `load` if nothing answers, the tightest first.
fn bounds(load: &Load, ground: Ground<'_>) -> Vec<Bound> {
    let Ground { scanner, room, .. } = ground;
    let (targets, window, at_once) = (load.targets(), scanner.window(), at_once(load.ports));
    let mut bounds = Vec::new();
    let mut bound = |name, allows, takes| bounds.push(Bound { name, allows, takes });
    let waits = |at_once| load.timeout.saturating_mul(count(scanner.rounds(targets, at_once)));
    bound(
        "descriptors",
        format!("{window} probes in flight, {} ms each", load.timeout.as_millis()),
        waits(u64::MAX),
    );
    if at_once < window {
        let allows = format!("{MAX_BATCHES} batches of hosts, {at_once} probes in flight");
        bound("batches", allows, waits(at_once));
    }
    if let Some(rate) = load.rate {
        let takes = seconds(targets.saturating_mul(ATTEMPTS), rate.get().into());
        let allows = format!("{rate} probes a second, {ATTEMPTS} for each silent target");
        bound("rate", allows, takes.saturating_add(load.timeout));
    }
    for ((addresses, at_a_time), name) in
        load.attached.iter().zip(room.neighbours).zip(["IPv4 neighbours", "IPv6 neighbours"])
    {
        if let Some(at_a_time) = at_a_time.filter(|_| *addresses > 0) {
            let takes = NEIGHBOUR_WAIT.saturating_mul(count(addresses.div_ceil(at_a_time.max(1))));
            let allows = format!(
                "{addresses} addresses of attached networks, {at_a_time} looked for at a time"
            );
            bound(name, allows, takes);
        }
    }
    if let Some((free, a_second)) = room.conntrack {
        let entries = targets.saturating_mul(ATTEMPTS);
        // What has room needs no time.
        let takes = seconds(entries.saturating_sub(free), a_second as f64);
        bound("conntrack", format!("{free} entries are free, {a_second} a second"), takes);
    }
    if let Some(ports) = room.source_ports {
        // One port serves any number of targets, but most NATs have no more than this.
        let flights = scanner.rounds(targets, at_once.min(ports.into()));
        let allows = format!("{ports}, each for any number of targets unless a NAT counts them");
        let takes = if u64::from(ports) < window.min(at_once) {
            load.timeout.saturating_mul(count(flights))
        } else {
            Duration::ZERO
        };
        bound("source ports", allows, takes);
    }
    bounds.sort_by_key(|bound| std::cmp::Reverse(bound.takes));
    bounds
}

fn slowest(bounds: &[Bound]) -> Duration {
    bounds.iter().map(|bound| bound.takes).max().unwrap_or_default()
}

/// How long `number` things take, at so many a second.
fn seconds(number: u64, a_second: f64) -> Duration {
    Duration::try_from_secs_f64(number as f64 / a_second).unwrap_or(Duration::MAX)
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A silent target is asked twice.
const ATTEMPTS: u64 = 2;

/// The work of one core for a probe that is answered at once: all ports of loopback
/// took two cores 0.29 s.
const PROBE_WORK: Duration = Duration::from_micros(8);

/// How long the kernel looks for a neighbour.
const NEIGHBOUR_WAIT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::num::NonZeroUsize;

    use super::*;
    use crate::ports::PortSet;
    use crate::scan::ScanPlan;

    const CORES: NonZeroUsize = NonZeroUsize::new(2).unwrap();

    fn load(hosts: u64, ports: u32) -> Load {
        let timeout = Duration::from_secs(2);
        Load { hosts, names: 0, attached: [0; 2], ports, timeout, rate: None }
    }

    fn estimate(load: &Load, descriptors: usize, room: &Room) -> Estimate {
        let scanner = Scanner::new(descriptors, CORES);
        Estimate::new(load, Ground { scanner: &scanner, room })
    }

    fn wide() -> Room {
        Room { source_ports: Some(28_232), neighbours: [Some(256); 2], conntrack: None }
    }

    #[test]
    fn a_silent_sweep_takes_as_long_as_the_scanner_says_of_the_same_targets() {
        for (descriptors, hosts, ports) in
            [(20_000, 1, 65_535), (1_000, 16, 10_000), (64, 256, 3), (2, 1, 1), (4_000, 65_536, 1)]
        {
            let scanner = Scanner::new(descriptors, CORES);
            let last = u16::try_from(ports).unwrap();
            let address = |host: u64| IpAddr::from(u32::try_from(host).unwrap().to_be_bytes());
            let plan = ScanPlan::new(
                (0..hosts).map(address).collect(),
                PortSet::try_range(1, last).unwrap(),
            );
            let estimate = estimate(&load(hosts, ports), descriptors, &wide());
            assert_eq!(estimate.targets, plan.targets());
            assert_eq!(estimate.silent, scanner.worst_case(&plan), "{hosts} hosts, {ports} ports");
            assert_eq!(estimate.binds(), "descriptors");
        }
    }

    #[test]
    fn the_tightest_bound_is_named() {
        let many = load(1 << 16, 1);
        assert_eq!(estimate(&many, 20_000, &wide()).binds(), "batches");
        let rate = NonZeroU32::new(1_000);
        let paced = estimate(&Load { rate, ..many.clone() }, 20_000, &wide());
        assert_eq!(paced.binds(), "rate");
        // Each target is asked twice.
        assert!(paced.silent > Duration::from_secs(131) && paced.packets == 1 << 17);
        let attached = Load { attached: [1 << 16, 0], ..many.clone() };
        assert_eq!(estimate(&attached, 20_000, &wide()).binds(), "IPv4 neighbours");
        let full = Room { conntrack: Some((1_000, 100)), ..wide() };
        assert_eq!(estimate(&many, 20_000, &full).binds(), "conntrack");
        let few = Room { source_ports: Some(64), ..wide() };
        assert_eq!(estimate(&many, 20_000, &few).binds(), "source ports");
    }

    #[test]
    fn the_best_is_never_slower_than_the_worst() {
        for hosts in [0, 1, 255, 1 << 16, 1 << 32] {
            for ports in [1, 5, 1_000, 65_535] {
                let names = hosts / 2;
                let it = estimate(&Load { names, ..load(hosts, ports) }, 1_000, &wide());
                assert!(it.best <= it.silent && it.silent <= it.worst, "{it:?}");
            }
        }
    }

    #[test]
    fn as_many_shards_as_named_are_enough_and_one_less_is_not() {
        let (load, room) = (load(1 << 20, 5), wide());
        let scanner = Scanner::new(20_000, CORES);
        let ground = Ground { scanner: &scanner, room: &room };
        let time = Duration::from_secs(60);
        let Shards { silent, worst } = Shards::within(time, &load, ground);
        let takes = |count| Estimate::new(&load.shard(count), ground).silent;
        let silent = silent.unwrap();
        assert!(takes(silent) <= time && takes(silent - 1) > time, "{silent}");
        assert!(worst.unwrap() > silent);
        // A single silent port takes 2 s.
        let none = Shards { silent: None, worst: None };
        assert_eq!(Shards::within(Duration::from_secs(1), &load, ground), none);
        let one = Shards::within(Duration::from_secs(1 << 40), &load, ground);
        assert_eq!(one, Shards { silent: Some(1), worst: Some(1) });
    }
}
