//! The limit on this process's memory, read from its cgroups.
//!
//! Sockets in their handshake take memory in the kernel, which charges it to the
//! process's cgroup, and kills a container that exceeds its limit.

use std::fs;
use std::path::Path;

/// The lowest memory limit, in bytes, of the process's cgroup and those above it.
#[must_use]
pub fn memory_limit() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    lowest_limit(&own, Path::new("/sys/fs/cgroup"))
}

/// `own` is the content of `/proc/self/cgroup` (cgroups(7)).
// A limit of a cgroup further up also holds. A container sees its own cgroup at the
// very top, whatever path the file shows.
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
            // The text is "max" if there is no limit.
            fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok()
        };
        groups.filter_map(read)
    });
    // In version 1, "no limit" is a number that no machine reaches.
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
