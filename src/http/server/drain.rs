//! How a listener closes without losing a client that is connected.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::accepting::{accept_all, is_about_the_client};
use super::connections::{Connection, Connections};
use crate::limits;

/// Closes the listener, and gives the connections time to end.
// When a listener closes, the kernel resets the connections in its queue, although
// their clients are connected. So first no further client gets into the queue, then
// everybody in it is accepted, and then the listener closes.
pub(super) async fn close(
    listener: TcpListener,
    connections: &Arc<Connections>,
    accepted: &impl Fn(TcpStream, IpAddr, Arc<Connection>),
    grace: Duration,
) {
    ignore_newcomers(&listener);
    let settle = limits::DRAIN_SETTLE.min(grace / 2);
    let _ = timeout(settle, accept_all(&listener, connections, accepted)).await;
    accept_waiting(listener, connections, accepted).await;
    // The listener is closed: a later client is refused and can go elsewhere.
    let idle = limits::DRAIN_IDLE.min(grace / 2);
    let _ = timeout(idle, connections.none_left()).await;
}

/// Makes the kernel drop every SYN to the listener. A client sends its SYN again
/// after a second, and is refused then.
pub(super) fn ignore_newcomers(listener: &TcpListener) {
    // The filter of a TCP socket sees segments from the TCP header on. The flags are
    // at offset 13 (RFC 9293, section 3.1). Accepted sockets inherit the filter, but
    // receive no SYN.
    let (syn, syn_ack, flags) = (0x02, 0x12, 13);
    let filter = [
        SockFilter::new(BPF_LOAD_BYTE, 0, 0, flags),
        SockFilter::new(BPF_AND, 0, 0, syn_ack),
        SockFilter::new(BPF_JUMP_IF_EQUAL, 0, 1, syn),
        SockFilter::new(BPF_RETURN, 0, 0, 0),
        SockFilter::new(BPF_RETURN, 0, 0, u32::MAX),
    ];
    // Without filters in the kernel, the last clients may be reset.
    let _ = SockRef::from(listener).attach_filter(&filter);
}

/// Accepts the clients in the listener's queue, and closes the listener.
async fn accept_waiting(
    listener: TcpListener,
    connections: &Arc<Connections>,
    accepted: &impl Fn(TcpStream, IpAddr, Arc<Connection>),
) {
    // Nonblocking, and without the runtime, which notices a client only some time
    // after it came.
    let Ok(listener) = listener.into_std() else { return };
    // Bounded, in case clients come faster than they are accepted.
    for _ in 0..limits::BACKLOG {
        let slot = connections.slot().await;
        match listener.accept() {
            Ok((stream, client)) => {
                let nonblocking = stream.set_nonblocking(true);
                if let Ok(stream) = nonblocking.and_then(|()| TcpStream::from_std(stream)) {
                    accepted(stream, client.ip(), Connection::new(connections, client.ip(), slot));
                }
            }
            Err(error) if is_about_the_client(&error) => {}
            Err(_) => return,
        }
    }
}

// linux/filter.h: BPF_LD | BPF_B | BPF_ABS, BPF_ALU | BPF_AND, BPF_JMP | BPF_JEQ
// and BPF_RET.
const BPF_LOAD_BYTE: u16 = 0x30;
const BPF_AND: u16 = 0x54;
const BPF_JUMP_IF_EQUAL: u16 = 0x15;
const BPF_RETURN: u16 = 0x06;
