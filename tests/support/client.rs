//! An HTTP/1.1 client that shows every byte, so that no mistake of the server is hidden.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};

use super::DEADLINE;

/// A connection to the service.
pub(crate) struct Connection {
    stream: TcpStream,
    /// Received bytes that are not yet part of a reply.
    received: Vec<u8>,
}

/// A whole reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Status line and header fields.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends one `GET` on a connection of its own.
#[track_caller]
pub(crate) fn get(service: SocketAddr, target: &str) -> Reply {
    Connection::open(service).get(target)
}

/// A socket that is connected from `client` and has a small receive buffer.
#[track_caller]
pub(crate) fn connected_from(client: IpAddr, service: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(service), Type::STREAM, None).unwrap();
    // Set it before connecting, which fixes the window's scale (tcp(7)).
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.bind(&SocketAddr::new(client, 0).into()).unwrap();
    socket.connect(&service.into()).unwrap();
    socket
}

impl Connection {
    #[track_caller]
    pub(crate) fn open(service: SocketAddr) -> Self {
        Self::on(TcpStream::connect(service).unwrap())
    }

    /// Like [`Self::open`], from an address of this machine.
    #[track_caller]
    pub(crate) fn open_from(client: IpAddr, service: SocketAddr) -> Self {
        Self::on(connected_from(client, service).into())
    }

    #[track_caller]
    fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::new() }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request without waiting for the reply.
    #[track_caller]
    pub(crate) fn request(&mut self, method: &str, target: &str) {
        self.send(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    }

    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Reply {
        self.request("GET", target);
        self.reply()
    }

    /// The next reply, which has a body.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        let mut reply = self.reply_to_head();
        let body = match reply.header("transfer-encoding") {
            Some("chunked") => self.chunks(),
            _ => {
                let length = reply.header("content-length").expect("a length").parse().unwrap();
                self.take(length)
            }
        };
        reply.body = String::from_utf8(body).expect("bodies are UTF-8");
        assert!(reply.body.ends_with('\n'), "no newline at the end: {reply:?}");
        reply
    }

    /// The next reply, unless the server closes instead.
    pub(crate) fn reply_or_end(mut self) -> Option<Reply> {
        (!self.received.is_empty() || self.receive()).then(|| self.reply())
    }

    /// The next reply, which has no body.
    #[track_caller]
    pub(crate) fn reply_to_head(&mut self) -> Reply {
        let end = loop {
            if let Some(start) = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break start + 4;
            }
            assert!(self.receive(), "closed instead of a reply");
        };
        let rest = self.received.split_off(end);
        let head = std::mem::replace(&mut self.received, rest);
        let head = String::from_utf8(head).expect("heads are ASCII");
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|line| line.get(..3)?.parse().ok());
        Reply { status: status.expect("a status line"), head, body: String::new() }
    }

    /// The rest of a body in chunks, RFC 9112, section 7.1.
    #[track_caller]
    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                match self.received.windows(2).position(|bytes| bytes == b"\r\n") {
                    Some(end) => break self.take(end + 2),
                    None => assert!(self.receive(), "the body ends early"),
                }
            };
            let size = std::str::from_utf8(&line).unwrap().trim_end();
            let size = usize::from_str_radix(size, 16).expect("a chunk's size");
            let chunk = self.take(size + 2);
            assert!(chunk.ends_with(b"\r\n"), "the end of a chunk");
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return body;
            }
        }
    }

    /// The next `length` bytes.
    #[track_caller]
    fn take(&mut self, length: usize) -> Vec<u8> {
        while self.received.len() < length {
            assert!(self.receive(), "the body ends early");
        }
        let rest = self.received.split_off(length);
        std::mem::replace(&mut self.received, rest)
    }

    /// Waits until the server closes; returns what it sent before that.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.receive() {}
        std::mem::take(&mut self.received)
    }

    /// Sends no more; what the server sends can still be read.
    pub(crate) fn finish_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes with a RST, as the death of a client's machine may look.
    pub(crate) fn abort(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Reads on; whether there was anything.
    #[track_caller]
    fn receive(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(count) => {
                self.received.extend_from_slice(&bytes[..count]);
                count > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            // socket(7): with a timeout set, a call is not restarted.
            Err(error) if error.kind() == ErrorKind::Interrupted => self.receive(),
            Err(error) => panic!("cannot read: {error}"),
        }
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The report of a scan that answered.
    #[track_caller]
    pub(crate) fn report(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        self.json()
    }

    /// The problem document of a request that was refused.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["status"], status);
        for member in ["type", "title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        problem
    }
}

/// An array of port numbers in a report.
#[track_caller]
pub(crate) fn ports(array: &Value) -> Vec<u16> {
    let ports = array.as_array().expect("an array").iter();
    ports.map(|port| u16::try_from(port.as_u64().unwrap()).unwrap()).collect()
}
