//! What a scan is to probe.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use crate::limits;
use crate::ports::PortSet;

/// What one scan is to probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanPlan {
    /// The addresses; every port is probed on each.
    pub addresses: Vec<IpAddr>,
    /// The ports.
    pub ports: PortSet,
    /// How long a probe waits for an answer.
    pub timeout: Duration,
    /// How long the scan may take; what has no outcome by then is not scanned.
    pub deadline: Option<Duration>,
    /// Probes a second, at most.
    pub rate: Option<NonZeroU32>,
    /// Which verdicts to keep port by port.
    pub keep: Keep,
    /// Ports that nobody uses, to be asked of an address on which suspiciously
    /// many are open; `None` leaves it at the suspicion.
    pub canaries: Option<PortSet>,
    /// Which target comes when.
    pub order: Order,
}

/// A port of one of a plan's addresses, in four bytes. The engine works with
/// these; an address is looked up where a socket is to connect to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Target {
    /// The index of the address in the plan.
    pub(crate) address: u16,
    pub(crate) port: u16,
}

/// The order in which targets are probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Address by address, and its ports in ascending order.
    Ascending,
    /// In rounds that have a probe for every address each, shuffled by a seed:
    /// no address is asked more often at a time than it has to be.
    Shuffled(u64),
}

/// Which verdicts a scan keeps port by port; the others it only counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The open ports.
    Open,
    /// Every port that is not closed.
    NotClosed,
}

impl ScanPlan {
    /// A plan with the default timeout, no deadline and no rate, that keeps
    /// the open ports.
    #[must_use]
    pub fn new(addresses: Vec<IpAddr>, ports: PortSet) -> Self {
        Self {
            addresses,
            ports,
            timeout: limits::DEFAULT_TIMEOUT,
            deadline: None,
            rate: None,
            keep: Keep::Open,
            canaries: None,
            order: Order::Ascending,
        }
    }

    /// How many targets there are: ports times addresses.
    #[must_use]
    pub fn targets(&self) -> u64 {
        u64::from(self.ports.len()) * self.addresses.len() as u64
    }

    /// The index of every address.
    pub(super) fn indexes(&self) -> impl Iterator<Item = u16> {
        let index = |index| u16::try_from(index).expect("a plan has at most 65,536 addresses");
        (0..self.addresses.len()).map(index)
    }

    /// The address at `index`.
    pub(super) fn address(&self, index: u16) -> IpAddr {
        self.addresses[usize::from(index)]
    }

    /// Where `target` is.
    pub(super) fn socket_addr(&self, target: Target) -> SocketAddr {
        SocketAddr::new(self.address(target.address), target.port)
    }

    /// Whether `other` asks the same, be it with another deadline.
    #[must_use]
    pub fn asks_the_same_as(&self, other: &Self) -> bool {
        let whole = |plan: &Self| Self { deadline: None, ..plan.clone() };
        whole(self) == whole(other)
    }
}
