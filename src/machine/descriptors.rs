//! The process's limit on open descriptors, and its split between clients, look-ups
//! and probes.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

use crate::limits;

/// How the descriptors and the memory of the process are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorPlan {
    /// The process's limit on open descriptors (`ulimit -n`).
    pub limit: usize,
    /// The most client connections at a time; further ones wait in the backlog.
    pub connections: usize,
    /// The most look-ups of names at a time.
    pub lookups: usize,
    /// Descriptors that all scans share.
    pub probes: usize,
    /// Bytes that all scans share, for what they find and for what they ask again.
    pub scan_memory: usize,
}

/// The limit on open descriptors leaves too few to scan with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the limit of {limit} open descriptors is too low; raise it to {} or more (ulimit -n)",
    limits::MIN_DESCRIPTORS
)]
pub struct TooFewDescriptors {
    /// The limit found.
    pub limit: usize,
}

/// Raises the soft limit on open descriptors to the hard limit, and returns the limit
/// that then holds. If the system refuses, the soft limit stays as it was.
#[must_use]
pub fn raise_descriptor_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    // `None` is RLIM_INFINITY.
    let limit = if raised.is_ok() { maximum } else { current };
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// The soft and the hard limit on open descriptors; `None` is no limit.
#[must_use]
pub fn descriptor_limits() -> (Option<u64>, Option<u64>) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    (current, maximum)
}

impl DescriptorPlan {
    /// Descriptors for probes when there are no clients.
    #[must_use]
    pub fn for_command(&self) -> usize {
        (self.probes + self.connections).min(limits::MAX_PROBE_DESCRIPTORS)
    }

    /// Divides `limit` descriptors.
    ///
    /// # Errors
    /// When `limit` is below [`limits::MIN_DESCRIPTORS`].
    pub fn try_new(limit: usize) -> Result<Self, TooFewDescriptors> {
        if limit < limits::MIN_DESCRIPTORS {
            return Err(TooFewDescriptors { limit });
        }
        let lookups =
            (limit / limits::DESCRIPTORS_A_LOOKUP).clamp(limits::MIN_LOOKUPS, limits::MAX_LOOKUPS);
        let free = limit - limits::OWN_DESCRIPTORS - limits::LOOKUP_DESCRIPTORS * lookups;
        let connections = (free / 3).min(limits::MAX_CONNECTIONS);
        let probes = (free - connections).min(limits::MAX_PROBE_DESCRIPTORS);
        Ok(Self { limit, connections, lookups, probes, scan_memory: usize::MAX })
    }

    /// The same plan, reduced to what fits into `memory` bytes if there is a limit.
    // No call fails when memory runs out: the kernel charges sockets to the cgroup, and
    // kills the process when that is full. So the plan has to stay below the limit, and
    // still leave the least that works, however low the limit is.
    #[must_use]
    pub fn within(self, memory: Option<u64>) -> Self {
        let Some(memory) = memory else { return self };
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        let free = memory.saturating_sub(limits::PROCESS_MEMORY);
        // Enough for the largest scan, if that takes no more than a third.
        let scan_memory = (free / 4).max(limits::LARGEST_SCAN_MEMORY.min(free / 3));
        let free = free - scan_memory;
        let connections = (free / 3 / limits::CONNECTION_MEMORY).max(limits::MIN_CONNECTIONS);
        let connections = self.connections.min(connections);
        let free = free.saturating_sub(connections * limits::CONNECTION_MEMORY);
        let probes = (free / limits::PROBE_MEMORY).max(limits::MIN_PROBE_DESCRIPTORS);
        Self { connections, probes: self.probes.min(probes), scan_memory, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_on_memory_is_never_planned_beyond() {
        let plan = DescriptorPlan::try_new(1 << 20).unwrap();
        assert_eq!(plan.within(None), plan);
        let DescriptorPlan { connections, probes, .. } = plan.within(Some(u64::MAX));
        assert_eq!((connections, probes), (plan.connections, plan.probes));
        for megabytes in 16..1024 {
            let limit = megabytes << 20;
            let DescriptorPlan { connections, probes, scan_memory, .. } = plan.within(Some(limit));
            let planned = limits::PROCESS_MEMORY
                + scan_memory
                + connections * limits::CONNECTION_MEMORY
                + probes * limits::PROBE_MEMORY;
            assert!(planned as u64 <= limit, "{megabytes} MB");
            assert!(probes > connections, "{megabytes} MB");
        }
    }

    #[test]
    fn the_largest_scan_fits_into_a_small_container() {
        let plan = DescriptorPlan::try_new(1 << 20).unwrap();
        assert!(plan.within(Some(96 << 20)).scan_memory >= limits::LARGEST_SCAN_MEMORY);
        // And others beside it, in one that is as large as ours.
        let DescriptorPlan { probes, scan_memory, .. } = plan.within(Some(128 << 20));
        let all_ports_of_one = usize::from(u16::MAX) * limits::TARGET_MEMORY;
        assert!(scan_memory >= limits::LARGEST_SCAN_MEMORY + 2 * all_ports_of_one);
        assert!(probes > 8_000, "{probes} probes");
    }

    #[test]
    fn the_least_that_works_is_planned_however_little_memory_there_is() {
        let plan = DescriptorPlan::try_new(1 << 20).unwrap().within(Some(0));
        assert_eq!(
            (plan.connections, plan.probes),
            (limits::MIN_CONNECTIONS, limits::MIN_PROBE_DESCRIPTORS)
        );
        let few = DescriptorPlan::try_new(limits::MIN_DESCRIPTORS).unwrap();
        assert_eq!(few.within(Some(0)), DescriptorPlan { scan_memory: 0, ..few });
    }
}
