//! A token file that may change while the service runs, as a mounted Secret does.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use thiserror::Error;

use super::{AuthError, CallerName, Digest, Tokens, TokensError, digest};
use crate::limits;

/// The tokens of a file.
///
/// Call [`Self::refresh`] before each use; it reads the file at most once in
/// [`limits::TOKEN_CHECK_INTERVAL`].
pub struct TokenFile {
    path: PathBuf,
    tokens: RwLock<Arc<Tokens>>,
    usable: AtomicBool,
    watch: Mutex<Watch>,
}

/// A change of the file, for the log.
#[derive(Debug)]
pub(crate) enum Change {
    /// The file was read; so many tokens are valid now.
    Taken(usize),
    /// The file cannot be used; the previous tokens stay valid.
    Refused(TokenFileError),
    /// The file has been missing or empty for too long: no token is valid any more.
    Ended,
}

/// Why a token file cannot be used.
#[derive(Debug, Error)]
pub(crate) enum TokenFileError {
    /// It cannot be read.
    #[error("read {path:?}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Its content is malformed.
    #[error("{path:?} {source}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TokensError,
    },
}

/// What was found when the file was last read, so that a fault is logged once.
struct Watch {
    due: Instant,
    seen: Result<Digest, io::ErrorKind>,
    /// When the file was first found missing or empty, if it has not been usable since.
    gone_since: Option<Instant>,
}

impl TokenFileError {
    /// Whether the file is missing, or has no token in it.
    fn is_about_nothing(&self) -> bool {
        match self {
            Self::Unreadable { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Malformed { source, .. } => *source == TokensError::Empty,
        }
    }
}

impl TokenFile {
    /// Reads the tokens.
    ///
    /// # Errors
    /// When the file cannot be read, or its content is malformed.
    pub(crate) fn try_new(path: PathBuf, now: Instant) -> Result<Self, TokenFileError> {
        let content = match read(&path) {
            Ok(content) => content,
            Err(source) => return Err(TokenFileError::Unreadable { path, source }),
        };
        let tokens = match Tokens::try_new(&content) {
            Ok(tokens) => RwLock::new(Arc::new(tokens)),
            Err(source) => return Err(TokenFileError::Malformed { path, source }),
        };
        let watch = Watch {
            due: now + limits::TOKEN_CHECK_INTERVAL,
            seen: Ok(digest(&content)),
            gone_since: None,
        };
        Ok(Self { path, tokens, usable: AtomicBool::new(true), watch: Mutex::new(watch) })
    }

    /// Reads the file again if it is time to, and takes over what has changed.
    ///
    /// Content that cannot be used is returned once, and the tokens stay as they are.
    /// A missing or empty file may be meant to revoke all tokens, so they become
    /// invalid after [`limits::TOKEN_GRACE`], unless there is a usable file by then.
    ///
    /// It blocks while it reads: some microseconds for a small local file.
    pub(crate) fn refresh(&self, now: Instant) -> Option<Change> {
        // Another thread is reading the file; use the present tokens meanwhile.
        let mut watch = self.watch.try_lock().ok()?;
        if now < watch.due {
            return None;
        }
        watch.due = now + limits::TOKEN_CHECK_INTERVAL;
        // Open the path anew each time: Kubernetes changes a Secret by swapping a
        // symbolic link in it. Compare the content, not the metadata: size and times
        // can stay the same over a change within a tick of the kernel's clock, and
        // reading costs hardly more than asking for them.
        let content = read(&self.path);
        let seen = content.as_deref().map(digest).map_err(io::Error::kind);
        if seen == watch.seen {
            return self.end(&watch, now);
        }
        watch.seen = seen;
        let path = self.path.clone();
        let tokens = match content {
            Ok(content) => Tokens::try_new(&content)
                .map_err(|source| TokenFileError::Malformed { path, source }),
            Err(source) => Err(TokenFileError::Unreadable { path, source }),
        };
        self.usable.store(tokens.is_ok(), Ordering::Relaxed);
        match tokens {
            Ok(tokens) => {
                let len = tokens.len();
                watch.gone_since = None;
                self.replace(tokens);
                Some(Change::Taken(len))
            }
            Err(error) => {
                if error.is_about_nothing() {
                    watch.gone_since.get_or_insert(now);
                }
                Some(Change::Refused(error))
            }
        }
    }

    /// Whether the file could be used when it was last read.
    pub(crate) fn is_usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }

