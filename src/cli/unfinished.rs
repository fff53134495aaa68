//! The incomplete file of a command that may have to end at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Remembers the file at `path`, until it is removed or renamed.
pub(super) fn note(path: &Path) {
    *unfinished() = Some(path.to_owned());
}

/// Removes the incomplete file of a process that ends without dropping it.
pub(super) fn discard() {
    if let Some(path) = unfinished().take() {
        // It fails if the file was completed and renamed just now.
        let _ = fs::remove_file(path);
    }
}

fn unfinished() -> MutexGuard<'static, Option<PathBuf>> {
    static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}
