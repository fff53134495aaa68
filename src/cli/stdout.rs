//! Standard output, unless it was closed when the process started.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::fcntl_getfd;

/// Standard output.
///
/// # Errors
/// When it was closed when the process started.
pub(super) fn stdout() -> io::Result<io::Stdout> {
    if CLOSED.load(Ordering::Relaxed) {
        return Err(io::Error::other("standard output is closed"));
    }
    Ok(io::stdout())
}

static CLOSED: AtomicBool = AtomicBool::new(false);

// Runs before `main`: Rust's runtime opens /dev/null for closed standard streams, and
// writes to that succeed. Only an atomic and a system call are used here, neither of
// which needs the runtime.
#[ctor::ctor]
fn look() {
    CLOSED.store(fcntl_getfd(rustix::stdio::stdout()).is_err(), Ordering::Relaxed);
}
