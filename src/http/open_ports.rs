//! `GET /open-ports`: from the query to a report, a stream or a refusal.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::HeaderMap;
use serde::Serialize;
use tokio::time::{timeout, timeout_at};

use super::App;
use super::accept::{self, negotiate};
use super::audit::{Audit, Outcome};
use super::exchange::Exchange;
use super::held::Held;
use super::query;
use super::reply::{self, Reply};
use super::stream::{self, Framing};
use crate::admission::{Admitted, Entry, NotAdmitted};
use crate::caller::Caller;
use crate::expect::Expectation;
use crate::limits;
use crate::policy::Decision;
use crate::ports::PortSet;
use crate::report::{Report, Subject};
use crate::request::{Format, ScanRequest};
use crate::resolve::{ResolveError, Resolved, Terms};
use crate::scan::{Keep, NoMemory, ScanPlan, Shortage};
use crate::services;

/// A scan that runs for a request.
pub(super) struct Running {
    pub(super) admitted: Admitted,
    request: ScanRequest,
    resolved: Resolved,
    entry: Entry,
}

/// What a request would do.
#[derive(Serialize)]
struct Explanation<'a> {
    domain: &'a str,
    from_port: u16,
    to_port: u16,
    allowed: bool,
    addresses: Vec<AddressExplanation>,
    probes: u64,
    worst_case_ms: u64,
}

#[derive(Serialize)]
struct AddressExplanation {
    address: IpAddr,
    allowed: bool,
    rule: String,
}

/// Answers what `GET` asks.
pub(super) async fn get(
    app: &App,
    exchange: &Exchange,
    caller: &Caller,
    query: &str,
    headers: &HeaderMap,
) -> Reply {
    match checked(app, query, headers) {
        Ok((request, format)) => answer(app, exchange, caller, request, format).await,
        Err(refusal) => *refusal,
    }
}

/// Answers what `HEAD` asks: the same checks, but nothing is looked up.
pub(super) fn head(app: &App, query: &str, headers: &HeaderMap) -> Reply {
    match checked(app, query, headers) {
        Ok((_, format)) => reply::scan_head(accept::media_type(format)),
        Err(refusal) => *refusal,
    }
}

fn checked(
    app: &App,
    query: &str,
    headers: &HeaderMap,
) -> Result<(ScanRequest, Format), Box<Reply>> {
    let (params, errors) = query::parse(query);
    let request = match ScanRequest::try_new(params, &app.ceilings) {
        Ok(request) if errors.is_empty() => request,
        Ok(_) => return Err(Box::new(reply::invalid_parameters(errors))),
        Err(later) => return Err(Box::new(reply::invalid_parameters(errors.or(later)))),
    };
    let format = negotiate(request.format, headers);
    format.map(|format| (request, format)).map_err(|_| Box::new(reply::not_acceptable()))
}

