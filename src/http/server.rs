//! A server: listens, accepts connections, passes requests to a handler, and drains.
//!
//! It knows bytes and connections. What a request means is the handler's matter.

mod accepting;
mod client_io;
mod connection;
mod connections;
mod drain;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use self::accepting::accept_all;
use self::client_io::ClientIo;
use self::connection::serve_connection;
use self::connections::{Connection, Connections};
use self::drain::close;
use super::exchange::reply::Reply;
use crate::limits;

/// The limits within which a server serves its clients.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections at once. When all are taken, an idle one is closed for the next
    /// client.
    pub connections: usize,
    /// How long to go on accepting once the server is to stop. Meanwhile `/readyz`
    /// answers 503, which load balancers take some time to notice.
    pub drain_delay: Duration,
    /// How long running requests may take after that.
    pub grace: Duration,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request was answered.
    Whole,
    /// The grace period ended first; this many connections were cut.
    Cut(usize),
}

/// Listens on `address`.
///
/// # Errors
/// When the system refuses it.
///
/// # Panics
/// Outside a tokio runtime with I/O.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // So that a restarted service can listen while its old connections are in
    // TIME_WAIT.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(limits::SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(limits::BACKLOG)
}

pub(super) async fn serve_with<H, R>(
    listener: TcpListener,
    server: ServerLimits,
    shutdown: impl Future<Output = ()>,
    handler: H,
) -> Drained
where
    H: Fn(IpAddr, Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Reply> + Send + 'static,
{
    let graceful = GracefulShutdown::new();
    let connections = Connections::new(server.connections);
    // Its drop ends all connections. A set of tasks would do that too, but would keep
    // the memory of those that have ended until the next client comes.
    let (serving, _) = watch::channel(());
    let accepted = |stream, client, connection: Arc<Connection>| {
        let (handler, watcher) = (handler.clone(), graceful.watcher());
        let mut serving = serving.subscribe();
        tokio::spawn(async move {
            let io = ClientIo::new(stream);
            let unread = io.unread();
            tokio::select! {
                biased;
                // Polled first, so that a request which has arrived is seen.
                () = serve_connection(io, client, handler, watcher, &connection) => {}
                () = connection.evicted(unread) => {}
                _ = serving.changed() => {}
            }
        });
    };
    let stop = async {
        shutdown.await;
        connections.wind_up();
        sleep(server.drain_delay).await;
    };
    tokio::select! {
        () = stop => {}
        () = accept_all(&listener, &connections, &accepted) => {}
    }
    let deadline = Instant::now() + server.grace;
    let closed = timeout_at(deadline, close(listener, &connections, &accepted, server.grace));
    // If the time is up, the next step ends at once.
    let _ = closed.await;
    match timeout_at(deadline, graceful.shutdown()).await {
        Ok(()) => Drained::Whole,
        Err(_) => Drained::Cut(connections.held()),
    }
}
