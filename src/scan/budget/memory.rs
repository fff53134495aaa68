//! The memory that scans share for what they find.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory for the targets of scans. A scan takes all that it may need before it
/// starts, and gives it back once nobody reads its findings any more.
#[derive(Clone, Debug)]
pub(crate) struct ScanMemory {
    blocks: Arc<Semaphore>,
    total: usize,
}

/// One scan's share of the memory.
#[derive(Debug)]
pub(crate) struct MemoryShare(
    #[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit,
);

/// There is not enough memory for a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this scan may need {needed} KB of memory, and all scans share {total} KB")]
pub struct NoMemory {
    /// KB that the scan may need.
    pub needed: usize,
    /// KB that there are for all scans.
    pub total: usize,
}

impl NoMemory {
    /// Whether there would not be enough even if no other scan ran.
    #[must_use]
    pub fn is_for_ever(&self) -> bool {
        self.needed > self.total
    }
}

impl ScanMemory {
    /// `bytes` of memory for all scans.
    pub(crate) fn new(bytes: usize) -> Self {
        let total = (bytes / BLOCK).min(Semaphore::MAX_PERMITS);
        Self { blocks: Arc::new(Semaphore::new(total)), total }
    }

    /// Takes `bytes`, or nothing.
    pub(crate) fn take(&self, bytes: usize) -> Result<MemoryShare, NoMemory> {
        let needed = bytes.div_ceil(BLOCK);
        let refusal = NoMemory { needed, total: self.total };
        let permits = u32::try_from(needed).map_err(|_| refusal)?;
        let taken = Arc::clone(&self.blocks).try_acquire_many_owned(permits);
        taken.map(MemoryShare).map_err(|_| refusal)
    }

    /// KB that scans hold, and KB that there are.
    #[cfg(test)]
    pub(crate) fn used(&self) -> (usize, usize) {
        (self.total - self.blocks.available_permits(), self.total)
    }
}

/// The unit of accounting: 1 KB.
const BLOCK: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_taken_whole_or_not_at_all_and_given_back() {
        let memory = ScanMemory::new(10 << 10);
        let six = memory.take(6 << 10).unwrap();
        let refusal = memory.take(5 << 10).unwrap_err();
        assert_eq!((refusal, refusal.is_for_ever()), (NoMemory { needed: 5, total: 10 }, false));
        assert_eq!(memory.used(), (6, 10));
        let four = memory.take((3 << 10) + 1).unwrap();
        assert!(memory.take(1).is_err());
        drop(six);
        assert_eq!(memory.used(), (4, 10));
        assert!(memory.take(11 << 10).unwrap_err().is_for_ever());
        drop(four);
        assert_eq!(memory.used(), (0, 10));
        assert!(ScanMemory::new(usize::MAX).take(1 << 40).is_ok());
    }
}
