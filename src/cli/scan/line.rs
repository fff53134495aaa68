//! The progress line: one line on the terminal below what is printed, gone in
//! the end.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use crate::cli::stop::waiting;
use crate::scan::Progress;

/// A line of progress on standard error, if that is a terminal. Clones are the
/// same line.
#[derive(Clone)]
pub(super) struct Line {
    bar: ProgressBar,
    started: Instant,
}

/// A terminal that is told to be narrower than it is.
// What is drawn fills the width. When Ctrl-C is typed then, the terminal puts
// its echo, ^C, into the next line, and the line that is to be cleared is not
// where it was.
#[derive(Debug)]
struct Narrowed(Term);

impl Line {
    pub(super) fn new() -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::term_like_with_hz(
                Box::new(Narrowed(Term::stderr())),
                DRAWS_A_SECOND,
            )
        } else {
            ProgressDrawTarget::hidden()
        };
        // Cut off where the terminal ends.
        let style = ProgressStyle::with_template("{wide_msg}").expect("a template as documented");
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        Self { bar, started: Instant::now() }
    }

    /// Tells how far the sweep is; the total is not always known.
    pub(super) fn tell(&self, progress: Progress, total: Option<u64>) {
        self.bar.set_message(text(progress, total, self.started.elapsed()));
    }

    /// Takes the line away while `print` prints.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        // Before there was anything to tell, nothing is there.
        if self.bar.message().is_empty() { print() } else { self.bar.suspend(print) }
    }

    /// Takes the line away for good.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
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

impl TermLike for Narrowed {
    fn width(&self) -> u16 {
        self.0.size().1.saturating_sub(ECHO_WIDTH)
    }

    fn height(&self) -> u16 {
        self.0.size().0
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        waiting(|| self.0.move_cursor_up(lines))
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        waiting(|| self.0.move_cursor_down(lines))
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        waiting(|| self.0.move_cursor_right(columns))
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        waiting(|| self.0.move_cursor_left(columns))
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        waiting(|| self.0.write_line(text))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        waiting(|| self.0.write_str(text))
    }

    fn clear_line(&self) -> io::Result<()> {
        waiting(|| self.0.clear_line())
    }

    fn flush(&self) -> io::Result<()> {
        waiting(|| self.0.flush())
    }
}

/// Room for two of them.
const ECHO_WIDTH: u16 = 4;

/// As often as it is told; what comes in between is not lost to it.
const DRAWS_A_SECOND: u8 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_how_far_how_fast_how_long_and_how_much() {
        let text = |done, total, found, elapsed| {
            let progress = Progress { total: 0, done, found };
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
}
