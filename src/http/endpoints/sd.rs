//! `GET /sd`: a sweep as targets that Prometheus discovers over HTTP.
//!
//! Prometheus takes every 200 for the whole truth, and drops the targets that are not in
//! it. If it gets anything else, it keeps those that it has. So a sweep that left
//! something out is answered with 503.

use tokio::task::yield_now;

use super::sweep_run::{self, EVENTS_A_TURN, Event, Hosts, RunningSweep};
use super::{scan_reply, sweep};
use crate::caller::Caller;
use crate::http::app::App;
use crate::http::exchange::identity::Exchange;
use crate::http::exchange::negotiation::media_type;
use crate::http::exchange::problems;
use crate::http::exchange::reply::Reply;
use crate::limits;
use crate::report::TargetGroup;
use crate::request::Format;
use crate::request::sweep::Targets;
use crate::request::sweep::parameters::OF_DISCOVERY;

/// Answers what `GET` asks, once the sweep has ended.
pub(crate) async fn get(app: &App, exchange: &Exchange, caller: &Caller, query: &str) -> Reply {
    let request = match sweep::valid(app, query, &OF_DISCOVERY) {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    let (entry, audit) = match sweep::enter(app, (exchange, "/sd"), caller, &request) {
        Ok(entered) => entered,
        Err(refusal) => return *refusal,
    };
    let hosts = Hosts { targets: Targets::Typed(request.typed.clone()), memory: None };
    match sweep_run::start(app, request, hosts, entry, audit).await {
        Ok(running) => discovered(running).await,
        Err(refusal) => *refusal,
    }
}

/// Answers what `HEAD` asks: the same checks, but nothing is looked up.
pub(crate) fn head(app: &App, query: &str) -> Reply {
    match sweep::valid(app, query, &OF_DISCOVERY) {
        Ok(_) => scan_reply::head(media_type(Format::Json)),
        Err(refusal) => *refusal,
    }
}

/// The open ports, if nothing was left out.
async fn discovered(mut running: RunningSweep) -> Reply {
    let mut groups: Vec<TargetGroup> = Vec::new();
    let mut events = 0_u64;
    while let Some(event) = running.next().await {
        events += 1;
        if events.is_multiple_of(EVENTS_A_TURN) {
            yield_now().await;
        }
        let Event::Host(result) = event else { continue };
        groups.extend(TargetGroup::all_of(&result.report));
        if groups.len() > limits::MAX_DISCOVERED {
            let most = limits::MAX_DISCOVERED;
            let why = format!("More than {most} ports are open. Ask for fewer hosts or ports.");
            return problems::incomplete(why);
        }
    }
    let summary = running.end();
    if let Some(reason) = summary.reason {
        let (ports, hosts) = (summary.not_scanned, summary.unvisited_hosts);
        return problems::incomplete(format!(
            "Something was left out ({reason}): {ports} ports were not scanned, and {hosts} hosts \
             not visited. Targets that are known remain."
        ));
    }
    groups.sort_unstable();
    scan_reply::targets(&groups)
}
