//! Ports on loopback in a known state: open, refused or silent.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::iter;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use nix::libc;
use nix::sys::socket::{getsockopt, sockopt};
use open_ports::services::registered;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use socket2::{Domain, Socket, Type};

use super::kernel::{Listening, ephemeral_ports};
use super::wait_for;

/// Listening ports, and a thread that accepts and closes connections to them.
pub(crate) struct Listeners {
    pub(crate) address: IpAddr,
    pub(crate) ports: BTreeSet<u16>,
    sockets: Arc<Vec<TcpListener>>,
    accepted: Arc<AtomicUsize>,
    stop: UnixStream,
    thread: Option<JoinHandle<()>>,
}

/// A port that refuses: it is bound, so that nothing else can listen on it.
pub(crate) struct Refused {
    pub(crate) port: u16,
    _bound: Socket,
}

/// Ports that never answer: their accept queues are full.
pub(crate) struct Silent {
    pub(crate) address: IpAddr,
    pub(crate) ports: BTreeSet<u16>,
    _listeners: Vec<Socket>,
    _held: Vec<TcpStream>,
}

impl Listeners {
    /// `count` listeners on random ports, half of them on ephemeral ports, from which
    /// connections are also made.
    pub(crate) fn bind(address: IpAddr, count: usize) -> Self {
        raise_descriptor_limit();
        let sockets = (0..count).map(|turn| match turn % 2 {
            0 => listen_at_random(address, &ephemeral_ports()),
            _ => listen_at_random(address, &ports_below_ephemeral()),
        });
        Self::accepting(address, sockets.collect())
    }

    /// One listener at a given port.
    pub(crate) fn bind_at(address: IpAddr, port: u16) -> io::Result<Self> {
        Ok(Self::accepting(address, vec![try_listen((address, port).into())?]))
    }

    /// The ports as one list, for `ports=`.
    pub(crate) fn list(&self) -> String {
        list(&self.ports)
    }

    /// How many connections have been attempted so far: accepted ones, and those that
    /// were reset before they were established.
    pub(crate) fn probed(&self) -> usize {
        let reset = self.sockets.iter().map(|socket| {
            let memory = getsockopt(socket, MemoryInfo).unwrap();
            usize::try_from(memory[SK_MEMINFO_DROPS]).unwrap()
        });
        reset.sum::<usize>() + self.accepted.load(Ordering::Acquire)
    }

    /// Checks the open ports that a scan found: all of these, and no others except those
    /// that a witness has `seen`.
    #[track_caller]
    pub(crate) fn assert_found(&self, open: &[u16], seen: &BTreeSet<u16>) {
        assert!(open.is_sorted_by(|a, b| a < b), "not in order: {open:?}");
        let open = BTreeSet::from_iter(open.iter().copied());
        let missed: Vec<_> = self.ports.difference(&open).collect();
        let phantoms: Vec<_> = open.difference(seen).collect();
        assert!(
            missed.is_empty() && phantoms.is_empty(),
            "on {}: missed {missed:?}, phantoms {phantoms:?}",
            self.address
        );
    }

