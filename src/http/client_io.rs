//! What stands between hyper and a client's socket.
//!
//! A request head that hyper cannot read never becomes a request: it answers
//! with a bare status and closes. [`ClientIo`] notices such an answer, and sends
//! a problem document in its place. It then reads on for a moment before it
//! closes, as RFC 9112, section 9.6, advises: a close with unread data in the
//! socket sends a RST, which can destroy the reply before the client has read it.
//!
//! It also gives up a client that leaves for too long unread what was sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::reply::{PROBLEM_TYPE, Problem};
use crate::limits;

/// A client's connection.
pub(super) struct ClientIo {
    stream: TcpStream,
    refusal: Option<Refusal>,
    /// Runs while the client's window is full.
    stall: Option<Pin<Box<Sleep>>>,
}

/// A refusal on its way out.
struct Refusal {
    bytes: Vec<u8>,
    sent: usize,
    linger: Option<Pin<Box<Sleep>>>,
}

impl ClientIo {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, refusal: None, stall: None }
    }

    fn poll_write_within(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
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
                let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
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
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ClientIo {
    // Vectored writes stay at their default, off: hyper then hands over a whole
    // head in one piece, which is how a refusal is known.
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
        // Sent by the flush that follows.
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        let Self { stream, refusal: Some(refusal), .. } = &mut *self else {
            return Poll::Ready(Ok(()));
        };
        let linger = refusal.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        while linger.as_mut().poll(cx).is_pending() {
            let mut scratch = [0; 4096];
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The document in place of a refusal of hyper's own; `None` for anything
/// else. The service itself sends no 4xx without a body.
fn problem_for(bytes: &[u8]) -> Option<Problem> {
    let head = bytes.strip_prefix(b"HTTP/1.1 4")?;
    let bare = head.ends_with(b"\r\n\r\n")
        && head.windows(EMPTY_BODY.len()).any(|window| window == EMPTY_BODY);
    match head.get(..2)? {
        _ if !bare => None,
        b"14" => Some(Problem::target_too_long(414)),
        b"31" => Some(Problem::target_too_long(431)),
        _ => Some(Problem::malformed_head()),
    }
}

/// The refusal with its body: hyper's head, but for the length.
fn render(head: &[u8], problem: &Problem) -> Vec<u8> {
    let body = problem.to_bytes();
    let mut bytes = Vec::with_capacity(head.len() + body.len() + 64);
    for line in head.split_inclusive(|&byte| byte == b'\n') {
        if line == EMPTY_BODY {
            let length = body.len();
            let fields = format!("content-type: {PROBLEM_TYPE}\r\ncontent-length: {length}\r\n");
            bytes.extend_from_slice(fields.as_bytes());
        } else {
            bytes.extend_from_slice(line);
        }
    }
    bytes.extend_from_slice(&body);
    bytes
}

const EMPTY_BODY: &[u8] = b"content-length: 0\r\n";

/// How long a refused client may go on sending: a second takes a megabyte over
/// any link worth the name, and holds a connection no longer than a request.
const LINGER: Duration = Duration::from_secs(1);
