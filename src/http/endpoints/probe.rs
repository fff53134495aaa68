//! `GET /probe`: one host as metrics of its own, for Prometheus.
//!
//! A drop-in for blackbox_exporter's module `tcp_connect`, whose names its metrics keep.
//! Where the probe fails, the reply is 200 and says so: another status would tell
//! Prometheus no more than that the scrape failed.

use std::time::Instant;

use hyper::{HeaderMap, StatusCode};
use tokio::time::sleep;

use super::audit::Audit;
use super::probe_metrics::{Ended, Probed};
use super::{metrics, probe_text, scan_reply};
use crate::admission::{NotAdmitted, Quota};
use crate::ask::{Asked, NotStarted, Outcome, Running};
use crate::caller::Caller;
use crate::fields::FieldErrors;
use crate::http::app::App;
use crate::http::exchange::identity::Exchange;
use crate::http::exchange::reply::{PLAIN, Reply, uncached, with_body};
use crate::http::exchange::{problems, query};
use crate::limits;
use crate::metrics::Exposition;
use crate::request::ScanRequest;
use crate::request::probe::parameters::OF_PROBE;
use crate::request::probe::{ProbeRequest, SCRAPE_TIMEOUT, time_for};
use crate::resolve::ResolveError;

/// Answers what `GET` asks.
pub(crate) async fn get(
    app: &App,
    exchange: &Exchange,
    caller: &Caller,
    query: &str,
    headers: &HeaderMap,
) -> Reply {
    let begun = Instant::now();
    let ProbeRequest { scan, debug } = match checked(app, query, headers) {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    let mut audit = Audit::new(&app.metrics, &exchange.id, caller, &scan);
    let asked = ask(app, &scan, caller, begun).await;
    audit.asked(&asked);
    let Asked { checks, outcome } = asked;
    let ended = match outcome {
        Ok(Outcome::Running(running)) => scanned(&running, audit).await,
        Ok(Outcome::Explained(_)) => unreachable!("a probe asks for no explanation"),
        Err(reason) => match not_started(reason) {
            Ok(ended) => ended,
            Err(refusal) => return *refusal,
        },
    };
    let probed = Probed { request: &scan, checks: &checks, elapsed: begun.elapsed(), ended };
    if debug {
        let metrics = probed.gauges().expose(Exposition::Prometheus);
        return uncached(with_body(StatusCode::OK, PLAIN, probe_text::text(&probed, &metrics)));
    }
    let exposition = metrics::exposition(headers);
    uncached(metrics::reply(exposition, probed.gauges().expose(exposition)))
}

/// Answers what `HEAD` asks: the same checks, but nothing is looked up.
pub(crate) fn head(app: &App, query: &str, headers: &HeaderMap) -> Reply {
    match checked(app, query, headers) {
        Ok(request) if request.debug => scan_reply::head(PLAIN),
        Ok(_) => scan_reply::head(metrics::media_type(metrics::exposition(headers))),
        Err(refusal) => *refusal,
    }
}

fn checked(app: &App, query: &str, headers: &HeaderMap) -> Result<ProbeRequest, Box<Reply>> {
    let (params, errors) = query::parse_as(query, &OF_PROBE);
    // A field that is not text is no number either.
    let timeout = headers.get(SCRAPE_TIMEOUT).map(|field| field.to_str().unwrap_or_default());
    let most = app.ceilings.deadline;
    let (time, wrong) = match time_for(timeout, app.timeout_offset, most) {
        Ok(time) => (time, None),
        Err(wrong) => (most, Some(wrong)),
    };
    let errors = wrong.into_iter().fold(errors, FieldErrors::or);
    let request = errors.then(ProbeRequest::try_new(&params, &app.ceilings, time));
    request.map_err(|errors| Box::new(problems::invalid_parameters(errors)))
}

/// Asks for the scan, and again while a limit is reached, for a short time: Prometheus may
/// probe several ports of one host at the same moment.
async fn ask(app: &App, request: &ScanRequest, caller: &Caller, begun: Instant) -> Asked {
    let account = caller.account();
    let until = begun + request.deadline;
    let patience = begun + limits::PROBE_PATIENCE.min(request.deadline / 2);
    loop {
        let deadline = until.saturating_duration_since(Instant::now());
        let again = ScanRequest { deadline, ..request.clone() };
        let asked = app.asker.ask(again, &account).await;
        let left = patience.saturating_duration_since(Instant::now());
        match &asked.outcome {
            Err(NotStarted::NotAdmitted(refusal)) if !left.is_zero() && !is_for_ever(refusal) => {
                sleep(refusal.retry_after.max(limits::PROBE_PAUSE).min(left)).await;
            }
            _ => return asked,
        }
    }
}

/// Waits for the end of the scan, or of its time.
async fn scanned(running: &Running, audit: Audit) -> Ended {
    match audit.finished(running).await {
        Ok(report) => Ended::Scanned { report: Box::new(report), left_out: running.left_out() },
        Err(error) => Ended::Busy(error.to_string()),
    }
}

/// What a probe without a scan ends as.
///
/// # Errors
/// The reply, where it would be the same at any other time.
fn not_started(reason: NotStarted) -> Result<Ended, Box<Reply>> {
    match reason {
        NotStarted::Refused(refusal) => Err(Box::new(problems::refused(&refusal, "target"))),
        NotStarted::NotAdmitted(refusal) if is_for_ever(&refusal) => {
            Err(Box::new(problems::not_admitted(&refusal)))
        }
        NotStarted::NotAdmitted(refusal) => Ok(Ended::Busy(problems::limit_reached(&refusal))),
        NotStarted::NotResolved(error @ ResolveError::NotLookedUp { .. }) => {
            Ok(Ended::Busy(error.to_string()))
        }
        NotStarted::NotResolved(error) => Ok(Ended::NotResolved(error.to_string())),
    }
}

/// Whether the scan could never start.
fn is_for_ever(refusal: &NotAdmitted) -> bool {
    matches!(refusal.quota, Quota::Memory(memory) if memory.is_for_ever())
}
