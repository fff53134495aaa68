//! Addresses that policy has allowed: what a scan can be made of.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::policy::{Decision, Policy, Refusal};
use crate::ports::PortSet;
use crate::resolve::Resolved;
use crate::scan::{Keep, Order, ScanPlan, States};
use crate::services;

/// Addresses and ports that policy allows to scan.
///
/// [`Asker::judge`](super::Asker::judge) is the only way to get one:
///
/// ```
/// use open_ports::ask::Asker;
/// use open_ports::policy::{Policy, Rules};
/// use open_ports::ports::PortSet;
/// use open_ports::resolve::{Resolved, Resolver};
/// use open_ports::scan::Scanner;
///
/// let policy = Policy::new("127.0.0.0/8".parse()?, Rules::none());
/// let asker = Asker::new(Scanner::new(64, 1.try_into()?), Resolver::new(1), policy);
/// let resolved = |address: &str| -> Result<_, std::net::AddrParseError> {
///     Ok(Resolved { addresses: vec![address.parse()?], left_out: Vec::new() })
/// };
/// let ports = PortSet::try_range(22, 22)?;
/// let permitted = asker.judge(resolved("127.0.0.1")?, &ports).expect("policy allows it");
/// assert_eq!(permitted.addresses(), resolved("127.0.0.1")?.addresses);
/// assert!(asker.judge(resolved("192.0.2.1")?, &ports).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Its fields are private and nothing else makes one, so this does not compile:
///
/// ```compile_fail,E0451
/// use open_ports::ask::Permitted;
/// use open_ports::ports::PortSet;
///
/// let permitted = Permitted {
///     addresses: vec![[127, 0, 0, 1].into()],
///     left_out: Vec::new(),
///     ports: PortSet::try_range(22, 22).unwrap(),
///     canaries: None,
///     decision: None,
/// };
/// ```
#[derive(Clone, Debug)]
pub struct Permitted {
    addresses: Vec<IpAddr>,
    /// Further addresses of the host. They are allowed too, but not scanned.
    left_out: Vec<IpAddr>,
    ports: PortSet,
    /// Ports that nobody uses and that may be probed on every address.
    canaries: Option<PortSet>,
    /// What policy said about the first address.
    decision: Option<Decision>,
}

/// How a scan goes about its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanOptions {
    /// How long a probe waits for an answer.
    pub timeout: Duration,
    /// How long the scan may take.
    pub deadline: Option<Duration>,
    /// The limit of probes a second.
    pub rate: Option<NonZeroU32>,
    /// Which verdicts to keep port by port.
    pub keep: Keep,
    /// Whether to keep the state of every port.
    pub states: States,
    /// Which target comes when.
    pub order: Order,
}

impl Permitted {
    /// Checks every address, those left out of the scan included: a name that
    /// also leads to a forbidden address is refused as a whole.
    pub(super) fn judge(
        policy: &Policy,
        resolved: Resolved,
        ports: &PortSet,
    ) -> Result<Self, Refusal> {
        let Resolved { addresses, left_out } = resolved;
        let mut first = None;
        for &address in addresses.iter().chain(&left_out) {
            match policy.judge(address, ports) {
                Decision::Refused(refusal) => return Err(refusal),
                allowed @ Decision::Allowed { .. } => first = first.or(Some(allowed)),
            }
        }
        let canaries = canaries(policy, &addresses);
        Ok(Self { addresses, left_out, ports: ports.clone(), canaries, decision: first })
    }

    /// All of `parts` together: their addresses, each once, in ascending order.
    /// `None` if there are no parts.
    ///
    /// # Panics
    /// When they are about different ports.
    pub(crate) fn all_of<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut parts = parts.into_iter();
        let mut whole = parts.next()?.clone();
        for part in parts {
            assert!(whole.ports == part.ports, "parts of one scan have the same ports");
            whole.addresses.extend(&part.addresses);
            whole.left_out.extend_from_slice(&part.left_out);
            let canaries = whole.canaries.as_ref().zip(part.canaries.as_ref());
            whole.canaries = canaries.and_then(|(whole, part)| whole.intersection(part));
        }
        whole.addresses.sort_unstable();
        whole.addresses.dedup();
        Some(whole)
    }

    /// The addresses to scan, in the order of the scan's tallies.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// The further addresses of the host, which are not scanned.
    pub(crate) fn left_out(&self) -> &[IpAddr] {
        &self.left_out
    }

    /// The rules that allow the first address.
    pub(super) fn rule(&self) -> String {
        self.decision.as_ref().map(Decision::rule).unwrap_or_default()
    }

    pub(super) fn plan(&self, options: ScanOptions) -> ScanPlan {
        let ScanOptions { timeout, deadline, rate, keep, states, order } = options;
        ScanPlan {
            addresses: self.addresses.clone(),
            ports: self.ports.clone(),
            timeout,
            deadline,
            rate,
            keep,
            states,
            canaries: self.canaries.clone(),
            order,
        }
    }
}

/// The ports that nobody uses and that policy allows to probe on all `addresses`.
fn canaries(policy: &Policy, addresses: &[IpAddr]) -> Option<PortSet> {
    let is_allowed = |&port: &u16| {
        PortSet::try_range(port, port).is_ok_and(|port| {
            let judge = |&address| policy.judge(address, &port);
            addresses.iter().map(judge).all(|decision| decision.is_allowed())
        })
    };
    PortSet::from_ports(services::UNUSED.into_iter().filter(is_allowed))
}
