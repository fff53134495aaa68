//! Questions to the routing table. They send no packet.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use crate::scan::outcome::Reason;

/// Why this host has no route to `address`; `None` if it has one.
// A resource error says nothing about the route, so it counts as having one: the
// probes will meet the same error, and handle it.
pub(crate) fn unreachable(address: IpAddr) -> Option<Reason> {
    let errno = source_for(address).err().as_ref().and_then(Errno::from_io_error)?;
    let is_unreachable = match errno {
        Errno::NETUNREACH | Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT => true,
        // A route of the type blackhole (ip-route(8)); but an address of one link
        // without its zone gets this as well, and may be there.
        Errno::INVAL => match address {
            IpAddr::V4(_) => true,
            IpAddr::V6(address) => !address.is_unicast_link_local() && !address.is_multicast(),
        },
        _ => false,
    };
    is_unreachable.then_some(Reason::NetUnreach)
}

/// The source address that this host would use for `address`.
// Connecting a UDP socket only looks up the route and the source address.
pub(super) fn source_for(address: IpAddr) -> io::Result<IpAddr> {
    let target = SocketAddr::new(address, DISCARD_PORT);
    let socket = Socket::new(Domain::for_address(target), Type::DGRAM, None)?;
    socket.connect(&target.into())?;
    let source = socket.local_addr()?.as_socket();
    source.map(|source| source.ip()).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// RFC 863; any port does, since nothing is sent.
const DISCARD_PORT: u16 = 9;
