//! How often silent ports are asked again, and how fast. Pure.
//!
//! A port that does not answer is filtered, or its probe or the answer was
//! lost. Ports are asked in passes; those that answer in a later pass were
//! missed before, and show how much is lost. Without any sign of loss two
//! passes are enough; with it, passes go on until hardly a port that answers
//! can still be hidden among the silent ones.
//!
//! Loss that grows with speed (a policer, a full conntrack table, limited RSTs)
//! shows when a second pass begins: a pilot, which asks a few silent ports slowly,
//! shows how many of the rest would have answered, and so how far the speed has
//! to come down. The window (see `window`) steers only by hosts that answer
//! mostly; silence says nothing until it was tried twice.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::limits;

/// What the passes so far have shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Retry {
    /// Targets that answered, pass by pass; late ones count for the first.
    answered: Vec<u64>,
    /// Targets that answered in the last pass, whenever.
    last_answered: u64,
    /// The pass from which on the speed was what it is now.
    regime: usize,
    rate: Option<NonZeroU32>,
    /// Targets that answered to a pilot after the last pass.
    answered_pilot: u64,
}

/// How a pass went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PassResult {
    /// Targets that answered.
    pub(super) answered: u64,
    /// How many of them answered later than any pass before had waited: those
    /// passes lost nothing.
    pub(super) late: u64,
    /// Targets that did not.
    pub(super) silent: u64,
}

/// How the previous pass was sent, and what a pilot of its silent targets shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pilot {
    /// Targets of the previous pass, and how long it took to ask them.
    pub(super) sent: u64,
    pub(super) sending: Duration,
    /// Targets of the pilot, and how many of them answered.
    pub(super) asked: u64,
    pub(super) answered: u64,
    /// Targets that were silent in the previous pass.
    pub(super) silent: u64,
}

impl Retry {
    /// Takes the result of a pass, and says whether another is worth while.
    /// `retrying` is how long silent targets have been asked again for.
    pub(super) fn goes_on_after(&mut self, pass: PassResult, retrying: Duration) -> bool {
        self.last_answered = pass.answered;
        match self.answered.first_mut() {
            // With enough patience the first pass would have had them.
            Some(first) => {
                *first += pass.late;
                self.answered.push(pass.answered - pass.late);
            }
            None => self.answered.push(pass.answered),
        }
        if pass.silent == 0 {
            return false;
        }
        let tried = self.at_this_speed().len();
        match self.answered.len() {
            1 => true,
            passes if passes >= limits::MAX_ATTEMPTS => false,
            _ if !self.has_time_for(pass.silent, retrying) => false,
            _ if tried < 2 => true,
            _ => self.saw_loss() && self.expected_hidden() >= TOLERATED_HIDDEN,
        }
    }

    /// Whether to spend the time that one more pass over `targets` takes; every
    /// silent port is to be asked twice in any case.
    // A pass that is short beside those before it is always worth while: at a
    // slow policer it is the one that finds what the long one missed.
    pub(super) fn has_time_for(&self, targets: u64, retrying: Duration) -> bool {
        let (spent, patience) = (retrying.as_secs_f64(), limits::RETRY_PATIENCE.as_secs_f64());
        let takes = self.rate.map_or(0.0, |rate| targets as f64 / f64::from(rate.get()));
        let is_short = self.rate.is_some() && takes < spent * SHORT;
        self.passes() < 2 || spent + takes < patience || is_short
    }

    /// Whether the coming pass should begin with a pilot: the first to ask again
    /// does, and those after a pilot that brought the speed down. Where hardly
    /// anything answers, none of the `silent` targets it asks would.
    // A pilot of 128 has to meet more than chance would have it. With nine of ten
    // attempts lost, nine times as many are hidden as have answered.
    pub(super) fn wants_pilot(&self, silent: u64) -> bool {
        let hidden = 9 * self.last_answered;
        let meets = hidden * limits::PILOT_TARGETS as u64 / silent.max(1);
        let to_ask_again = self.answered.len() == 1 && meets >= CHANCE;
        to_ask_again || self.rate.is_some() || self.loss_between_passes() > CONGESTED
    }

