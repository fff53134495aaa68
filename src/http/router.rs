//! From a request to its reply.
//!
//! | method    | path            | reply                              | token |
//! |-----------|-----------------|------------------------------------|-------|
//! | GET, HEAD | `/livez`        | 200 while the process runs         | no    |
//! | GET, HEAD | `/readyz`       | 200 until it is told to stop       | no    |
//! | GET, HEAD | `/`             | help, in plain text                | yes   |
//! | GET       | `/open-ports`   | the report of a scan               | yes   |
//! | HEAD      | `/open-ports`   | the same checks, but never a scan  | yes   |
//! | GET, HEAD | `/metrics`      | metrics, for Prometheus            | yes   |
//! | GET, HEAD | `/openapi.json` | the OpenAPI document               | yes   |
//!
//! Other methods get 405 there, with or without a token, and other paths 404. A
//! token is wanted only where the service was given some. Before all that, a
//! request that is not for this listener, or that a page of another site made a
//! browser send, is refused with 400, 421 or 403: see `site`.

use std::net::IpAddr;

use hyper::{Method, Request};

use super::app::App;
use super::endpoints::{health, help, metrics, open_ports, openapi};
use super::exchange::identity::Exchange;
use super::exchange::reply::Reply;
use super::exchange::site::Hosts;
use super::exchange::{authorization, problems};
use crate::limits;
use crate::metrics::Metrics;

/// Answers one request of `client`; its body is not looked at.
///
/// A plain function of the request: it needs no connection, and dropping the
/// future stops whatever it is doing.
pub async fn respond<B>(app: &App, client: IpAddr, request: &Request<B>) -> Reply {
    let exchange = Exchange::new(request.headers(), client);
    let mut reply = match app.hosts.check(request) {
        Ok(()) => route(app, &exchange, request).await,
        Err(refusal) => *refusal,
    };
    app.metrics.count_request(label(request.uri().path()), reply.status().as_u16());
    exchange.label(&mut reply);
    reply
}

/// Answers one request on the listener that is for metrics only.
pub fn respond_metrics<B>(metrics: &Metrics, hosts: &Hosts, request: &Request<B>) -> Reply {
    if let Err(refusal) = hosts.check(request) {
        return *refusal;
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => metrics::expose(metrics, request.headers()),
        (_, "/metrics") => problems::method_not_allowed(READ),
        _ => problems::not_found(),
    }
}

async fn route<B>(app: &App, exchange: &Exchange, request: &Request<B>) -> Reply {
    let (uri, method, headers) = (request.uri(), request.method(), request.headers());
    if uri.path_and_query().is_some_and(|target| target.as_str().len() > limits::MAX_TARGET_BYTES) {
        return problems::target_too_long();
    }
    match (method, uri.path()) {
        (&Method::GET | &Method::HEAD, "/livez") => return health::alive(),
        (&Method::GET | &Method::HEAD, "/readyz") => return health::ready(app),
        (&Method::GET | &Method::HEAD, _) => {}
        (_, path) if ROUTES.contains(&path) => return problems::method_not_allowed(READ),
        _ => {}
    }
    let caller = match authorization::caller(app, exchange, label(uri.path()), headers) {
        Ok(caller) => caller,
        Err(refusal) => return *refusal,
    };
    let query = uri.query().unwrap_or_default();
    match (method, uri.path()) {
        (_, "/") => help::help(),
        (&Method::HEAD, "/open-ports") => open_ports::head(app, query, headers),
        (_, "/open-ports") => open_ports::get(app, exchange, &caller, query, headers).await,
        (_, "/metrics") => metrics::expose(&app.metrics, headers),
        (_, "/openapi.json") => openapi::openapi(),
        _ => problems::not_found(),
    }
}

/// The route as metrics name it: few values, whatever clients ask for.
fn label(path: &str) -> &'static str {
    ROUTES.into_iter().find(|&route| route == path).unwrap_or("other")
}

const READ: &str = "GET, HEAD";

pub(super) const ROUTES: [&str; 6] =
    ["/livez", "/readyz", "/", "/open-ports", "/metrics", "/openapi.json"];
