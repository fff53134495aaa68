//! From a request to its reply.
//!
//! | method          | path            | reply                              | token |
//! |-----------------|-----------------|------------------------------------|-------|
//! | GET, HEAD       | `/livez`        | 200 while the process runs         | no    |
//! | GET, HEAD       | `/readyz`       | 200 until the service is to stop   | no    |
//! | GET, HEAD       | `/`             | help, in plain text                | yes   |
//! | GET, HEAD       | `/`             | to a browser, the page             | no    |
//! | GET, HEAD       | `/open-ports`   | a scan; HEAD only checks the query | yes   |
//! | GET, HEAD, POST | `/sweep`        | a scan of many hosts               | yes   |
//! | GET, HEAD       | `/sd`           | the same as targets of Prometheus  | yes   |
//! | GET, HEAD       | `/probe`        | a scan as metrics of its own       | yes   |
//! | GET, HEAD       | `/watch`        | a stream of changes                | yes   |
//! | GET, HEAD       | `/matrix`       | what several instances see         | yes   |
//! | GET, HEAD       | `/metrics`      | metrics, for Prometheus            | yes   |
//! | GET, HEAD       | `/openapi.json` | the OpenAPI document               | yes   |
//!
//! Any other method gets 405, with or without a token; any other path gets 404. A
//! token is wanted only if the service was given some. Before all that, [`site`]
//! refuses a request with 400, 421 or 403 if it is not for this listener, or if a
//! page of another site made a browser send it.
//!
//! To add a route, add it to [`Route`], and write its endpoint.
//!
//! [`site`]: super::exchange::site

use std::error::Error;
use std::net::IpAddr;

use hyper::body::{Body, Bytes};
use hyper::{HeaderMap, Method, Request};

use super::app::App;
use super::endpoints::{
    health, help, matrix, metrics, open_ports, openapi, probe, result_page, sd, sweep, watch,
};
use super::exchange::identity::Exchange;
use super::exchange::reply::Reply;
use super::exchange::site::{Hosts, Links};
use super::exchange::{authorization, negotiation, problems};
use crate::caller::Caller;
use crate::limits;
use crate::metrics::Metrics;

/// Answers one request of `client`.
///
/// A plain function of the request: it needs no connection, and dropping the
/// future stops whatever it is doing.
pub(super) async fn respond<B>(app: &App, client: IpAddr, request: Request<B>) -> Reply
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let request = &Request::from_parts(head, ());
    let exchange = Exchange::new(request.headers(), client);
    let route = Route::of(request);
    let mut reply = match app.hosts.check(request, links(route)) {
        Ok(()) => answer(app, &exchange, route, request, body).await,
        Err(refusal) => *refusal,
    };
    let query = request.uri().query().unwrap_or_default();
    if route == Some(Route::OpenPorts) && open_ports::prefers_page(query, request.headers()) {
        reply = result_page::of_problem(reply, query);
    }
    app.metrics.count_request(label(route), reply.status().as_u16());
    exchange.label(&mut reply);
    reply
}

/// Answers one request on the listener that is for metrics only.
pub(super) fn respond_metrics<B>(metrics: &Metrics, hosts: &Hosts, request: &Request<B>) -> Reply {
    let route = Route::of(request);
    if let Err(refusal) = hosts.check(request, links(route)) {
        return *refusal;
    }
    let Some(route @ Route::Metrics) = route else { return problems::not_found() };
    match route.refuse_method(request.method()) {
        Some(refusal) => refusal,
        None => metrics::expose(metrics, request.headers()),
    }
}

/// The routes. This is their one list: the router, the replies 404 and 405 and the
/// labels of metrics are made from it. The table above, the help page and the
/// OpenAPI document are checked against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Livez,
    Readyz,
    Help,
    Page,
    OpenPorts,
    Sweep,
    Discovery,
    Probe,
    Watch,
    Matrix,
    Metrics,
    OpenApi,
}

/// What there is to know about a route.
struct Facts {
    /// The path, and the label in metrics.
    path: &'static str,
    methods: &'static [Method],
    wants_token: bool,
    links: Links,
}

impl Route {
    const ALL: [Self; 12] = [
        Self::Livez,
        Self::Readyz,
        Self::Help,
        Self::Page,
        Self::OpenPorts,
        Self::Sweep,
        Self::Discovery,
        Self::Probe,
        Self::Watch,
        Self::Matrix,
        Self::Metrics,
        Self::OpenApi,
    ];