    fn accepting(address: IpAddr, sockets: Vec<TcpListener>) -> Self {
        let ports = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (stop, stopped) = UnixStream::pair().unwrap();
        let (sockets, count) = (Arc::new(sockets), Arc::clone(&accepted));
        let accepting = Arc::clone(&sockets);
        let thread = Some(thread::spawn(move || accept_all(&accepting, &stopped, &count)));
        Self { address, ports, sockets, accepted, stop, thread }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.stop.write_all(b".").unwrap();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Refused {
    pub(crate) fn bind(address: IpAddr) -> Self {
        let bound = socket(address);
        bound.bind(&SocketAddr::new(address, 0).into()).unwrap();
        Self { port: port_of(&bound), _bound: bound }
    }
}

impl Silent {
    // A listen queue of length 0 holds one connection; a SYN that finds it full
    // is dropped (tcp_conn_request in the kernel's net/ipv4/tcp_input.c).
    pub(crate) fn bind(address: IpAddr, count: usize) -> Self {
        raise_descriptor_limit();
        let listeners: Vec<Socket> = (0..count)
            .map(|_| {
                let listener = bound_at_random(address, &ephemeral_ports(), Reuse::No);
                listener.listen(0).unwrap();
                listener
            })
            .collect();
        let ports: BTreeSet<u16> = listeners.iter().map(port_of).collect();
        let held = ports.iter().map(|&port| TcpStream::connect((address, port)).unwrap()).collect();
        wait_for("the queues to be full", || {
            let full = |listening: &Listening| {
                listening.address == address
                    && listening.queued == 1
                    && ports.contains(&listening.port)
            };
            (Listening::all().iter().filter(|listening| full(listening)).count() == count)
                .then_some(())
        });
        Self { address, ports, _listeners: listeners, _held: held }
    }

    /// The ports as one list, for `ports=`.
    pub(crate) fn list(&self) -> String {
        list(&self.ports)
    }
}

/// Ports as one list, for `ports=`.
pub(crate) fn list<'a>(ports: impl IntoIterator<Item = &'a u16>) -> String {
    ports.into_iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

/// A port on which nothing listens, on any address, and that is not ephemeral.
// It is bound but never listens. A process that another thread starts meanwhile has a
// copy of the socket until it executes its program, and a listener would accept.
pub(crate) fn free_port() -> u16 {
    let address = Ipv4Addr::UNSPECIFIED.into();
    port_of(&bound_at_random(address, &ports_below_ephemeral(), Reuse::Yes))
}

/// A number that differs from call to call.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// `SO_MEMINFO`, which includes how many segments a socket has dropped.
// A listener drops the RST of a connection that is not established yet (tcp_v4_rcv in
// the kernel's net/ipv4/tcp_ipv4.c).
#[derive(Clone, Copy)]
struct MemoryInfo;

nix::getsockopt_impl!(
    MemoryInfo,
    libc::SOL_SOCKET,
    libc::SO_MEMINFO,
    [u32; 9],
    sockopt::GetStruct<[u32; 9]>
);

/// Its index in what the kernel's sk_get_meminfo fills in.
const SK_MEMINFO_DROPS: usize = 8;

fn accept_all(sockets: &[TcpListener], stopped: &UnixStream, count: &AtomicUsize) {
    let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
    let stop = sockets.len();
    epoll::add(&epoll, stopped, EventData::new_u64(stop as u64), EventFlags::IN).unwrap();
    for (index, socket) in sockets.iter().enumerate() {
        epoll::add(&epoll, socket, EventData::new_u64(index as u64), EventFlags::IN).unwrap();
    }
    let mut events = Vec::with_capacity(64);
    loop {
        events.clear();
        // A signal may interrupt the wait; the loop waits again.
        let _ = epoll::wait(&epoll, spare_capacity(&mut events), None);
        for event in &events {
            let index = usize::try_from(event.data.u64()).unwrap();
            if index == stop {
                return;
            }
            while sockets[index].accept().is_ok() {
                count.fetch_add(1, Ordering::Release);
            }
        }
    }
}

/// Hundreds of targets may need more descriptors than a shell allows by default.
fn raise_descriptor_limit() {
    let _ = open_ports::machine::descriptors::raise_descriptor_limit();
}

fn listen_at_random(address: IpAddr, ports: &RangeInclusive<u16>) -> TcpListener {
    listening(bound_at_random(address, ports, Reuse::No)).unwrap()
}

/// Whether another socket may bind the same port, while neither listens.
#[derive(Clone, Copy, PartialEq)]
enum Reuse {
    Yes,
    No,
}

fn bound_at_random(address: IpAddr, ports: &RangeInclusive<u16>, reuse: Reuse) -> Socket {
    wait_for("a port that is free", || {
        let socket = socket(address);
        socket.set_reuse_address(reuse == Reuse::Yes).unwrap();
        socket.bind(&SocketAddr::new(address, random_of(ports)).into()).ok()?;
        Some(socket)
    })
}

/// One of `ports` that has no registered service, whose name reports would contain.
fn random_of(ports: &RangeInclusive<u16>) -> u16 {
    let any = || ports.start() + u16::try_from(random() % (ports.len() as u64)).unwrap();
    iter::repeat_with(any).find(|&port| registered(port).is_none()).unwrap()
}

fn try_listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address.ip());
    socket.bind(&address.into())?;
    listening(socket)
}

fn listening(socket: Socket) -> io::Result<TcpListener> {
    // More than all scans of a test together have in flight.
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn socket(address: IpAddr) -> Socket {
    Socket::new(Domain::for_address((address, 0).into()), Type::STREAM, None).unwrap()
}

fn port_of(socket: &Socket) -> u16 {
    socket.local_addr().unwrap().as_socket().unwrap().port()
}

/// The unprivileged ports below the ephemeral ones, or the ephemeral ones if there are
/// too few.
fn ports_below_ephemeral() -> RangeInclusive<u16> {
    let ephemeral = ephemeral_ports();
    if *ephemeral.start() < 4096 { ephemeral } else { 1024..=ephemeral.start() - 1 }
}
