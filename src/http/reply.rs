//! Every reply the service gives, by name.
//!
//! Bodies end with a newline, so that a terminal stays tidy after `curl`; only a
//! list of no open ports is empty. Errors are problem documents (RFC 9457).

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, VARY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::accept::media_type;
use super::report_text;
use crate::admission::{NotAdmitted, Quota};
use crate::expect::Expectation;
use crate::limits;
use crate::metrics::Exposition;
use crate::policy::Refusal;
use crate::report::Report;
use crate::request::{FieldErrors, Format};
use crate::resolve::{NotLookedUp, ResolveError};
use crate::tokens::AuthError;

/// A reply.
pub type Reply = Response<ReplyBody>;

/// Its body: in memory, or growing.
pub type ReplyBody = UnsyncBoxBody<Bytes, Infallible>;

/// An RFC 9457 problem document.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "FieldErrors::is_empty")]
    errors: FieldErrors,
}

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
    // nginx would otherwise hold records back until it has a page of them.
    reply.headers_mut().insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    reply
}

/// What `HEAD` gets where `GET` would scan.
pub(super) fn scan_head(media_type: &'static str) -> Reply {
    uncached(with_body(StatusCode::OK, media_type, Bytes::new()))
}

pub(super) fn explanation(explanation: &impl Serialize) -> Reply {
    uncached(with_body(StatusCode::OK, media_type(Format::Json), json_line(explanation)))
}

/// Adds how long the steps took, as the W3C's Server Timing has it.
pub(super) fn with_timing(mut reply: Reply, steps: &[(&str, Duration)]) -> Reply {
    let metric =
        |(name, took): &(&str, Duration)| format!("{name};dur={:.3}", took.as_secs_f64() * 1e3);
    let metrics: Vec<String> = steps.iter().map(metric).collect();
    let value = HeaderValue::from_str(&metrics.join(", ")).expect("names and numbers");
    reply.headers_mut().insert(SERVER_TIMING, value);
    reply
}

pub(super) fn alive() -> Reply {
    with_body(StatusCode::OK, PLAIN, Bytes::from_static(b"ok\n"))
}

pub(super) fn not_ready() -> Reply {
    with_body(StatusCode::SERVICE_UNAVAILABLE, PLAIN, Bytes::from_static(b"stopping\n"))
}

pub(super) fn metrics(exposition: Exposition, text: String) -> Reply {
    let media_type = match exposition {
        Exposition::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
    };
    let mut reply = with_body(StatusCode::OK, media_type, text.into());
    reply.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    reply
}

pub(super) fn openapi() -> Reply {
    let document = Bytes::from_static(include_bytes!("openapi.json"));
    with_body(StatusCode::OK, "application/openapi+json", document)
}

pub(super) fn help() -> Reply {
    with_body(StatusCode::OK, PLAIN, Bytes::from_static(HELP.as_bytes()))
}

pub(super) fn invalid_parameters(errors: FieldErrors) -> Reply {
    Problem {
        r#type: "urn:open-ports:problem:invalid-parameters",
        title: "Invalid parameters",
        status: 400,
        detail: errors.to_string(),
        errors,
    }
    .into_reply()
}

/// What is wrong with the `Host` field.
pub(super) fn bad_host(told: &'static str) -> Reply {
    let mut errors = FieldErrors::default();
    errors.add("Host", told);
    Problem {
        r#type: "about:blank",
        title: "Bad Request",
        status: 400,
        detail: errors.to_string(),
        errors,
    }
    .into_reply()
}

pub(super) fn misdirected() -> Reply {
    let mut errors = FieldErrors::default();
    errors.add("Host", "must be localhost, an address of this host, or a name given with --host");
    Problem {
        r#type: "about:blank",
        title: "Misdirected Request",
        status: 421,
        detail: "this service does not go by the name in Host".into(),
        errors,
    }
    .into_reply()
}