    const fn facts(self) -> Facts {
        let read = Facts { path: "", methods: READ, wants_token: true, links: Links::Allowed };
        match self {
            Self::Livez => Facts { path: "/livez", wants_token: false, ..read },
            Self::Readyz => Facts { path: "/readyz", wants_token: false, ..read },
            Self::Help => Facts { path: "/", ..read },
            Self::Page => Facts { path: "/", wants_token: false, ..read },
            Self::OpenPorts => Facts { path: "/open-ports", links: Links::Refused, ..read },
            Self::Sweep => {
                Facts { path: "/sweep", methods: READ_AND_POST, links: Links::Refused, ..read }
            }
            Self::Discovery => Facts { path: "/sd", links: Links::Refused, ..read },
            Self::Probe => Facts { path: "/probe", links: Links::Refused, ..read },
            Self::Watch => Facts { path: "/watch", links: Links::Refused, ..read },
            Self::Matrix => Facts { path: "/matrix", links: Links::Refused, ..read },
            Self::Metrics => Facts { path: "/metrics", ..read },
            Self::OpenApi => Facts { path: "/openapi.json", ..read },
        }
    }

    fn of<B>(request: &Request<B>) -> Option<Self> {
        let path = request.uri().path();
        let route = Self::ALL.into_iter().find(|route| route.facts().path == path)?;
        let is_page = route == Self::Help && negotiation::prefers_pages(request.headers());
        Some(if is_page { Self::Page } else { route })
    }

    fn refuse_method(self, method: &Method) -> Option<Reply> {
        let methods = self.facts().methods;
        (!methods.contains(method)).then(|| problems::method_not_allowed(methods))
    }
}

/// Answers a request that is for this listener.
async fn answer<B>(
    app: &App,
    exchange: &Exchange,
    route: Option<Route>,
    request: &Request<()>,
    body: B,
) -> Reply
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (uri, method, headers) = (request.uri(), request.method(), request.headers());
    if uri.path_and_query().is_some_and(|target| target.as_str().len() > limits::MAX_TARGET_BYTES) {
        return problems::uri_too_long().into_reply();
    }
    if let Some(refusal) = route.and_then(|route| route.refuse_method(method)) {
        return refusal;
    }
    let caller = match caller(app, exchange, route, headers) {
        Ok(caller) => caller,
        Err(refusal) => return *refusal,
    };
    let query = uri.query().unwrap_or_default();
    // What scans is boxed: every connection would hold room for the largest of them.
    match route {
        Some(Route::Livez) => health::alive(),
        Some(Route::Readyz) => health::ready(app),
        Some(Route::Help) => help::help(&app.hosts.asked(request)),
        Some(Route::Page) => app.page.reply(headers),
        Some(Route::OpenPorts) if method == Method::HEAD => open_ports::head(app, query, headers),
        Some(Route::OpenPorts) => {
            Box::pin(open_ports::get(app, exchange, &caller, query, headers)).await
        }
        Some(Route::Sweep) if method == Method::HEAD => sweep::head(app, query, headers),
        Some(Route::Sweep) if method == Method::POST => {
            Box::pin(sweep::post(app, exchange, &caller, query, headers, body)).await
        }
        Some(Route::Sweep) => Box::pin(sweep::get(app, exchange, &caller, query, headers)).await,
        Some(Route::Discovery) if method == Method::HEAD => sd::head(app, query),
        Some(Route::Discovery) => Box::pin(sd::get(app, exchange, &caller, query)).await,
        Some(Route::Probe) if method == Method::HEAD => probe::head(app, query, headers),
        Some(Route::Probe) => Box::pin(probe::get(app, exchange, &caller, query, headers)).await,
        Some(Route::Watch) if method == Method::HEAD => watch::head(app, query, headers),
        Some(Route::Watch) => Box::pin(watch::get(app, exchange, &caller, query, headers)).await,
        Some(Route::Matrix) if method == Method::HEAD => matrix::head(app, query),
        Some(Route::Matrix) => Box::pin(matrix::get(app, exchange, &caller, query, headers)).await,
        Some(Route::Metrics) => metrics::expose(&app.metrics, headers),
        Some(Route::OpenApi) => openapi::openapi(),
        None => problems::not_found(),
    }
}

