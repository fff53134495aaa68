//! Replies about a scan.

use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;

use super::report_text;
use crate::ask::NotStarted;
use crate::expect::Expectation;
use crate::http::exchange::negotiation::media_type;
use crate::http::exchange::problems;
use crate::http::exchange::reply::{Reply, ReplyBody, json_line, uncached, with_body};
use crate::report::Report;
use crate::request::Format;
use crate::resolve::ResolveError;

pub(super) fn report(report: Report, expectation: Option<&Expectation>) -> Reply {
    let mut reply = uncached(with_body(StatusCode::OK, media_type(Format::Json), Bytes::new()));
    with_completeness(&mut reply, &report);
    *reply.body_mut() = report_text::json(report, expectation);
    reply
}

/// One open port a line.
pub(super) fn open_ports_text(report: &Report) -> Reply {
    let mut reply = uncached(with_body(StatusCode::OK, media_type(Format::Text), Bytes::new()));
    with_completeness(&mut reply, report);
    *reply.body_mut() = report_text::lines(report);
    reply
}

pub(super) fn stream(media_type: &'static str, body: ReplyBody) -> Reply {
    let mut reply = uncached(with_body(StatusCode::OK, media_type, Bytes::new()));
    *reply.body_mut() = body;
    // Without it, nginx holds records back until it has a page of them.
    reply.headers_mut().insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    reply
}

/// The reply to `HEAD` where `GET` would scan.
pub(super) fn head(media_type: &'static str) -> Reply {
    uncached(with_body(StatusCode::OK, media_type, Bytes::new()))
}

pub(super) fn explanation(explanation: &impl Serialize) -> Reply {
    uncached(with_body(StatusCode::OK, media_type(Format::Json), json_line(explanation)))
}

/// Why there is no scan.
pub(super) fn not_started(reason: &NotStarted) -> Reply {
    match reason {
        NotStarted::NotAdmitted(refusal) => problems::not_admitted(refusal),
        NotStarted::NotResolved(ResolveError::NotLookedUp { name, reason }) => {
            problems::not_looked_up(name, reason)
        }
        NotStarted::NotResolved(error) => problems::not_resolved(error),
        NotStarted::Refused(refusal) => problems::refused(refusal),
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
const OPEN_PORTS_COMPLETE: HeaderName = HeaderName::from_static("open-ports-complete");
const OPEN_PORTS_REASON: HeaderName = HeaderName::from_static("open-ports-reason");
