//! How a signal stops a command, whatever that waits for just then.
//!
//! A command that hears a signal ends by itself: it prints what it knows. But it
//! may be waiting for somebody to read what it prints, for ever. Then it ends
//! without, and so it does at the second signal.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use super::exit::SIGNALLED;
use super::scan::discard_output;
use crate::shutdown::StopSignals;

/// Tells of the first signal.
pub(super) struct Stop(watch::Receiver<Option<u8>>);

impl Stop {
    /// Listens to signals from now on, on a task of its own: the one that prints
    /// may be waiting.
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
    discard_output();
    std::process::exit(i32::from(SIGNALLED + signal))
}

/// Does what may wait for somebody else: a reader, as a rule.
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

/// How long the end of a command may wait for its reader. Whoever pressed Ctrl-C
/// should not have to wait for a second.
const PATIENCE: Duration = Duration::from_millis(500);
