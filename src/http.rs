//! The service over HTTP.
//!
//! | room        | knows                                                        |
//! |-------------|--------------------------------------------------------------|
//! | `server`    | bytes: listening, connections, draining                      |
//! | `exchange`  | HTTP: request identity, callers, replies, problems           |
//! | `endpoints` | what this service does, a file for each route                |
//! | `router`    | which endpoint answers a request                             |
//! | `vantage`, `curl` | how another service is asked                          |
//! | `peers`     | how other instances of the service are asked                 |
//!
//! The server hands requests to the router, the router calls an endpoint, and all of
//! them use the exchange, which uses none of them. hyper is used in this module only.

mod app;
mod curl;
mod endpoints;
mod exchange;
mod peers;
mod router;
mod server;
mod vantage;

use std::sync::Arc;

use tokio::net::TcpListener;

pub use self::app::{App, Parts};
pub use self::exchange::authorization::follow_tokens;
pub use self::exchange::query::parse as parse_query;
pub use self::exchange::site::Hosts;
use self::router::{respond, respond_metrics};
use self::server::serve_with;
pub use self::server::{Drained, ServerLimits, listen};
pub(crate) use self::vantage::{Remote, Token};
use crate::metrics::Metrics;

/// Serves `app` on `listener` until `shutdown` completes. From then on every reply
/// ends its connection. After the drain delay the server stops accepting, and
/// finishes the running requests within the grace period.
///
/// The scan of a client that goes away ends, unless others share it.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    server: ServerLimits,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let stopping = Arc::clone(&app);
    let shutdown = async {
        shutdown.await;
        stopping.stopping.send_replace(true);
    };
    serve_with(listener, server, shutdown, move |client, request| {
        let app = Arc::clone(&app);
        async move { respond(&app, client, request).await }
    })
    .await
}

/// Serves only `/metrics` on `listener`, until `shutdown` completes.
pub(crate) async fn serve_metrics(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    hosts: Hosts,
    server: ServerLimits,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let hosts = Arc::new(hosts);
    serve_with(listener, server, shutdown, move |_, request| {
        let (metrics, hosts) = (Arc::clone(&metrics), Arc::clone(&hosts));
        async move { respond_metrics(&metrics, &hosts, &request) }
    })
    .await
}
