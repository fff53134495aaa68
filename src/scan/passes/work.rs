//! The targets of one pass. Fan-outs claim them in chunks from one counter, so that
//! none waits for another and all end at about the same time.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ports::PortSet;
use crate::scan::plan::{Order, Target};
use crate::shuffle::Shuffle;

/// All targets of a pass.
#[derive(Debug)]
pub(super) struct Work {
    list: List,
    /// The first target that nobody has claimed.
    unclaimed: AtomicU64,
}

#[derive(Debug)]
enum List {
    /// Every port of every one of these addresses.
    All {
        addresses: Vec<u16>,
        ports: PortSet,
        /// `None` is address by address.
        rounds: Option<Rounds>,
    },
    Listed {
        targets: Vec<Target>,
        order: Shuffle,
    },
}

/// An order in which every address is probed once a round.
#[derive(Debug)]
struct Rounds {
    addresses: Shuffle,
    ports: Shuffle,
}

/// The targets that one fan-out claims, as an endless series of chunks until
/// the work is out.
#[derive(Debug)]
pub(super) struct Targets {
    work: Arc<Work>,
    claimed: Range<u64>,
}

impl Work {
    /// Every port of every one of `addresses`, which are indexes of the plan.
    pub(super) fn all(addresses: Vec<u16>, ports: PortSet, order: Order) -> Arc<Self> {
        let rounds = match order {
            Order::Ascending => None,
            Order::Shuffled(seed) => Some(Rounds {
                addresses: Shuffle::new(addresses.len() as u64, seed),
                ports: Shuffle::new(ports.len().into(), !seed),
            }),
        };
        Self::new(List::All { addresses, ports, rounds })
    }

    /// These targets, in the order that `seed` stands for.
    // A policer on the path lets the first of a burst pass and drops the last. Asked
    // in the same order again, the same targets would be dropped each time.
    pub(super) fn listed(targets: Vec<Target>, seed: u64) -> Arc<Self> {
        let order = Shuffle::new(targets.len() as u64, seed);
        Self::new(List::Listed { targets, order })
    }

    fn new(list: List) -> Arc<Self> {
        Arc::new(Self { list, unclaimed: AtomicU64::new(0) })
    }

    /// How many fan-outs, `at_most` at most, have enough to do.
    pub(super) fn useful_fanouts(&self, at_most: NonZeroUsize) -> usize {
        let chunks = self.len().div_ceil(CHUNK);
        usize::try_from(chunks).map_or(at_most.get(), |chunks| chunks.min(at_most.get()))
    }

    /// The series of targets for one more fan-out.
    pub(super) fn targets(work: &Arc<Self>) -> Targets {
        Targets { work: Arc::clone(work), claimed: 0..0 }
    }

    /// How many targets there are.
    pub(super) fn len(&self) -> u64 {
        match &self.list {
            List::All { addresses, ports, .. } => addresses.len() as u64 * u64::from(ports.len()),
            List::Listed { targets, .. } => targets.len() as u64,
        }
    }

    fn at(&self, position: u64) -> Option<Target> {
        match &self.list {
            List::All { addresses, ports, rounds } => {
                if position >= self.len() {
                    return None;
                }
                let count = u64::from(ports.len());
                let (address, port) = match rounds {
                    None => (position / count, position % count),
                    Some(rounds) => rounds.at(position),
                };
                let &address = addresses.get(usize::try_from(address).ok()?)?;
                let port = ports.nth(u32::try_from(port).ok()?)?;
                Some(Target { address, port })
            }
            List::Listed { targets, order } => {
                if position >= order.len() {
                    return None;
                }
                targets.get(usize::try_from(order.at(position)).ok()?).copied()
            }
        }
    }
}

impl Rounds {
    /// The positions of the address and of the port.
    // In a round, each address is at another port: the sum below is a Latin
    // square, which has every port once for an address.
    fn at(&self, position: u64) -> (u64, u64) {
        let (round, seat) = (position / self.addresses.len(), position % self.addresses.len());
        let address = self.addresses.at(seat);
        (address, self.ports.at((round + address) % self.ports.len()))
    }
}

impl Iterator for Targets {
    type Item = Target;

    fn next(&mut self) -> Option<Target> {
        if self.claimed.is_empty() {
            // Only claims race here, and each addition is whole by itself.
            let start = self.work.unclaimed.fetch_add(CHUNK, Ordering::Relaxed);
            self.claimed = start..start + CHUNK;
        }
        self.claimed.next().and_then(|position| self.work.at(position))
    }
}

/// Targets claimed at once: at some 200,000 probes a second and core, a claim
/// each 0.6 ms; small enough that fan-outs end together.
const CHUNK: u64 = 128;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn targets(order: Order) -> Vec<Target> {
        let work = Work::all((1..=100).collect(), "22,80,8000-8019".parse().unwrap(), order);
        Work::targets(&work).collect()
    }

    #[test]
    fn both_orders_have_every_target_once() {
        let ascending = targets(Order::Ascending);
        assert!(ascending.is_sorted());
        let mut shuffled = targets(Order::Shuffled(3));
        assert_eq!(shuffled, targets(Order::Shuffled(3)));
        assert_ne!(shuffled, targets(Order::Shuffled(4)));
        shuffled.sort_unstable();
        assert_eq!(shuffled, ascending);
        assert_eq!(ascending.len(), 100 * 22);
    }

    #[test]
    fn a_round_has_every_address_once_and_no_favourite_port() {
        for round in targets(Order::Shuffled(3)).chunks(100) {
            let addresses: HashSet<u16> = round.iter().map(|target| target.address).collect();
            let ports: HashSet<u16> = round.iter().map(|target| target.port).collect();
            assert_eq!((addresses.len(), ports.len()), (100, 22));
        }
    }

    #[test]
    fn targets_asked_again_come_in_another_order_each_time() {
        let order = |seed| -> Vec<u16> {
            let silent = (1..=1000).map(|port| Target { address: 0, port }).collect();
            let work = Work::listed(silent, seed);
            Work::targets(&work).map(|target| target.port).collect()
        };
        assert_ne!(order(2), order(3));
        let mut ports = order(2);
        ports.sort_unstable();
        assert_eq!(ports, (1..=1000).collect::<Vec<u16>>());
    }
}
