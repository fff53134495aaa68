//! What every reply has in common.
//!
//! Bodies end with a newline, so that a terminal stays tidy after `curl`. Only a
//! list of no open ports is empty.

use std::convert::Infallible;

use futures_util::{Stream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// A reply.
pub(crate) type Reply = Response<ReplyBody>;

/// The body of a reply: whole in memory, or made while it is sent.
pub(crate) type ReplyBody = UnsyncBoxBody<Bytes, Infallible>;

/// A body of these chunks, each made when there is room for it.
pub(crate) fn growing(chunks: impl Stream<Item = Bytes> + Send + 'static) -> ReplyBody {
    let frames = chunks.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)));
    ReplyBody::new(StreamBody::new(frames))
}

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
    // So that no browser takes a reply for a script or a page.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// A reply that depends on the time and on `Accept`, and is not to be cached.
pub(crate) fn uncached(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    reply
}

pub(crate) const PLAIN: &str = "text/plain; charset=utf-8";
