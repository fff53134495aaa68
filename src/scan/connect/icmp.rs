//! ICMP errors as the kernel keeps them for a socket (`IP_RECVERR`, ip(7)): they
//! say more than the errno does, and who sent them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};

use crate::scan::outcome::{Answer, Reason, Sender};

/// The ICMP error that came for an attempt at `target`, if one did. Errors
/// about earlier attempts are taken out of the queue, and forgotten.
pub(super) fn take_error(socket: &impl AsRawFd, target: &SocketAddr) -> Option<Answer> {
    let mut control = [0; CONTROL_BYTES];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let fd = socket.as_raw_fd();
    loop {
        let message = recvmsg::<SockaddrStorage>(fd, &mut [], Some(&mut control), flags).ok()?;
        let about = message.address.as_ref().and_then(socket_addr);
        if about.is_none_or(|it| (it.ip(), it.port()) != (target.ip(), target.port())) {
            continue;
        }
        let error = message.cmsgs().ok()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4RecvErr(error, sender)
                if error.ee_origin == FROM_ICMP && error.ee_type == ICMP_UNREACHABLE =>
            {
                let sender = sender.map(|it| Ipv4Addr::from(u32::from_be(it.sin_addr.s_addr)));
                Some((Reason::of_icmpv4(error.ee_code)?, sender.map(IpAddr::V4)))
            }
            ControlMessageOwned::Ipv6RecvErr(error, sender)
                if error.ee_origin == FROM_ICMPV6 && error.ee_type == ICMPV6_UNREACHABLE =>
            {
                let sender = sender.map(|it| Ipv6Addr::from(it.sin6_addr.s6_addr));
                Some((Reason::of_icmpv6(error.ee_code)?, sender.map(IpAddr::V6)))
            }
            _ => None,
        });
        if let Some((reason, sender)) = error {
            let by_target = sender == Some(target.ip());
            let sender = if by_target { Sender::Target } else { Sender::Another };
            return Some(Answer::Icmp(reason, sender));
        }
    }
}

fn socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|&v4| SocketAddr::from(v4));
    v4.or_else(|| address.as_sockaddr_in6().map(|&v6| SocketAddr::from(v6)))
}

/// Where an error in a socket's queue comes from (linux/errqueue.h).
const FROM_ICMP: u8 = 2;
const FROM_ICMPV6: u8 = 3;

/// The message type destination unreachable (RFC 792, RFC 4443).
const ICMP_UNREACHABLE: u8 = 3;
const ICMPV6_UNREACHABLE: u8 = 1;

/// Room for one error with the address of who sent it (72 bytes for IPv6).
const CONTROL_BYTES: usize = 128;
