//! How far the present pass of a scan is.

/// Attempts of one pass, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attempts {
    /// Targets that were asked.
    pub(crate) started: u64,
    /// How many of these attempts have ended.
    pub(crate) ended: u64,
    /// How many of those in silence.
    pub(crate) silent: u64,
}

/// The present pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stage {
    /// Its number, from 1; 0 before the first.
    pub(crate) pass: u32,
    /// How many targets it is to ask.
    pub(crate) targets: u64,
    /// Its attempts so far.
    pub(crate) attempts: Attempts,
    /// The attempts of all passes before it.
    pub(crate) before: u64,
}

impl Attempts {
    /// Adds `more`.
    pub(crate) fn add(&mut self, more: Self) {
        self.started += more.started;
        self.ended += more.ended;
        self.silent += more.silent;
    }
}

impl Stage {
    /// The next pass, which asks `targets`. A pilot has the number of the pass that
    /// follows.
    pub(crate) fn next(self, pass: u32, targets: u64) -> Self {
        let before = self.before + self.attempts.started;
        Self { pass, targets, attempts: Attempts::default(), before }
    }
}
