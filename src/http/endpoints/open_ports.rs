//! `GET /open-ports`: from the query to a report, a stream or a refusal.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::HeaderMap;
use serde::Serialize;

use super::audit::{Audit, Outcome};
use super::running::Running;
use super::scan_reply::{self, with_timing};
use super::stream::{self, Framing};
use crate::admission::NotAdmitted;
use crate::caller::Caller;
use crate::http::App;
use crate::http::exchange::held::Held;
use crate::http::exchange::identity::Exchange;
use crate::http::exchange::negotiation::{media_type, negotiate};
use crate::http::exchange::reply::Reply;
use crate::http::exchange::{problems, query};
use crate::limits;
use crate::policy::Decision;
use crate::ports::PortSet;
use crate::request::{Format, ScanRequest};
use crate::resolve::{ResolveError, Terms};
use crate::scan::{Keep, ScanPlan};
use crate::services;

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
pub(crate) async fn get(
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
pub(crate) fn head(app: &App, query: &str, headers: &HeaderMap) -> Reply {
    match checked(app, query, headers) {
        Ok((_, format)) => scan_reply::head(media_type(format)),
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
        Ok(_) => return Err(Box::new(problems::invalid_parameters(errors))),
        Err(later) => return Err(Box::new(problems::invalid_parameters(errors.or(later)))),
    };
    let format = negotiate(request.format, headers);
    format.map(|format| (request, format)).map_err(|_| Box::new(problems::not_acceptable()))
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
            return problems::not_admitted(&refusal);
        }
    };
    let begun = Instant::now();
    let until = begun + request.deadline;
    let terms = Terms { family: request.family, account: Some(&account), until: Some(until) };
    let resolved = app.resolver.resolve(&request.host, terms).await;
    let resolving = begun.elapsed();
    let timing = |reply| with_timing(reply, &[("resolve", resolving)]);
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err(ResolveError::NotLookedUp { name, reason }) => {
            audit.ended(Outcome::NotLookedUp);
            return timing(problems::not_looked_up(&name, &reason));
        }
        Err(error) => {
            audit.ended(Outcome::NotResolved);
            return timing(problems::not_resolved(&error));
        }
    };
    audit.resolved(&resolved.addresses);
    let judge = |&address: &IpAddr| (address, app.policy.judge(address, &request.ports));
    let decisions: Vec<(IpAddr, Decision)> =
        resolved.addresses.iter().chain(&resolved.left_out).map(judge).collect();
    if request.explain {
        audit.ended(Outcome::Explained);
        return timing(scan_reply::explanation(&explain(app, &request, &decisions)));
    }
    for (_, decision) in &decisions {
        if let Decision::Refused(refusal) = decision {
            let rule = refusal.rule.to_string();
            app.metrics.count_refusal(&rule);
            audit.judged(rule);
            audit.ended(Outcome::Refused);
            return timing(problems::refused(refusal));
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
            return timing(problems::not_admitted(&refusal));
        }
    };
    audit.started(&admitted.scan);
    let running = Running { admitted, request, resolved, entry };
    let media_type = media_type(format);
    match format {
        Format::Ndjson => {
            timing(scan_reply::stream(media_type, stream::body(running, Framing::Lines, audit)))
        }
        Format::Sse => {
            timing(scan_reply::stream(media_type, stream::body(running, Framing::Events, audit)))
        }
        Format::Json | Format::Text => {
            running.ended().await;
            let report = match running.report() {
                Ok((report, _)) => report,
                Err(error) => {
                    audit.ended(Outcome::NotAdmitted);
                    return timing(problems::not_admitted(&NotAdmitted::no_memory(error)));
                }
            };
            audit.reported(&report);
            let timings = [("resolve", resolving), ("scan", running.admitted.scan.elapsed())];
            let reply = match format {
                Format::Text => scan_reply::open_ports_text(&report),
                _ => scan_reply::report(report, running.expectation()),
            };
            // Until the body is taken, the request counts among the caller's.
            let entry = running.entry;
            with_timing(reply, &timings).map(|body| Held::new(body, entry).boxed_unsync())
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
