//! Where output goes: standard output, or a file that is replaced only once the
//! output is complete.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::cli::stdout::stdout;
use crate::cli::stop::waiting;
use crate::cli::unfinished;

/// Where output goes.
pub(in crate::cli) enum Sink {
    Standard(io::Stdout),
    /// A device or a pipe, which cannot be replaced.
    Direct(File),
    /// A temporary file beside the one that it replaces in the end. If dropped
    /// before, it is removed.
    Whole {
        file: NamedTempFile,
        path: PathBuf,
    },
}

impl Sink {
    /// Standard output, or the file at `path`.
    pub(in crate::cli) fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else { return stdout().map(Self::Standard) };
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            // A pipe waits for its reader.
            return waiting(|| OpenOptions::new().write(true).open(path)).map(Self::Direct);
        }
        let path = follow_links(path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".open-ports-");
        let file = match OpenOptions::new().write(true).open(&path) {
            Ok(before) => {
                let file = builder.tempfile_in(folder)?;
                take_after(file.as_file(), &before)?;
                file
            }
            // A temporary file would be secret; output gets the mode of the umask.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                builder.permissions(Permissions::from_mode(0o666)).tempfile_in(folder)?
            }
            Err(error) => return Err(error),
        };
        unfinished::note(file.path());
        Ok(Self::Whole { file, path })
    }

    /// Whether it is a terminal, which it may share with the progress line.
    pub(in crate::cli) fn is_terminal(&self) -> bool {
        matches!(self, Self::Standard(stdout) if stdout.is_terminal())
    }

    /// Puts the complete file in its place.
    pub(in crate::cli) fn finish(self) -> io::Result<()> {
        match self {
            Self::Standard(_) | Self::Direct(_) => Ok(()),
            Self::Whole { file, path } => {
                // Some file systems report only now that there is no room.
                file.as_file().sync_all()?;
                file.persist(path).map(drop).map_err(|error| error.error)
            }
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(stdout) => waiting(|| stdout.write(bytes)),
            Self::Direct(file) => waiting(|| file.write(bytes)),
            Self::Whole { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(stdout) => waiting(|| stdout.flush()),
            Self::Direct(file) => file.flush(),
            Self::Whole { file, .. } => file.flush(),
        }
    }
}

/// Follows symbolic links from `path`, so that the file is replaced and the links
/// stay. The file need not exist yet.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        // Fails for a path that is not a link, or does not exist.
        let Ok(target) = fs::read_link(&path) else { return Ok(path) };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Gives `file` the mode of `before` and, as far as that is allowed, its owner.
fn take_after(file: &File, before: &File) -> io::Result<()> {
    let before = before.metadata()?;
    // The owner first, because changing it may clear bits of the mode.
    let _ = fchown(file, Some(before.uid()), Some(before.gid()));
    file.set_permissions(Permissions::from_mode(before.mode() & 0o777))
}

/// The number that Linux follows, path_resolution(7).
const MAX_LINKS: usize = 40;
