//! The kinds of claim that can fail, as SARIF and GitHub name them.

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A port is open that ought not to be.
    UnexpectedPort,
    /// A port is not open that ought to be.
    MissingPort,
    /// Something was not scanned.
    NotScanned,
    /// A port is open that was not.
    PortOpened,
    /// A port is not open that was.
    PortLost,
    /// Ports are filtered that were closed, or the reverse.
    PortsShifted,
    /// Nothing is expected of any host.
    NothingExpected,
    /// A target is reached that ought not to be.
    UnexpectedReach,
    /// A target is not reached that ought to be.
    MissingReach,
    /// As expected, but nothing shows that it could be otherwise.
    Unproved,
}