pub(super) fn cross_site() -> Reply {
    let problem = Problem {
        r#type: "urn:open-ports:problem:cross-site",
        title: "Cross-site request",
        status: 403,
        detail: "a page of another site made your browser send this request".into(),
        errors: FieldErrors::default(),
    };
    uncached(problem.into_reply())
}

pub(super) fn target_too_long() -> Reply {
    Problem::target_too_long(414).into_reply()
}

pub(super) fn not_found() -> Reply {
    Problem {
        r#type: "about:blank",
        title: "Not Found",
        status: 404,
        detail: "there is nothing here; GET / lists the routes".into(),
        errors: FieldErrors::default(),
    }
    .into_reply()
}

pub(super) fn method_not_allowed(allow: &'static str) -> Reply {
    let mut reply = Problem {
        r#type: "about:blank",
        title: "Method Not Allowed",
        status: 405,
        detail: format!("this route answers {allow}"),
        errors: FieldErrors::default(),
    }
    .into_reply();
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    reply
}

pub(super) fn not_resolved(error: &ResolveError) -> Reply {
    let mut errors = FieldErrors::default();
    errors.add("domain", "does not resolve to an address that could be scanned");
    Problem {
        r#type: "urn:open-ports:problem:not-resolved",
        title: "Name not resolved",
        status: 422,
        detail: error.to_string(),
        errors,
    }
    .into_reply()
}

