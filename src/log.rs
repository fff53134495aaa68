//! Writes the log to standard error without ever blocking.
//!
//! The reader of standard error may stop reading, close it, or run out of disk space.
//! A scan must not wait for it, and the process must not end because of it. So lines go
//! through a bounded queue to a thread. A line that finds the queue full, or that
//! cannot be written, is dropped and counted.
// tracing-appender 0.2.5 does nearly the same. But it panics when it cannot start its
// thread, prints to standard output when it ends with a stalled log, and does not count
// lines that could not be written.

mod json;

use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use self::json::{Array, JsonLines};

/// A log that never blocks and never fails. Clones write to the same log.
#[derive(Clone, Debug)]
pub struct Log {
    queue: SyncSender<Vec<u8>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Bytes of lines that are queued or being written.
    pending: AtomicUsize,
    dropped: AtomicU64,
}

impl Log {
    /// A log that writes to `out` on its own thread.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn try_new(mut out: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, lines) = sync_channel::<Vec<u8>>(MAX_LINES);
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        thread::Builder::new().name("log".into()).spawn(move || {
            for line in lines {
                if out.write_all(&line).is_err() {
                    shared.dropped.fetch_add(1, Ordering::Relaxed);
                }
                shared.pending.fetch_sub(line.len(), Ordering::Release);
            }
        })?;
        Ok(Self { queue, counts })
    }

    /// How many lines were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Waits a while until everything is written. The reader may have stopped reading.
    pub(crate) fn settle(&self) {
        let until = Instant::now() + SETTLE_PATIENCE;
        while self.counts.pending.load(Ordering::Acquire) > 0 && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Logs panics from now on. By default they are written to standard error directly;
    /// that may block, and then a panic would not end the process.
    pub(crate) fn take_panics(&self) {
        let log = self.clone();
        panic::set_hook(Box::new(move |panic| {
            log_panic(panic);
            // The process aborts when this returns.
            if cfg!(panic = "abort") {
                log.settle();
            }
        }));
    }

    fn push(&self, line: &[u8]) {
        let before = self.counts.pending.fetch_add(line.len(), Ordering::Relaxed);
        let fits = before + line.len() <= MAX_BYTES;
        if !fits || self.queue.try_send(line.to_vec()).is_err() {
            self.counts.pending.fetch_sub(line.len(), Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Each call is one line.
impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let at = panic.location().map(tracing::field::display);
    tracing::error!(at, "panicked: {}", text.unwrap_or_default());
}

/// The most lines that wait: some seconds of a busy service's log.
const MAX_LINES: usize = 4096;

/// The most bytes that wait. Most lines have about 300 bytes, but one that names many
/// ports has up to 8 KB.
const MAX_BYTES: usize = 1 << 20;

/// How long the last lines may take. By default Kubernetes leaves a service no time
/// after its grace period, so a longer wait could end in SIGKILL.
const SETTLE_PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// Takes a line, and blocks until the test says whether to succeed.
    struct Stuck(Receiver<bool>);

    impl Write for Stuck {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            match self.0.recv() {
                Ok(true) => Ok(line.len()),
                _ => Err(io::ErrorKind::StorageFull.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_find_no_room_or_cannot_be_written_are_dropped_and_counted() {
        let (answer, answers) = channel();
        let mut log = Log::try_new(Stuck(answers)).unwrap();
        let line = [b'x'; MAX_BYTES / 8];
        for _ in 0..11 {
            log.write_all(&line).unwrap();
        }
        // Nothing has been written yet, and only eight lines fit in the queue.
        assert_eq!(log.dropped(), 3);
        for succeed in [true, false, true, false, false, true, true, true] {
            answer.send(succeed).unwrap();
        }
        log.settle();
        assert_eq!(log.dropped(), 3 + 3);
        // There is room again.
        log.write_all(&line).unwrap();
        answer.send(true).unwrap();
        log.settle();
        assert_eq!(log.dropped(), 6);
    }

    #[test]
    fn many_short_lines_are_bounded_too() {
        let (_answer, answers) = channel();
        let mut log = Log::try_new(Stuck(answers)).unwrap();
        for _ in 0..2 * MAX_LINES {
            log.write_all(b"x").unwrap();
        }
        // One may be out of the queue and with the writer.
        let dropped = log.dropped();
        let kept = 2 * MAX_LINES as u64 - dropped;
        assert!((MAX_LINES as u64..=MAX_LINES as u64 + 1).contains(&kept), "{kept}");
    }
}
