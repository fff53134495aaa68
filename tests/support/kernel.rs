//! The kernel's lists of listening sockets and of source ports.
//!
//! Other programs may also start and stop listening while a test runs, some of them on
//! all addresses. A scan must not report a port as open that nobody listened on during
//! the scan; a [`Witness`] notes which ports those are.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    /// Established connections that are not accepted yet.
    pub(crate) queued: u32,
}

/// Notes on which ports any program listens, until it is asked.
pub(crate) struct Witness {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<u16>>,
}

impl Listening {
    /// All listening sockets of this network namespace.
    pub(crate) fn all() -> Vec<Self> {
        ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok())
            .flat_map(|table| table.lines().filter_map(Self::from_row).collect::<Vec<_>>())
            .collect()
    }

    /// Reads a row of the table, whose columns are in the kernel's documentation
    /// (proc_net_tcp).
    fn from_row(row: &str) -> Option<Self> {
        let columns: Vec<&str> = row.split_ascii_whitespace().collect();
        let (&local, &state, &queues) = (columns.get(1)?, columns.get(3)?, columns.get(4)?);
        if state != LISTEN {
            return None;
        }
        let (address, port) = local.split_once(':')?;
        let (_, queued) = queues.split_once(':')?;
        Some(Self {
            address: address_of(address)?,
            port: u16::from_str_radix(port, 16).ok()?,
            queued: u32::from_str_radix(queued, 16).ok()?,
        })
    }

    /// Whether this socket may accept a connection to `address`. A socket on all IPv6
    /// addresses may also accept IPv4; the table does not say.
    fn may_answer(&self, address: IpAddr) -> bool {
        self.address == address
            || self.address == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
            || (self.address == IpAddr::V4(Ipv4Addr::UNSPECIFIED) && address.is_ipv4())
    }
}

impl Witness {
    /// Starts watching `address`.
    pub(crate) fn of(address: IpAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut seen = ports_that_may_answer(address);
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            loop {
                let last = stopped.load(Ordering::Acquire);
                seen.append(&mut ports_that_may_answer(address));
                if last {
                    return seen;
                }
                thread::park_timeout(LOOK_EVERY);
            }
        });
        Self { stop, thread }
    }

    /// The ports on which some program listened at any time.
    pub(crate) fn seen(self) -> BTreeSet<u16> {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.thread.join().unwrap()
    }
}

/// The ports from which the kernel chooses for outgoing connections.
pub(crate) fn ephemeral_ports() -> RangeInclusive<u16> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let mut bounds = range.split_ascii_whitespace().map(|bound| bound.parse().unwrap());
    bounds.next().unwrap()..=bounds.next().unwrap()
}

/// Whether this machine has IPv6 on loopback; not every container has.
pub(crate) fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

fn ports_that_may_answer(address: IpAddr) -> BTreeSet<u16> {
    let all = Listening::all().into_iter();
    all.filter(|listening| listening.may_answer(address)).map(|listening| listening.port).collect()
}

/// Reads an address as the kernel prints it: 32-bit words in host order.
fn address_of(hex: &str) -> Option<IpAddr> {
    let words = (0..hex.len() / 8)
        .map(|word| u32::from_str_radix(hex.get(8 * word..8 * word + 8)?, 16).ok())
        .collect::<Option<Vec<u32>>>()?;
    let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(|bytes| IpAddr::from(bytes).to_canonical()),
    }
}

/// TCP_LISTEN in the kernel's include/net/tcp_states.h.
const LISTEN: &str = "0A";

/// Reading takes 10 ms if the kernel's table is large, even if it is nearly empty. No
/// program is expected to listen for less than this.
const LOOK_EVERY: Duration = Duration::from_millis(100);
