//! A test's own cgroup with a limit on memory, in version 1 or 2.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use super::wait_for;

/// Removed when it is dropped; the processes in it must have ended by then.
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// A cgroup with so many bytes of memory, and no swap.
    pub(crate) fn with_memory(bytes: u64) -> Self {
        Self::try_with_memory(bytes).expect("a cgroup")
    }

    /// The same; `None` where this user may not make one.
    pub(crate) fn try_with_memory(bytes: u64) -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("open-ports-test-{}-{number}", process::id());
        parents().into_iter().find_map(|(parent, limit)| {
            // Version 2 has to enable the controller, and may refuse if there are processes.
            let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory");
            let path = parent.join(&name);
            fs::create_dir(&path).ok()?;
            let cgroup = Self(path);
            fs::write(cgroup.0.join(limit), bytes.to_string()).ok()?;
            for (file, none) in [("memory.swap.max", "0"), ("memory.swappiness", "0")] {
                // One of the two files exists, if there is swap.
                let _ = fs::write(cgroup.0.join(file), none);
            }
            Some(cgroup)
        })
    }

    /// `command`, to run in this cgroup.
    pub(crate) fn confine(&self, command: &Command) -> Command {
        let mut confined = Command::new("sh");
        confined.args(["-c", "echo $$ >\"$0\"/cgroup.procs && exec \"$@\""]).arg(&self.0);
        confined.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => confined.env(name, value),
                None => confined.env_remove(name),
            };
        }
        confined
    }

    /// The most memory that was used so far, in bytes.
    pub(crate) fn peak(&self) -> Option<u64> {
        let files = ["memory.peak", "memory.max_usage_in_bytes"];
        let text = files.iter().find_map(|file| fs::read_to_string(self.0.join(file)).ok())?;
        text.trim().parse().ok()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A killed process stays in the cgroup for a moment.
        wait_for("the cgroup to be empty", || {
            let removed = fs::remove_dir(&self.0);
            (removed.is_ok() || !self.0.exists()).then_some(())
        });
    }
}

/// The cgroups that a new one could be made in, the nearest first, and the name of the
/// file for its limit.
fn parents() -> Vec<(PathBuf, &'static str)> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut parents = Vec::new();
    for line in own.lines() {
        let fields: Vec<&str> = line.splitn(3, ':').collect();
        let &[_, controllers, path] = &fields[..] else { continue };
        let (root, limit) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        };
        if controllers.split(',').any(|name| matches!(name, "" | "memory")) {
            let groups = Path::new(path.trim_start_matches('/')).ancestors();
            parents.extend(groups.map(|group| (Path::new(root).join(group), limit)));
        }
    }
    parents
}
