//! What is redrawn on the terminal while a scan runs, below the output, and removed at
//! the end: a line of progress and, above it, the ports found last.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;

use super::style;
use crate::cli::stop::waiting;
use crate::output::grouped;
use crate::report::ProgressReport;

/// A line of progress on standard error, if a person wants it, and that is a terminal that can redraw lines.
pub(super) struct Line {
    is_drawn: bool,
    started: Instant,
    /// What it says; nothing before the first update.
    text: String,
    said: Said,
    /// The titles of the rows above it.
    titles: String,
    /// The rows of the ports found last.
    rows: VecDeque<String>,
    /// The number of lines on the screen now.
    lines: usize,
}

/// What the line has said so far.
#[derive(Debug, Default)]
struct Said {
    /// The largest share that was done, in percent.
    percent: u64,
    /// Whether it had an estimate of the time left.
    estimate: bool,
}

impl Line {
    pub(super) fn new(is_wanted: bool) -> Self {
        Self {
            is_drawn: is_wanted && io::stderr().is_terminal() && !style::is_dumb(),
            started: Instant::now(),
            text: String::new(),
            said: Said::default(),
            titles: String::new(),
            rows: VecDeque::new(),
            lines: 0,
        }
    }

    /// Shows how far the sweep is.
    pub(super) fn update(&mut self, look: &ProgressReport) {
        self.text = text(look, self.started.elapsed(), &mut self.said);
        self.show();
    }

    /// Adds a row above the line, below `titles`.
    pub(super) fn add_row(&mut self, titles: impl FnOnce() -> String, row: String) {
        if self.titles.is_empty() {
            self.titles = titles();
        }
        self.rows.push_back(row);
        if self.rows.len() > MOST_ROWS {
            self.rows.pop_front();
        }
    }

    /// Removes everything, so that something else can be printed in its place.
    pub(super) fn hide(&mut self) {
        if self.lines > 0 {
            self.write(&clear(self.lines));
            self.lines = 0;
        }
    }

    /// Draws everything, below what was printed since it was hidden.
    // The size of the terminal may change at any time.
    pub(super) fn show(&mut self) {
        if self.text.is_empty() || !self.is_drawn {
            return;
        }
        let (columns, height) = size();
        let mut drawing = clear(self.lines);
        self.lines = 1;
        // The rows must not scroll away: they could not be removed again.
        let room = height.saturating_sub(SPARE_LINES).min(self.rows.len());
        if room > 0 {
            let last = self.rows.range(self.rows.len() - room..);
            for row in [&self.titles].into_iter().chain(last) {
                drawing += cut(row, columns).trim_end();
                drawing.push('\n');
                self.lines += 1;
            }
        }
        drawing += cut(&self.text, columns);
        self.write(&drawing);
    }

    // A standard error that is gone leaves nobody to show progress to.
    fn write(&self, text: &str) {
        if self.is_drawn {
            let _ = waiting(|| io::stderr().write_all(text.as_bytes()));
        }
    }
}

fn text(look: &ProgressReport, elapsed: Duration, said: &mut Said) -> String {
    let seconds = elapsed.as_secs_f64().max(f64::EPSILON);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let rate = grouped((look.attempts as f64 / seconds) as u64);
    let found = look.found;
    let asked = grouped(look.asked);
    let Some(total) = look.total else {
        return format!("{found} found  {asked} asked  {rate}/s");
    };
    said.percent = share(look, total, seconds).clamp(said.percent, 99);
    said.estimate |= look.left.is_some();
    let left = match (look.left, look.at_most) {
        (Some(left), _) => format!("{} left  ", in_words(left)),
        // It may be more than was left by the last estimate.
        (None, Some(_)) if said.estimate => String::new(),
        (None, Some(most)) => format!("at most {} left  ", in_words(most)),
        (None, None) => String::new(),
    };
    let asked = match look.pass {
        Some(2..) => {
            let (again, silent) = (look.asked_again, look.silent.max(look.asked_again));
            format!("{} of {} silent ones asked again", grouped(again), grouped(silent))
        }
        _ => format!("{asked} of {} asked", grouped(total)),
    };
    let percent = said.percent;
    format!("{percent}%  {left}{found} found  {asked}  {rate}/s")
}