async fn answer(
    app: &App,
    exchange: &Exchange,
    caller: &Caller,
    request: ScanRequest,
    format: Format,
) -> Reply {
    let mut audit = Audit::new(&app.metrics, &exchange.id, caller, &request);
    let account = caller.account();
    let entry = match app.admission.enter(&account) {
        Ok(entry) => entry,
        Err(refusal) => {
            audit.ended(Outcome::NotAdmitted);
            return reply::not_admitted(&refusal);
        }
    };
    let begun = Instant::now();
    let until = begun + request.deadline;
    let terms = Terms { family: request.family, account: Some(&account), until: Some(until) };
    let resolved = app.resolver.resolve(&request.host, terms).await;
    let resolving = begun.elapsed();
    let timing = |reply| reply::with_timing(reply, &[("resolve", resolving)]);
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err(ResolveError::NotLookedUp { name, reason }) => {
            audit.ended(Outcome::NotLookedUp);
            return timing(reply::not_looked_up(&name, &reason));
        }
        Err(error) => {
            audit.ended(Outcome::NotResolved);
            return timing(reply::not_resolved(&error));
        }
    };
    audit.resolved(&resolved.addresses);
    let judge = |&address: &IpAddr| (address, app.policy.judge(address, &request.ports));
    let decisions: Vec<(IpAddr, Decision)> =
        resolved.addresses.iter().chain(&resolved.left_out).map(judge).collect();
    if request.explain {
        audit.ended(Outcome::Explained);
        return timing(reply::explanation(&explain(app, &request, &decisions)));
    }
    for (_, decision) in &decisions {
        if let Decision::Refused(refusal) = decision {
            let rule = refusal.rule.to_string();
            app.metrics.count_refusal(&rule);
            audit.judged(rule);
            audit.ended(Outcome::Refused);
            return timing(reply::refused(refusal));
        }
    }
    if let Some((_, allowed)) = decisions.first() {
        audit.judged(deciding_rule(allowed));
    }
    let allowed = |&port: &u16| {
        let port = PortSet::try_range(port, port);
        port.is_ok_and(|port| {
            let judge = |&address: &IpAddr| app.policy.judge(address, &port);
            let allows = |decision| matches!(decision, Decision::Allowed { .. });
            resolved.addresses.iter().map(judge).all(allows)
        })
    };
    let plan = ScanPlan {
        canaries: PortSet::from_ports(services::UNUSED.into_iter().filter(allowed)),
        // What the look-up took is gone.
        deadline: Some(until.saturating_duration_since(Instant::now())),
        ..plan(&request, resolved.addresses.clone())
    };
    let admitted = match app.admission.admit(&entry, &plan, || app.scanner.try_start(&plan)) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            audit.ended(Outcome::NotAdmitted);
            return timing(reply::not_admitted(&refusal));
        }
    };
    audit.started(&admitted.scan);
    let running = Running { admitted, request, resolved, entry };
    let media_type = accept::media_type(format);
    match format {
        Format::Ndjson => {
            timing(reply::stream(media_type, stream::body(running, Framing::Lines, audit)))
        }
        Format::Sse => {
            timing(reply::stream(media_type, stream::body(running, Framing::Events, audit)))
        }
        Format::Json | Format::Text => {
            running.ended().await;
            let report = match running.report() {
                Ok((report, _)) => report,
                Err(error) => {
                    audit.ended(Outcome::NotAdmitted);
                    return timing(reply::not_admitted(&NotAdmitted::no_memory(error)));
                }
            };
            audit.reported(&report);
            let timings = [("resolve", resolving), ("scan", running.admitted.scan.elapsed())];
            let reply = match format {
                Format::Text => reply::open_ports_text(&report),
                _ => reply::report(report, running.expectation()),
            };
            // Until the body is taken, the request counts among the caller's.
            let entry = running.entry;
            reply::with_timing(reply, &timings).map(|body| Held::new(body, entry).boxed_unsync())
        }
    }
}

fn plan(request: &ScanRequest, addresses: Vec<IpAddr>) -> ScanPlan {
    ScanPlan {
        timeout: request.timeout,
        deadline: Some(request.deadline),
        rate: request.rate,
        keep: if request.details { Keep::NotClosed } else { Keep::Open },
        ..ScanPlan::new(addresses, request.ports.clone())
    }
}

fn explain<'a>(
    app: &App,
    request: &'a ScanRequest,
    decisions: &[(IpAddr, Decision)],
) -> Explanation<'a> {
    let addresses: Vec<AddressExplanation> = decisions
        .iter()
        .map(|(address, decision)| AddressExplanation {
            address: *address,
            allowed: matches!(decision, Decision::Allowed { .. }),
            rule: deciding_rule(decision),
        })
        .collect();
    let allowed = addresses.iter().all(|address| address.allowed);
    let scanned = decisions.iter().map(|&(address, _)| address).take(limits::MAX_ADDRESSES);
    let plan = plan(request, scanned.collect());
    let probes = u64::from(plan.ports.len()) * plan.addresses.len() as u64;
    let worst_case = if allowed { app.scanner.worst_case(&plan) } else { Duration::ZERO };
    Explanation {
        domain: &request.domain,
        from_port: request.ports.first(),
        to_port: request.ports.last(),
        allowed,
        addresses,
        probes: if allowed { probes } else { 0 },
        worst_case_ms: u64::try_from(worst_case.as_millis()).unwrap_or(u64::MAX),
    }
}

fn deciding_rule(decision: &Decision) -> String {
    match decision {
        Decision::Refused(refusal) => refusal.rule.to_string(),
        Decision::Allowed { rules } => {
            let rules: Vec<String> = rules.iter().map(|rule| format!("allow {rule}")).collect();
            rules.join(", ")
        }
    }
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
