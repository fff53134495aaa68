//! What the answers of a network's hosts say about its silent addresses.
//!
//! Most addresses of a network are silent, and to wait for each as long as the
//! timeout allows is most of a sweep's time. Open ports of their neighbours show how
//! long an answer from that network takes. This is held to the same evidence as for
//! a single host: SYN-ACKs of several ports that agree. One port that is accepted
//! at once on every address is a firewall or a proxy near by, not a near network.
//!
//! Hosts of one network need not be equally far. So the first attempt at a silent
//! address waits as long as its neighbours take, and the second much longer (see
//! [`crate::limits::OUTLIER_DIVISOR`]). An answer that comes later than the neighbours' shows
//! that they do not speak for the network: it has no bound then, until several late
//! answers agree.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::rtt::{Cluster, STRONG, Sampled};
use super::{duration, microseconds};

/// The evidence on the networks that a sweep visits, shared by its scans.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    /// Networks with at least one open port.
    known: Mutex<HashMap<Prefix, Evidence>>,
    /// Counts the occasions on which a bound came up, changed or was dropped.
    revision: AtomicU32,
}

/// The networks of one scan's addresses.
#[derive(Debug)]
pub(super) struct View {
    networks: Arc<Networks>,
    addresses: Vec<IpAddr>,
    /// The bound for each address, in microseconds: 0 without any. First that for a
    /// first attempt, then that for any other.
    bounds: Vec<[AtomicU32; 2]>,
    /// The revision of the networks that the bounds follow from.
    seen: AtomicU32,
}

/// How long answers from a network take at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// How long the first attempt waits.
    pub(super) first: Duration,
    /// How long any other attempt waits.
    pub(super) later: Duration,
}

/// A network: its first address, with all bits of hosts cleared, and the length of
/// its prefix.
type Prefix = (IpAddr, u8);

/// SYN-ACKs of different ports that took about the same.
#[derive(Debug, Default)]
struct Evidence {
    cluster: Cluster,
    /// The ports whose answers agree.
    ports: Vec<u16>,
}

