//! What the endpoints work with.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::exchange::site::Hosts;
use crate::admission::Admission;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::request::Ceilings;
use crate::resolve::Resolver;
use crate::scan::Scanner;
use crate::tokens::TokenFile;

/// What the handlers work with.
#[derive(Debug)]
pub struct App {
    /// Runs the scans.
    pub scanner: Scanner,
    /// Finds the addresses.
    pub resolver: Resolver,
    /// Says which of them may be scanned.
    pub policy: Policy,
    /// Says how many scans may run.
    pub admission: Arc<Admission>,
    /// What a request may ask for.
    pub ceilings: Ceilings,
    /// The names that its listener goes by.
    pub hosts: Hosts,
    /// Who may ask; everybody, if there are none.
    pub tokens: Option<Arc<TokenFile>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Set once no new work is wanted.
    pub stopping: AtomicBool,
}
