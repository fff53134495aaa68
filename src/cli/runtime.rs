//! Starts the tokio runtime, with fewer workers where the system has few threads.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use super::{Exit, failed};
use crate::limits;

/// Runs a command on a runtime of its own.
pub(super) fn block_on(cores: NonZeroUsize, command: impl Future<Output = Exit>) -> Exit {
    let runtime = match start_runtime(cores) {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start the runtime: {error}")),
    };
    let exit = runtime.block_on(command);
    // A name may still be resolving, and its result is not needed.
    runtime.shutdown_background();
    exit
}

/// Starts a runtime with one worker per core, or with fewer where the system cannot
/// give that many threads and one more for look-ups.
///
/// # Errors
/// When the system has no thread to give.
pub(super) fn start_runtime(cores: NonZeroUsize) -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(workers(cores.get())?)
        .event_interval(limits::EVENT_INTERVAL)
        .enable_all()
        .build()
}

/// How many workers there can be, up to `cores`.
// tokio panics if it cannot start a worker, and the kernel does not say how much of
// a limit (pids.max, ulimit -u) is left.
fn workers(cores: usize) -> io::Result<usize> {
    let before = running_threads();
    let (had, error) = trial(cores + 1);
    if let Some(error) = error.filter(|_| had == 0) {
        return Err(error);
    }
    // A joined thread may count for a moment longer, and the limit may have no room
    // to spare.
    let begun = Instant::now();
    while running_threads() > before && begun.elapsed() < MOST_LINGERING {
        thread::sleep(Duration::from_millis(1));
    }
    Ok((had - 1).max(1))
}

/// How many threads can run at once, up to `most`, and the error of one more.
fn trial(most: usize) -> (usize, Option<io::Error>) {
    let gate = Mutex::new(());
    let pass = || drop(gate.lock());
    thread::scope(|scope| {
        let _closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
        for count in 0..most {
            if let Err(error) = thread::Builder::new().spawn_scoped(scope, pass) {
                return (count, Some(error));
            }
        }
        (most, None)
    })
}

/// The threads of this process, as the kernel counts them.
fn running_threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// The longest that an ended thread may still count, on a busy machine.
const MOST_LINGERING: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_worker_for_each_core_if_the_system_has_enough_threads() {
        assert_eq!(workers(3).unwrap(), 3);
    }
}
