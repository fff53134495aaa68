//! The deadline of a scan. A caller that joins a running scan may have more time
//! than the callers before it: then the deadline moves.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A moment that can be moved to a later one, until it has come.
#[derive(Debug)]
pub(crate) struct Until(Mutex<State>);

#[derive(Debug)]
struct State {
    /// `None` is never.
    at: Option<Instant>,
    /// Whether somebody has stopped because of it.
    passed: bool,
}

impl Until {
    pub(crate) fn new(at: Option<Instant>) -> Self {
        Self(Mutex::new(State { at, passed: false }))
    }

    /// The moment as it stands; `None` is never.
    pub(crate) fn get(&self) -> Option<Instant> {
        self.lock().at
    }

    /// Whether the moment has come. Once it has, it stays so.
    // All fan-outs of a scan have to stop at the same moment. A later one must
    // not keep some of them going after others have stopped.
    pub(crate) fn has_come(&self, now: Instant) -> bool {
        let mut state = self.lock();
        state.passed |= state.at.is_some_and(|at| at <= now);
        state.passed
    }

    /// Moves the moment to `at`, unless it is later already. False if it has
    /// come: then the scan is ending.
    pub(crate) fn extend(&self, at: Option<Instant>) -> bool {
        let mut state = self.lock();
        if !state.passed {
            state.at = state.at.zip(at).map(|(before, at)| before.max(at));
        }
        !state.passed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_deadline_only_moves_to_a_later_time_and_not_once_it_has_passed() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let until = Until::new(Some(after(2)));
        assert!(until.extend(Some(after(1))) && until.get() == Some(after(2)));
        assert!(until.extend(Some(after(3))) && until.get() == Some(after(3)));
        assert!(!until.has_come(after(2)));
        assert!(until.has_come(after(3)));
        assert!(!until.extend(Some(after(9))));
        assert!(until.has_come(after(4)) && until.get() == Some(after(3)));
    }

    #[test]
    fn no_deadline_is_later_than_any_deadline() {
        let start = Instant::now();
        let until = Until::new(Some(start));
        assert!(until.extend(None) && until.get().is_none());
        assert!(until.extend(Some(start)) && until.get().is_none());
        assert!(!until.has_come(start + Duration::from_secs(1)));
    }
}
