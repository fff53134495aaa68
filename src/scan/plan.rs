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
    /// How long the scan may take. Targets still unfinished then are not scanned.
    pub deadline: Option<Duration>,
    /// Probes a second, at most.
    pub rate: Option<NonZeroU32>,
    /// Which ports to keep in the findings.
    pub keep: Keep,
    /// Whether to keep the state of every port, the closed ones too.
    pub states: States,
    /// Ports that nobody uses. An address with suspiciously many open ports is
    /// asked for these as well; `None` asks for none.
    pub canaries: Option<PortSet>,
    /// The order of the targets.
    pub order: Order,
}

/// A port of one of the plan's addresses, in four bytes. The engine works with
/// targets; the address itself is looked up when a socket connects to it.
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
    /// In rounds, shuffled by a seed. A round probes every address once, so that no
    /// address gets many probes at a time.
    Shuffled(u64),
}

/// Which ports a scan keeps in its findings; the others it only counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The open ports.
    Open,
    /// Every port that is not closed.
    NotClosed,
}

/// What a scan keeps about its ports besides the findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum States {
    /// How many are in which state.
    Counted,
    /// Also which: [`Scan::state_runs`](super::Scan::state_runs) has them at any time.
    Mapped,
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
            states: States::Counted,
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

    /// The address and port to connect to for `target`.
    pub(super) fn socket_addr(&self, target: Target) -> SocketAddr {
        SocketAddr::new(self.address(target.address), target.port)
    }

    /// Whether `other` is the same plan, apart from the deadline.
    #[must_use]
    pub fn asks_the_same_as(&self, other: &Self) -> bool {
        let whole = |plan: &Self| Self { deadline: None, ..plan.clone() };
        whole(self) == whole(other)
    }
}
