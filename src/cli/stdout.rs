//! Standard output, if this process was given one.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::fcntl_getfd;

/// Standard output.
///
/// # Errors
/// When it was closed from the start.
pub(super) fn stdout() -> io::Result<io::Stdout> {
    if CLOSED.load(Ordering::Relaxed) {
        return Err(io::Error::other("standard output is closed"));
    }
    Ok(io::stdout())
}

static CLOSED: AtomicBool = AtomicBool::new(false);

// Before `main`, since by then Rust has opened /dev/null in place of what was
// closed, and everything can be written to that. Nothing of the standard library
// is used that needs its runtime: an atomic, and a system call.
#[ctor::ctor]
fn look() {
    CLOSED.store(fcntl_getfd(rustix::stdio::stdout()).is_err(), Ordering::Relaxed);
}
