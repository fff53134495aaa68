//! The health check of a container without a shell and without curl: requests
//! `/livez` from the service on this host.
//!
//! The check runs every few seconds, so it is small: one thread, a blocking socket, and
//! no HTTP client for a request whose status line is all that is read.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

use thiserror::Error;

use crate::limits;

/// Why the service is not healthy.
#[derive(Debug, Error)]
pub(crate) enum Unhealthy {
    /// There was no reply.
    #[error("healthcheck {address}: {source}")]
    Silent {
        /// Where the request went.
        address: SocketAddr,
        /// What went wrong.
        source: io::Error,
    },
    /// The reply was not 200.
    #[error("healthcheck {address}: answered {answer:?}, not 200")]
    Answered {
        /// Where the request went.
        address: SocketAddr,
        /// The beginning of the reply.
        answer: String,
    },
}

/// Checks the service at each of `listen`; one healthy answer is enough, because the
/// service listens on the first address that it can.
///
/// # Errors
/// What is wrong at the last address, if none is healthy.
///
/// # Panics
/// When `listen` is empty.
pub(crate) fn ask(listen: &[SocketAddr]) -> Result<(), Unhealthy> {
    let (last, others) = listen.split_last().expect("at least one address");
    if others.iter().any(|&address| ask_one(reachable(address)).is_ok()) {
        return Ok(());
    }
    ask_one(reachable(*last))
}

fn ask_one(address: SocketAddr) -> Result<(), Unhealthy> {
    let silent = |source| Unhealthy::Silent { address, source };
    let answer = exchange(address).map_err(silent)?;
    if answer == *ALIVE {
        return Ok(());
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Err(Unhealthy::Answered { address, answer })
}

fn exchange(address: SocketAddr) -> io::Result<[u8; ALIVE.len()]> {
    let timeout = limits::HEALTHCHECK_TIMEOUT;
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let request = format!("GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = [0; ALIVE.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// A service that listens on all interfaces is reached on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

const ALIVE: &[u8; 12] = b"HTTP/1.1 200";
