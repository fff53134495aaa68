//! From a valid request to a running scan: resolve, judge, admit, start.
//!
//! This is the only room of the service that plans and starts scans. A scan is
//! made from a [`Permitted`], and only a check against policy makes one of these,
//! so that an endpoint that forgets policy does not compile. A name is resolved
//! once; policy is checked against the resulting addresses, and exactly those are
//! scanned.
//!
//! An endpoint asks in three lines, none of which can leave a check out:
//!
//! ```text
//! let asked = app.asker.ask(request, &caller.account()).await;
//! audit.asked(&asked); // the line in the log and the counts
//! let reply = match asked.outcome { … }; // a running scan, an explanation or a refusal
//! ```
//!
//! A sweep asks for its batches one by one, with a `SweepAsker`, which cannot leave a
//! check out either. At the prompt it has no caller, and so no quotas.

mod explanation;
mod permitted;
mod running;
mod sweeping;
mod watching;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use self::explanation::Explanation;
pub use self::permitted::{Permitted, ScanOptions};
pub(crate) use self::running::Running;
pub(crate) use self::sweeping::{NotNow, SweepAsker, SweepEntry};
pub(crate) use self::watching::{AskedWatch, RunningWatch, WatchOptions};
use crate::admission::{Admission, NotAdmitted};
use crate::caller::Account;
use crate::policy::{Policy, Refusal};
use crate::ports::PortSet;
use crate::request::ScanRequest;
use crate::resolve::{Patience, ResolveError, Resolved, Resolver, Terms};
use crate::scan::{Keep, Order, Scan, Scanner, States};

/// Resolves hosts, checks their addresses against policy, and starts scans of
/// those that are allowed.
#[derive(Clone, Debug)]
pub struct Asker {
    scanner: Scanner,
    resolver: Resolver,
    policy: Policy,
}

/// An [`Asker`] that many callers share: their requests are admitted within
/// quotas.
#[derive(Debug)]
pub(crate) struct SharedAsker {
    asker: Asker,
    admission: Arc<Admission>,
}

/// What became of a request. The audit line, the metrics and the reply are made
/// from it.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What the checks came to.
    pub(crate) checks: Checks,
    /// What the request leads to.
    pub(crate) outcome: Result<Outcome, NotStarted>,
}

/// What the checks of a request came to, as far as they went.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// How long the host took to resolve, successfully or not.
    pub(crate) resolving: Option<Duration>,
    /// The addresses of the host, except those left out of a scan.
    pub(crate) addresses: Vec<IpAddr>,
    /// The rules that allow the scan, or the one that refuses it.
    pub(crate) rule: String,
}

/// What a request leads to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A scan that runs, started by this request or joined.
    Running(Running),
    /// An answer to what a scan would do.
    Explained(Explanation),
}

/// Why a request leads to no scan.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// A quota is used up.
    NotAdmitted(NotAdmitted),
    /// The host has no address to scan, or none that is known.
    NotResolved(ResolveError),
    /// Policy refuses the scan.
    Refused(Refusal),
}

impl Asker {
    /// Uses `scanner` for what `policy` allows.
    #[must_use]
    pub fn new(scanner: Scanner, resolver: Resolver, policy: Policy) -> Self {
        Self { scanner, resolver, policy }
    }

    /// The same for one sweep, whose scans learn from each other how far networks
    /// are.
    pub(crate) fn for_sweep(self) -> Self {
        Self { scanner: self.scanner.for_sweep(), ..self }
    }

    /// Checks a scan of `ports` of these addresses against policy.
    ///
    /// # Errors
    /// When policy refuses one of them, even one that is left out of the scan.
    pub fn judge(&self, resolved: Resolved, ports: &PortSet) -> Result<Permitted, Refusal> {
        Permitted::judge(&self.policy, resolved, ports)
    }

    /// Starts a scan, without regard to quotas and memory.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    #[must_use]
    pub fn start(&self, permitted: &Permitted, options: ScanOptions) -> Scan {
        self.scanner.start(&permitted.plan(options))
    }
}

impl SharedAsker {
    /// Has `admission` admit what `asker` starts.
    pub(crate) fn new(asker: Asker, admission: Arc<Admission>) -> Self {
        Self { asker, admission }
    }

    /// Looks up the addresses of hosts that are not scanned.
    pub(crate) fn resolver(&self) -> &Resolver {
        &self.asker.resolver
    }

    /// Does what `request` asks for, at the expense of `account`.
    pub(crate) async fn ask(&self, request: ScanRequest, account: &Account) -> Asked {
        let mut checks = Checks::default();
        let outcome = self.check_and_start(request, account, &mut checks).await;
        Asked { checks, outcome }
    }

    async fn check_and_start(
        &self,
        request: ScanRequest,
        account: &Account,
        checks: &mut Checks,
    ) -> Result<Outcome, NotStarted> {
        let entry = self.admission.enter(account).map_err(NotStarted::NotAdmitted)?;
        let begun = Instant::now();
        let until = begun + request.deadline;
        let terms = Terms {
            family: request.family,
            account: Some(account),
            patience: Patience::Short,
            until: Some(until),
        };
        let resolved = self.asker.resolver.resolve(&request.host, terms).await;
        checks.resolving = Some(begun.elapsed());
        let resolved = resolved.map_err(NotStarted::NotResolved)?;
        checks.addresses.clone_from(&resolved.addresses);
        if request.explain {
            return Ok(Outcome::Explained(Explanation::new(&self.asker, &request, resolved)));
        }
        let judged = self.asker.judge(resolved, &request.ports);
        checks.rule = match &judged {
            Ok(permitted) => permitted.rule(),
            Err(refusal) => refusal.rule.to_string(),
        };
        let permitted = judged.map_err(NotStarted::Refused)?;
        // The deadline includes the time that the look-up took.
        let left = until.saturating_duration_since(Instant::now());
        let plan = permitted.plan(options(&request, left));
        let start = || self.asker.scanner.try_start(&plan);
        let admitted =
            self.admission.admit(&entry, &plan, start).map_err(NotStarted::NotAdmitted)?;
        Ok(Outcome::Running(Running::new(admitted, request, permitted.left_out().to_vec(), entry)))
    }
}

fn options(request: &ScanRequest, deadline: Duration) -> ScanOptions {
    ScanOptions {
        timeout: request.timeout,
        deadline: Some(deadline),
        rate: request.rate,
        keep: if request.details { Keep::NotClosed } else { Keep::Open },
        states: if request.states { States::Mapped } else { States::Counted },
        order: Order::Ascending,
    }
}

#[cfg(test)]
mod tests;
