//! From a request for a sweep to a sweep that runs, or to the reply that says why none
//! does.

use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use tokio::task::yield_now;
use tokio::time::timeout;

use super::audit::Outcome;
use super::sweep_audit::SweepAudit;
use crate::admission::NotAdmitted;
use crate::ask::SweepEntry;
use crate::expect::{Expectation, Expectations};
use crate::http::app::App;
use crate::http::exchange::problems;
use crate::http::exchange::reply::Reply;
use crate::limits;
use crate::policy::Refusal;
use crate::report::{IncompleteReason, Meter, ProgressReport, ShardLabel, Summary};
use crate::request::sweep::{SweepRequest, Targets, list_fault};
use crate::resolve::ResolveError;
use crate::results::{HostResult, Results};
use crate::scan::{Keep, MemoryShare, NoMemory};
use crate::sweep::{Found, HostEnd, HostOutcome, News, Sweep, SweepPlan};
use crate::targets::{HostList, HostListError, SHARED_SEED};

/// A sweep that runs for a request. Dropping it stops the probes, and ends the record of
/// the request.
pub(super) struct RunningSweep {
    sweep: Sweep,
    results: Results,
    audit: SweepAudit,
    /// Targets of all hosts named, a name counted as one address.
    targets: u64,
    /// Hosts named, of this shard if there are several.
    hosts: u64,
    /// Which part of the hosts it is about.
    shard: Option<ShardLabel>,
    begun: Instant,
    /// The memory of the list of hosts.
    _memory: Option<MemoryShare>,
}

/// What a running sweep reports.
pub(super) enum Event {
    /// A port was found.
    Found(Found),
    /// A host is done.
    Host(Box<HostResult>),
}

/// The hosts of a request, and the memory that they take.
pub(super) struct Hosts {
    pub(super) targets: Targets,
    pub(super) memory: Option<MemoryShare>,
}

/// Starts what `request` asks for, and waits until it is known whether any host can be
/// scanned. If none can, and if the sweep is not admitted, the reply says why.
pub(super) async fn start(
    app: &App,
    request: SweepRequest,
    Hosts { targets, memory }: Hosts,
    entry: SweepEntry,
    mut audit: SweepAudit,
) -> Result<RunningSweep, Box<Reply>> {
    let begun = Instant::now();
    // Shards of one sweep have to agree on a seed.
    let seed = request.shard.map_or_else(|| RandomState::new().hash_one(0), |_| SHARED_SEED);
    let hosts = match count(request.list(&targets, seed)).await {
        Ok(hosts) => hosts,
        Err(error) => {
            audit.not_started(Outcome::Invalid);
            return Err(Box::new(problems::invalid_list(list_fault(&error))));
        }
    };
    audit.counted(hosts);
    let size = request.check_size(hosts, &app.ceilings).map_err(|error| {
        audit.not_started(Outcome::TooManyTargets);
        Box::new(problems::too_many_targets(&error))
    })?;
    let mut rest = request.list(&targets, seed);
    let first = match rest.next_set() {
        // Of a few hosts, a shard may have none.
        Ok(Some(first)) if hosts > 0 || request.shard.is_some() => first,
        _ => {
            audit.not_started(Outcome::NotResolved);
            return Err(Box::new(problems::none_resolved(NO_HOST)));
        }
    };
    let until = begun + request.deadline;
    let asker = entry.admit(until, request.rate).map_err(|refusal| {
        audit.not_started(Outcome::NotAdmitted);
        Box::new(problems::not_admitted(&refusal))
    })?;
    audit.admitted();
    let plan = SweepPlan {
        ports: request.ports.clone(),
        family: request.family,
        exclude: request.exclude,
        timeout: request.timeout,
        until: Some(until),
        keep: if request.details { Keep::NotClosed } else { Keep::Open },
        seed,
    };
    let label = |shard| ShardLabel::new(shard, seed, request.ports.clone());
    let shard = request.shard.map(label);
    let expectations = Expectations::new(request.expectation);
    let mut running = RunningSweep {
        sweep: Sweep::new(asker, plan, first, rest),
        results: Results::new(request.ports, request.details, expectations),
        audit,
        hosts,
        targets: size,
        shard,
        begun,
        _memory: memory,
    };
    // Too late for a verdict: the reply begins, and says of each host what becomes of it.
    let _ = timeout(limits::VERDICT_PATIENCE, running.sweep.begun()).await;
    match running.verdict() {
        None => Ok(running),
        Some(refusal) => Err(Box::new(refusal)),
    }
}

