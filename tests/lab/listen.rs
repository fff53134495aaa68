//! The target's listeners: one process that accepts on many ports and hangs up at
//! once.

use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use argh::FromArgs;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpTransparent;
use open_ports::ports::PortSet;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use socket2::{Domain, Socket, Type};

/// Accept on ports of all addresses, and hang up at once.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "listen")]
pub(crate) struct ListenArgs {
    /// the ports, like 22,80,8000-8100
    #[argh(positional)]
    ports: PortSet,
    /// connections that may wait to be accepted on a port
    #[argh(option, default = "DEFAULT_BACKLOG")]
    backlog: i32,
}

/// Listens until the process is ended.
pub(crate) fn run(args: &ListenArgs) -> io::Result<()> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut listeners = Vec::new();
    for port in args.ports.iter() {
        let listener = listen(port, args.backlog)?;
        let data = EventData::new_u64(listeners.len() as u64);
        epoll::add(&epoll, &listener, data, EventFlags::IN)?;
        listeners.push(listener);
    }
    let mut out = io::stdout();
    writeln!(out, "{}", super::wire::READY)?;
    out.flush()?;
    let mut room = [const { MaybeUninit::<Event>::uninit() }; 64];
    loop {
        let events = match epoll::wait(&epoll, &mut room, None) {
            Ok((events, _)) => events,
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        for event in events {
            let listener = usize::try_from(event.data.u64()).ok().and_then(|at| listeners.get(at));
            hang_up(listener.expect("the number of a listener, set above"));
        }
    }
}

/// Accepts the waiting connections of a listener and resets them, so that neither
/// side keeps state.
fn hang_up(listener: &Socket) {
    while let Ok((connection, _)) = listener.accept() {
        let _ = connection.set_linger(Some(Duration::ZERO));
    }
}

/// A listener on all addresses of both families.
fn listen(port: u16, backlog: i32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    socket.set_only_v6(false)?;
    socket.set_reuse_address(true)?;
    // The packet filter may redirect connections to other ports here (tproxy).
    setsockopt(&socket, IpTransparent, &true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    socket.listen(backlog)?;
    Ok(socket)
}

/// Linux's default limit (net.core.somaxconn).
const DEFAULT_BACKLOG: i32 = 4096;
