//! Where output goes: standard output, or a file that appears whole.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A place for output.
pub(super) enum Sink {
    Standard(io::Stdout),
    /// A file that is not to be replaced: a device or a pipe.
    Direct(fs::File),
    /// Beside the file that it becomes in the end; dropped before, it is gone.
    Whole {
        file: NamedTempFile,
        path: PathBuf,
    },
}

impl Sink {
    /// Standard output, or the file at `path`.
    pub(super) fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else { return Ok(Self::Standard(io::stdout())) };
        // Through links, so that what they point to is replaced and not they.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            return OpenOptions::new().write(true).open(path).map(Self::Direct);
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        // As any program's output, and not as a secret: the umask decides.
        let file = tempfile::Builder::new()
            .prefix(".open-ports-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        Ok(Self::Whole { file, path })
    }

    /// Whether it is a terminal that the progress line may be on too.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Standard(stdout) if stdout.is_terminal())
    }

    /// Makes the file appear, if it is one.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Standard(_) | Self::Direct(_) => Ok(()),
            Self::Whole { file, path } => {
                // Some file systems tell only now that there is no room.
                file.as_file().sync_all()?;
                file.persist(path).map(drop).map_err(|error| error.error)
            }
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(stdout) => stdout.write(bytes),
            Self::Direct(file) => file.write(bytes),
            Self::Whole { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(stdout) => stdout.flush(),
            Self::Direct(file) => file.flush(),
            Self::Whole { file, .. } => file.flush(),
        }
    }
}
