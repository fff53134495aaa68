//! Every problem document (RFC 9457) that the service sends.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};
use serde::Serialize;

use super::negotiation::media_type;
use super::reply::{Reply, json_line, uncached, with_body};
use crate::admission::{NotAdmitted, Quota};
use crate::fields::FieldErrors;
use crate::limits;
use crate::policy::Refusal;
use crate::request::Format;
use crate::resolve::{NotLookedUp, ResolveError};
use crate::tokens::AuthError;

/// An RFC 9457 problem document.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "FieldErrors::is_empty")]
    errors: FieldErrors,
}

pub(crate) fn invalid_parameters(errors: FieldErrors) -> Reply {
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
pub(crate) fn bad_host(told: &'static str) -> Reply {
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

pub(crate) fn misdirected() -> Reply {
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

pub(crate) fn cross_site() -> Reply {
    let problem = Problem {
        r#type: "urn:open-ports:problem:cross-site",
        title: "Cross-site request",
        status: 403,
        detail: "a page of another site made your browser send this request".into(),
        errors: FieldErrors::default(),
    };
    uncached(problem.into_reply())
}

pub(crate) fn target_too_long() -> Reply {
    Problem::target_too_long(414).into_reply()
}

pub(crate) fn not_found() -> Reply {
    Problem {
        r#type: "about:blank",
        title: "Not Found",
        status: 404,
        detail: "there is nothing here; GET / lists the routes".into(),
        errors: FieldErrors::default(),
    }
    .into_reply()
}

pub(crate) fn method_not_allowed(methods: &[Method]) -> Reply {
    let allow = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    let mut reply = Problem {
        r#type: "about:blank",
        title: "Method Not Allowed",
        status: 405,
        detail: format!("this route answers {allow}"),
        errors: FieldErrors::default(),
    }
    .into_reply();
    let allow = HeaderValue::from_str(&allow).expect("names of methods are visible ASCII");
    reply.headers_mut().insert(ALLOW, allow);
    reply
}

pub(crate) fn not_resolved(error: &ResolveError) -> Reply {
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
pub(crate) fn not_looked_up(name: &str, reason: &NotLookedUp) -> Reply {
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

pub(crate) fn not_acceptable() -> Reply {
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

pub(crate) fn unauthorized(error: AuthError) -> Reply {
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

pub(crate) fn refused(refusal: &Refusal) -> Reply {
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

pub(crate) fn not_admitted(refusal: &NotAdmitted) -> Reply {
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
    pub(crate) fn malformed_head() -> Self {
        Self {
            r#type: "about:blank",
            title: "Bad Request",
            status: 400,
            detail: "this is not an HTTP/1.1 request; GET / tells how to ask".into(),
            errors: FieldErrors::default(),
        }
    }

    /// A request head, mostly a query, beyond what is read.
    pub(crate) fn target_too_long(status: u16) -> Self {
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
    pub(crate) fn to_bytes(&self) -> Bytes {
        json_line(self)
    }

    fn into_reply(self) -> Reply {
        let status = StatusCode::from_u16(self.status).expect("problems have a valid status");
        with_body(status, PROBLEM_TYPE, self.to_bytes())
    }
}

/// The media type of problem documents.
pub(crate) const PROBLEM_TYPE: &str = "application/problem+json";
