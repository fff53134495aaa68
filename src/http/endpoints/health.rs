//! `GET /livez` and `GET /readyz`.

use hyper::StatusCode;
use hyper::body::Bytes;

use crate::http::app::App;
use crate::http::exchange::reply::{PLAIN, Reply, with_body};

/// `GET /livez`: 200 while the process runs.
pub(crate) fn alive() -> Reply {
    with_body(StatusCode::OK, PLAIN, Bytes::from_static(b"ok\n"))
}

/// `GET /readyz`: 200 until the service is to stop, so that load balancers then
/// send their requests elsewhere.
pub(crate) fn ready(app: &App) -> Reply {
    if *app.stopping.borrow() { not_ready() } else { alive() }
}

fn not_ready() -> Reply {
    with_body(StatusCode::SERVICE_UNAVAILABLE, PLAIN, Bytes::from_static(b"stopping\n"))
}
