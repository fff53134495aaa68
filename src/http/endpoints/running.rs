//! A scan that runs for a request, which may share it with others.

use tokio::time::{timeout, timeout_at};

use crate::admission::{Admitted, Entry};
use crate::expect::Expectation;
use crate::limits;
use crate::report::{Report, Subject};
use crate::request::ScanRequest;
use crate::resolve::Resolved;
use crate::scan::{NoMemory, Shortage};

/// A scan that runs for a request.
pub(super) struct Running {
    pub(super) admitted: Admitted,
    pub(super) request: ScanRequest,
    pub(super) resolved: Resolved,
    pub(super) entry: Entry,
}

impl Running {
    /// What the request expects to be open.
    pub(super) fn expectation(&self) -> Option<&Expectation> {
        self.request.expectation.as_ref()
    }

    /// Waits until the scan is over, or its time for this request is up: it may
    /// go on for others who share it.
    pub(super) async fn ended(&self) {
        let Admitted { scan, until, .. } = &self.admitted;
        let Some(until) = *until else { return scan.finished().await };
        if timeout_at(until.into(), scan.finished()).await.is_ok() {
            return;
        }
        if scan.until().is_none_or(|last| last <= until) {
            // It is ending, too, and what it has found is about to be handed over.
            let _ = timeout(limits::LAST_FINDINGS, scan.finished()).await;
        }
    }

    /// The report on what was found so far, and how many findings it is made of;
    /// at the end, on everything.
    ///
    /// # Errors
    /// When the scan goes on for others and there is no memory for a copy of what
    /// it has found.
    pub(super) fn report(&self) -> Result<(Report, usize), NoMemory> {
        let Self { admitted, request, resolved, .. } = self;
        let subject = Subject {
            domain: &request.domain,
            ports: &request.ports,
            details: request.details,
            expectation: request.expectation.as_ref(),
            left_out: resolved.left_out.len(),
        };
        let scan = &admitted.scan;
        let finished = scan.milestones().borrow().finished;
        let mut tallies = scan.try_tallies()?;
        if !finished {
            // It goes on for others, while this request's time is up.
            for tally in tallies.iter_mut().filter(|tally| tally.not_scanned > 0) {
                tally.shortage = tally.shortage.or(Some(Shortage::Time));
            }
        }
        let found = tallies.iter().map(|tally| tally.findings.len()).sum();
        Ok((Report::new(&subject, &tallies, &scan.timing(), scan.elapsed()), found))
    }
}