/// The caller: the name of a token or, where no token is wanted, an address.
fn caller(
    app: &App,
    exchange: &Exchange,
    route: Option<Route>,
    headers: &HeaderMap,
) -> Result<Caller, Box<Reply>> {
    let wants_token = route.is_none_or(|route| route.facts().wants_token);
    let Some(tokens) = app.tokens.as_ref().filter(|_| wants_token) else {
        return Ok(Caller::Address(exchange.client));
    };
    authorization::caller(tokens, headers).map_err(|error| {
        app.metrics.count_unauthorized(error.reason());
        authorization::log_failure(exchange, label(route), error);
        Box::new(problems::unauthorized(error))
    })
}

/// The route as metrics and the log name it: few values, even if clients ask for many paths.
fn label(route: Option<Route>) -> &'static str {
    route.map_or("other", |route| route.facts().path)
}

fn links(route: Option<Route>) -> Links {
    route.map_or(Links::Refused, |route| route.facts().links)
}

const READ: &[Method] = &[Method::GET, Method::HEAD];

const READ_AND_POST: &[Method] = &[Method::GET, Method::HEAD, Method::POST];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;

    fn paths() -> BTreeSet<&'static str> {
        Route::ALL.into_iter().map(|route| route.facts().path).collect()
    }

    fn methods(route: Route) -> Vec<&'static str> {
        route.facts().methods.iter().map(Method::as_str).collect()
    }

    #[test]
    fn the_table_at_the_head_of_this_file_lists_the_routes() {
        let rows = include_str!("router.rs").lines().filter_map(|line| line.strip_prefix("//! |"));
        let rows: Vec<Vec<&str>> = rows
            .filter(|row| row.contains('`'))
            .map(|row| row.split('|').map(str::trim).collect())
            .collect();
        let routes = Route::ALL.map(|route| {
            let Facts { path, wants_token, .. } = route.facts();
            let token = if wants_token { "yes" } else { "no" };
            (methods(route).join(", "), format!("`{path}`"), token)
        });
        assert_eq!(rows.len(), routes.len());
        for (row, (methods, path, token)) in rows.iter().zip(&routes) {
            assert_eq!((row[0], row[1], row[3]), (&**methods, &**path, *token));
        }
    }

    #[test]
    fn the_help_page_lists_the_routes() {
        let lines = help::HELP.lines().filter_map(|line| line.strip_prefix("GET "));
        let listed = lines.filter_map(|line| line.split(' ').next());
        assert_eq!(listed.collect::<BTreeSet<_>>(), paths());
    }

    #[test]
    fn the_openapi_document_has_the_routes_with_their_methods_and_tokens() {
        let document: Value = serde_json::from_slice(&openapi::DOCUMENT).unwrap();
        let documented = document["paths"].as_object().unwrap();
        assert_eq!(documented.keys().map(String::as_str).collect::<BTreeSet<_>>(), paths());
        for route in Route::ALL {
            let Facts { path, .. } = route.facts();
            let operations = documented[path].as_object().unwrap();
            let at_path = Route::ALL.map(Route::facts).into_iter().filter(|at| at.path == path);
            let tokens: BTreeSet<bool> = at_path.map(|at| at.wants_token).collect();
            let wants_token = tokens.contains(&true);
            // Without a list of its own, an operation has that of the document.
            let security = match (wants_token, tokens.contains(&false)) {
                (true, false) => None,
                (true, true) => Some(json!([{ "token": [] }, {}])),
                (false, _) => Some(json!([])),
            };
            for (method, operation) in operations.iter().filter(|(name, _)| *name != "parameters") {
                assert!(methods(route).contains(&&*method.to_uppercase()), "{method} {path}");
                assert_eq!(operation.get("security"), security.as_ref(), "{method} {path}");
                let responses = &operation["responses"];
                assert_eq!(responses.get("401").is_some(), wants_token, "{method} {path}");
                assert!(responses.get("405").is_some(), "{method} {path}");
            }
            // HEAD is what GET is, without a body, unless the document has it.
            for method in methods(route).into_iter().filter(|&method| method != "HEAD") {
                assert!(operations.contains_key(&method.to_lowercase()), "{method} {path}");
            }
        }
    }
}
