//! One connection: hyper reads its requests, and the handler answers them.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use thiserror::Error;

use super::client_io::ClientIo;
use super::connections::Connection;
use crate::http::exchange::held::Held;
use crate::http::exchange::reply::Reply;
use crate::limits;

/// Ends a connection whose client is gone.
#[derive(Debug, Error)]
#[error("the client is gone")]
struct ClientLost;

pub(super) async fn serve_connection<H, R>(
    io: ClientIo,
    client: IpAddr,
    handler: H,
    watcher: Watcher,
    connection: &Arc<Connection>,
) where
    H: Fn(IpAddr, Request<Incoming>) -> R,
    R: Future<Output = Reply>,
{
    let presence = io.presence();
    let service = service_fn(|request: Request<Incoming>| {
        let (busy, version) = (connection.busy(), request.version());
        let (reply, presence) = (handler(client, request), &presence);
        async move {
            let reply = tokio::select! {
                biased;
                reply = reply => reply,
                () = presence.lost(version) => return Err(ClientLost),
            };
            let mut reply = reply.map(|body| Held::new(body, busy));
            if !connection.stays() {
                reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(reply)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADER_READ_TIMEOUT)
        .max_buf_size(limits::MAX_HEAD_BYTES)
        // A client that sends no more may still read. `presence` finds out if not.
        .half_close(true)
        .serve_connection(TokioIo::new(io), service);
    // An error here is something the client did, and is not logged.
    let _ = watcher.watch(served).await;
}
