//! The progress line: one line on the terminal below the output, removed at the
//! end.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;

use crate::cli::stop::waiting;
use crate::scan::Progress;

/// A line of progress on standard error, if that is a terminal.
pub(super) struct Line {
    is_terminal: bool,
    started: Instant,
    /// What it says; nothing before the first update.
    text: String,
}

impl Line {
    pub(super) fn new() -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self { is_terminal, started: Instant::now(), text: String::new() }
    }

    /// Shows how far the sweep is; the total is not always known.
    pub(super) fn update(&mut self, progress: Progress, total: Option<u64>) {
        self.text = text(progress, total, self.started.elapsed());
        self.show();
    }

    /// Removes the line, so that something else can be printed in its place.
    pub(super) fn hide(&self) {
        if !self.text.is_empty() {
            self.write(CLEAR);
        }
    }

    /// Draws the line, below what was printed since it was hidden.
    pub(super) fn show(&self) {
        if !self.text.is_empty() {
            self.write(&format!("{CLEAR}{}", cut(&self.text, width())));
        }
    }

    // A standard error that is gone leaves nobody to show progress to.
    fn write(&self, text: &str) {
        if self.is_terminal {
            let _ = waiting(|| io::stderr().write_all(text.as_bytes()));
        }
    }
}

fn text(progress: Progress, total: Option<u64>, elapsed: Duration) -> String {
    let Progress { done, found, .. } = progress;
    let rate = done as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
    let Some(total) = total else {
        return format!("{done} probes  {rate:.0}/s  {found} found");
    };
    let percent = done * 100 / total.max(1);
    let left = if done == 0 {
        "?".to_owned()
    } else {
        format!("{:.0}", total.saturating_sub(done) as f64 / rate)
    };
    format!("{percent}%  {done} of {total} probes  {rate:.0}/s  {left} s left  {found} found")
}

/// The part of `text`, which is ASCII, that fits on a terminal of `width` columns.
// When Ctrl-C is typed, the terminal echoes ^C behind the line. Without room for it
// the echo would wrap, and the line to clear would no longer be the cursor's.
fn cut(text: &str, width: usize) -> &str {
    text.get(..width.saturating_sub(ECHO_WIDTH)).unwrap_or(text)
}

/// The columns of the terminal, which may change at any time.
fn width() -> usize {
    match tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => USUAL_WIDTH,
    }
}

/// To the start of the line, and erase it (ECMA-48, sections 8.3.15 and 8.3.41: CR
/// and EL).
const CLEAR: &str = "\r\x1b[K";

/// Room for two echoes.
const ECHO_WIDTH: usize = 4;

/// For a terminal that does not say how wide it is: the width that most have at
/// least.
const USUAL_WIDTH: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_how_fast_how_long_and_how_much() {
        let text = |done, total, found, elapsed| {
            let progress = Progress { done, found, ..Progress::default() };
            text(progress, total, Duration::from_millis(elapsed))
        };
        assert_eq!(
            text(250_000, Some(1_000_000), 7, 500),
            "25%  250000 of 1000000 probes  500000/s  2 s left  7 found"
        );
        assert_eq!(text(0, Some(10), 0, 0), "0%  0 of 10 probes  0/s  ? s left  0 found");
        assert_eq!(text(0, Some(0), 0, 10), "0%  0 of 0 probes  0/s  ? s left  0 found");
        assert_eq!(text(300, None, 1, 2000), "300 probes  150/s  1 found");
    }

    #[test]
    fn the_line_leaves_room_for_the_echo_of_control_c() {
        assert_eq!(cut("300 probes", 14), "300 probes");
        assert_eq!(cut("300 probes", 13), "300 probe");
        assert_eq!(cut("300 probes", 3), "");
    }
}
