//! How a fan-out is to work.

use std::sync::Arc;

use crate::scan::budget::DescriptorBudget;
use crate::scan::gate::pacer::Pacer;
use crate::scan::gate::until::Until;
use crate::scan::paths::{Paths, Purpose};
use crate::scan::stats::EngineStats;

/// How a fan-out is to work.
#[derive(Clone, Debug)]
pub(in crate::scan) struct FanoutPlan {
    /// How long to wait for each address.
    pub(in crate::scan) paths: Arc<Paths>,
    /// What the attempts are for.
    pub(in crate::scan) purpose: Purpose,
    /// The window to start with, if a pass before has found one.
    pub(in crate::scan) window: Option<usize>,
    /// When to stop. Targets still unfinished then are not scanned.
    pub(in crate::scan) until: Arc<Until>,
    /// Limits on probes a second. A probe starts only if all of them allow it.
    pub(in crate::scan) pacers: Vec<Arc<Pacer>>,
    /// Where the descriptors come from.
    pub(in crate::scan) budget: Arc<DescriptorBudget>,
    /// Where resource errors are counted.
    pub(in crate::scan) stats: Arc<EngineStats>,
}
