//! How far a scan is, and when it will have ended.
//!
//! The streams of the HTTP API and the command show the same numbers.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::milliseconds;
use crate::scan::Progress;

/// How far a scan is, as a record has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct ProgressReport {
    /// Targets that are done.
    pub(crate) done: u64,
    /// All targets, once they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<u64>,
    /// Targets that became done a second since the last such record.
    pub(crate) rate: u64,
    /// Targets that were asked at least once.
    pub(crate) asked: u64,
    /// Targets that were asked and are not done.
    pub(crate) waiting: u64,
    /// Attempts so far, in all passes.
    pub(crate) attempts: u64,
    /// The present pass: the first asks every target, later ones ask the silent
    /// targets again. Absent if hosts are in several passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pass: Option<u32>,
    /// Silent targets that are asked again now, and how many of them were.
    pub(crate) silent: u64,
    pub(crate) asked_again: u64,
    /// Findings so far.
    pub(crate) found: usize,
    /// The time left, if it can be estimated.
    #[serde(rename = "left_ms", serialize_with = "as_milliseconds")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) left: Option<Duration>,
    /// The time left if no port answers, if that is known.
    #[serde(rename = "at_most_ms", serialize_with = "as_milliseconds")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at_most: Option<Duration>,
}

/// Makes records of progress from looks at a scan.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    /// When it last looked, and how many targets were done then.
    last: (Instant, u64),
    forecast: Forecast,
}

/// An estimate of when a scan ends, which never becomes later without a reason.
#[derive(Clone, Debug, Default)]
struct Forecast {
    /// The end that was last forecast.
    end: Option<Instant>,
    /// How many passes more than usual there were then.
    extra: u32,
    /// Since when estimates have come out too much later to be shown.
    later_since: Option<Instant>,
}

impl Meter {
    /// Begins to look at `now`.
    pub(crate) fn new(now: Instant) -> Self {
        Self { last: (now, 0), forecast: Forecast::default() }
    }

    /// Looks at `progress` at `now`. The scan began `elapsed` ago; `total` is the
    /// number of its targets, if that is known.
    pub(crate) fn look(
        &mut self,
        progress: &Progress,
        total: Option<u64>,
        elapsed: Duration,
        now: Instant,
    ) -> ProgressReport {
        let Progress { done, asked, silent, again, .. } = *progress;
        let (then, before) = std::mem::replace(&mut self.last, (now, done));
        let seconds = now.duration_since(then).as_secs_f64().max(f64::EPSILON);
        let rate = done.saturating_sub(before) as f64 / seconds;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let rate = rate.round() as u64;
        let left = total.and_then(|total| self.forecast.left(progress, total, elapsed, now));
        ProgressReport {
            done,
            total,
            rate,
            asked,
            waiting: asked - done.min(asked),
            attempts: progress.attempts,
            pass: Some(progress.pass).filter(|&pass| pass > 0),
            silent,
            asked_again: again.asked,
            found: progress.found,
            left,
            at_most: progress.at_most,
        }
    }
}

impl Forecast {
    /// How much longer the scan takes, unless nothing can be said.
    fn left(
        &mut self,
        progress: &Progress,
        total: u64,
        elapsed: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let extra = progress.pass.saturating_sub(PASSES);
        if extra != self.extra {
            // That is a reason: packets get lost.
            *self = Self { extra, ..Self::default() };
        }
        let estimate = estimate(progress, total, elapsed);
        let left = estimate?.min(progress.at_most.unwrap_or(Duration::MAX));
        let Some(end) = self.end else { return self.set(left, now) };
        let promised = end.saturating_duration_since(now);
        if left <= promised {
            return self.set(left, now);
        }
        if left <= promised * 2 + TOLERANCE {
            self.later_since = None;
            return Some(promised);
        }
        let since = *self.later_since.get_or_insert(now);
        if now.saturating_duration_since(since) < WITHHELD { None } else { self.set(left, now) }
    }

    fn set(&mut self, left: Duration, now: Instant) -> Option<Duration> {
        self.end = now.checked_add(left);
        self.later_since = None;
        Some(left)
    }
}

/// How much longer the scan takes if it goes on as it did for `elapsed`.
fn estimate(progress: &Progress, total: u64, elapsed: Duration) -> Option<Duration> {
    let Progress { done, silent, asked, attempts, again, .. } = *progress;
    // Attempts that are in flight may end at any time, so only ended ones count.
    let first = done + silent;
    let in_flight = again.asked.saturating_sub(again.ended);
    let repeated = attempts.saturating_sub(asked).saturating_sub(in_flight);
    let to_repeat = silent.saturating_sub(again.ended);
    if first == 0 || elapsed < SOONEST {
        return None;
    }
    // Of those asked so far, the share that was silent at first.
    let share = ((repeated + to_repeat) as f64 / first as f64).min(1.0);
    let silent_first = share * first as f64;
    let spent = ANSWERED * (first as f64 - silent_first) + silent_first + LONGER * repeated as f64;
    let unasked = total.saturating_sub(first) as f64;
    let a_target = ANSWERED * (1.0 - share) + (1.0 + LONGER) * share;
    let left = unasked * a_target + LONGER * to_repeat as f64;
    if spent < (spent + left) * LEAST_SHARE {
        return None;
    }
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * left / spent).ok()
}

fn as_milliseconds<S: serde::Serializer>(
    time: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.serialize_f64(milliseconds(time.unwrap_or_default()))
}

/// The passes of a scan without loss.
const PASSES: u32 = 2;

/// The time of an attempt that is answered, in that of a first one that is not: a
/// round trip, while the other waits for a multiple of it.
const ANSWERED: f64 = 0.05;

