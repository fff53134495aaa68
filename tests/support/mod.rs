//! Shared by the tests: the real binary as a process, a raw HTTP client, targets to
//! scan on loopback, and the kernel's list of listening sockets.

#![allow(dead_code, unused_imports, unused_macros, reason = "each test binary uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

pub(crate) mod ask;
pub(crate) mod cgroup;
pub(crate) mod client;
pub(crate) mod embedded;
pub(crate) mod ignored;
pub(crate) mod judged;
pub(crate) mod kernel;
pub(crate) mod namespace;
pub(crate) mod service;
pub(crate) mod shards;
pub(crate) mod targets;
pub(crate) mod terminal;
pub(crate) mod trials;

use std::io::{PipeReader, PipeWriter, Write, pipe};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::process;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tokio::runtime::{Builder, Runtime};

/// Ends a test that hangs. Longer than anything takes, on a busy machine too.
pub(crate) const DEADLINE: Duration = Duration::from_secs(240);

/// Enough fan-outs to get in each other's way.
pub(crate) const FANOUTS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// Waits until `condition` returns a value.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    wait_within(DEADLINE, what, condition)
}

/// Waits until `condition` returns a value, for `most` at the longest.
#[track_caller]
pub(crate) fn wait_within<T>(
    most: Duration,
    what: &str,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        // Read the clock first: a condition that is met counts, however late the check.
        let late = start.elapsed() > most;
        if let Some(value) = condition() {
            return value;
        }
        assert!(!late, "not within {most:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A runtime like the service's.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(FANOUTS.get()).enable_all().build().unwrap()
}

/// A loopback address that no other test uses, in this process or another.
// All of 127.0.0.0/8 is local. 127.0.0.1 is left to tests that need that one.
pub(crate) fn own_address() -> IpAddr {
    static USED: AtomicU8 = AtomicU8::new(0);
    let [.., high, low] = process::id().to_be_bytes();
    let host = USED.fetch_add(1, Ordering::Relaxed) + 1;
    Ipv4Addr::new(127, 128 | high, low, host).into()
}

/// A pipe that is full.
pub(crate) fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}
