//! Reads routes and neighbours from the kernel, by rtnetlink(7).
//!
//! No question needs a privilege. The answers are about the network namespace of this
//! process, except for the size of the neighbour table, which is the node's.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use netlink_packet_core::{
    Emitable, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, Parseable,
};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{LinkFlags, LinkHeader, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::neighbour_table::{NeighbourTableAttribute, NeighbourTableMessage};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use nix::libc;
use rustix::net::{self, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::neighbour::{Entry, Family, Neighbour, TableRoom};

/// A socket for questions to the kernel.
pub(super) struct Netlink {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
    /// Which of the interfaces seen so far have neighbours.
    links: HashMap<u32, bool>,
}

impl Netlink {
    pub(super) fn try_new() -> io::Result<Self> {
        // The kernel answers before `send` returns, so no receive has to wait.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let family = net::AddressFamily::NETLINK;
        // `None` is NETLINK_ROUTE, whose number is 0.
        let socket = net::socket_with(family, SocketType::RAW, flags, None)?;
        Ok(Self { socket, buffer: vec![0; BUFFER], sequence: 0, links: HashMap::new() })
    }

    /// The neighbour that the kernel has to resolve before it can send a packet to
    /// `address`; `None` if the packet goes to a gateway, to this host, or out of an
    /// interface without link-layer addresses.
    pub(super) fn neighbour(&mut self, address: IpAddr) -> io::Result<Option<Neighbour>> {
        let mut question = RouteMessage::default();
        question.header.address_family = family_of(Family::of(address));
        question.header.destination_prefix_length = if address.is_ipv4() { 32 } else { 128 };
        question.attributes.push(RouteAttribute::Destination(address.into()));
        let mut link = None;
        self.ask(libc::RTM_GETROUTE, 0, &question, |payload| {
            let route = RouteMessage::parse(payload).map_err(io::Error::other)?;
            let is_gateway =
                |it: &_| matches!(it, RouteAttribute::Gateway(_) | RouteAttribute::Via(_));
            if route.header.kind == RouteType::Unicast && !route.attributes.iter().any(is_gateway) {
                link = route.attributes.iter().find_map(|attribute| match attribute {
                    RouteAttribute::Oif(link) => Some(*link),
                    _ => None,
                });
            }
            Ok(())
        })?;
        let Some(link) = link else { return Ok(None) };
        Ok(self.has_neighbours(link)?.then_some(Neighbour { address, link }))
    }

    // On which interfaces the kernel resolves nothing is in arp_constructor
    // (net/ipv4/arp.c) and ndisc_constructor (net/ipv6/ndisc.c).
    fn has_neighbours(&mut self, link: u32) -> io::Result<bool> {
        if let Some(&known) = self.links.get(&link) {
            return Ok(known);
        }
        let mut question = LinkMessage::default();
        question.header.index = link;
        let mut has_neighbours = false;
        self.ask(libc::RTM_GETLINK, 0, &question, |payload| {
            let header = LinkHeader::parse(payload).map_err(io::Error::other)?;
            let without = LinkFlags::Noarp | LinkFlags::Loopback | LinkFlags::Pointopoint;
            has_neighbours = !header.flags.intersects(without);
            Ok(())
        })?;
        self.links.insert(link, has_neighbours);
        Ok(has_neighbours)
    }

    /// All entries of the neighbour table that belong to this namespace.
    pub(super) fn entries(&mut self, family: Family) -> io::Result<HashMap<Neighbour, Entry>> {
        let mut question = NeighbourMessage::default();
        question.header.family = family_of(family);
        let mut entries = HashMap::new();
        self.ask(libc::RTM_GETNEIGH, NLM_F_DUMP, &question, |payload| {
            let message = NeighbourMessage::parse(payload).map_err(io::Error::other)?;
            let address = message.attributes.iter().find_map(|attribute| match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => Some((*v4).into()),
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => Some((*v6).into()),
                _ => None,
            });
            if let Some(address) = address {
                let neighbour = Neighbour { address, link: message.header.ifindex };
                entries.insert(neighbour, entry_of(message.header.state));
            }
            Ok(())
        })?;
        Ok(entries)
    }

    /// How much room the node's neighbour table has.
    pub(super) fn room(&mut self, family: Family) -> io::Result<TableRoom> {
        let mut question = NeighbourTableMessage::default();
        question.header.family = family_of(family);
        let (mut max, mut used, mut overflows) = (None, 0, 0);
        self.ask(libc::RTM_GETNEIGHTBL, NLM_F_DUMP, &question, |payload| {
            let message = NeighbourTableMessage::parse(payload).map_err(io::Error::other)?;
            for attribute in message.attributes {
                match attribute {
                    NeighbourTableAttribute::Threshold3(threshold) => max = Some(threshold),
                    NeighbourTableAttribute::Config(config) => used = config.entries,
                    NeighbourTableAttribute::Stats(stats) => overflows = stats.table_fulls,
                    _ => {}
                }
            }
            Ok(())
        })?;
        let max = max.ok_or(io::ErrorKind::NotFound)?;
        Ok(TableRoom { max, used, overflows })
    }

    /// Sends a question and passes each message of the answer to `take`.
    fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        question: &impl Emitable,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        let length = header.buffer_len() + question.buffer_len();
        header.length = u32::try_from(length).map_err(io::Error::other)?;
        header.message_type = kind;
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = vec![0; length];
        header.emit(&mut message);
        question.emit(&mut message[header.buffer_len()..]);
        net::send(&self.socket, &message, SendFlags::empty())?;
        loop {
            let (_, length) = net::recv(&self.socket, &mut self.buffer[..], RecvFlags::TRUNC)?;
            let mut rest = self.buffer.get(..length).ok_or(io::ErrorKind::InvalidData)?;
            if rest.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            while !rest.is_empty() {
                let message = NetlinkBuffer::new_checked(rest).map_err(io::Error::other)?;
                // Skip the rest of an earlier answer that was not read to its end.
                let is_ours = message.sequence_number() == self.sequence;
                match i32::from(message.message_type()) {
                    _ if !is_ours => {}
                    libc::NLMSG_DONE => return Ok(()),
                    libc::NLMSG_ERROR => return Err(error_of(message.payload())),
                    _ => {
                        take(message.payload())?;
                        if flags & NLM_F_DUMP == 0 {
                            return Ok(());
                        }
                    }
                }
                let length = (message.length() as usize).next_multiple_of(ALIGNMENT);
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }
}

fn family_of(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

fn entry_of(state: NeighbourState) -> Entry {
    match state {
        NeighbourState::Incomplete => Entry::Incomplete,
        NeighbourState::Failed | NeighbourState::None => Entry::Failed,
        NeighbourState::Stale => Entry::Idle,
        _ => Entry::InUse,
    }
}

/// The payload of an error is the negative errno (netlink(7)).
fn error_of(payload: &[u8]) -> io::Error {
    match payload.first_chunk() {
        Some(&code) => io::Error::from_raw_os_error(i32::from_ne_bytes(code).wrapping_neg()),
        None => io::ErrorKind::InvalidData.into(),
    }
}

/// The largest part of a long answer that the kernel sends at once (NLMSG_GOODSIZE
/// and netlink_dump in net/netlink/af_netlink.c).
const BUFFER: usize = 32 << 10;

/// Messages start at multiples of this (NLMSG_ALIGNTO).
const ALIGNMENT: usize = 4;
