//! Accepting clients, one after the other, within the slots that there are.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::connections::{Connection, Connections};
use crate::limits;

/// Accepts for ever. Each client takes a slot.
pub(super) async fn accept_all(
    listener: &TcpListener,
    connections: &Arc<Connections>,
    accepted: &impl Fn(TcpStream, IpAddr, Arc<Connection>),
) {
    let mut pause = limits::MIN_ACCEPT_PAUSE;
    loop {
        let slot = connections.slot().await;
        match listener.accept().await {
            Ok((stream, client)) => {
                pause = limits::MIN_ACCEPT_PAUSE;
                // Replies are written whole, so that Nagle's algorithm would only
                // delay them.
                let _ = stream.set_nodelay(true);
                let connection = Connection::new(connections, client.ip(), slot);
                accepted(stream, client.ip(), connection);
            }
            // That client is gone. accept(2) says to try the next one.
            Err(error) if is_about_the_client(&error) => {}
            // EMFILE, for instance: without a pause, this loop would spin.
            Err(error) => {
                tracing::warn!(%error, pause_ms = pause.as_millis(), "cannot accept");
                sleep(pause).await;
                pause = (pause * 2).min(limits::MAX_ACCEPT_PAUSE);
            }
        }
    }
}

/// Whether `accept` failed for a reason that concerns one client only.
pub(super) fn is_about_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, HostUnreachable, NetworkUnreachable};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | HostUnreachable | NetworkUnreachable
    )
}
