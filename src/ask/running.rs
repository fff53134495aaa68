//! A scan that runs for a request, alone or shared with others.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::{timeout, timeout_at};

use crate::admission::{Admitted, Entry};
use crate::limits;
use crate::report::{Report, Subject};
use crate::request::ScanRequest;
use crate::scan::{NoMemory, Scan, Shortage, StateMap};

/// A scan that runs for a request. Dropping it stops the scan, unless other
/// requests share it.
#[derive(Debug)]
pub(crate) struct Running {
    admitted: Admitted,
    request: ScanRequest,
    left_out: Vec<IpAddr>,
    entry: Entry,
}

impl Running {
    pub(super) fn new(
        admitted: Admitted,
        request: ScanRequest,
        left_out: Vec<IpAddr>,
        entry: Entry,
    ) -> Self {
        Self { admitted, request, left_out, entry }
    }

    /// The scan.
    pub(crate) fn scan(&self) -> &Arc<Scan> {
        &self.admitted.scan
    }

    /// What asked for it.
    pub(crate) fn request(&self) -> &ScanRequest {
        &self.request
    }

    /// How many addresses of the host are not scanned.
    pub(crate) fn left_out(&self) -> usize {
        self.left_out.len()
    }

    /// Waits until the scan has ended or the request's deadline has come. The
    /// scan may go on after that for other requests.
    pub(crate) async fn ended(&self) {
        let Admitted { scan, until } = &self.admitted;
        let Some(until) = *until else { return scan.finished().await };
        if timeout_at(until.into(), scan.finished()).await.is_ok() {
            return;
        }
        if scan.until().is_none_or(|last| last <= until) {
            // The scan is ending too, and is about to hand over its last findings.
            let _ = timeout(limits::LAST_FINDINGS, scan.finished()).await;
        }
    }

    /// The report on what was found so far, and the number of findings in it.
    ///
    /// # Errors
    /// When the scan goes on for other requests and there is no memory for a copy
    /// of its findings.
    pub(crate) fn report(&self) -> Result<(Report, usize), NoMemory> {
        self.report_and_states().map(|(report, found, _)| (report, found))
    }

    /// The same and, of a scan that goes on and keeps states, those at that moment.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn report_and_states(&self) -> Result<(Report, usize, Option<StateMap>), NoMemory> {
        let Self { request, left_out, .. } = self;
        let subject = Subject {
            domain: &request.domain,
            ports: &request.ports,
            details: request.details,
            expectation: request.expectation.as_ref(),
            left_out,
        };
        let scan = self.scan();
        let finished = scan.milestones().borrow().finished;
        let (mut tallies, states) = scan.try_tallies_and_states()?;
        if !finished {
            // The scan goes on for other requests; this one's time is up.
            for tally in tallies.iter_mut().filter(|tally| tally.not_scanned > 0) {
                tally.shortage = tally.shortage.or(Some(Shortage::Time));
            }
        }
        let found = tallies.iter().map(|tally| tally.findings.len()).sum();
        let report = Report::new(&subject, &tallies, &scan.timing(), scan.elapsed());
        Ok((report, found, states))
    }

    /// Lets go of the scan. The request counts towards its caller's limits until
    /// the entry is dropped.
    pub(crate) fn into_entry(self) -> Entry {
        self.entry
    }
}
