//! One end of the wire: receives and sends whole frames on a network interface.
//!
//! An AF_PACKET socket receives every frame that arrives on its interface, and sends
//! frames there, past the host's own stack. nix has safe functions for the socket, its
//! address and for many frames in one call.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, MsgFlags, MultiHeaders, RecvMsg, SockFlag, SockProtocol, SockType, SockaddrLike,
    bind, recvmmsg, sendmmsg, setsockopt, socket, sockopt,
};

/// A socket on one interface.
pub(crate) struct Tap {
    interface: String,
    socket: OwnedFd,
    incoming: MultiHeaders<()>,
    outgoing: MultiHeaders<()>,
    room: Vec<[u8; LARGEST_FRAME]>,
    received: u64,
    /// What the interface had counted before this socket existed.
    came_in_before: u64,
    refused_before: u64,
}

/// Why frames could not be sent.
pub(crate) enum SendError {
    /// The socket's buffer is full at the moment.
    Full,
    /// The first of the frames cannot be sent at all.
    Refused,
}

impl Tap {
    /// Opens `interface`, which is up and in this network namespace.
    pub(crate) fn try_new(interface: &str) -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let family = AddressFamily::Packet;
        let socket = socket(family, SockType::Raw, flags, SockProtocol::EthAll)?;
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
        setsockopt(&socket, sockopt::SndBufForce, &BUFFER)?;
        // A packet address can be had without unsafe code only from the interface's
        // own addresses.
        let address = getifaddrs()?
            .filter(|found| found.interface_name == interface)
            .find_map(|found| found.address.filter(|address| address.as_link_addr().is_some()))
            .ok_or(Errno::ENODEV)?;
        bind(
            socket.as_raw_fd(),
            address.as_link_addr().map_or(&() as &dyn SockaddrLike, |link| link),
        )?;
        let mut tap = Self {
            interface: interface.to_owned(),
            socket,
            incoming: MultiHeaders::preallocate(BATCH, None),
            outgoing: MultiHeaders::preallocate(BATCH, None),
            room: vec![[0; LARGEST_FRAME]; BATCH],
            received: 0,
            came_in_before: 0,
            refused_before: 0,
        };
        tap.came_in_before = tap.counter("rx_packets")?;
        tap.refused_before = tap.counter("tx_dropped")?;
        Ok(tap)
    }

    /// Passes the frames that have arrived, some at a time, to `take`; returns how many
    /// there were.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
        let mut places: Vec<_> = self.room.iter_mut().map(|room| [IoSliceMut::new(room)]).collect();
        let socket = self.socket.as_raw_fd();
        let lengths: Vec<usize> = match recvmmsg(
            socket,
            &mut self.incoming,
            places.iter_mut(),
            MsgFlags::empty(),
            None,
        ) {
            Ok(frames) => frames.map(|frame| whole(&frame)).collect::<io::Result<_>>()?,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(0),
            Err(errno) => return Err(errno.into()),
        };
        for (frame, &length) in self.room.iter().zip(&lengths) {
            take(&frame[..length]);
        }
        self.received += lengths.len() as u64;
        Ok(lengths.len())
    }

    /// Sends frames, at most [`BATCH`] at a time; returns how many it sent.
    pub(crate) fn send(&mut self, frames: &[Box<[u8]>]) -> Result<usize, SendError> {
        let frames = &frames[..frames.len().min(BATCH)];
        let slices: Vec<_> = frames.iter().map(|frame| [IoSlice::new(frame)]).collect();
        let nowhere = vec![None; slices.len()];
        let socket = self.socket.as_raw_fd();
        match sendmmsg(socket, &mut self.outgoing, &slices, nowhere, [], MsgFlags::empty()) {
            Ok(sent) => Ok(sent.count()),
            Err(Errno::EAGAIN | Errno::EINTR) => Err(SendError::Full),
            Err(_) => Err(SendError::Refused),
        }
    }

    /// Frames that arrived on the interface when the socket had no room.
    pub(crate) fn missed(&self) -> io::Result<u64> {
        Ok((self.counter("rx_packets")? - self.came_in_before).saturating_sub(self.received))
    }

    /// Frames that were sent when the other end of the veth pair had no room
    /// (net.core.netdev_max_backlog).
    pub(crate) fn refused(&self) -> io::Result<u64> {
        Ok(self.counter("tx_dropped")? - self.refused_before)
    }

    fn counter(&self, name: &str) -> io::Result<u64> {
        let path = format!("/sys/class/net/{}/statistics/{name}", self.interface);
        let text = fs::read_to_string(path)?;
        text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

/// The length of a frame, if it fit in the buffer.
// A longer one means that the hosts' offloads are on, so checksums are missing too.
fn whole(frame: &RecvMsg<'_, '_, ()>) -> io::Result<usize> {
    if frame.flags.contains(MsgFlags::MSG_TRUNC) {
        return Err(io::Error::other("a frame is longer than the MTU: turn the offloads off"));
    }
    Ok(frame.bytes)
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Frames in one system call: shared by 128, its cost does not matter.
pub(crate) const BATCH: usize = 128;

/// An Ethernet header and the usual MTU, with room for a VLAN tag.
const LARGEST_FRAME: usize = 14 + 1500 + 4;

/// Room for some 80,000 small frames, which the kernel counts as about 800 bytes each:
/// more than a burst of SYNs to all ports.
const BUFFER: usize = 64 << 20;