/// The share of the time that has passed, in percent, or of the targets that are done.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 100")]
fn share(look: &ProgressReport, total: u64, seconds: f64) -> u64 {
    let Some(left) = look.left.or(look.at_most) else {
        return look.done * 100 / total.max(1);
    };
    (seconds * 100.0 / (seconds + left.as_secs_f64())) as u64
}

/// A time, to the second up to two minutes.
fn in_words(time: Duration) -> String {
    let seconds = time.as_secs_f64().ceil();
    match time.as_secs() {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.0} h", seconds / 3600.0),
    }
}

/// The part of `text`, which is ASCII, that fits on a terminal of so many columns.
// When Ctrl-C is typed, the terminal echoes ^C behind the line. Without room for it
// the echo would wrap, and the line to clear would no longer be the cursor's.
fn cut(text: &str, columns: usize) -> &str {
    text.get(..columns.saturating_sub(ECHO_WIDTH)).unwrap_or(text)
}

/// The columns and lines of the terminal.
fn size() -> (usize, usize) {
    match tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => USUAL_SIZE,
    }
}

/// Moves to the start of the first of so many lines, and erases them (ECMA-48, sections
/// 8.3.15, 8.3.22, 8.3.39 and 8.3.41: CR, CUU, ED and EL).
fn clear(lines: usize) -> String {
    match lines {
        ..=1 => "\r\x1b[K".to_owned(),
        _ => format!("\r\x1b[{}A\x1b[J", lines - 1),
    }
}

/// The number of rows above the line: enough to see that something is found.
const MOST_ROWS: usize = 10;

/// Lines of the screen without a row: the titles, the line of progress, and what was
/// typed.
const SPARE_LINES: usize = 3;

/// Room for two echoes.
const ECHO_WIDTH: usize = 4;

/// For a terminal that does not say how large it is: what most have at least.
const USUAL_SIZE: (usize, usize) = (80, 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_how_long_how_much_and_how_fast() {
        let asked = ProgressReport {
            done: 200_000,
            total: Some(1_000_000),
            asked: 250_000,
            waiting: 50_000,
            attempts: 250_000,
            pass: Some(1),
            found: 7,
            ..ProgressReport::default()
        };
        let text = |look: ProgressReport, elapsed| {
            super::text(&look, Duration::from_millis(elapsed), &mut Said::default())
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let line = "7 found  250,000 of 1,000,000 asked  500,000/s";
        assert_eq!(text(asked, 500), format!("20%  {line}"));
        let at_most = ProgressReport { at_most: seconds(2), ..asked };
        assert_eq!(text(at_most, 500), format!("20%  at most 2 s left  {line}"));
        let left = ProgressReport { left: seconds(1), ..at_most };
        assert_eq!(text(left, 500), format!("33%  1 s left  {line}"));
        let again = ProgressReport { pass: Some(2), silent: 50_000, asked_again: 10_000, ..left };
        assert_eq!(
            text(again, 500),
            "33%  1 s left  7 found  10,000 of 50,000 silent ones asked again  500,000/s"
        );
        let unknown = ProgressReport { total: None, ..asked };
        assert_eq!(text(unknown, 500), "7 found  250,000 asked  500,000/s");
        let nothing = ProgressReport { total: Some(0), ..ProgressReport::default() };
        assert_eq!(text(nothing, 0), "0%  0 found  0 of 0 asked  0/s");
    }

    #[test]
    fn the_percentage_never_falls_and_is_never_all() {
        let mut said = Said::default();
        let mut at = |done, left| {
            let left = Some(Duration::from_secs(left));
            let look = ProgressReport { done, total: Some(10), left, ..ProgressReport::default() };
            text(&look, Duration::from_secs(6), &mut said).split('%').next().unwrap().to_owned()
        };
        assert_eq!([at(1, 4), at(2, 9), at(10, 0)], ["60", "60", "99"]);
    }

    #[test]
    fn times_are_in_seconds_minutes_or_hours() {
        let words = |ms| in_words(Duration::from_millis(ms));
        assert_eq!([0, 100, 1000, 119_000].map(words), ["0 s", "1 s", "1 s", "119 s"]);
        assert_eq!([120_000, 3_600_000, 7_200_000].map(words), ["2 min", "60 min", "2 h"]);
    }

    #[test]
    fn the_line_leaves_room_for_the_echo_of_control_c() {
        assert_eq!(cut("300 probes", 14), "300 probes");
        assert_eq!(cut("300 probes", 13), "300 probe");
        assert_eq!(cut("300 probes", 3), "");
    }
}
