//! What a command that probes runs on: the descriptors and processors of this machine.

use std::num::{NonZeroU32, NonZeroUsize};

use super::runtime::block_on;
use super::{Exit, cores, failed};
use crate::ask::Asker;
use crate::machine::descriptors::{DescriptorPlan, raise_descriptor_limit};
use crate::machine::memory::memory_limit;
use crate::policy::Policy;
use crate::resolve::Resolver;
use crate::scan::Scanner;

/// What there is for probes and look-ups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Engine {
    pub(super) descriptors: DescriptorPlan,
    pub(super) cores: NonZeroUsize,
}

impl Engine {
    /// Takes as many descriptors as the process may have, and as fit into its memory.
    ///
    /// # Errors
    /// The end of the command, if there are too few, which was printed.
    pub(super) fn prepare() -> Result<Self, Exit> {
        let descriptors = DescriptorPlan::try_new(raise_descriptor_limit());
        let descriptors = descriptors.map_err(|error| failed(&error.to_string()))?;
        Ok(Self { descriptors: descriptors.within(memory_limit()), cores: cores() })
    }

    pub(super) fn scanner(self) -> Scanner {
        Scanner::new(self.descriptors.for_command(), self.cores)
    }

    /// What scans under `policy`, with `rate` probes a second if that is limited.
    pub(super) fn asker(self, policy: Policy, rate: Option<NonZeroU32>) -> Asker {
        let scanner = match rate {
            Some(rate) => self.scanner().with_rate(rate),
            None => self.scanner(),
        };
        Asker::new(scanner, Resolver::new(self.descriptors.lookups), policy)
    }

    /// Runs a command to its end.
    pub(super) fn run(self, command: impl Future<Output = Exit>) -> Exit {
        block_on(self.cores, command)
    }
}
