//! The layer between hyper and a client's socket.
//!
//! A request head that hyper cannot parse never becomes a request: hyper itself
//! answers with a bare status and closes. [`ClientIo`] recognises such an answer, and
//! sends a problem document in its place. It then reads on for a moment before it
//! closes, as RFC 9112, section 9.6, advises: a close with unread data in the
//! socket sends a RST, which can destroy the reply before the client has read it.
//!
//! It also closes a connection whose client reads nothing for too long.
//!
//! A [`Presence`] watches the same socket while a reply is made, to find out whether
//! the client is still there.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use hyper::Version;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::http::exchange::problems::{self, PROBLEM_TYPE, Problem};
use crate::limits;

/// A client's connection, as hyper uses it.
pub(super) struct ClientIo {
    socket: Arc<Socket>,
    refusal: Option<Refusal>,
    /// Runs while the client's window is full.
    stall: Option<Pin<Box<Sleep>>>,
}

/// A problem document that is being sent.
struct Refusal {
    bytes: Vec<u8>,
    sent: usize,
    linger: Option<Pin<Box<Sleep>>>,
}

/// A client's socket, which hyper and a [`Presence`] share. Both run in one task, so
/// neither ever waits for the lock.
struct Socket(Mutex<Shared>);

struct Shared {
    stream: TcpStream,
    /// Whether hyper has written everything that it has to send so far.
    flushed: bool,
}

impl Socket {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.stream)
    }
}

/// Finds out whether a client is still waiting for its reply.
#[derive(Clone)]
pub(super) struct Presence(Arc<Socket>);

impl Presence {
    /// Ends when the client of a request of this version is gone.
    ///
    /// A client that closes its side of the connection may still read, as `nc -N`
    /// does, or may be gone. Its packets are the same. The difference shows only when
    /// something is sent: the system of a client that is gone answers with a RST.
    /// What HTTP/1.1 allows before a reply is an interim one (RFC 9110, section
    /// 15.2). An HTTP/1.0 client gets TCP keepalives instead. Its system answers
    /// these with a RST once it has forgotten the connection, on Linux after a minute
    /// (net.ipv4.tcp_fin_timeout).
    pub(super) async fn lost(&self, version: Version) {
        // How many more checks a client that sends no more passes without a test.
        let mut believed = limits::PRESENCE_PATIENCE;
        loop {
            sleep(limits::PRESENCE_INTERVAL).await;
            let socket = self.0.lock();
            let state = |interest| socket.stream.ready(interest).now_or_never();
            if state(Interest::ERROR).is_some() {
                return;
            }
            let sends_no_more = state(Interest::READABLE)
                .is_some_and(|state| state.is_ok_and(Ready::is_read_closed));
            if !sends_no_more {
                continue;
            }
            believed = believed.saturating_sub(1);
            // Nothing can be inserted into a reply that hyper has begun to send.
            if believed > 0 || !socket.flushed {
                continue;
            }
            if version >= Version::HTTP_11 {
                match socket.stream.try_write(INTERIM) {
                    Ok(count) if count == INTERIM.len() => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    // A part was sent, and the rest can no longer follow in one piece.
                    Ok(_) | Err(_) => return,
                }
            } else {
                let keepalive = TcpKeepalive::new().with_time(limits::PRESENCE_KEEPALIVE);
                // Without keepalives the scan runs to its end.
                let _ = SockRef::from(&socket.stream).set_tcp_keepalive(&keepalive);
            }
            believed = limits::PRESENCE_ASK_AGAIN;
        }
    }
}

impl ClientIo {
    pub(super) fn new(stream: TcpStream) -> Self {
        let socket = Arc::new(Socket(Mutex::new(Shared { stream, flushed: true })));
        Self { socket, refusal: None, stall: None }
    }

    /// A watch on whether this client is still there.
    pub(super) fn presence(&self) -> Presence {
        Presence(Arc::clone(&self.socket))
    }

