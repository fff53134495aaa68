//! What the routing table says, without a packet being sent.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use crate::scan::outcome::Reason;

/// Asks the routing table, without sending a packet, whether this host has a
/// way to `address`; if it has none, why.
// Resource errors say nothing about the route, so they count as a way: the
// probes themselves will meet them, and know what to do.
pub(crate) fn no_way_to(address: IpAddr) -> Option<Reason> {
    let errno = way_to(address).err().as_ref().and_then(Errno::from_io_error)?;
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

/// The address from which this host would send to `address`.
// Connecting a UDP socket only looks up the route and the source address.
pub(super) fn way_to(address: IpAddr) -> io::Result<IpAddr> {
    let target = SocketAddr::new(address, DISCARD_PORT);
    let socket = Socket::new(Domain::for_address(target), Type::DGRAM, None)?;
    socket.connect(&target.into())?;
    let source = socket.local_addr()?.as_socket();
    source.map(|source| source.ip()).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// RFC 863; any port does, since nothing is sent.
const DISCARD_PORT: u16 = 9;
