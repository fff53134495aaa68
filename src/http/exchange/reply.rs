//! What every reply has in common.
//!
//! Bodies end with a newline, so that a terminal stays tidy after `curl`; only a
//! list of no open ports is empty.

use std::convert::Infallible;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// A reply.
pub type Reply = Response<ReplyBody>;

/// Its body: in memory, or growing.
pub type ReplyBody = UnsyncBoxBody<Bytes, Infallible>;

pub(crate) fn json_line(body: &impl Serialize) -> Bytes {
    let mut bytes = serde_json::to_vec(body).expect("reports and problems have string keys");
    bytes.push(b'\n');
    bytes.into()
}

pub(crate) fn with_body(status: StatusCode, content_type: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body).boxed_unsync());
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // No browser is to take a reply for something that it runs.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// What depends on the moment and on `Accept`.
pub(crate) fn uncached(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    reply
}

pub(crate) const PLAIN: &str = "text/plain; charset=utf-8";