impl RunningSweep {
    /// Waits for the next event; `None` at the end. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            match self.sweep.next().await? {
                News::Found(found) => return Some(Event::Found(found)),
                News::Ended(end) => {
                    let result = self.results.of(end);
                    self.results.count(&result.report);
                    self.audit.host(&result.report);
                    return Some(Event::Host(Box::new(result)));
                }
                // It was read before: only the system can have failed.
                News::ListFailed(_) => self.results.list_failed(),
            }
        }
    }

    /// How far the sweep is, as `meter` sees it at `now`.
    pub(super) fn look(&self, meter: &mut Meter, now: Instant) -> ProgressReport {
        let (progress, total) = self.sweep.progress();
        let total = total.unwrap_or(self.targets).max(progress.total);
        meter.look(&progress, Some(total), now.duration_since(self.begun), now)
    }

    /// What is expected of `host`.
    pub(super) fn expected_of(&self, host: &str) -> Option<&Expectation> {
        self.results.expected_of(host)
    }

    /// The summary, after the last event.
    pub(super) fn end(&mut self) -> Summary {
        let elapsed = self.begun.elapsed();
        let label = self.shard.take().map(|label| label.of_list(self.sweep.list_checksum()));
        let summary = self.results.summary(&self.sweep, IncompleteReason::Deadline, elapsed);
        let summary = Summary { shard: label, ..summary };
        self.audit.ended(summary.reason);
        summary
    }

    /// Why no host can be scanned, if that is so and known.
    fn verdict(&mut self) -> Option<Reply> {
        let Self { sweep, audit, hosts, .. } = self;
        // A deadline may have ended it before anything was known of some hosts.
        if sweep.has_begun() || !sweep.is_over() || !sweep.is_whole() || *hosts == 0 {
            return None;
        }
        let faults = Faults::of(sweep.waiting());
        for refusal in &faults.refused {
            audit.refused(&refusal.rule.to_string());
        }
        let (outcome, reply) = faults.reply();
        audit.not_started(outcome);
        Some(reply)
    }
}

impl Drop for RunningSweep {
    fn drop(&mut self) {
        self.audit.found(self.sweep.totals());
    }
}

/// Why the hosts of a sweep cannot be scanned: those of which nothing can be.
#[derive(Default)]
struct Faults<'a> {
    hosts: u64,
    refused: Vec<&'a Refusal>,
    too_large: Option<NoMemory>,
    not_looked_up: Option<&'a ResolveError>,
    not_resolved: Option<&'a ResolveError>,
}

impl<'a> Faults<'a> {
    fn of(news: impl Iterator<Item = &'a News>) -> Self {
        let mut faults = Self::default();
        for outcome in news.filter_map(|news| match news {
            News::Ended(HostEnd { outcome, .. }) => Some(outcome),
            News::Found(_) | News::ListFailed(_) => None,
        }) {
            faults.hosts += 1;
            match outcome {
                HostOutcome::Refused(refusal) => faults.refused.push(refusal),
                HostOutcome::TooLarge(error) => faults.too_large = Some(*error),
                HostOutcome::NotResolved(error @ ResolveError::NotLookedUp { .. }) => {
                    faults.not_looked_up = faults.not_looked_up.or(Some(error));
                }
                HostOutcome::NotResolved(error) => {
                    faults.not_resolved = faults.not_resolved.or(Some(error));
                }
                HostOutcome::Scanned { .. } => {}
            }
        }
        faults
    }

    /// The gravest fault decides: one that the caller cannot change comes first.
    fn reply(&self) -> (Outcome, Reply) {
        let refused = self.refused.len() as u64;
        if let Some(first) = self.refused.first() {
            return (Outcome::Refused, problems::all_refused(first, (refused, self.hosts)));
        }
        if let Some(error) = self.too_large {
            let refusal = NotAdmitted::no_memory(error);
            return (Outcome::NotAdmitted, problems::not_admitted(&refusal));
        }
        if let Some(error) = self.not_looked_up {
            return (Outcome::NotLookedUp, problems::none_looked_up(error));
        }
        let why = self.not_resolved.map_or_else(|| NO_HOST.to_owned(), ResolveError::to_string);
        (Outcome::NotResolved, problems::none_resolved(why))
    }
}

/// The number of hosts, each name counted as one. Reads a list to its end, so that an
/// error in its last line comes before the first probe.
async fn count(mut list: HostList) -> Result<u64, HostListError> {
    let mut hosts = 0_u64;
    while let Some(set) = list.next_set()? {
        hosts = hosts.saturating_add(set.remaining());
        // A part of a long list takes some milliseconds.
        yield_now().await;
    }
    Ok(hosts)
}

/// How many events that are ready a reply takes before it lets other tasks run: about half a
/// millisecond of work.
pub(super) const EVENTS_A_TURN: u64 = 64;

const NO_HOST: &str = "There is no host to scan: none is named, or all are excluded.";