    /// Sets the speed of the coming pass by what its pilot showed.
    pub(super) fn steer(&mut self, pilot: Pilot) {
        let previous = self.last_answered as f64;
        let share = pilot.answered as f64 / pilot.asked.max(1) as f64;
        let missed = share * pilot.silent as f64;
        let loss = match pilot.answered {
            ..CHANCE => 0.0,
            _ => missed / (previous + missed).max(1.0),
        };
        let loss = loss.max(self.loss_between_passes().min(STEEPEST));
        let seconds = pilot.sending.as_secs_f64().max(1e-3);
        let sent_rate = pilot.sent as f64 / seconds;
        if loss > CONGESTED {
            self.regime = self.answered.len();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates"
            )]
            let rate = (sent_rate * (1.0 - loss)).max(MIN_RATE) as u32;
            self.rate = NonZeroU32::new(rate);
        }
    }

    /// Takes in that no pass follows the last pilot, to which so many targets
    /// answered that the passes before had lost.
    pub(super) fn end_with_pilot(&mut self, answered: u64) {
        self.answered_pilot = answered;
    }

    /// Probes a second, at most; `None` is as fast as can be.
    pub(super) fn rate(&self) -> Option<NonZeroU32> {
        self.rate
    }

    /// How many passes there were.
    pub(super) fn passes(&self) -> usize {
        self.answered.len()
    }

    /// The share of attempts at targets that answer which went unanswered.
    pub(super) fn loss(&self) -> f64 {
        let answered = || self.answered.iter().chain([&self.answered_pilot]);
        let attempts: u64 = (1..).zip(answered()).map(|(nth, count)| nth * count).sum();
        let targets: u64 = answered().sum();
        (attempts - targets) as f64 / attempts.max(1) as f64
    }

    fn saw_loss(&self) -> bool {
        self.answered.iter().skip(1).any(|&answered| answered > 0)
    }

    /// How many targets that answer are still silent, by expectation.
    // Those that passes at other speeds found are no part of it: what they left
    // behind is what the passes at this speed began with.
    fn expected_hidden(&self) -> f64 {
        let attempts: u64 = (1..).zip(self.at_this_speed()).map(|(nth, count)| nth * count).sum();
        let targets: u64 = self.at_this_speed().iter().sum();
        // One half is what nothing seen at all should count for (Jeffreys).
        let loss = ((attempts - targets) as f64 + 0.5) / (attempts as f64 + 1.0);
        let passes = i32::try_from(self.at_this_speed().len()).unwrap_or(i32::MAX);
        targets as f64 * loss.powi(passes)
    }

    /// The loss that the last two passes at this speed show: so much smaller
    /// the second should have been.
    // Where few of the silent ports answer at all, a pilot finds none of them.
    fn loss_between_passes(&self) -> f64 {
        match *self.at_this_speed() {
            [.., first, second] if second >= TELLING => second as f64 / first.max(second) as f64,
            _ => 0.0,
        }
    }

    /// Targets that answered, in the passes at the present speed.
    fn at_this_speed(&self) -> &[u64] {
        &self.answered[self.regime.min(self.answered.len())..]
    }
}

/// One scan in some thousands may then miss a port.
const TOLERATED_HIDDEN: f64 = 5e-4;

/// Loss above this is taken for a limit that speed runs into: links lose less.
const CONGESTED: f64 = 0.25;

/// Fewer answers to a pilot than this are chance, and no reason to forget what
/// was learnt at the present speed.
const CHANCE: u64 = 3;

/// Fewer answers than this show nothing by their number.
const TELLING: u64 = 8;

/// How far two passes alone may bring the speed down at once.
const STEEPEST: f64 = 0.75;

/// A pass is short that takes less than this part of all those before.
const SHORT: f64 = 0.25;

