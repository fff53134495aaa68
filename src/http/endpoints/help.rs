//! `GET /`: help, in plain text.

use hyper::StatusCode;
use hyper::body::Bytes;

use crate::http::exchange::reply::{PLAIN, Reply, with_body};

pub(crate) fn help() -> Reply {
    with_body(StatusCode::OK, PLAIN, Bytes::from_static(HELP.as_bytes()))
}

const HELP: &str = include_str!("help.txt");
