//! The memory that this process may use, as its cgroups have it, and the part of
//! it that scans share for what they find.
//!
//! Sockets in their handshake live in the kernel, which charges them to the
//! process's cgroup: a container with a limit is killed for them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory for the targets of scans. A scan takes what it may come to need before
/// it starts, and gives it back once nobody reads its findings any more.
#[derive(Clone, Debug)]
pub(crate) struct ScanMemory {
    blocks: Arc<Semaphore>,
    total: usize,
}

/// What one scan holds of it.
#[derive(Debug)]
pub(crate) struct MemoryShare(
    #[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit,
);

/// There is no memory for a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this scan may need {needed} KB of memory, and all scans share {total} KB")]
pub struct NoMemory {
    /// KB that the scan may need.
    pub needed: usize,
    /// KB that there are for all scans.
    pub total: usize,
}

impl NoMemory {
    /// Whether there would not be enough if no other scan ran.
    #[must_use]
    pub fn is_for_ever(&self) -> bool {
        self.needed > self.total
    }
}

impl ScanMemory {
    /// So many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        let total = (bytes / BLOCK).min(Semaphore::MAX_PERMITS);
        Self { blocks: Arc::new(Semaphore::new(total)), total }
    }

    /// Takes so many bytes, or none.
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

/// What is counted as one.
const BLOCK: usize = 1 << 10;

/// The lowest memory limit, in bytes, of the cgroups that this process is in.
#[must_use]
pub fn memory_limit() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    lowest_limit(&own, Path::new("/sys/fs/cgroup"))
}

/// `own` is the content of `/proc/self/cgroup` (cgroups(7)).
// A limit further up binds as well. At the very top is also where a container
// sees its own cgroup, whatever the path it was given says.
fn lowest_limit(own: &str, mount: &Path) -> Option<u64> {
    let limits = own.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap_or(""), fields.next().unwrap_or("/"));
        let (root, file) = match controllers {
            "" => (mount.to_owned(), "memory.max"),
            _ => (mount.join("memory"), "memory.limit_in_bytes"),
        };
        let counts = controllers.split(',').any(|name| matches!(name, "" | "memory"));
        let groups = Path::new(path).ancestors().filter(move |_| counts);
        let read = move |group: &Path| {
            let group = root.join(group.strip_prefix("/").unwrap_or(group));
            // Without a limit it says "max".
            fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok()
        };
        groups.filter_map(read)
    });
    // Version 1 has a number that no machine has for "no limit".
    limits.min().filter(|&limit| limit < NO_LIMIT)
}

const NO_LIMIT: u64 = 1 << 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn write(mount: &Path, file: &str, text: &str) {
        let path = mount.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

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

    #[test]
    fn the_lowest_limit_on_the_way_up_counts() {
        let mount = tempfile::tempdir().unwrap();
        let mount = mount.path();
        assert_eq!(lowest_limit("0::/pods/one\n", mount), None);
        write(mount, "pods/one/memory.max", "max\n");
        assert_eq!(lowest_limit("0::/pods/one\n", mount), None);
        write(mount, "pods/memory.max", "134217728\n");
        assert_eq!(lowest_limit("0::/pods/one\n", mount), Some(128 << 20));
        write(mount, "pods/one/memory.max", "67108864\n");
        assert_eq!(lowest_limit("0::/pods/one\n", mount), Some(64 << 20));
    }

    #[test]
    fn a_container_finds_its_own_limit_at_the_top() {
        let mount = tempfile::tempdir().unwrap();
        let mount = mount.path();
        write(mount, "memory.max", "67108864\n");
        assert_eq!(lowest_limit("0::/\n", mount), Some(64 << 20));
        assert_eq!(lowest_limit("0::/../outside\n", mount), Some(64 << 20));
    }

    #[test]
    fn version_1_has_a_tree_for_memory() {
        let mount = tempfile::tempdir().unwrap();
        let mount = mount.path();
        let own = "5:cpu,cpuacct:/a\n4:memory:/a\n0::/\n";
        write(mount, "memory/memory.limit_in_bytes", "9223372036854771712\n");
        write(mount, "memory/a/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(lowest_limit(own, mount), None);
        write(mount, "memory/a/memory.limit_in_bytes", "67108864\n");
        assert_eq!(lowest_limit(own, mount), Some(64 << 20));
        assert_eq!(lowest_limit("5:cpu,cpuacct:/a\n", mount), None);
    }
}
