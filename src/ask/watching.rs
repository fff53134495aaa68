//! From a host to a watch of its ports: resolve, judge, admit, start.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::{Asker, Checks, NotStarted, Permitted, ScanOptions, SharedAsker};
use crate::admission::Entry;
use crate::caller::Account;
use crate::host::Host;
use crate::ports::PortSet;
use crate::request::watch::WatchRequest;
use crate::resolve::{Patience, Terms};
use crate::scan::{Keep, Order, States, Watch};

/// How a watch goes about its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WatchOptions {
    /// How often each port is asked.
    pub(crate) every: Duration,
    /// How long a probe waits for an answer at most.
    pub(crate) timeout: Duration,
    /// The limit of probes a second.
    pub(crate) rate: Option<NonZeroU32>,
}

/// What became of a request for a watch.
#[derive(Debug)]
pub(crate) struct AskedWatch {
    /// What the checks came to.
    pub(crate) checks: Checks,
    pub(crate) outcome: Result<RunningWatch, NotStarted>,
}

/// A watch that runs for a request, and counts as a scan of its caller until this is
/// dropped.
#[derive(Debug)]
pub(crate) struct RunningWatch {
    pub(crate) watch: Watch,
    pub(crate) entry: Entry,
}

impl Asker {
    /// Looks up the addresses of `host`, and checks them against policy.
    ///
    /// # Errors
    /// When it has none, or policy refuses one.
    pub(crate) async fn permit(
        &self,
        host: &Host,
        ports: &PortSet,
        terms: Terms<'_>,
    ) -> Result<Permitted, NotStarted> {
        let resolved = self.resolver.resolve(host, terms).await;
        self.judge(resolved.map_err(NotStarted::NotResolved)?, ports).map_err(NotStarted::Refused)
    }

    /// Starts a watch, without regard to quotas.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub(crate) fn watch(&self, permitted: &Permitted, options: WatchOptions) -> Watch {
        let WatchOptions { every, timeout, rate } = options;
        let plan = permitted.plan(ScanOptions {
            timeout,
            deadline: None,
            rate,
            keep: Keep::NotClosed,
            states: States::Counted,
            order: Order::Ascending,
        });
        self.scanner.watch(&plan, every)
    }
}

impl SharedAsker {
    /// Watches what `request` asks for, at the expense of `account`.
    pub(crate) async fn watch(&self, request: &WatchRequest, account: &Account) -> AskedWatch {
        let mut checks = Checks::default();
        let outcome = self.check_and_watch(request, account, &mut checks).await;
        AskedWatch { checks, outcome }
    }

    async fn check_and_watch(
        &self,
        request: &WatchRequest,
        account: &Account,
        checks: &mut Checks,
    ) -> Result<RunningWatch, NotStarted> {
        let entry = self.admission.enter(account).map_err(NotStarted::NotAdmitted)?;
        let begun = Instant::now();
        let terms = Terms {
            family: request.family,
            account: Some(account),
            patience: Patience::Short,
            until: None,
        };
        let resolved = self.asker.resolver.resolve(&request.host, terms).await;
        checks.resolving = Some(begun.elapsed());
        let resolved = resolved.map_err(NotStarted::NotResolved)?;
        checks.addresses.clone_from(&resolved.addresses);
        let judged = self.asker.judge(resolved, &request.ports);
        checks.rule = match &judged {
            Ok(permitted) => permitted.rule(),
            Err(refusal) => refusal.rule.to_string(),
        };
        let permitted = judged.map_err(NotStarted::Refused)?;
        self.admission.admit_watch(&entry).map_err(NotStarted::NotAdmitted)?;
        let options =
            WatchOptions { every: request.every, timeout: request.timeout, rate: request.rate };
        Ok(RunningWatch { watch: self.asker.watch(&permitted, options), entry })
    }
}
