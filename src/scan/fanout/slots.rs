//! The slots of a fan-out. A slot has room for one probe at a time, and keeps its
//! descriptor from one probe to the next.

use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::task::Context;

use super::network::Network;
use super::probe::Probe;
use crate::scan::budget::{DescriptorBudget, Share};
use crate::scan::plan::Target;

/// The slots of a fan-out, and its share of the descriptors.
pub(crate) struct Slots {
    probes: Vec<Probe>,
    /// Slots with a descriptor and without work.
    idle: Vec<u32>,
    /// Slots without a descriptor.
    vacant: Vec<u32>,
    share: Share,
}

impl Slots {
    /// Waits until the budget has descriptors for the first slot.
    pub(crate) async fn join(budget: Arc<DescriptorBudget>) -> Self {
        let share = Share::join(budget).await;
        Self { probes: Vec::new(), idle: Vec::new(), vacant: Vec::new(), share }
    }

    /// Gives `target` a slot with the right to a descriptor. If there is none, the
    /// task is woken once one becomes free.
    pub(crate) fn seat(&mut self, cx: &mut Context<'_>, target: Target) -> Option<u32> {
        let probe = Probe::new(target);
        let slot = match self.idle.pop() {
            Some(slot) => Some(slot),
            None => {
                while !self.share.try_grow() {
                    if self.share.poll_grow(cx).is_pending() {
                        return None;
                    }
                }
                self.vacant.pop()
            }
        };
        if let Some(slot) = slot {
            self[slot] = probe;
            return Some(slot);
        }
        self.probes.push(probe);
        Some(u32::try_from(self.probes.len() - 1).expect("fewer slots than descriptors"))
    }

    /// Ends the work of `slot` and keeps its descriptor for the next target, unless
    /// this fan-out holds more than its share.
    pub(crate) fn rest(&mut self, slot: u32, network: &mut impl Network) {
        if self.share.is_over() {
            self.vacate(slot, network);
        } else {
            self.idle.push(slot);
        }
    }

    /// Ends the work of `slot` and gives its descriptor back.
    pub(crate) fn vacate(&mut self, slot: u32, network: &mut impl Network) {
        network.close(slot);
        self.vacant.push(slot);
        self.share.shrink();
    }

    /// Gives back every descriptor that is not at work, and leaves the others those
    /// that this fan-out does not need any more.
    pub(crate) fn retire(&mut self, network: &mut impl Network) {
        for slot in std::mem::take(&mut self.idle) {
            self.vacate(slot, network);
        }
        self.share.leave();
    }
}

impl Index<u32> for Slots {
    type Output = Probe;

    fn index(&self, slot: u32) -> &Probe {
        &self.probes[slot as usize]
    }
}

impl IndexMut<u32> for Slots {
    fn index_mut(&mut self, slot: u32) -> &mut Probe {
        &mut self.probes[slot as usize]
    }
}
