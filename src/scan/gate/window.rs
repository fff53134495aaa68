//! How many probes may be in flight. Pure; `now` is passed in.
//!
//! A network that answers is asked nearly as TCP sends (RFC 5681): slow start,
//! one cut for each round in which much was lost, then slow growth. A host that
//! is silent gives nothing to steer by, and its silence is no loss: while hardly
//! anything answers, the window doubles step by step, and soon opens wide. Which of
//! the two it is shows in the share of recent probes that were answered.
//!
//! Unlike TCP's, the window is not cut for a little loss. Links lose some packets
//! at any speed, and a window that halves for each ends up a few probes wide: at
//! 2 % and 50 ms that made 44 s of a scan that takes 2. Lost probes are repeated
//! in any case; what matters is that most get through.

use std::time::{Duration, Instant};

use crate::limits;

/// The window of one fan-out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    size: f64,
    /// Above this size, growth is slow.
    threshold: f64,
    /// The share of recent probes that were answered, and of how many.
    answered: f64,
    recent: f64,
    started: Instant,
    /// When the window was last cut: what was sent before does not count again.
    cut: Option<Instant>,
}

/// Whether a probe may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admits {
    /// Now.
    Now,
    /// Not before something ends, or this.
    After(Option<Instant>),
}

impl Window {
    /// The window to start with; `size` is what was good for a pass before.
    pub(crate) fn new(size: Option<usize>, now: Instant) -> Self {
        Self {
            size: size.unwrap_or(limits::FIRST_WINDOW).max(limits::MIN_WINDOW) as f64,
            threshold: f64::INFINITY,
            answered: 0.0,
            recent: 0.0,
            started: now,
            cut: None,
        }
    }

    /// Whether one more than `in_flight` probes may be in flight.
    pub(crate) fn admits(&self, in_flight: usize, now: Instant) -> Admits {
        let silence = now.saturating_duration_since(self.started);
        if (in_flight as f64) < self.size || (in_flight as f64) < self.size_after(silence) {
            return Admits::Now;
        }
        let step = limits::WINDOW_WAITS / STEPS;
        let next = self.started + step * (steps(silence) + 1);
        Admits::After((silence < limits::WINDOW_WAITS).then_some(next))
    }

    /// A probe was answered.
    pub(crate) fn answer(&mut self) {
        self.remember(1.0);
        self.grow();
    }

    /// A probe that started at `sent` was not answered.
    pub(crate) fn silence(&mut self, sent: Instant, now: Instant) {
        self.remember(0.0);
        if self.answered < MOSTLY {
            return self.grow();
        }
        if self.answered < NEARLY_ALL && self.cut.is_none_or(|cut| sent > cut) {
            self.cut = Some(now);
            self.threshold = (self.size / 2.0).max(limits::MIN_WINDOW as f64);
            self.size = self.threshold;
        }
    }

    /// An attempt ended, which shows nothing of how much gets through.
    pub(crate) fn grow(&mut self) {
        let step = if self.size < self.threshold { 1.0 } else { 1.0 / self.size };
        self.size = (self.size + step).min(limits::MAX_PROBE_DESCRIPTORS as f64);
    }

    /// The window that a further pass should start with, if loss cut it or silence
    /// opened it.
    pub(crate) fn hint(&self) -> Option<usize> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded")]
        let cut = self.cut.map(|_| self.size as usize);
        let is_silent = self.recent > 0.0 && self.answered < MOSTLY;
        cut.or(is_silent.then_some(limits::MAX_PROBE_DESCRIPTORS))
    }

    fn remember(&mut self, answer: f64) {
        self.recent = (self.recent + 1.0).min(MEMORY);
        self.answered += (answer - self.answered) / self.recent;
    }

    /// The size while a host mostly does not answer, which had so much time for it.
    fn size_after(&self, silence: Duration) -> f64 {
        match steps(silence) {
            _ if self.answered >= MOSTLY => self.size,
            STEPS.. => f64::INFINITY,
            steps => self.size * f64::from(1 << steps),
        }
    }
}

/// How often the window of a silent host has doubled.
fn steps(silence: Duration) -> u32 {
    let step = limits::WINDOW_WAITS / STEPS;
    u32::try_from(silence.as_nanos() / step.as_nanos()).unwrap_or(STEPS).min(STEPS)
}

/// How often the window doubles in [`limits::WINDOW_WAITS`], before it opens wide:
/// from 256 to 32,768, which is more than there are descriptors.
const STEPS: u32 = 8;

/// Probes over which the share of answers is remembered.
const MEMORY: f64 = 256.0;

/// A network that lets so much of it pass is not asked too fast.
const NEARLY_ALL: f64 = 0.9;