    /// Says whether the client has sent something that hyper has not read yet.
    pub(super) fn unread(&self) -> impl Fn() -> bool + use<> {
        let socket = Arc::clone(&self.socket);
        move || {
            let (socket, mut byte) = (socket.lock(), [0]);
            let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
            rustix::net::recv(&socket.stream, &mut byte, flags).is_ok_and(|(count, _)| count > 0)
        }
    }

    fn poll_write_within(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut socket = self.socket.lock();
        socket.flushed = false;
        let written = socket.stream().poll_write(cx, bytes);
        drop(socket);
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(limits::WRITE_STALL)));
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(refusal) = &mut self.refusal {
            while refusal.sent < refusal.bytes.len() {
                let rest = &refusal.bytes[refusal.sent..];
                let sent = ready!(self.socket.lock().stream().poll_write(cx, rest))?;
                if sent == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                refusal.sent += sent;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.socket.lock().stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for ClientIo {
    // Vectored writes stay at their default, off: hyper then writes a whole head in
    // one piece, so that its own refusals can be recognised.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(problem) = problem_for(bytes) else {
            return self.poll_write_within(cx, bytes);
        };
        let refusal = Refusal { bytes: render(bytes, &problem), sent: 0, linger: None };
        self.refusal = Some(refusal);
        // The flush that follows sends it.
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        let mut socket = self.socket.lock();
        // hyper flushes once it has written everything.
        socket.flushed = true;
        socket.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        ready!(self.socket.lock().stream().poll_shutdown(cx))?;
        let Self { socket, refusal: Some(refusal), .. } = &mut *self else {
            return Poll::Ready(Ok(()));
        };
        let linger = refusal.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        while linger.as_mut().poll(cx).is_pending() {
            let mut scratch = [0; 4096];
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(socket.lock().stream().poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The document that replaces a refusal by hyper itself; `None` for anything else.
// Recognising it by its bytes is not pretty, but hyper offers nothing else: it has no
// hook for this reply, and its `serve_connection` returns the parse error only after
// the reply was flushed. To know it by what it is not, a reply of the service, is no
// option: hyper may still be writing a reply whose body it has read to the end. A
// refusal that hyper appends to an earlier reply goes out as it is. The service itself
// sends no 4xx without a body.
fn problem_for(bytes: &[u8]) -> Option<Problem> {
    let head = bytes.strip_prefix(b"HTTP/1.1 4")?;
    let bare = head.ends_with(b"\r\n\r\n")
        && head.windows(EMPTY_BODY.len()).any(|window| window == EMPTY_BODY);
    match head.get(..2)? {
        _ if !bare => None,
        b"14" => Some(problems::uri_too_long()),
        b"31" => Some(problems::head_too_long()),
        _ => Some(problems::malformed_head()),
    }
}

/// The refusal with its body: hyper's head, with another length and more fields.
fn render(head: &[u8], problem: &Problem) -> Vec<u8> {
    let body = problem.to_bytes();
    let mut bytes = Vec::with_capacity(head.len() + body.len() + 64);
    for line in head.split_inclusive(|&byte| byte == b'\n') {
        if line == EMPTY_BODY {
            let length = body.len();
            let fields = format!(
                "content-type: {PROBLEM_TYPE}\r\nx-content-type-options: nosniff\r\n\
                 content-length: {length}\r\n"
            );
            bytes.extend_from_slice(fields.as_bytes());
        } else {
            bytes.extend_from_slice(line);
        }
    }
    bytes.extend_from_slice(&body);
    bytes
}

/// An interim reply which only says that a final one will follow: RFC 2518, section
/// 10.1, still registered for that.
const INTERIM: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";

const EMPTY_BODY: &[u8] = b"content-length: 0\r\n";

/// How long a refused client may go on sending. In a second, a megabyte arrives even
/// over a slow link, and the connection is held no longer than for a request.
const LINGER: Duration = Duration::from_secs(1);