/// How much longer than the first a second attempt takes: the first waits for a quarter
/// of the timeout where nothing is known, the second for the rest.
const LONGER: f64 = 3.0;

/// What was seen in a shorter time, or of a smaller share of a scan, says too little.
const SOONEST: Duration = Duration::from_millis(500);
const LEAST_SHARE: f64 = 0.02;

/// So much later than it was forecast the end may be, beyond twice the time, before the
/// forecast is withheld.
const TOLERANCE: Duration = Duration::from_secs(1);

/// After so long without a forecast there is a new one, whatever was forecast before.
const WITHHELD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Again;

    /// A scan whose answering ports take no time. Silent ones are asked `window` at a
    /// time, and each attempt lasts as long as `WAITS` has for its pass.
    struct Simulated {
        answering: u64,
        silent: u64,
        window: u64,
    }

    const WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(1500)];

    impl Simulated {
        /// How far it is after `elapsed`; `None` once it has ended.
        fn at(&self, elapsed: Duration) -> Option<Progress> {
            let total = self.answering + self.silent;
            let ended = |elapsed: Duration, wait: Duration| {
                let rounds = elapsed.as_millis() / wait.as_millis();
                (u64::try_from(rounds).unwrap() * self.window).min(self.silent)
            };
            let [first, _] = self.passes();
            if elapsed < first {
                let silent = ended(elapsed, WAITS[0]);
                let done = self.answering * silent / self.silent;
                let asked = (done + silent + self.window).min(total);
                let progress = Progress { total, done, silent, asked, ..Progress::default() };
                return Some(Progress { attempts: asked, pass: 1, ..progress });
            }
            let silent = self.silent;
            let ended = ended(elapsed - first, WAITS[1]);
            let asked = (ended + self.window).min(silent);
            let again = Again { total: silent, asked, ended };
            let done = self.answering;
            let progress = Progress { total, done, silent, asked: total, ..Progress::default() };
            let progress = Progress { attempts: total + asked, pass: 2, again, ..progress };
            (ended < silent).then_some(progress)
        }

        /// How long its passes take.
        fn passes(&self) -> [Duration; 2] {
            let rounds = u32::try_from(self.silent.div_ceil(self.window)).unwrap();
            WAITS.map(|wait| wait * rounds)
        }
    }

    fn looked_at(number: u32) -> Duration {
        Duration::from_millis(100) * number
    }

    /// The time left that was shown at each look.
    fn shown(scan: &Simulated) -> Vec<Option<Duration>> {
        let started = Instant::now();
        let mut meter = Meter::new(started);
        let looks = (1..).map(looked_at).map_while(|at| Some((at, scan.at(at)?)));
        let left = looks.map(|(at, progress)| {
            meter.look(&progress, Some(progress.total), at, started + at).left
        });
        left.collect()
    }

    #[test]
    fn the_time_left_never_grows_and_is_about_right() {
        for (answering, silent, window) in
            [(0, 65_535, 16_000), (0, 1000, 16_000), (3, 10_000, 16_000), (1000, 1000, 400)]
        {
            let scan = Simulated { answering, silent, window };
            let took: Duration = scan.passes().iter().sum();
            let shown = shown(&scan);
            for (at, left) in (1..).map(looked_at).zip(&shown) {
                let Some(left) = *left else { continue };
                let really = took.saturating_sub(at);
                let second = Duration::from_secs(1);
                let about = (really / 2).saturating_sub(second)..=really * 2 + second;
                assert!(about.contains(&left), "{left:?} of {really:?} at {at:?}, {silent} silent");
            }
            let known: Vec<Duration> = shown.iter().flatten().copied().collect();
            assert!(known.is_sorted_by(|before, after| before >= after), "{known:?}");
            assert!(silent < 20_000 || known.len() > shown.len() / 2, "{shown:?}");
        }
    }

    #[test]
    fn a_forecast_that_proves_wrong_is_withheld_before_there_is_a_new_one() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let halfway =
            Progress { total: 100, done: 50, asked: 50, attempts: 50, ..Progress::default() };
        let mut forecast = Forecast::default();
        let mut left =
            |seconds: u64| forecast.left(&halfway, 100, Duration::from_secs(seconds), at(seconds));
        assert_eq!(left(2), Some(Duration::from_secs(2)));
        // Nothing more is done: the forecast counts down, and then there is none.
        assert_eq!(left(3), Some(Duration::from_secs(1)));
        assert_eq!([left(4), left(5), left(8)], [None; 3]);
        assert_eq!(left(9), Some(Duration::from_secs(9)));
    }

    #[test]
    fn nothing_is_forecast_from_too_little() {
        let scan = |done: u64| Progress { total: 1000, done, asked: done, ..Progress::default() };
        let estimate = |done, ms| {
            let left = estimate(&scan(done), 1000, Duration::from_millis(ms));
            left.map(|left| left.as_millis().div_ceil(1000))
        };
        assert_eq!((estimate(0, 9000), estimate(10, 9000), estimate(500, 400)), (None, None, None));
        assert_eq!(estimate(250, 1000), Some(3));
    }

    #[test]
    fn the_time_left_is_never_more_than_the_scan_can_take() {
        let at_most = Some(Duration::from_secs(1));
        let scan =
            Progress { total: 9, done: 1, asked: 9, attempts: 9, at_most, ..Progress::default() };
        let mut meter = Meter::new(Instant::now());
        let look = meter.look(&scan, Some(9), Duration::from_secs(1), Instant::now());
        assert_eq!((look.left, look.at_most, look.waiting), (at_most, at_most, 8));
    }
}
