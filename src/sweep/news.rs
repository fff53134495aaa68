//! What a sweep reports as it goes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::Refusal;
use crate::resolve::ResolveError;
use crate::scan::{AddressTally, Finding, NoMemory, ScanTiming};
use crate::targets::HostListError;

/// What a sweep reports as it goes.
#[derive(Debug)]
pub(crate) enum News {
    /// A finding of a kind that the plan keeps.
    Found(Found),
    /// The result of a host. No more news of the host follows.
    Ended(HostEnd),
    /// The rest of the list of hosts cannot be read. Hosts read so far are scanned.
    ListFailed(HostListError),
}

/// A finding on a host.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The host as typed.
    pub(crate) host: Arc<str>,
    /// What was found.
    pub(crate) finding: Finding,
    /// Whether this is the first finding of this port and state on the host. A name
    /// may have several addresses.
    pub(crate) first: bool,
}

/// How the visit to a host ended.
#[derive(Debug)]
pub(crate) struct HostEnd {
    /// The host as typed.
    pub(crate) host: Arc<str>,
    /// The result.
    pub(crate) outcome: HostOutcome,
}

/// The result of a host.
#[derive(Debug)]
pub(crate) enum HostOutcome {
    /// It was scanned.
    Scanned {
        /// What was found at each address.
        tallies: Vec<AddressTally>,
        /// How the batch was scanned, and the path to each of these addresses.
        timing: ScanTiming,
        /// Further addresses of the host, which were not scanned.
        left_out: Vec<IpAddr>,
        /// How long the batch took.
        elapsed: Duration,
        /// Whether the sweep was stopped.
        stopped: bool,
    },
    /// It has no addresses, or none that are known.
    NotResolved(ResolveError),
    /// Policy refuses to scan it.
    Refused(Refusal),
    /// It has more targets than there is memory for.
    TooLarge(NoMemory),
}
