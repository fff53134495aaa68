//! How a signal stops a command.
//!
//! At the first signal a command prints what it knows, and ends. If a reader keeps it
//! waiting while it prints, it ends without; so it does at the second signal.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use super::exit::SIGNALLED;
use super::unfinished;
use crate::shutdown::StopSignals;

/// Waits for the first signal.
pub(super) struct Stop(watch::Receiver<Option<u8>>);

impl Stop {
    /// Listens to signals from now on, in a separate task, since the task that prints
    /// may be blocked.
    ///
    /// # Errors
    /// When the system refuses.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(super) fn try_new() -> io::Result<Self> {
        let signals = StopSignals::try_new()?;
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(listen(signals, sender));
        Ok(Self(receiver))
    }

    /// Waits for the signal and returns its number.
    pub(super) async fn heard(&mut self) -> u8 {
        let signal = self.0.wait_for(Option::is_some).await.ok().and_then(|signal| *signal);
        match signal {
            Some(signal) => signal,
            // The runtime shuts down.
            None => std::future::pending().await,
        }
    }
}

async fn listen(mut signals: StopSignals, heard: watch::Sender<Option<u8>>) {
    let first = signals.next().await;
    let waited_before = WAITS.lock().waited();
    heard.send_replace(Some(first));
    loop {
        tokio::select! {
            second = signals.next() => leave(second),
            () = sleep(PATIENCE / 10) => {}
        }
        if WAITS.lock().waited() - waited_before >= PATIENCE {
            leave(first);
        }
    }
}

fn leave(signal: u8) -> ! {
    unfinished::discard();
    std::process::exit(i32::from(SIGNALLED + signal))
}

/// Runs `work`, which may block on another process, usually a reader, and counts the
/// time that it takes.
pub(super) fn waiting<T>(work: impl FnOnce() -> T) -> T {
    if !WAITS.lock().begin() {
        return work();
    }
    let result = work();
    WAITS.lock().end();
    result
}

/// How long this process has waited for others so far.
struct Waits {
    past: Duration,
    since: Option<Instant>,
}

impl Waits {
    /// Returns `false` inside of another wait.
    fn begin(&mut self) -> bool {
        let begins = self.since.is_none();
        self.since.get_or_insert_with(Instant::now);
        begins
    }

    fn end(&mut self) {
        self.past = self.waited();
        self.since = None;
    }

    fn waited(&self) -> Duration {
        self.past + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

struct Shared(Mutex<Waits>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

static WAITS: Shared = Shared(Mutex::new(Waits { past: Duration::ZERO, since: None }));

/// How long a stopped command may wait for its reader: less than a second, so that
/// Ctrl-C seems to work at once.
const PATIENCE: Duration = Duration::from_millis(500);