/// Nothing is known of the name, for it was not looked up.
pub(super) fn not_looked_up(name: &str, reason: &NotLookedUp) -> Reply {
    let (r#type, title, status) = match reason {
        NotLookedUp::CallerBusy => ("urn:open-ports:problem:quota-used-up", "Quota used up", 429),
        NotLookedUp::Busy | NotLookedUp::Short(_) => {
            ("urn:open-ports:problem:not-looked-up", "Name not looked up", 503)
        }
    };
    let detail = format!("{name} was not looked up: {reason}");
    let problem = Problem { r#type, title, status, detail, errors: FieldErrors::default() };
    // As long as this one waited in vain.
    with_retry_after(problem.into_reply(), limits::LOOKUP_PATIENCE)
}

pub(super) fn not_acceptable() -> Reply {
    let offered = [Format::Json, Format::Ndjson, Format::Sse, Format::Text].map(media_type);
    let mut errors = FieldErrors::default();
    errors.add("Accept", format!("must allow one of {}", offered.join(", ")));
    let problem = Problem {
        r#type: "about:blank",
        title: "Not Acceptable",
        status: 406,
        detail: format!("there is {}", offered.join(", ")),
        errors,
    };
    uncached(problem.into_reply())
}

pub(super) fn unauthorized(error: AuthError) -> Reply {
    let mut reply = Problem {
        r#type: "about:blank",
        title: "Unauthorized",
        status: 401,
        detail: error.to_string(),
        errors: FieldErrors::default(),
    }
    .into_reply();
    let challenge = HeaderValue::from_static(error.challenge());
    reply.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    reply
}

pub(super) fn refused(refusal: &Refusal) -> Reply {
    let mut errors = FieldErrors::default();
    errors.add("domain", refusal.to_string());
    let problem = Problem {
        r#type: "urn:open-ports:problem:refused-by-policy",
        title: "Refused by policy",
        status: 403,
        detail: refusal.to_string(),
        errors,
    };
    #[derive(Serialize)]
    struct PolicyProblem {
        #[serde(flatten)]
        problem: Problem,
        address: std::net::IpAddr,
        rule: String,
    }
    let (address, rule) = (refusal.address, refusal.rule.to_string());
    let body = json_line(&PolicyProblem { problem, address, rule });
    uncached(with_body(StatusCode::FORBIDDEN, PROBLEM_TYPE, body))
}

pub(super) fn not_admitted(refusal: &NotAdmitted) -> Reply {
    if let Quota::Memory(memory) = refusal.quota
        && memory.is_for_ever()
    {
        let mut errors = FieldErrors::default();
        errors.add("ports", format!("are too many at a time: {memory}"));
        return invalid_parameters(errors);
    }
    let (r#type, title, status, detail) = match refusal.quota {
        Quota::CallerScans => (
            "urn:open-ports:problem:quota-used-up",
            "Quota used up",
            429,
            "you have as many scans running, or joined, as you may".into(),
        ),
        Quota::CallerRequests => (
            "urn:open-ports:problem:quota-used-up",
            "Quota used up",
            429,
            "you have as many requests unfinished, or replies unread, as you may".into(),
        ),
        Quota::Requests => (
            "urn:open-ports:problem:full",
            "Full",
            503,
            "as many requests are being worked on as may be at once".into(),
        ),
        Quota::Target(address) => (
            "urn:open-ports:problem:target-busy",
            "Target busy",
            503,
            format!("{address} is being scanned already"),
        ),
        Quota::Scans => (
            "urn:open-ports:problem:full",
            "Full",
            503,
            "as many scans are running as may run at once".into(),
        ),
        Quota::Memory(memory) => {
            ("urn:open-ports:problem:no-memory", "No memory", 503, memory.to_string())
        }
    };
    let problem = Problem { r#type, title, status, detail, errors: FieldErrors::default() };
    with_retry_after(problem.into_reply(), refusal.retry_after)
}

/// Says when to come back: in whole seconds, and not so soon that nothing can
/// have changed.
fn with_retry_after(mut reply: Reply, after: Duration) -> Reply {
    let seconds = after.as_secs_f64().ceil().max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let seconds = seconds as u64;
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    reply
}

impl Problem {
    /// A request head that is not HTTP.
    pub(super) fn malformed_head() -> Self {
        Self {
            r#type: "about:blank",
            title: "Bad Request",
            status: 400,
            detail: "this is not an HTTP/1.1 request; GET / tells how to ask".into(),
            errors: FieldErrors::default(),
        }
    }

    /// A request head, mostly a query, beyond what is read.
    pub(super) fn target_too_long(status: u16) -> Self {
        let accepted = format!("may be {} bytes long with the path", limits::MAX_TARGET_BYTES);
        let mut errors = FieldErrors::default();
        errors.add("query", accepted);
        let (title, detail) = match status {
            414 => ("URI Too Long", "the query is too long".into()),
            _ => (
                "Request Header Fields Too Large",
                format!("the request head may be {} bytes long", limits::MAX_HEAD_BYTES),
            ),
        };
        Self { r#type: "about:blank", title, status, detail, errors }
    }

    /// The document as sent, its newline included.
    pub(super) fn to_bytes(&self) -> Bytes {
        json_line(self)
    }

    fn into_reply(self) -> Reply {
        let status = StatusCode::from_u16(self.status).expect("problems have a valid status");
        with_body(status, PROBLEM_TYPE, self.to_bytes())
    }
}

/// The media type of problem documents.
pub(super) const PROBLEM_TYPE: &str = "application/problem+json";

fn json_line(body: &impl Serialize) -> Bytes {
    let mut bytes = serde_json::to_vec(body).expect("reports and problems have string keys");
    bytes.push(b'\n');
    bytes.into()
}

fn with_body(status: StatusCode, content_type: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body).boxed_unsync());
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // No browser is to take a reply for something that it runs.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// What depends on the moment and on `Accept`.
fn uncached(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    reply
}

/// Says outside the body, for formats that have no place for it, whether
/// everything was scanned.
fn with_completeness(reply: &mut Reply, report: &Report) {
    let complete = HeaderValue::from_static(if report.complete { "true" } else { "false" });
    reply.headers_mut().insert(OPEN_PORTS_COMPLETE, complete);
    if let Some(reason) = report.reason {
        reply.headers_mut().insert(OPEN_PORTS_REASON, HeaderValue::from_static(reason));
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const OPEN_PORTS_COMPLETE: HeaderName = HeaderName::from_static("open-ports-complete");
const OPEN_PORTS_REASON: HeaderName = HeaderName::from_static("open-ports-reason");

const HELP: &str = include_str!("help.txt");
