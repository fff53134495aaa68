//! What a probe can learn, and how an errno becomes a verdict. Pure.

use std::time::Duration;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::plan::Target;

/// The verdict on one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) target: Target,
    pub(crate) verdict: Verdict,
    /// From the attempt to its answer; `None` when nothing answered.
    pub(crate) rtt: Option<Duration>,
}

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The port has a state.
    Port(PortState, Reason),
    /// The scanner could not ask; the port may be in any state.
    NotScanned(Shortage),
}

/// A port's state, as nmap defines the terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortState {
    /// A connection was accepted.
    Open,
    /// The host answered that nothing listens.
    Closed,
    /// No verdict of the host itself: silence, or a router's refusal.
    Filtered,
}

/// Why a port has its state, in nmap's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The connection was established.
    SynAck,
    /// The connection was refused.
    ConnRefused,
    /// Nothing came back within the timeout.
    NoResponse,
    /// The host cannot be reached, say its neighbour or a router.
    HostUnreach,
    /// The network cannot be reached, or this host has no route to it.
    NetUnreach,
    /// A rule, on this host or on the path, forbids the connection.
    AdminProhibited,
    /// A packet filter refuses in the host's name (ICMP port unreachable).
    PortUnreach,
    /// The host, or a packet filter, refuses TCP (ICMP protocol unreachable).
    ProtoUnreach,
}

/// A resource of this machine that ran out: never a port's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shortage {
    /// `EMFILE` or `ENFILE`.
    Descriptors,
    /// `ENOBUFS` or `ENOMEM`.
    Memory,
    /// `EADDRNOTAVAIL` or `EAGAIN` from `connect`.
    SourcePorts,
    /// The node's neighbour table is full.
    Neighbours,
    /// The scan's own deadline came.
    Time,
    /// An errno this scanner has no meaning for.
    UnknownError,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Port(PortState, Reason),
    /// An ICMP error: the port is filtered.
    Icmp(Reason, Sender),
    Short(Errno),
}

/// Who sent an ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Target,
    /// A router or a firewall, which may be near where the target is far.
    Another,
}

/// How an open answer is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sighting {
    /// Another host accepted: the port is open.
    Remote,
    /// This host accepted; a probe that crossed ours could look the same.
    Local,
    /// The socket connected to itself: no listener was involved.
    Itself,
}

impl PortState {
    /// `open`, `closed` or `filtered`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Filtered => "filtered",
        }
    }
}

impl Reason {
    /// Every reason, in the order of [`Reason::index`].
    pub const ALL: [Self; 8] = [
        Self::SynAck,
        Self::ConnRefused,
        Self::NoResponse,
        Self::HostUnreach,
        Self::NetUnreach,
        Self::AdminProhibited,
        Self::PortUnreach,
        Self::ProtoUnreach,
    ];

    /// The name nmap prints for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SynAck => "syn-ack",
            Self::ConnRefused => "conn-refused",
            Self::NoResponse => "no-response",
            Self::HostUnreach => "host-unreach",
            Self::NetUnreach => "net-unreach",
            Self::AdminProhibited => "admin-prohibited",
            Self::PortUnreach => "port-unreach",
            Self::ProtoUnreach => "proto-unreach",
        }
    }

    /// Its index in [`Reason::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

impl Shortage {
    /// The name a report gives as its reason.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Descriptors => "no-descriptors",
            Self::Memory => "no-memory",
            Self::SourcePorts => "no-source-ports",
            Self::Neighbours => "no-neighbour-entries",
            Self::Time => "deadline",
            Self::UnknownError => "unknown-error",
        }
    }
}

impl Answer {
    /// Reads the result of `connect` on a nonblocking socket; `None` while the
    /// attempt is in flight.
    // connect(2) gives the meanings; ICMP errors reach a connecting socket by
    // icmp_err_convert in the kernel's net/ipv4/icmp.c, and icmpv6_err_convert in
    // net/ipv6/icmp.c. There, ENONET is an isolated host, EOPNOTSUPP a source route
    // that failed, and EPROTO a parameter problem or a code unknown for ICMPv6.
    pub(super) fn of_connect(result: Result<(), Errno>) -> Option<Self> {
        let Err(errno) = result else {
            return Some(Self::Port(PortState::Open, Reason::SynAck));
        };
        Some(match errno {
            Errno::INPROGRESS | Errno::ALREADY | Errno::INTR => return None,
            // A RST in answer to a SYN is ECONNREFUSED. These two mean one
            // that came after the handshake, and after a FIN (tcp_reset in
            // net/ipv4/tcp_input.c): somebody accepted and hung up at once.
            Errno::ISCONN | Errno::CONNRESET | Errno::PIPE => {
                Self::Port(PortState::Open, Reason::SynAck)
            }
            Errno::CONNREFUSED => Self::Port(PortState::Closed, Reason::ConnRefused),
            Errno::TIMEDOUT => Self::Port(PortState::Filtered, Reason::NoResponse),
            Errno::HOSTUNREACH
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::OPNOTSUPP
            | Errno::PROTO => Self::Port(PortState::Filtered, Reason::HostUnreach),
            Errno::NETUNREACH => Self::Port(PortState::Filtered, Reason::NetUnreach),
            Errno::ACCESS | Errno::PERM => Self::Port(PortState::Filtered, Reason::AdminProhibited),
            Errno::NOPROTOOPT => Self::Port(PortState::Filtered, Reason::ProtoUnreach),
            other => Self::Short(other),
        })
    }
}

