//! One direction of the wire: decides what happens to each frame. Without I/O: the
//! time is an argument, and every random choice follows from the seed.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use oorandom::Rand64;

/// How one direction treats frames. By default all of them arrive at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LinkSettings {
    /// How long a frame takes.
    pub(crate) delay: Duration,
    /// The delay is up to so much shorter or longer, evenly distributed.
    pub(crate) jitter: Duration,
    /// The share of frames that are lost, 0 to 1.
    pub(crate) loss: f64,
    /// The share of frames that skip the delay and so overtake others, 0 to 1.
    pub(crate) reorder: f64,
    /// Frames a second that the line carries.
    pub(crate) rate: Option<u32>,
    /// How many frames may wait for the line; further ones are lost.
    pub(crate) queue: u32,
}

/// What happens to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives at this instant.
    Passes(Instant),
    /// It arrives before others that entered earlier.
    Overtakes(Instant),
    /// The line lost it.
    Lost,
    /// The queue for the line was full.
    Overflowed,
}

/// One direction of the wire.
#[derive(Debug)]
pub(crate) struct Link {
    settings: LinkSettings,
    draws: Rand64,
    /// When the line will have sent all waiting frames.
    free_at: Option<Instant>,
}

/// Text that is not [`LinkSettings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadSettings(String);

impl Link {
    /// A direction whose random choices follow from `seed`.
    pub(crate) fn new(settings: LinkSettings, seed: u64) -> Self {
        Self { settings, draws: Rand64::new(seed.into()), free_at: None }
    }

    /// Decides what happens to a frame that enters at `now`.
    // Each frame takes three random numbers, whatever happens to it, so that those of
    // the n-th frame depend on the seed alone.
    pub(crate) fn admit(&mut self, now: Instant) -> Fate {
        let [lost, overtakes, wobble] = std::array::from_fn(|_| self.draws.rand_float());
        if lost < self.settings.loss {
            return Fate::Lost;
        }
        let Some(sent) = self.join_queue(now) else { return Fate::Overflowed };
        if overtakes < self.settings.reorder {
            return Fate::Overtakes(sent);
        }
        let LinkSettings { delay, jitter, .. } = self.settings;
        let shortest = delay.saturating_sub(jitter);
        Fate::Passes(sent + shortest + (delay + jitter - shortest).mul_f64(wobble))
    }

    /// When the line will have sent a frame that enters at `now`; `None` if there is no
    /// room for it to wait.
    fn join_queue(&mut self, now: Instant) -> Option<Instant> {
        let Some(rate) = self.settings.rate else { return Some(now) };
        let turn = Duration::from_secs(1) / rate;
        let starts = self.free_at.map_or(now, |free_at| free_at.max(now));
        if starts - now > turn * self.settings.queue {
            return None;
        }
        self.free_at = Some(starts + turn);
        self.free_at
    }
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            reorder: 0.0,
            rate: None,
            queue: DEFAULT_QUEUE,
        }
    }
}

impl FromStr for LinkSettings {
    type Err = BadSettings;

    /// Reads `delay=25ms,jitter=5ms,loss=1%,reorder=2%,rate=20000,queue=100`,
    /// or some of it, or nothing.
    fn from_str(text: &str) -> Result<Self, BadSettings> {
        let mut settings = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let bad = || BadSettings(part.to_owned());
            let (name, value) = part.split_once('=').ok_or_else(bad)?;
            match name {
                "delay" => settings.delay = milliseconds(value).ok_or_else(bad)?,
                "jitter" => settings.jitter = milliseconds(value).ok_or_else(bad)?,
                "loss" => settings.loss = percent(value).ok_or_else(bad)?,
                "reorder" => settings.reorder = percent(value).ok_or_else(bad)?,
                "rate" => {
                    let rate = value.parse().ok().filter(|&rate| rate > 0);
                    settings.rate = Some(rate.ok_or_else(bad)?);
                }
                "queue" => settings.queue = value.parse().map_err(|_| bad())?,
                _ => return Err(bad()),
            }
        }
        Ok(settings)
    }
}

impl fmt::Display for BadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not one of delay=1ms jitter=1ms loss=1% reorder=1% rate=1 queue=1",
            self.0
        )
    }
}

fn milliseconds(text: &str) -> Option<Duration> {
    let count: f64 = text.strip_suffix("ms")?.parse().ok()?;
    // An hour is longer than any scenario, and keeps sums in range.
    (0.0..3.6e6).contains(&count).then(|| Duration::from_secs_f64(count / 1e3))
}

fn percent(text: &str) -> Option<f64> {
    let count: f64 = text.strip_suffix('%')?.parse().ok()?;
    (0.0..=100.0).contains(&count).then_some(count / 100.0)
}

/// As long as the default queue of a Linux interface (txqueuelen).
const DEFAULT_QUEUE: u32 = 1000;
