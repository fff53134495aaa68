//! What a sweep needs to resolve, judge and start: for a caller within quotas, or at
//! the prompt without.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use super::{Asker, Permitted, ScanOptions, SharedAsker};
use crate::admission::{Admission, Entry, NotAdmitted, Quota};
use crate::caller::Account;
use crate::policy::Refusal;
use crate::ports::PortSet;
use crate::resolve::{Resolved, Resolver};
use crate::scan::{MemoryShare, NoMemory, Scan, Scanner};

/// A request for a sweep that was let in. Dropping it makes room for another request.
#[derive(Debug)]
pub(crate) struct SweepEntry {
    asker: Asker,
    admission: Arc<Admission>,
    account: Account,
    entry: Entry,
}

/// Starts the batches of one sweep. In a service, the sweep counts as one scan of its
/// caller while this lives, or until its deadline.
#[derive(Debug)]
pub(crate) struct SweepAsker {
    asker: Asker,
    /// `None` at the prompt: there are no quotas.
    admitted: Option<Admitted>,
}

/// A sweep within quotas.
#[derive(Debug)]
struct Admitted {
    admission: Arc<Admission>,
    account: Account,
    /// It counts until this is dropped.
    _entry: Entry,
}

/// Why a batch is not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotNow {
    /// An address has reached its limit of scans, or other scans hold the memory: it can
    /// start later.
    Busy,
    /// There would not be enough memory even if nothing else ran.
    TooLarge(NoMemory),
}

impl SharedAsker {
    /// Lets a request for a sweep in, at the expense of `account`.
    ///
    /// # Errors
    /// When there are too many requests.
    pub(crate) fn enter(&self, account: &Account) -> Result<SweepEntry, NotAdmitted> {
        let entry = self.admission.enter(account)?;
        let (asker, admission) = (self.asker.clone(), Arc::clone(&self.admission));
        Ok(SweepEntry { asker, admission, account: account.clone(), entry })
    }
}

impl SweepEntry {
    /// What would scan.
    pub(crate) fn scanner(&self) -> &Scanner {
        &self.asker.scanner
    }

    /// Takes memory for a list of hosts.
    ///
    /// # Errors
    /// When scans hold too much of it.
    pub(crate) fn take_memory(&self, bytes: usize) -> Result<MemoryShare, NotAdmitted> {
        self.asker.scanner.take_memory(bytes).map_err(NotAdmitted::no_memory)
    }

    /// Admits the sweep, which ends by `until` and sends at most `rate` probes a second.
    ///
    /// # Errors
    /// The quota that is used up.
    pub(crate) fn admit(
        self,
        until: Instant,
        rate: Option<NonZeroU32>,
    ) -> Result<SweepAsker, NotAdmitted> {
        let Self { asker, admission, account, entry } = self;
        let mut asker = asker.for_sweep();
        admission.admit_sweep(&entry, until)?;
        if let Some(rate) = rate {
            asker.scanner = asker.scanner.with_rate(rate);
        }
        Ok(SweepAsker { asker, admitted: Some(Admitted { admission, account, _entry: entry }) })
    }
}

impl SweepAsker {
    /// Looks up the addresses of hosts.
    pub(crate) fn resolver(&self) -> &Resolver {
        &self.asker.resolver
    }

    /// The account that look-ups count for.
    pub(crate) fn account(&self) -> Option<&Account> {
        self.admitted.as_ref().map(|admitted| &admitted.account)
    }

    /// Checks a scan of `ports` of these addresses against policy.
    ///
    /// # Errors
    /// When policy refuses one of them, even one that is left out of the scan.
    pub(crate) fn judge(&self, resolved: Resolved, ports: &PortSet) -> Result<Permitted, Refusal> {
        self.asker.judge(resolved, ports)
    }

    /// Whether one of `addresses` has reached its limit of scans.
    pub(crate) fn is_any_busy(&self, addresses: &[IpAddr]) -> bool {
        self.admitted.as_ref().is_some_and(|admitted| admitted.admission.is_any_busy(addresses))
    }

    /// Starts a batch. At the prompt there is no limit to it.
    ///
    /// # Errors
    /// When it cannot start now, or not at all.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub(crate) fn start(
        &self,
        permitted: &Permitted,
        options: ScanOptions,
    ) -> Result<Arc<Scan>, NotNow> {
        let Some(Admitted { admission, .. }) = &self.admitted else {
            return Ok(Arc::new(self.asker.start(permitted, options)));
        };
        let plan = permitted.plan(options);
        let start = || self.asker.scanner.try_start(&plan);
        admission.admit_batch(&plan, start).map_err(|refusal| match refusal.quota {
            Quota::Memory(error) if error.is_for_ever() => NotNow::TooLarge(error),
            _ => NotNow::Busy,
        })
    }
}

impl From<Asker> for SweepAsker {
    fn from(asker: Asker) -> Self {
        Self { asker: asker.for_sweep(), admitted: None }
    }
}
