//! `GET /openapi.json`: the OpenAPI document.

use hyper::StatusCode;
use hyper::body::Bytes;

use crate::http::exchange::reply::{Reply, with_body};

pub(crate) fn openapi() -> Reply {
    let document = Bytes::from_static(include_bytes!("openapi.json"));
    with_body(StatusCode::OK, "application/openapi+json", document)
}