/// A host that answers less than this of the probes is not steered by.
const MOSTLY: f64 = 0.6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn errors_that_stop_coming_leave_the_window_of_a_silent_host() {
        let (start, mut now) = (Instant::now(), Instant::now());
        let mut window = Window::new(None, start);
        let mut answering = Window::new(None, start);
        for _ in 0..1000 {
            window.grow();
            answering.answer();
        }
        for _ in 0..400 {
            now += TICK;
            window.silence(start, now);
            answering.silence(start, now);
        }
        let most = limits::MAX_PROBE_DESCRIPTORS - 1;
        assert_eq!(window.admits(most, now), Admits::Now);
        let cut = answering.hint().is_some_and(|hint| hint < 1000);
        assert!(cut, "answers that stop coming were lost: {answering:?}");
    }

    const TICK: Duration = Duration::from_millis(1);

    fn size(window: &Window) -> usize {
        let now = window.started;
        (0..).find(|&in_flight| window.admits(in_flight, now) != Admits::Now).unwrap()
    }

    #[test]
    fn each_answer_makes_room_for_one_more() {
        let mut window = Window::new(None, Instant::now());
        assert_eq!(size(&window), limits::FIRST_WINDOW);
        for _ in 0..100 {
            window.answer();
        }
        assert_eq!(size(&window), limits::FIRST_WINDOW + 100);
    }

    #[test]
    fn loss_halves_the_window_once_a_round_and_growth_is_slow_then() {
        let start = Instant::now();
        let mut window = Window::new(None, start);
        for _ in 0..2000 {
            window.answer();
        }
        let before = size(&window);
        for _ in 0..40 {
            window.silence(start + TICK, start + 2 * TICK);
        }
        assert_eq!(size(&window), before / 2);
        window.silence(start + 3 * TICK, start + 4 * TICK);
        assert_eq!(size(&window), before / 4);
        assert_eq!(window.hint(), Some(before / 4));
        for _ in 0..before / 4 {
            window.answer();
        }
        assert!(size(&window) <= before / 4 + 1);
    }

    #[test]
    fn a_little_loss_leaves_the_window_alone() {
        let start = Instant::now();
        let mut window = Window::new(None, start);
        for round in 0..10_000 {
            if round % 25 == 24 {
                window.silence(start + TICK, start + 2 * TICK);
            } else {
                window.answer();
            }
        }
        assert_eq!(window.hint(), None);
        assert!(size(&window) > 9_000);
    }

    #[test]
    fn the_window_of_a_silent_host_doubles_and_opens_after_a_moment() {
        let start = Instant::now();
        let mut window = Window::new(None, start);
        let first = start + limits::WINDOW_WAITS / STEPS;
        assert_eq!(window.admits(limits::FIRST_WINDOW, start), Admits::After(Some(first)));
        assert_eq!(window.admits(limits::FIRST_WINDOW, first), Admits::Now);
        let double = 2 * limits::FIRST_WINDOW;
        let second = first + limits::WINDOW_WAITS / STEPS;
        assert_eq!(window.admits(double, first), Admits::After(Some(second)));
        let opens = start + limits::WINDOW_WAITS;
        assert_eq!(window.admits(limits::MAX_PROBE_DESCRIPTORS, opens), Admits::Now);
        // A further pass need not find that out again.
        assert_eq!(window.hint(), None);
        window.silence(start, opens);
        assert_eq!(window.hint(), Some(limits::MAX_PROBE_DESCRIPTORS));
    }

    #[test]
    fn time_alone_does_not_open_the_window_of_a_host_that_answers() {
        let start = Instant::now();
        let mut window = Window::new(None, start);
        window.answer();
        let later = start + 10 * limits::WINDOW_WAITS;
        assert_eq!(window.admits(limits::FIRST_WINDOW + 1, later), Admits::After(None));
        assert_eq!(window.hint(), None);
    }

    #[test]
    fn a_host_that_falls_silent_is_not_taken_for_a_network_that_loses() {
        let start = Instant::now();
        let mut window = Window::new(None, start);
        for _ in 0..5000 {
            window.answer();
        }
        let mut now = start;
        for _ in 0..2000 {
            now += TICK;
            window.silence(now - TICK / 2, now);
        }
        assert_eq!(window.admits(limits::MAX_PROBE_DESCRIPTORS, now), Admits::Now);
    }

    proptest! {
        #[test]
        fn the_window_stays_within_its_bounds(
            events in prop::collection::vec((any::<bool>(), 0u32..50), 0..2000),
        ) {
            let start = Instant::now();
            let (mut window, mut now) = (Window::new(None, start), start);
            for (answered, gap) in events {
                now += TICK * gap;
                if answered {
                    window.answer();
                } else {
                    window.silence(now, now);
                }
                prop_assert!(window.size >= limits::MIN_WINDOW as f64);
                prop_assert!(window.size <= limits::MAX_PROBE_DESCRIPTORS as f64);
                prop_assert!((-1e-9..=1.0 + 1e-9).contains(&window.answered));
                prop_assert_eq!(window.admits(limits::MIN_WINDOW - 1, now), Admits::Now);
            }
        }

        #[test]
        fn an_answer_never_narrows_and_a_silence_never_widens_faster(
            size in 32usize..20_000,
        ) {
            let now = Instant::now();
            let before = Window::new(Some(size), now);
            let (mut answered, mut silent) = (before, before);
            answered.answer();
            silent.silence(now, now);
            prop_assert!(answered.size >= before.size);
            prop_assert!(silent.size <= answered.size);
        }
    }
}