    /// Revokes the tokens of a file that has been missing for too long.
    fn end(&self, watch: &Watch, now: Instant) -> Option<Change> {
        let gone = now.saturating_duration_since(watch.gone_since?);
        if gone < limits::TOKEN_GRACE || self.tokens().is_empty() {
            return None;
        }
        self.replace(Tokens::none());
        Some(Change::Ended)
    }

    fn replace(&self, tokens: Tokens) {
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
    }

    /// The caller whose token is in the value of `Authorization`.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn authenticate(
        &self,
        authorization: Option<&[u8]>,
    ) -> Result<CallerName, AuthError> {
        self.tokens().authenticate(authorization)
    }

    /// The valid tokens.
    pub(crate) fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.tokens.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, .. } = self;
        f.debug_struct("TokenFile").field("path", path).field("tokens", &self.tokens()).finish()
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for its writer, and it could not be read twice.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(limits::MAX_TOKEN_FILE_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limits::MAX_TOKEN_FILE_BYTES {
        let most = format!("more than {} bytes", limits::MAX_TOKEN_FILE_BYTES);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, most));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use tempfile::{TempDir, tempdir};

    use super::*;

    const OLD: &str = "old-token-0123456789";
    const NEW: &str = "new-token-0123456789";
    const TICK: Duration = limits::TOKEN_CHECK_INTERVAL;

    /// A file with the old token, and when it was opened.
    fn opened() -> (TempDir, PathBuf, TokenFile, Instant) {
        let folder = tempdir().unwrap();
        let path = folder.path().join("tokens");
        fs::write(&path, format!("ci:{OLD}\n")).unwrap();
        let now = Instant::now();
        let file = TokenFile::try_new(path.clone(), now).unwrap();
        (folder, path, file, now)
    }

    fn knows(file: &TokenFile, token: &str) -> bool {
        file.authenticate(Some(format!("Bearer {token}").as_bytes())).is_ok()
    }

    #[test]
    fn a_rewritten_file_is_taken_over_within_the_interval_and_old_tokens_end() {
        let (_folder, path, file, now) = opened();
        assert!(knows(&file, OLD) && !knows(&file, NEW));
        // Same size, and the same time of change.
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, format!("ci:{NEW}\n")).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(changed).unwrap();

        assert!(file.refresh(now + TICK / 2).is_none());
        assert!(knows(&file, OLD) && !knows(&file, NEW));
        assert!(matches!(file.refresh(now + TICK), Some(Change::Taken(1))));
        assert!(!knows(&file, OLD) && knows(&file, NEW));
        assert!(file.refresh(now + 2 * TICK).is_none());

        fs::write(&path, format!("ci:{NEW}\nops:{OLD}\n")).unwrap();
        assert!(file.refresh(now + 2 * TICK + TICK / 2).is_none(), "looked at a moment ago");
        assert!(matches!(file.refresh(now + 3 * TICK), Some(Change::Taken(2))));
        assert!(knows(&file, OLD) && knows(&file, NEW));
    }

    #[test]
    fn a_swapped_symbolic_link_is_followed() {
        // As the kubelet's atomic writer does: tokens -> ..data/tokens, and
        // ..data, which is replaced by a rename, -> a folder for each version.
        let folder = tempdir().unwrap();
        let version = |name: &str, token: &str| {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("tokens"), format!("ci:{token}")).unwrap();
            symlink(name, folder.path().join("..data_tmp")).unwrap();
            fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
        };
        version("..1", OLD);
        let path = folder.path().join("tokens");
        symlink("..data/tokens", &path).unwrap();
        let now = Instant::now();
        let file = TokenFile::try_new(path, now).unwrap();

        version("..2", NEW);
        fs::remove_dir_all(folder.path().join("..1")).unwrap();
        assert!(matches!(file.refresh(now + TICK), Some(Change::Taken(1))));
        assert!(!knows(&file, OLD) && knows(&file, NEW));
    }

    #[test]
    fn unusable_content_is_reported_once_and_the_tokens_stay() {
        let (_folder, path, file, start) = opened();
        let mut now = start;
        let mut refresh = || {
            now += TICK;
            match file.refresh(now) {
                Some(Change::Refused(error)) => format!("{error} {error:?}"),
                Some(Change::Taken(len)) => format!("taken: {len}"),
                Some(Change::Ended) => "ended".into(),
                None => String::new(),
            }
        };
        for (content, told) in [
            (format!("ci:{NEW}\nops {NEW}x\n"), "line 2 is not of the form name:token"),
            (format!("ci:{NEW}\nci:{NEW}x\n"), "line 2 has the same name as line 1"),
            (String::new(), "holds no token"),
            ("x".repeat(1 << 20 | 1), "more than 1048576 bytes"),
        ] {
            fs::write(&path, content).unwrap();
            let shown = refresh();
            assert!(shown.contains(told) && shown.contains("tokens\""), "{shown}");
            assert!(!shown.contains("token-0123456789"), "{shown}");
            assert_eq!(refresh(), "");
            assert!(knows(&file, OLD) && !knows(&file, NEW));
        }
        fs::remove_file(&path).unwrap();
        assert!(refresh().contains("No such file"));
        assert_eq!(refresh(), "");
        fs::create_dir(&path).unwrap();
        assert!(refresh().contains("not a regular file"));
        fs::remove_dir(&path).unwrap();
        assert!(
            refresh().contains("No such file"),
            "reported again: there was another fault in between"
        );
        assert!(knows(&file, OLD));

        fs::write(&path, format!("ci:{OLD}\n")).unwrap();
        assert_eq!(refresh(), "taken: 1");
        fs::write(&path, format!("ci:{NEW}\n")).unwrap();
        assert_eq!(refresh(), "taken: 1");
        assert!(!knows(&file, OLD) && knows(&file, NEW));
    }

    #[test]
    fn tokens_end_a_minute_after_their_file_is_missing_or_empty_and_come_back_with_it() {
        let (_folder, path, file, start) = opened();
        let mut now = start;
        let mut after = |pause: Duration| {
            now += pause;
            file.refresh(now)
        };
        for nothing in [None, Some(""), Some("# nobody\n")] {
            match nothing {
                None => fs::remove_file(&path).unwrap(),
                Some(content) => fs::write(&path, content).unwrap(),
            }
            assert!(matches!(after(TICK), Some(Change::Refused(_))));
            assert!(knows(&file, OLD) && !file.is_usable());
            // Something else that cannot be used is no reprieve.
            fs::write(&path, "no colon").unwrap();
            assert!(matches!(after(TICK), Some(Change::Refused(_))));
            assert!(after(limits::TOKEN_GRACE - 2 * TICK).is_none());
            assert!(knows(&file, OLD));
            assert!(matches!(after(TICK), Some(Change::Ended)));
            assert!(!knows(&file, OLD) && file.tokens().is_empty());
            assert!(after(limits::TOKEN_GRACE).is_none(), "reported once");
            fs::write(&path, format!("ci:{OLD}\n")).unwrap();
            assert!(matches!(after(TICK), Some(Change::Taken(1))));
            assert!(knows(&file, OLD) && file.is_usable());
        }
        // A slip in a line takes no token away.
        fs::write(&path, format!("ci:{OLD}\nops {NEW}\n")).unwrap();
        assert!(matches!(after(TICK), Some(Change::Refused(_))));
        assert!(after(2 * limits::TOKEN_GRACE).is_none());
        assert!(knows(&file, OLD) && !file.is_usable());
    }

    #[test]
    fn a_start_without_a_usable_file_fails_and_names_it() {
        let (folder, path, file, now) = opened();
        let error = |path: PathBuf| TokenFile::try_new(path, now).unwrap_err().to_string();
        let missing = error(folder.path().join("missing"));
        assert!(missing.starts_with("read ") && missing.contains("missing\": No such file"));
        assert!(error(folder.path().into()).contains("not a regular file"));
        fs::write(&path, format!("ci={OLD}")).unwrap();
        let malformed = error(path.clone());
        assert!(malformed.contains("tokens\" line 1 is not of the form"), "{malformed}");
        assert!(!malformed.contains(OLD));
        assert!(!format!("{file:?}").contains(OLD));

        // A path that no user can open, unlike one without permissions, which root can.
        let circle = folder.path().join("circle");
        symlink("circle", &circle).unwrap();
        assert!(error(circle).contains("Too many levels of symbolic links"));
    }

    #[test]
    fn a_change_is_taken_over_once_by_one_of_many_threads() {
        let (_folder, path, file, now) = opened();
        fs::write(path, format!("ci:{NEW}\n")).unwrap();
        let taken = std::thread::scope(|scope| {
            let users: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let change = file.refresh(now + TICK);
                        assert!(knows(&file, OLD) || knows(&file, NEW));
                        usize::from(change.is_some())
                    })
                })
                .collect();
            users.into_iter().map(|user| user.join().unwrap()).sum::<usize>()
        });
        assert_eq!(taken, 1);
        assert!(knows(&file, NEW));
    }
}
