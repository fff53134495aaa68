//! Asks the service on this host whether it lives, as the health check of a
//! container that has no shell and no curl in it.
//!
//! A request of one line needs no HTTP client, and a process that runs every few
//! seconds should be small: blocking sockets, one thread, a status line.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

use thiserror::Error;

use crate::limits;

/// The service does not answer, or not as one that lives.
#[derive(Debug, Error)]
pub enum Unhealthy {
    /// There was no answer to read.
    #[error("healthcheck {address}: {source}")]
    Silent {
        /// Who was asked.
        address: SocketAddr,
        /// What went wrong.
        source: io::Error,
    },
    /// Something else answered, or the service is not well.
    #[error("healthcheck {address}: answered {answer:?}, not 200")]
    Answered {
        /// Who was asked.
        address: SocketAddr,
        /// The beginning of the answer.
        answer: String,
    },
}

/// Asks the service that listens on the first of `listen` that it could take.
///
/// # Errors
/// What is wrong at the last address, if none answers that it lives.
///
/// # Panics
/// When there is no address.
pub fn ask(listen: &[SocketAddr]) -> Result<(), Unhealthy> {
    let (last, others) = listen.split_last().expect("there is an address to ask");
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

/// Who listens on all interfaces is asked on this host's own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

const ALIVE: &[u8; 12] = b"HTTP/1.1 200";
