//! A watch as people and programs follow it: the states at first, each change, what was
//! missed, and whether a condition has come true and held.
//!
//! The command and the HTTP API follow the same [`Story`], and write the same records.

pub(crate) mod condition;
mod judge;
pub(crate) mod records;
mod story;
pub(crate) mod typed;

use std::net::IpAddr;

pub(crate) use self::condition::Until;
pub(crate) use self::records::{Counts, Outcome, WatchRecord};
pub(crate) use self::story::Story;
use crate::ports::PortSet;

/// What a watch is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) hosts: &'a [WatchedHost],
    /// The ports of each host.
    pub(crate) ports: &'a PortSet,
    /// What ends it, if not a signal.
    pub(crate) until: Option<&'a Until>,
}

/// A host that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WatchedHost {
    /// As typed.
    pub(crate) name: String,
    /// Its addresses, of those that are watched.
    pub(crate) addresses: Vec<IpAddr>,
}