/// No limit is worth going slower for.
const MIN_RATE: f64 = 100.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pass(answered: u64, silent: u64) -> PassResult {
        PassResult { answered, late: 0, silent }
    }

    #[test]
    fn silent_ports_are_asked_twice_if_nothing_is_lost() {
        let mut retry = Retry::default();
        assert!(retry.goes_on_after(pass(15, 10_000), Duration::ZERO));
        assert!(!retry.goes_on_after(pass(0, 10_000), Duration::ZERO));
        assert_eq!((retry.passes(), retry.loss()), (2, 0.0));
        let mut all_answer = Retry::default();
        assert!(!all_answer.goes_on_after(pass(65_535, 0), Duration::ZERO));
    }

    #[test]
    fn late_answers_do_not_count_as_loss() {
        let mut retry = Retry::default();
        assert!(retry.goes_on_after(pass(1, 999), Duration::ZERO));
        let late = PassResult { answered: 20, late: 20, silent: 979 };
        assert!(!retry.goes_on_after(late, Duration::ZERO));
        assert_eq!(retry.loss(), 0.0);
    }

    #[test]
    fn no_pilot_is_sent_where_hardly_anything_answers() {
        for (answered, wants_pilot) in [(0, false), (15, false), (100, true)] {
            let mut retry = Retry::default();
            assert!(retry.goes_on_after(pass(answered, 10_000), Duration::ZERO));
            assert_eq!(retry.wants_pilot(10_000), wants_pilot);
        }
        // Unless the second pass shows that something is there.
        let mut late = Retry::default();
        assert!(late.goes_on_after(pass(0, 10_000), Duration::ZERO));
        assert!(late.goes_on_after(pass(500, 9_500), Duration::ZERO));
        assert!(late.wants_pilot(9_500));
    }

    #[test]
    fn loss_earns_the_silent_ports_more_passes() {
        // 200 ports that answer, a tenth of the attempts lost.
        let mut retry = Retry::default();
        for (answered, goes_on) in
            [(180, true), (18, true), (2, true), (0, true), (0, true), (0, false)]
        {
            let pass = pass(answered, 9_800);
            assert_eq!(retry.goes_on_after(pass, Duration::ZERO), goes_on, "{retry:?}");
        }
        assert!((0.08..0.12).contains(&retry.loss()), "{}", retry.loss());
    }

    #[test]
    fn a_pilot_that_answers_brings_the_speed_down_to_what_got_through() {
        // 65,000 sent in 0.8 s, a quarter got through: some 20,000 a second.
        let mut retry = Retry::default();
        assert!(retry.goes_on_after(pass(16_000, 49_000), Duration::ZERO));
        let sending = Duration::from_millis(800);
        let pilot = Pilot { sent: 65_000, sending, asked: 128, answered: 128, silent: 49_000 };
        retry.steer(pilot);
        let rate = retry.rate().unwrap().get();
        assert!((19_000..21_000).contains(&rate), "{rate}");
    }

    #[test]
    fn loss_that_is_not_about_speed_leaves_it_alone() {
        let mut retry = Retry::default();
        assert!(retry.goes_on_after(pass(64_000, 1_300), Duration::ZERO));
        let sending = Duration::from_millis(800);
        let pilot = Pilot { sent: 65_535, sending, asked: 128, answered: 126, silent: 1_300 };
        retry.steer(pilot);
        assert_eq!(retry.rate(), None);
        let pilot = Pilot { asked: 128, answered: 0, silent: 10_000, ..pilot };
        retry.steer(pilot);
        assert_eq!(retry.rate(), None);
    }

    #[test]
    fn each_speed_is_tried_twice_before_it_is_believed() {
        let mut retry = Retry::default();
        assert!(retry.goes_on_after(pass(16_000, 49_000), Duration::ZERO));
        let sending = Duration::from_millis(800);
        let pilot = Pilot { sent: 65_000, sending, asked: 128, answered: 128, silent: 49_000 };
        retry.steer(pilot);
        // One pass at this speed could have lost anything.
        assert!(retry.goes_on_after(pass(47_000, 2_000), Duration::ZERO));
        assert!(retry.goes_on_after(pass(1_900, 100), Duration::ZERO));
    }

    proptest! {
        #[test]
        fn passes_come_to_an_end_and_the_rate_is_never_zero(
            steps in prop::collection::vec((0u64..70_000, 0u64..70_000, 0u64..=128), 1..40),
        ) {
            let mut retry = Retry::default();
            for (answered, silent, pilot) in steps {
                let goes_on = retry.goes_on_after(pass(answered, silent), Duration::ZERO);
                prop_assert!((0.0..1.0).contains(&retry.loss()));
                prop_assert!(!goes_on || retry.passes() < limits::MAX_ATTEMPTS);
                if !goes_on {
                    break;
                }
                let sending = Duration::from_millis(1);
                let sent = answered + silent;
                retry.steer(Pilot { sent, sending, asked: 128, answered: pilot, silent });
                prop_assert!(retry.rate().is_none_or(|rate| f64::from(rate.get()) >= MIN_RATE));
            }
        }

        #[test]
        fn more_loss_never_means_fewer_passes(answered in 50u64..1000, recovered in 1u64..40) {
            let passes = |recovered| {
                let mut retry = Retry::default();
                let mut results = [answered, recovered].into_iter();
                while retry.goes_on_after(pass(results.next().unwrap_or(0), 1000), Duration::ZERO) {}
                retry.passes()
            };
            prop_assert!(passes(recovered + 1) >= passes(recovered));
        }
    }
}
