//! A nonblocking TCP socket that is used for one port after another.

use std::io;
use std::mem::offset_of;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use rustix::io::Errno;
use rustix::net;
use socket2::{Domain, Socket, Type};

use super::icmp;
use super::route::source_for;
use crate::scan::outcome::{Answer, PortState, Sighting};

/// A reusable probe socket of one address family.
pub(super) struct ProbeSocket {
    socket: Socket,
    ipv6: bool,
    loopback: bool,
    /// Whether ICMP errors are kept for this socket to be read.
    hears_icmp: bool,
}

impl ProbeSocket {
    pub(super) fn try_new(address: IpAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address((address, 0).into()), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        // A filter's ICMP port unreachable and a RST are the same errno, and so are
        // most other ICMP errors among themselves. Nobody filters loopback, where
        // the look for them would cost a tenth of the speed.
        let hears_icmp = !address.is_loopback()
            && match address {
                IpAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true).is_ok(),
                IpAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true).is_ok(),
            };
        // Where the kernel does not know the option, nothing is lost but manners.
        let _ = setsockopt(&socket, DeferAccept, &1);
        Ok(Self { socket, ipv6: address.is_ipv6(), loopback: address.is_loopback(), hears_icmp })
    }

    /// Whether the socket is made for addresses like this one.
    pub(super) fn serves(&self, address: IpAddr) -> bool {
        self.ipv6 == address.is_ipv6() && self.loopback == address.is_loopback()
    }

    /// Starts a connection, or asks how the one in flight stands; `None` while
    /// it is in flight.
    // Linux: a second `connect` to the same address returns EALREADY while the
    // handshake runs, 0 or EISCONN once it is done, and the error that ended it
    // otherwise, which leaves the socket unconnected and fit for the next
    // target. Reading SO_ERROR instead would eat the error: the next `connect`
    // then fails with ECONNABORTED and sends nothing (__inet_stream_connect in
    // net/ipv4/af_inet.c).
    pub(super) fn ask(&self, target: &SocketAddr) -> Option<Answer> {
        let answer = Answer::of_connect(net::connect(&self.socket, target))?;
        let refused = !matches!(answer, Answer::Port(PortState::Open, _) | Answer::Short(_));
        Some(refused.then(|| self.icmp_error(target)).flatten().unwrap_or(answer))
    }

    /// Asks how the attempt in flight stands, and takes every answer there is.
    // An ICMP error that comes while a system call holds the socket, as from a
    // filter of this host or of one beside it, does not end the attempt
    // (sk_err_soft in tcp_v4_err, net/ipv4/tcp_ipv4.c): only the error queue
    // shows it, and an error left there would be taken for one about the next target.
    pub(super) fn look(&self, target: &SocketAddr) -> Option<Answer> {
        self.ask(target).or_else(|| self.icmp_error(target))
    }

    fn icmp_error(&self, target: &SocketAddr) -> Option<Answer> {
        self.hears_icmp.then(|| icmp::take_error(&self.socket, target)).flatten()
    }

    /// How long the handshake of an open port took, as the kernel measured it; its
    /// clock does not stand still while this process waits for its turn.
    // Without a measurement, as after a reset, the kernel says 0. It measures no
    // repeated SYN that could be mistaken (Karn's algorithm, RFC 6298, section 3).
    pub(super) fn handshake_time(&self) -> Option<Duration> {
        let info = getsockopt(&self.socket, TcpInfo).ok()?;
        let word = |offset: usize| info[offset / size_of::<u32>()];
        let repeated = word(offset_of!(libc::tcp_info, tcpi_total_retrans)) > 0;
        let us = word(offset_of!(libc::tcp_info, tcpi_rtt));
        (us > 0 && !repeated).then(|| Duration::from_micros(us.into()))
    }

    /// Abandons the attempt or connection, so that the socket can ask again.
    // connect(AF_UNSPEC) drops a handshake in flight silently and ends an
    // established connection with a RST, so nothing is left in TIME_WAIT.
    pub(super) fn reset(&self) -> Result<(), Errno> {
        net::connect_unspec(&self.socket)
    }

    /// Looks at both ends of an established connection.
    pub(super) fn sighting(&self, target: &SocketAddr) -> Sighting {
        match self.socket.local_addr().ok().and_then(|name| name.as_socket()) {
            // It was reset, and has no ends any more. On this host that can
            // also be two probes that crossed.
            Some(name) if name.ip().is_unspecified() => match source_for(target.ip()) {
                Ok(source) if source != target.ip() => Sighting::Remote,
                _ => Sighting::Local,
            },
            Some(name) if name.ip() != target.ip() => Sighting::Remote,
            Some(name) if name.port() != target.port() => Sighting::Local,
            Some(_) => Sighting::Itself,
            // Gone again before it could be looked at: ask once more.
            None => Sighting::Local,
        }
    }
}

