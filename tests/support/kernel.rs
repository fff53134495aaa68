//! What the kernel says of listening sockets and of source ports.
//!
//! Other programs listen too, some of them on all addresses, and come and go
//! while a test runs: a port that nobody listened on at any time during a scan
//! must not be reported open, and that takes a witness.

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
    /// Connections established and not accepted yet.
    pub(crate) queued: u32,
}

/// Notes which ports anybody listens on, for as long as it lives.
pub(crate) struct Witness {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<u16>>,
}

impl Listening {
    /// Every socket of this network namespace that listens now.
    pub(crate) fn all() -> Vec<Self> {
        ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok())
            .flat_map(|table| table.lines().filter_map(Self::from_row).collect::<Vec<_>>())
            .collect()
    }

    /// Reads a row of the table; proc_net_tcp in the kernel's documentation
    /// tells the columns.
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

    /// Whether a connection to `address` may end up here. A socket on all IPv6
    /// addresses takes IPv4 as well, or not; the table does not say.
    fn may_answer(&self, address: IpAddr) -> bool {
        self.address == address
            || self.address == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
            || (self.address == IpAddr::V4(Ipv4Addr::UNSPECIFIED) && address.is_ipv4())
    }
}

impl Witness {
    /// Begins to watch `address`.
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

    /// The ports that somebody listened on at some time.
    pub(crate) fn seen(self) -> BTreeSet<u16> {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.thread.join().unwrap()
    }
}

/// The ports that connections come from unless their program chose one.
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

/// A look takes 10 ms where the kernel's table is large, however little is in
/// it; who listens for less than this between two looks is not to be expected.
const LOOK_EVERY: Duration = Duration::from_millis(100);
