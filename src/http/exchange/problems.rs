//! Every problem document (RFC 9457) that the service sends: first the kinds, then
//! a function for each case.

use std::net::IpAddr;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};
use serde::Serialize;

use super::negotiation::media_type;
use super::reply::{Reply, json_line, uncached, with_body};
use crate::admission::{NotAdmitted, Quota};
use crate::fields::FieldErrors;
use crate::limits;
use crate::policy::Refusal;
use crate::request::Format;
use crate::request::sweep::TooManyTargets;
use crate::resolve::{NotLookedUp, ResolveError};
use crate::tokens::AuthError;

/// What all problems of one kind have in common.
#[derive(Clone, Copy, Debug, Serialize)]
struct Kind {
    r#type: &'static str,
    title: &'static str,
    status: u16,
}

#[rustfmt::skip]
impl Kind {
    const BAD_REQUEST: Self        = Self::of_http(400, "Bad Request");
    const UNAUTHORIZED: Self       = Self::of_http(401, "Unauthorized");
    const NOT_FOUND: Self          = Self::of_http(404, "Not Found");
    const METHOD_NOT_ALLOWED: Self = Self::of_http(405, "Method Not Allowed");
    const NOT_ACCEPTABLE: Self     = Self::of_http(406, "Not Acceptable");
    const REQUEST_TIMEOUT: Self    = Self::of_http(408, "Request Timeout");
    const CONTENT_TOO_LARGE: Self  = Self::of_http(413, "Content Too Large");
    const URI_TOO_LONG: Self       = Self::of_http(414, "URI Too Long");
    const UNSUPPORTED_TYPE: Self   = Self::of_http(415, "Unsupported Media Type");
    const MISDIRECTED: Self        = Self::of_http(421, "Misdirected Request");
    const HEAD_TOO_LONG: Self      = Self::of_http(431, "Request Header Fields Too Large");

    const INVALID_PARAMETERS: Self = Self::own(400, "urn:open-ports:problem:invalid-parameters", "Invalid parameters");
    const CROSS_SITE: Self         = Self::own(403, "urn:open-ports:problem:cross-site", "Cross-site request");
    const REFUSED: Self            = Self::own(403, "urn:open-ports:problem:refused-by-policy", "Refused by policy");
    const NOT_RESOLVED: Self       = Self::own(422, "urn:open-ports:problem:not-resolved", "Name not resolved");
    const TOO_MANY_TARGETS: Self   = Self::own(422, "urn:open-ports:problem:too-many-targets", "Too many targets");
    const QUOTA_USED_UP: Self      = Self::own(429, "urn:open-ports:problem:quota-used-up", "Quota used up");
    const FULL: Self               = Self::own(503, "urn:open-ports:problem:full", "Full");
    const INCOMPLETE: Self         = Self::own(503, "urn:open-ports:problem:incomplete", "Sweep incomplete");
    const NOT_LOOKED_UP: Self      = Self::own(503, "urn:open-ports:problem:not-looked-up", "Name not looked up");
    const NO_MEMORY: Self          = Self::own(503, "urn:open-ports:problem:no-memory", "No memory");
    const TARGET_BUSY: Self        = Self::own(503, "urn:open-ports:problem:target-busy", "Target busy");