impl Networks {
    /// Takes in that `port` of `address` was accepted after `rtt`.
    pub(super) fn sample(&self, address: IpAddr, port: u16, rtt: Duration) {
        let mut known = self.lock();
        let [narrow, wide] = prefixes(address);
        let before = (bound_of(&known, narrow), bound_of(&known, wide));
        for prefix in [narrow, wide] {
            if known.len() < MOST_NETWORKS || known.contains_key(&prefix) {
                known.entry(prefix).or_default().sample(port, rtt);
            }
        }
        let after = (bound_of(&known, narrow), bound_of(&known, wide));
        let of = |(narrow, wide): (Option<Bound>, Option<Bound>)| narrow.or(wide);
        // A narrow network's own evidence changes little while the wide one's stands.
        if of(before).is_some() != of(after).is_some() || before.1.is_some() != after.1.is_some() {
            self.revision.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How long answers from the network of `address` take, if that is known.
    pub(super) fn bounds<'a>(
        &self,
        addresses: impl Iterator<Item = IpAddr> + 'a,
    ) -> Vec<Option<Bound>> {
        let known = self.lock();
        let bound = |address| {
            let [narrow, wide] = prefixes(address);
            bound_of(&known, narrow).or_else(|| bound_of(&known, wide))
        };
        addresses.map(bound).collect()
    }

    /// A number that changes whenever a bound came up, changed or was dropped.
    pub(super) fn revision(&self) -> u32 {
        self.revision.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Prefix, Evidence>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    pub(super) fn new(addresses: &[IpAddr], networks: Arc<Networks>) -> Self {
        let bounds = addresses.iter().map(|_| Default::default()).collect();
        // Unlike any revision there is, so that the first look sets the bounds.
        let seen = AtomicU32::new(networks.revision().wrapping_sub(1));
        Self { networks, addresses: addresses.to_vec(), bounds, seen }
    }

    #[cfg(test)]
    pub(super) fn networks(&self) -> &Arc<Networks> {
        &self.networks
    }

    /// How long answers from the network of the address at this index take, as of
    /// the last [`Self::refresh`].
    pub(super) fn bound(&self, address: u16) -> Option<Bound> {
        let [first, later] = &self.bounds[usize::from(address)];
        Some(Bound { first: duration(first)?, later: duration(later)? })
    }

    /// Takes in that `port` of the address at this index was accepted after `rtt`.
    pub(super) fn sample(&self, address: u16, port: u16, rtt: Duration) {
        self.networks.sample(self.addresses[usize::from(address)], port, rtt);
    }

    /// Sets all bounds anew if they are outdated. True if it did.
    pub(super) fn refresh(&self) -> bool {
        let revision = self.networks.revision();
        // Every attempt looks, and hardly ever is there news: a swap would have all
        // fan-outs take the counter from each other.
        if self.seen.load(Ordering::Relaxed) == revision
            || self.seen.swap(revision, Ordering::Relaxed) == revision
        {
            return false;
        }
        let bounds = self.networks.bounds(self.addresses.iter().copied());
        for (held, bound) in self.bounds.iter().zip(bounds) {
            let [first, later] = bound.map_or([0; 2], |it| [it.first, it.later].map(microseconds));
            held[0].store(first, Ordering::Relaxed);
            held[1].store(later, Ordering::Relaxed);
        }
        true
    }
}

impl Evidence {
    fn sample(&mut self, port: u16, rtt: Duration) {
        // Further answers of a port say nothing new, unless they are later.
        let is_later = self.cluster.timeout().is_some_and(|timeout| rtt > timeout);
        if self.ports.contains(&port) && !is_later {
            return;
        }
        match self.cluster.sample(rtt) {
            Sampled::Nearer => return,
            Sampled::Anew => self.ports.clear(),
            Sampled::Agrees => {}
        }
        // Once the evidence is strong, further ports change nothing.
        if self.ports.len() < usize::from(STRONG) {
            self.ports.push(port);
        }
    }
}

fn bound_of(known: &HashMap<Prefix, Evidence>, prefix: Prefix) -> Option<Bound> {
    let evidence = known.get(&prefix).filter(|evidence| evidence.cluster.is_strong())?;
    Some(Bound { first: evidence.cluster.brief_timeout()?, later: evidence.cluster.timeout()? })
}

/// The network of an address, narrow and wide. A sparse network may have too few
/// open ports in the narrow one.
fn prefixes(address: IpAddr) -> [Prefix; 2] {
    match address.to_canonical() {
        IpAddr::V4(address) => [24_u8, 16].map(|length| {
            let network = address.to_bits() & (u32::MAX << (32 - length));
            (IpAddr::from(Ipv4Addr::from_bits(network)), length)
        }),
        IpAddr::V6(address) => [64_u8, 48].map(|length| {
            let network = address.to_bits() & (u128::MAX << (128 - length));
            (IpAddr::from(Ipv6Addr::from_bits(network)), length)
        }),
    }
}

/// Some 100 bytes each; a sweep that finds open ports in more networks than this
/// goes on without the evidence of further ones.
const MOST_NETWORKS: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: Duration = Duration::from_micros(200);
    const FAR: Duration = Duration::from_millis(300);

    fn bound(networks: &Networks, address: &str) -> Option<Duration> {
        networks.bounds(std::iter::once(address.parse().unwrap()))[0].map(|bound| bound.later)
    }

    fn sample(networks: &Networks, samples: &[(&str, u16, Duration)]) {
        for &(address, port, rtt) in samples {
            networks.sample(address.parse().unwrap(), port, rtt);
        }
    }

    #[test]
    fn several_ports_that_agree_bound_the_wait_for_their_network() {
        let networks = Networks::default();
        sample(&networks, &[("10.0.0.1", 22, NEAR), ("10.0.0.2", 80, NEAR)]);
        assert_eq!(bound(&networks, "10.0.0.9"), None);
        let revision = networks.revision();
        sample(&networks, &[("10.0.7.1", 443, NEAR)]);
        assert_ne!(networks.revision(), revision);
        // The third answer came from another /24 of the same /16.
        for address in ["10.0.0.9", "10.0.200.9", "::ffff:10.0.3.3"] {
            assert!(bound(&networks, address).is_some_and(|it| it < FAR), "{address}");
        }
        for address in ["10.1.0.9", "::10.0.0.9", "fd00::1"] {
            assert_eq!(bound(&networks, address), None, "{address}");
        }
    }

    #[test]
    fn one_port_that_every_address_accepts_is_one_firewall() {
        let networks = Networks::default();
        for host in 1..=250u8 {
            networks.sample([10, 0, 0, host].into(), 80, NEAR);
            networks.sample([10, 0, 0, host].into(), 443, NEAR);
        }
        assert_eq!(bound(&networks, "10.0.0.251"), None);
    }

    #[test]
    fn a_host_that_is_farther_than_its_neighbours_takes_their_word_away() {
        let networks = Networks::default();
        let near = [22, 80, 443].map(|port| ("10.0.0.1", port, NEAR));
        sample(&networks, &near);
        assert!(bound(&networks, "10.0.0.9").is_some());
        let revision = networks.revision();
        sample(&networks, &[("10.0.0.5", 22, FAR)]);
        assert_ne!(networks.revision(), revision);
        sample(&networks, &near);
        assert_eq!(bound(&networks, "10.0.0.9"), None);
        sample(&networks, &[("10.0.0.5", 80, FAR), ("10.0.0.6", 443, FAR)]);
        assert!(bound(&networks, "10.0.0.9").is_some_and(|it| it >= FAR));
    }

    #[test]
    fn a_narrow_network_with_evidence_of_its_own_needs_no_wide_one() {
        let networks = Networks::default();
        sample(&networks, &[22, 80, 443].map(|port| ("fd00:1:2:3::1", port, NEAR)));
        sample(&networks, &[("fd00:1:2:4::1", 22, FAR)]);
        assert!(bound(&networks, "fd00:1:2:3::9").is_some_and(|it| it < FAR));
        assert_eq!(bound(&networks, "fd00:1:2:4::9"), None);
    }
}
