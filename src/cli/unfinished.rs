//! The incomplete files of a command that may have to end at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Remembers the file at `path`, until it is removed or renamed.
pub(super) fn note(path: &Path) {
    unfinished().push(path.to_owned());
}

/// Removes the incomplete files of a process that ends without dropping them.
pub(super) fn discard() {
    for path in unfinished().drain(..) {
        // It fails if the file was completed and renamed just now.
        let _ = fs::remove_file(path);
    }
}

fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}
