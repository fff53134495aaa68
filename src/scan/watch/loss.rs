//! How many probes are lost, and so how many have to be silent in a row before silence
//! is no accident. Pure.

/// Probes that were lost although the port answers, of the last few dozen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Loss {
    lost: f32,
    answered: f32,
}

impl Loss {
    /// A probe was answered after `lost` others that were not.
    pub(crate) fn note(&mut self, lost: usize) {
        let lost = u16::try_from(lost).unwrap_or(u16::MAX);
        self.lost = self.lost * KEPT + f32::from(lost);
        self.answered = self.answered * KEPT + 1.0;
    }

    /// How many silent probes in a row are no accident.
    // Losses are taken as independent: of k probes all are lost with the probability
    // share^k. A limit on RSTs or ICMP errors, which lets one answer in many through, is
    // a large share.
    pub(crate) fn silences(&self) -> usize {
        let share = (self.lost + PRIOR_LOST) / (self.lost + self.answered + PRIOR_ALL);
        let needed = (ACCIDENT.ln() / share.ln()).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let needed = needed as usize;
        needed.clamp(LEAST, MOST)
    }
}

/// What is left of a count with each answer: the last 50 or so decide.
const KEPT: f32 = 0.98;

/// Before anything is known, one probe in ten is taken for lost.
const PRIOR_LOST: f32 = 0.5;
const PRIOR_ALL: f32 = 5.0;

/// How probable an accident may be: at 5,000 probes a second, one in some days.
const ACCIDENT: f32 = 1e-9;

/// Also where nothing is lost: a network that loses nothing may begin to. With 10 % loss,
/// eight in a row are one in a hundred million.
const LEAST: usize = 8;

/// However many are lost. Of ports that answer one probe in a hundred, nobody can tell
/// whether they have stopped to.
const MOST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    /// After many answers with so many lost before each.
    fn after(lost: usize) -> usize {
        let mut loss = Loss::default();
        (0..200).for_each(|_| loss.note(lost));
        loss.silences()
    }

    #[test]
    fn the_more_is_lost_the_more_silence_is_needed() {
        assert_eq!(Loss::default().silences(), 9);
        assert_eq!(after(0), LEAST);
        // Half of them are lost.
        assert!((25..=35).contains(&after(1)), "{}", after(1));
        assert!((150..=250).contains(&after(9)), "{}", after(9));
        assert_eq!(after(60_000), MOST);
    }

    #[test]
    fn what_was_lost_long_ago_counts_no_more() {
        let mut loss = Loss::default();
        (0..50).for_each(|_| loss.note(3));
        assert!(loss.silences() > 50);
        (0..500).for_each(|_| loss.note(0));
        assert_eq!(loss.silences(), LEAST);
    }
}
