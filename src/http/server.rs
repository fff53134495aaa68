//! A server: it listens, accepts connections, has them answered, and drains.
//!
//! hyper is fed with sockets here. What a request means is not known.

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
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::accepting::{accept_all, accept_waiting};
use self::client_io::ClientIo;
use self::connection::serve_connection;
use self::connections::{Connections, Place};
use self::drain::ignore_newcomers;
use super::exchange::reply::Reply;
use crate::limits;

/// How a server treats its clients.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections held at once; an idle one has to go for a further client.
    pub connections: usize,
    /// How long to go on accepting once the server is to stop, and says so on
    /// `/readyz`: load balancers take that long to notice.
    pub drain_delay: Duration,
    /// How long running requests may go on after that.
    pub grace: Duration,
}

/// How a server came to its end.
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
/// When the system refuses.
///
/// # Panics
/// Outside a tokio runtime with I/O.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted service need not wait for its old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    // Connections that are accepted inherit it.
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
    // Its drop ends them. Nothing is kept of one that has ended: a set of tasks
    // would hold on to its memory until the next client comes.
    let (serving, _) = watch::channel(());
    let accepted = |stream, client, place: Arc<Place>| {
        let (handler, watcher) = (handler.clone(), graceful.watcher());
        let mut serving = serving.subscribe();
        tokio::spawn(async move {
            let io = ClientIo::new(stream);
            let unread = io.unread();
            tokio::select! {
                biased;
                // First, so that a request which is here is seen.
                () = serve_connection(io, client, handler, watcher, &place) => {}
                () = place.evicted(unread) => {}
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
    let waited = timeout_at(deadline, async {
        // What is in the listener's queue when it closes is reset, though its
        // clients take themselves to be connected. So nobody gets in any more,
        // then everybody who is in the queue is accepted, and then it closes.
        ignore_newcomers(&listener);
        let settle = limits::DRAIN_SETTLE.min(server.grace / 2);
        let _ = timeout(settle, accept_all(&listener, &connections, &accepted)).await;
        accept_waiting(listener, &connections, &accepted).await;
        // The listener is closed by now: a client that comes later is refused
        // and can go elsewhere.
        let idle = limits::DRAIN_IDLE.min(server.grace / 2);
        let _ = timeout(idle, connections.none_left()).await;
    });
    // If time is up, the next step has none either.
    let _ = waited.await;
    match timeout_at(deadline, graceful.shutdown()).await {
        Ok(()) => Drained::Whole,
        Err(_) => Drained::Cut(connections.held()),
    }
}
