//! The server: accepts connections, answers requests, drains.
//!
//! hyper lives in this module only. What a request means is the router's
//! matter; a [`Reply`] is made in `reply`.

mod accept;
mod audit;
mod authorization;
mod client_io;
mod connections;
mod exchange;
mod held;
mod open_ports;
mod query;
mod reply;
mod report_text;
mod router;
mod site;
mod stream;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use socket2::{SockFilter, SockRef};
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

pub use self::authorization::follow_tokens;
use self::client_io::ClientIo;
use self::connections::{Connections, Place};
use self::held::Held;
pub use self::query::parse as parse_query;
pub use self::reply::{Reply, ReplyBody};
pub use self::router::{respond, respond_metrics};
pub use self::site::Hosts;
use crate::admission::Admission;
use crate::limits;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::request::Ceilings;
use crate::resolve::Resolver;
use crate::scan::Scanner;
use crate::tokens::TokenFile;

/// What the handlers work with.
#[derive(Debug)]
pub struct App {
    /// Runs the scans.
    pub scanner: Scanner,
    /// Finds the addresses.
    pub resolver: Resolver,
    /// Says which of them may be scanned.
    pub policy: Policy,
    /// Says how many scans may run.
    pub admission: Arc<Admission>,
    /// What a request may ask for.
    pub ceilings: Ceilings,
    /// The names that its listener goes by.
    pub hosts: Hosts,
    /// Who may ask; everybody, if there are none.
    pub tokens: Option<Arc<TokenFile>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Set once no new work is wanted.
    pub stopping: AtomicBool,
}

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

async fn serve_with<H, R>(
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

/// Accepts for ever, as many at once as there are slots.
async fn accept_all(
    listener: &TcpListener,
    connections: &Arc<Connections>,
    accepted: &impl Fn(TcpStream, IpAddr, Arc<Place>),
) {
    let mut pause = limits::MIN_ACCEPT_PAUSE;
    loop {
        let slot = connections.slot().await;
        match listener.accept().await {
            Ok((stream, client)) => {
                pause = limits::MIN_ACCEPT_PAUSE;
                // Replies are written whole; waiting to join them to others
                // gains nothing.
                let _ = stream.set_nodelay(true);
                let place = Place::new(connections, client.ip(), slot);
                accepted(stream, client.ip(), place);
            }
            // That client's trouble; accept(2) says to try the next one.
            Err(error) if is_about_the_client(&error) => {}
            // Ours, say EMFILE: at once it would fail again, and spin.
            Err(error) => {
                tracing::warn!(%error, pause_ms = pause.as_millis(), "cannot accept");
                sleep(pause).await;
                pause = (pause * 2).min(limits::MAX_ACCEPT_PAUSE);
            }
        }
    }
}

/// Has the kernel drop every SYN to the listener. Their clients send it again
/// after a second, and are refused then.
fn ignore_newcomers(listener: &TcpListener) {
    // A filter of a TCP socket sees segments from their header on; the flags are
    // at offset 13 (RFC 9293, section 3.1). Accepted sockets inherit it, and get
    // no SYN.
    let (syn, syn_ack, flags) = (0x02, 0x12, 13);
    let filter = [
        SockFilter::new(BPF_LOAD_BYTE, 0, 0, flags),
        SockFilter::new(BPF_AND, 0, 0, syn_ack),
        SockFilter::new(BPF_JUMP_IF_EQUAL, 0, 1, syn),
        SockFilter::new(BPF_RETURN, 0, 0, 0),
        SockFilter::new(BPF_RETURN, 0, 0, u32::MAX),
    ];
    // Where the system has none, some that come last may be reset.
    let _ = SockRef::from(listener).attach_filter(&filter);
}

/// Accepts those who are waiting, and closes the listener.
async fn accept_waiting(
    listener: TcpListener,
    connections: &Arc<Connections>,
    accepted: &impl Fn(TcpStream, IpAddr, Arc<Place>),
) {
    // Nonblocking, and without the runtime, which learns of a client only some
    // time after it came.
    let Ok(listener) = listener.into_std() else { return };
    // Bounded, should they come faster than they are accepted.
    for _ in 0..limits::BACKLOG {
        let slot = connections.slot().await;
        match listener.accept() {
            Ok((stream, client)) => {
                let nonblocking = stream.set_nonblocking(true);
                if let Ok(stream) = nonblocking.and_then(|()| TcpStream::from_std(stream)) {
                    accepted(stream, client.ip(), Place::new(connections, client.ip(), slot));
                }
            }
            Err(error) if is_about_the_client(&error) => {}
            Err(_) => return,
        }
    }
}

fn is_about_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, HostUnreachable, NetworkUnreachable};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | HostUnreachable | NetworkUnreachable
    )
}

/// Ends a connection whose client is gone.
#[derive(Debug, Error)]
#[error("the client is gone")]
struct ClientLost;

async fn serve_connection<H, R>(
    io: ClientIo,
    client: IpAddr,
    handler: H,
    watcher: Watcher,
    place: &Arc<Place>,
) where
    H: Fn(IpAddr, Request<Incoming>) -> R,
    R: Future<Output = Reply>,
{
    let presence = io.presence();
    let service = service_fn(|request: Request<Incoming>| {
        let (busy, version) = (place.busy(), request.version());
        let (reply, presence) = (handler(client, request), &presence);
        async move {
            let reply = tokio::select! {
                biased;
                reply = reply => reply,
                () = presence.lost(version) => return Err(ClientLost),
            };
            let mut reply = reply.map(|body| Held::new(body, busy));
            if !place.stays() {
                reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(reply)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADER_READ_TIMEOUT)
        .max_buf_size(limits::MAX_HEAD_BYTES)
        // Who sends no more may still read; `presence` finds out who does not.
        .half_close(true)
        .serve_connection(TokioIo::new(io), service);
    // Whatever ended a connection was the client's doing, and no news.
    let _ = watcher.watch(connection).await;
}

// linux/filter.h: BPF_LD | BPF_B | BPF_ABS, BPF_ALU | BPF_AND, BPF_JMP | BPF_JEQ
// and BPF_RET.
const BPF_LOAD_BYTE: u16 = 0x30;
const BPF_AND: u16 = 0x54;
const BPF_JUMP_IF_EQUAL: u16 = 0x15;
const BPF_RETURN: u16 = 0x06;
