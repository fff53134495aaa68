//! Replies about a scan.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;

use super::indent::Indenter;
use super::{report_text, result_page};
use crate::ask::NotStarted;
use crate::http::exchange::etag::{Known, Tag};
use crate::http::exchange::negotiation::{media_type, negotiate};
use crate::http::exchange::problems;
use crate::http::exchange::reply::{Reply, ReplyBody, json_line, uncached, with_body};
use crate::report::{Report, TargetGroup};
use crate::request::{Format, Layout, ScanRequest};
use crate::resolve::ResolveError;

/// The report, or 304 if the client has the same facts already.
pub(super) fn report(report: Report, request: &ScanRequest, known: &Known) -> Reply {
    let mut reply = ended(&report, request, Format::Json);
    let tag = report.facts.is_complete().then(|| Tag::of(request.layout, [&report.facts_digest()]));
    *reply.body_mut() = report_text::json(report, request);
    match tag {
        Some(tag) => known.answer(&tag, reply),
        None => reply,
    }
}

/// One open port a line.
pub(super) fn open_ports_text(report: &Report, request: &ScanRequest) -> Reply {
    let mut reply = ended(report, request, Format::Text);
    *reply.body_mut() = report_text::lines(report);
    reply
}

/// A page for a browser without scripts, in answer to `query`.
pub(super) fn page(report: Report, request: &ScanRequest, query: &str) -> Reply {
    let mut reply = ended(&report, request, Format::Html);
    *reply.body_mut() = result_page::body(report, query);
    result_page::with_policy(reply)
}

/// The reply about a scan that has ended, without its body.
fn ended(report: &Report, request: &ScanRequest, format: Format) -> Reply {
    let as_expected = report.comparison.as_ref().is_some_and(|comparison| comparison.as_expected);
    let status = match request.fail_status {
        Some(status) if !as_expected => {
            StatusCode::from_u16(status).expect("the statuses on offer are valid")
        }
        _ => StatusCode::OK,
    };
    let mut reply = uncached(with_body(status, media_type(format), Bytes::new()));
    with_completeness(&mut reply, report);
    if let Some(verdict) = verdict(report) {
        reply.headers_mut().insert(OPEN_PORTS_AS_EXPECTED, HeaderValue::from_static(verdict));
    }
    reply
}

/// Whether exactly the expected ports are open, if some were. Of an incomplete scan that
/// is unknown, unless it found a port open that ought not to be.
fn verdict(report: &Report) -> Option<&'static str> {
    let comparison = report.comparison.as_ref()?;
    let is_known = report.facts.is_complete() || !comparison.unexpected.is_empty();
    Some(match (is_known, comparison.as_expected) {
        (false, _) => "unknown",
        (true, true) => "true",
        (true, false) => "false",
    })
}

pub(super) fn stream(media_type: &'static str, body: ReplyBody) -> Reply {
    let mut reply = uncached(with_body(StatusCode::OK, media_type, Bytes::new()));
    *reply.body_mut() = body;
    // Without it, nginx holds records back until it has a page of them.
    reply.headers_mut().insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    reply
}

/// The format of a reply, of those on `offer`.
///
/// # Errors
/// The reply, when the client accepts none of them.
pub(super) fn format(
    named: Option<Format>,
    headers: &HeaderMap,
    offer: &[Format],
) -> Result<Format, Box<Reply>> {
    negotiate(named, headers, offer).map_err(|_| Box::new(problems::not_acceptable(offer)))
}

/// The reply to `HEAD`, after the checks that `GET` makes too.
pub(super) fn head_of<T>(checked: Result<(T, Format), Box<Reply>>) -> Reply {
    match checked {
        Ok((_, format)) => head(media_type(format)),
        Err(refusal) => *refusal,
    }
}

/// The reply to `HEAD` where `GET` would scan.
pub(super) fn head(media_type: &'static str) -> Reply {
    uncached(with_body(StatusCode::OK, media_type, Bytes::new()))
}

pub(super) fn explanation(explanation: &impl Serialize, layout: Layout) -> Reply {
    let line = json_line(explanation);
    let body = match layout {
        Layout::Line => line,
        Layout::Indented => Indenter::default().indent(&line),
    };
    uncached(with_body(StatusCode::OK, media_type(Format::Json), body))
}

/// Targets for Prometheus, which wants exactly this media type.
pub(super) fn targets(groups: &[TargetGroup]) -> Reply {
    let reply = with_body(StatusCode::OK, media_type(Format::Json), json_line(&groups));
    uncached(reply)
}

/// Why there is no scan.
pub(super) fn not_started(reason: &NotStarted) -> Reply {
    match reason {
        NotStarted::NotAdmitted(refusal) => problems::not_admitted(refusal),
        NotStarted::NotResolved(ResolveError::NotLookedUp { name, reason }) => {
            problems::not_looked_up(name, reason)
        }
        NotStarted::NotResolved(error) => problems::not_resolved(error),
        NotStarted::Refused(refusal) => problems::refused(refusal, "domain"),
    }
}

/// Adds a `Server-Timing` header (W3C) with how long the steps took.
pub(super) fn with_timing(mut reply: Reply, steps: &[(&str, Duration)]) -> Reply {
    if steps.is_empty() {
        return reply;
    }
    let metric =
        |(name, took): &(&str, Duration)| format!("{name};dur={:.3}", took.as_secs_f64() * 1e3);
    let metrics: Vec<String> = steps.iter().map(metric).collect();
    let value = HeaderValue::from_str(&metrics.join(", ")).expect("names and numbers");
    reply.headers_mut().insert(SERVER_TIMING, value);
    reply
}

/// Adds a header that says whether everything was scanned: in plain text the body
/// cannot say so.
fn with_completeness(reply: &mut Reply, report: &Report) {
    let complete =
        HeaderValue::from_static(if report.facts.is_complete() { "true" } else { "false" });
    reply.headers_mut().insert(OPEN_PORTS_COMPLETE, complete);
    if let Some(reason) = report.facts.reason {
        reply.headers_mut().insert(OPEN_PORTS_REASON, HeaderValue::from_static(reason.name()));
    }
}

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const OPEN_PORTS_AS_EXPECTED: HeaderName = HeaderName::from_static("open-ports-as-expected");
const OPEN_PORTS_COMPLETE: HeaderName = HeaderName::from_static("open-ports-complete");
const OPEN_PORTS_REASON: HeaderName = HeaderName::from_static("open-ports-reason");
