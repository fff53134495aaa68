//! The service over HTTP.
//!
//! | room        | knows                                                        |
//! |-------------|--------------------------------------------------------------|
//! | `server`    | bytes: listening, connections, draining                      |
//! | `exchange`  | HTTP: whom a request is for, who asks, replies and problems  |
//! | `endpoints` | what this service does, a file for each route                |
//! | `router`    | which endpoint answers a request                             |
//!
//! hyper lives in this module only.

mod app;
mod endpoints;
mod exchange;
mod router;
mod server;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::TcpListener;

pub use self::app::{App, Parts};
pub use self::exchange::authorization::follow_tokens;
pub use self::exchange::query::parse as parse_query;
pub use self::exchange::reply::{Reply, ReplyBody};
pub use self::exchange::site::Hosts;
pub use self::router::{respond, respond_metrics};
use self::server::serve_with;
pub use self::server::{Drained, ServerLimits, listen};
use crate::metrics::Metrics;

/// Serves `app` on `listener` until `shutdown` completes. From then on every reply
/// ends its connection; after the drain delay it stops accepting, and finishes
/// what is running within the grace period.
///
/// A client that goes away takes its scan with it.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    server: ServerLimits,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let stopping = Arc::clone(&app);
    let shutdown = async {
        shutdown.await;
        stopping.stopping.store(true, Ordering::Relaxed);
    };
    serve_with(listener, server, shutdown, move |client, request| {
        let app = Arc::clone(&app);
        async move { respond(&app, client, &request).await }
    })
    .await
}

/// Serves nothing but `/metrics` on `listener`, until `shutdown` completes.
pub async fn serve_metrics(
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