/// `TCP_DEFER_ACCEPT`, which on a socket that connects holds back the ACK that
/// completes the handshake.
// For up to 200 ms (TCP_DELACK_MAX), in the hope of data to send with it
// (tcp_rcv_synsent_state_process in net/ipv4/tcp_input.c). A reset within that time is
// all that an open port sees: its connection was never established, and took no
// slot in the accept queue. A scanner that is not scheduled for that long
// is too late: at 5 % of a CPU, 5 of 5,121 were accepted. Unlike
// TCP_QUICKACK, which does the same, this outlasts the reset.
#[derive(Clone)]
struct DeferAccept;

nix::setsockopt_impl!(
    DeferAccept,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    usize,
    sockopt::SetUsize
);

/// `TCP_INFO`, as much of `struct tcp_info` as every kernel has (linux/tcp.h).
#[derive(Clone, Copy)]
struct TcpInfo;

nix::getsockopt_impl!(
    TcpInfo,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    [u32; 26],
    sockopt::GetStruct<[u32; 26]>
);

impl AsFd for ProbeSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Makes the kernel look for the link-layer address of `target`, without waiting
/// for what comes of it.
// The SYN that starts a connection waits for the address, but the socket need not:
// if the target is found and answers, this host refuses the answer.
pub(crate) fn knock(target: &SocketAddr) -> Result<(), Errno> {
    let asked =
        ProbeSocket::try_new(target.ip()).map(|socket| net::connect(&socket.socket, target));
    match asked {
        Ok(Ok(()) | Err(Errno::INPROGRESS | Errno::INTR)) => Ok(()),
        Ok(Err(errno)) => Err(errno),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::scan::outcome::Reason;

    #[test]
    fn a_port_of_this_host_that_resets_at_once_is_open_and_asked_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let socket = ProbeSocket::try_new(target.ip()).unwrap();
        assert_eq!(socket.ask(&target), None, "in flight");
        // On loopback, both the handshake and the RST are over by the time the
        // call that causes them returns.
        let (connection, _) = listener.accept().unwrap();
        socket2::SockRef::from(&connection).set_linger(Some(Duration::ZERO)).unwrap();
        drop(connection);
        assert_eq!(socket.ask(&target), Some(Answer::Port(PortState::Open, Reason::SynAck)));
        assert_eq!(socket.sighting(&target), Sighting::Local);
    }

    #[test]
    fn an_open_port_never_has_to_accept_a_probe() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let target = listener.local_addr().unwrap();
        let closed = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        closed.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let refuses = closed.local_addr().unwrap().as_socket().unwrap();
        let socket = ProbeSocket::try_new(target.ip()).unwrap();
        for _ in 0..3 {
            assert_eq!(socket.ask(&target), None, "in flight");
            assert_eq!(socket.ask(&target), Some(Answer::Port(PortState::Open, Reason::SynAck)));
            socket.reset().unwrap();
            assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            // Neither the reset nor a refusal changes that.
            assert_eq!(socket.ask(&refuses), None, "in flight");
            let refused = Answer::Port(PortState::Closed, Reason::ConnRefused);
            assert_eq!(socket.ask(&refuses), Some(refused));
        }
    }
}