impl Reason {
    /// What an ICMP destination unreachable of this code means (RFC 792 and
    /// RFC 1812, section 5.2.7.1), where an errno alone is not enough.
    pub(super) fn of_icmpv4(code: u8) -> Option<Self> {
        Some(match code {
            0 | 6 | 11 => Self::NetUnreach,
            1 | 5 | 7 | 8 | 12 => Self::HostUnreach,
            2 => Self::ProtoUnreach,
            3 => Self::PortUnreach,
            9 | 10 | 13 => Self::AdminProhibited,
            _ => return None,
        })
    }

    /// The same for ICMPv6 (RFC 4443, section 3.1).
    pub(super) fn of_icmpv6(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::NetUnreach,
            1 | 5 | 6 => Self::AdminProhibited,
            2 | 3 => Self::HostUnreach,
            4 => Self::PortUnreach,
            _ => return None,
        })
    }
}

impl Shortage {
    /// The resource that `errno` says has run out.
    #[must_use]
    pub fn of(errno: Errno) -> Self {
        match errno {
            Errno::MFILE | Errno::NFILE => Self::Descriptors,
            Errno::NOBUFS | Errno::NOMEM => Self::Memory,
            Errno::ADDRNOTAVAIL | Errno::AGAIN => Self::SourcePorts,
            _ => Self::UnknownError,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errnos_of_ours_are_never_a_port_state() {
        for (errno, shortage) in [
            (Errno::MFILE, Shortage::Descriptors),
            (Errno::NFILE, Shortage::Descriptors),
            (Errno::NOBUFS, Shortage::Memory),
            (Errno::NOMEM, Shortage::Memory),
            (Errno::ADDRNOTAVAIL, Shortage::SourcePorts),
            (Errno::AGAIN, Shortage::SourcePorts),
            (Errno::CONNABORTED, Shortage::UnknownError),
            (Errno::INVAL, Shortage::UnknownError),
        ] {
            assert_eq!(Answer::of_connect(Err(errno)), Some(Answer::Short(errno)), "{errno}");
            assert_eq!(Shortage::of(errno), shortage, "{errno}");
        }
    }

    #[test]
    fn answers_of_the_network_have_a_state_and_a_reason() {
        use PortState::*;
        for (result, state, reason) in [
            (Ok(()), Open, Reason::SynAck),
            (Err(Errno::ISCONN), Open, Reason::SynAck),
            (Err(Errno::CONNREFUSED), Closed, Reason::ConnRefused),
            (Err(Errno::CONNRESET), Open, Reason::SynAck),
            (Err(Errno::PIPE), Open, Reason::SynAck),
            (Err(Errno::TIMEDOUT), Filtered, Reason::NoResponse),
            (Err(Errno::HOSTUNREACH), Filtered, Reason::HostUnreach),
            (Err(Errno::HOSTDOWN), Filtered, Reason::HostUnreach),
            (Err(Errno::NONET), Filtered, Reason::HostUnreach),
            (Err(Errno::OPNOTSUPP), Filtered, Reason::HostUnreach),
            (Err(Errno::PROTO), Filtered, Reason::HostUnreach),
            (Err(Errno::NETUNREACH), Filtered, Reason::NetUnreach),
            (Err(Errno::ACCESS), Filtered, Reason::AdminProhibited),
            (Err(Errno::PERM), Filtered, Reason::AdminProhibited),
            (Err(Errno::NOPROTOOPT), Filtered, Reason::ProtoUnreach),
        ] {
            assert_eq!(Answer::of_connect(result), Some(Answer::Port(state, reason)), "{result:?}");
        }
    }

    #[test]
    fn an_attempt_in_flight_has_no_answer() {
        for errno in [Errno::INPROGRESS, Errno::ALREADY] {
            assert_eq!(Answer::of_connect(Err(errno)), None, "{errno}");
        }
    }

    #[test]
    fn the_index_of_a_reason_is_its_position_among_all() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }
}