    /// A kind that says no more than its status does (RFC 9457, section 4.2.1).
    const fn of_http(status: u16, title: &'static str) -> Self {
        Self { r#type: "about:blank", title, status }
    }

    const fn own(status: u16, r#type: &'static str, title: &'static str) -> Self {
        Self { r#type, title, status }
    }
}

/// The `Host` field is missing or malformed.
pub(crate) fn bad_host(fault: &'static str) -> Reply {
    Problem::of_field(Kind::BAD_REQUEST, "Host", fault).into_reply()
}

/// A request head that is not HTTP.
pub(crate) fn malformed_head() -> Problem {
    let detail = "This is not an HTTP/1.1 request. GET / describes the requests.";
    Problem::new(Kind::BAD_REQUEST, detail)
}

pub(crate) fn unauthorized(error: AuthError) -> Reply {
    let mut reply = Problem::new(Kind::UNAUTHORIZED, error.to_string()).into_reply();
    let challenge = HeaderValue::from_static(error.challenge());
    reply.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    reply
}

pub(crate) fn not_found() -> Reply {
    let detail = "There is nothing at this path. GET / lists the routes.";
    Problem::new(Kind::NOT_FOUND, detail).into_reply()
}

pub(crate) fn method_not_allowed(methods: &[Method]) -> Reply {
    let allow = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    let detail = format!("The methods of this route are {allow}.");
    let mut reply = Problem::new(Kind::METHOD_NOT_ALLOWED, detail).into_reply();
    let allow = HeaderValue::from_str(&allow).expect("names of methods are visible ASCII");
    reply.headers_mut().insert(ALLOW, allow);
    reply
}

/// None of the formats on `offer` is acceptable.
pub(crate) fn not_acceptable(offer: &[Format]) -> Reply {
    let offered: Vec<&str> = offer.iter().copied().map(media_type).collect();
    let offered = offered.join(", ");
    let detail = format!("The formats on offer are {offered}.");
    let problem = Problem::new(Kind::NOT_ACCEPTABLE, detail);
    uncached(problem.with("Accept", format!("must allow one of {offered}")).into_reply())
}

/// The request target is longer than [`limits::MAX_TARGET_BYTES`].
pub(crate) fn uri_too_long() -> Problem {
    too_long(Kind::URI_TOO_LONG, "The query is too long.".into())
}

/// The request head, mostly a query, is longer than is read.
pub(crate) fn head_too_long() -> Problem {
    let detail = format!("The request head is longer than {} bytes.", limits::MAX_HEAD_BYTES);
    too_long(Kind::HEAD_TOO_LONG, detail)
}

fn too_long(kind: Kind, detail: String) -> Problem {
    let accepted = format!("may be {} bytes long with the path", limits::MAX_TARGET_BYTES);
    Problem::new(kind, detail).with("query", accepted)
}

pub(crate) fn misdirected() -> Reply {
    let detail = "This service does not answer to the name in Host.";
    let accepted = "must be localhost, an address of this host, or a name given with --host";
    Problem::new(Kind::MISDIRECTED, detail).with("Host", accepted).into_reply()
}

pub(crate) fn cross_site() -> Reply {
    let detail = "A page of another site made your browser send this request.";
    uncached(Problem::new(Kind::CROSS_SITE, detail).into_reply())
}

pub(crate) fn invalid_parameters(errors: FieldErrors) -> Reply {
    let detail = errors.to_string();
    Problem { errors, ..Problem::new(Kind::INVALID_PARAMETERS, detail) }.into_reply()
}

/// Policy refuses the host that was named in `field`.
pub(crate) fn refused(refusal: &Refusal, field: &str) -> Reply {
    let detail = refusal.to_string();
    let problem = Problem::new(Kind::REFUSED, detail.clone()).with(field, detail);
    let decided = Decided { address: refusal.address, rule: refusal.rule.to_string() };
    uncached(Problem { decided: Some(decided), ..problem }.into_reply())
}

pub(crate) fn not_resolved(error: &ResolveError) -> Reply {
    let problem = Problem::new(Kind::NOT_RESOLVED, error.to_string());
    problem.with("domain", "does not resolve to an address that could be scanned").into_reply()
}

/// No host of a sweep can be scanned, and policy refuses so many `of` them; `refusal` is
/// about the first.
pub(crate) fn all_refused(refusal: &Refusal, (refused, of): (u64, u64)) -> Reply {
    let detail = match (refused, of) {
        (_, 1) => refusal.to_string(),
        _ if refused == of => format!("Policy refuses all {of} hosts. The first: {refusal}."),
        _ => format!(
            "No host can be scanned, and policy refuses {refused} of {of}. The first: {refusal}."
        ),
    };
    let problem = Problem::new(Kind::REFUSED, detail).with("targets", refusal.to_string());
    let decided = Decided { address: refusal.address, rule: refusal.rule.to_string() };
    uncached(Problem { decided: Some(decided), ..problem }.into_reply())
}

/// No host of a sweep has an address that could be scanned. `why` is about the first.
pub(crate) fn none_resolved(why: impl Into<String>) -> Reply {
    let problem = Problem::new(Kind::NOT_RESOLVED, why);
    problem.with("targets", "have no address that could be scanned").into_reply()
}

/// No host of a sweep was looked up.
pub(crate) fn none_looked_up(error: &ResolveError) -> Reply {
    let reply = Problem::new(Kind::NOT_LOOKED_UP, error.to_string()).into_reply();
    with_retry_after(reply, limits::LOOKUP_PATIENCE)
}

pub(crate) fn too_many_targets(error: &TooManyTargets) -> Reply {
    let problem = Problem::new(Kind::TOO_MANY_TARGETS, error.to_string());
    problem.with("targets", format!("times ports must be {} at most", error.most)).into_reply()
}

/// A sweep left something out, so that its result must not be taken for the whole.
pub(crate) fn incomplete(why: impl Into<String>) -> Reply {
    with_retry_after(Problem::new(Kind::INCOMPLETE, why).into_reply(), Duration::ZERO)
}

/// The body of a request is not a list of hosts.
pub(crate) fn invalid_list(fault: impl Into<String>) -> Reply {
    let mut errors = FieldErrors::default();
    errors.add("body", fault);
    invalid_parameters(errors)
}

/// The body of a request is longer than [`limits::MAX_LIST_BYTES`].
pub(crate) fn content_too_large() -> Reply {
    let detail = format!("A list of hosts may be {} bytes long.", limits::MAX_LIST_BYTES);
    Problem::new(Kind::CONTENT_TOO_LARGE, detail).into_reply()
}

/// The body of a request is no plain text.
pub(crate) fn unsupported_type() -> Reply {
    let detail = "A list of hosts is text/plain, with one or more hosts a line.";
    let problem = Problem::new(Kind::UNSUPPORTED_TYPE, detail);
    let mut reply = problem.with("Content-Type", "must be text/plain").into_reply();
    reply.headers_mut().insert(ACCEPT_POST, HeaderValue::from_static("text/plain"));
    reply
}

/// The body of a request did not come in time.
pub(crate) fn request_timeout() -> Reply {
    let detail = format!("The list did not arrive within {} s.", limits::LIST_TIMEOUT.as_secs());
    Problem::new(Kind::REQUEST_TIMEOUT, detail).into_reply()
}

/// The name was not looked up, so nothing is known about it.
pub(crate) fn not_looked_up(name: &str, reason: &NotLookedUp) -> Reply {
    let kind = match reason {
        NotLookedUp::CallerBusy => Kind::QUOTA_USED_UP,
        NotLookedUp::Busy | NotLookedUp::Short(_) => Kind::NOT_LOOKED_UP,
    };
    let reply = Problem::new(kind, format!("{name} was not looked up: {reason}")).into_reply();
    // As long as this request waited in vain.
    with_retry_after(reply, limits::LOOKUP_PATIENCE)
}

pub(crate) fn not_admitted(refusal: &NotAdmitted) -> Reply {
    let kind = match refusal.quota {
        Quota::Memory(memory) if memory.is_for_ever() => {
            let mut errors = FieldErrors::default();
            errors.add("ports", format!("are too many at a time: {memory}"));
            return invalid_parameters(errors);
        }
        Quota::Memory(_) => Kind::NO_MEMORY,
        Quota::CallerScans | Quota::CallerRequests => Kind::QUOTA_USED_UP,
        Quota::Requests | Quota::Scans => Kind::FULL,
        Quota::Target(_) => Kind::TARGET_BUSY,
    };
    let problem = Problem::new(kind, limit_reached(refusal));
    with_retry_after(problem.into_reply(), refusal.retry_after)
}

/// Which limit keeps a request out, as a sentence.
pub(crate) fn limit_reached(refusal: &NotAdmitted) -> String {
    match refusal.quota {
        Quota::Memory(memory) => memory.to_string(),
        Quota::CallerScans => {
            "You have reached your limit of concurrent scans. Scans that you joined count.".into()
        }
        Quota::CallerRequests => {
            "You have reached your limit of concurrent requests. A request counts until you have \
             read its reply."
                .into()
        }
        Quota::Requests => "The service has reached its limit of concurrent requests.".into(),
        Quota::Scans => "The service has reached its limit of concurrent scans.".into(),
        Quota::Target(address) => {
            format!("{address} has reached its limit of concurrent scans.")
        }
    }
}

/// A problem document. Its reply has it as an extension too, for who writes it otherwise.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(flatten)]
    kind: Kind,
    detail: String,
    #[serde(skip_serializing_if = "FieldErrors::is_empty")]
    errors: FieldErrors,
    #[serde(flatten)]
    decided: Option<Decided>,
}

/// What made policy refuse.
#[derive(Clone, Debug, Serialize)]
struct Decided {
    address: IpAddr,
    rule: String,
}

impl Problem {
    fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: FieldErrors::default(), decided: None }
    }

    /// A problem whose detail is what is wrong with one field.
    fn of_field(kind: Kind, name: &str, fault: &'static str) -> Self {
        let mut errors = FieldErrors::default();
        errors.add(name, fault);
        Self { detail: errors.to_string(), errors, ..Self::new(kind, "") }
    }

    fn with(mut self, name: &str, fault: impl Into<String>) -> Self {
        self.errors.add(name, fault);
        self
    }

    /// What kind of problem it is, in a few words.
    pub(crate) fn title(&self) -> &'static str {
        self.kind.title
    }

    /// What is wrong, as a sentence.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// What is wrong with each field, a message at a time.
    pub(crate) fn errors(&self) -> impl Iterator<Item = (&str, &str)> {
        let errors = self.errors.iter();
        errors.flat_map(|(field, messages)| messages.iter().map(move |text| (field, &**text)))
    }

    /// The document as sent, its newline included.
    pub(crate) fn to_bytes(&self) -> Bytes {
        json_line(self)
    }

    pub(crate) fn into_reply(self) -> Reply {
        let status = StatusCode::from_u16(self.kind.status).expect("problems have a valid status");
        let mut reply = with_body(status, PROBLEM_TYPE, self.to_bytes());
        reply.extensions_mut().insert(self);
        reply
    }
}

/// Adds when to come back: in whole seconds, and not so soon that nothing can
/// have changed.
fn with_retry_after(mut reply: Reply, after: Duration) -> Reply {
    let seconds = after.as_secs_f64().ceil().max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let seconds = seconds as u64;
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    reply
}

/// Which types a POST may have: Linked Data Platform 1.0, section 7.1.
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// The media type of problem documents.
pub(crate) const PROBLEM_TYPE: &str = "application/problem+json";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use crate::http::endpoints::openapi;

    #[test]
    fn the_openapi_document_lists_the_types_of_problems() {
        let document: Value = serde_json::from_slice(&openapi::DOCUMENT).unwrap();
        let listed = document.pointer("/components/schemas/Problem/properties/type/enum").unwrap();
        let listed: BTreeSet<&str> =
            listed.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let literals = include_str!("problems.rs").split('"');
        let types = literals.filter(|text| text.starts_with("urn:") && text.len() > 4);
        assert_eq!(listed, types.chain(["about:blank"]).collect());
    }
}
