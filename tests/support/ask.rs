//! Requests with a test's settings and header fields, the metrics and log lines that
//! they cause, and replies that are read as they come.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;

use serde_json::Value;

use super::client::{Connection, Reply, connected_from};
use super::service::{Service, on_any_port};
use super::{DEADLINE, wait_for};

/// The service with these arguments, on a port that the system chooses.
#[track_caller]
pub(crate) fn serve(arguments: &[&str]) -> Service {
    Service::spawn(serving(arguments))
}

/// The command behind [`serve`], whose log is one JSON object a line.
pub(crate) fn serving(arguments: &[&str]) -> Command {
    let mut command = on_any_port();
    command.args(arguments);
    command
}

/// Sends one `GET` with header fields, on a connection of its own.
#[track_caller]
pub(crate) fn get_with(service: SocketAddr, target: &str, fields: &[(&str, &str)]) -> Reply {
    let mut connection = Connection::open(service);
    connection.send(request_head("GET", target, fields));
    connection.reply()
}

pub(crate) fn request_head(method: &str, target: &str, fields: &[(&str, &str)]) -> String {
    let fields: String =
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

/// The value of one sample on `/metrics`; 0 if there is none yet.
#[track_caller]
pub(crate) fn sample(service: &Service, name: &str) -> f64 {
    sample_of(&service.get("/metrics").body, name)
}

/// Waits until no scan of the service has a socket left. A scan that nobody waits
/// for any more has ended by its record and its count a moment before: its tasks
/// close their sockets when they next run.
#[track_caller]
pub(crate) fn wait_for_sockets_closed(service: &Service) {
    let left = ["open_ports_probes_in_flight", "open_ports_descriptors_used"];
    wait_for("the sockets of scans to be closed", || {
        left.iter().all(|name| sample(service, name) == 0.0).then_some(())
    });
}

/// The value of one sample in an exposition.
#[track_caller]
pub(crate) fn sample_of(exposition: &str, name: &str) -> f64 {
    let value = exposition.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

/// The lines about scans in a service's log.
pub(crate) fn audit_lines(service: &Service) -> Vec<Value> {
    let lines = service.log().into_iter();
    let lines = lines.map(|line| serde_json::from_str(&line).expect("a JSON object a line"));
    lines.filter(|line: &Value| line["message"] == "scan").collect()
}

/// A reply whose body is read as it comes.
pub(crate) struct Streamed {
    /// Status line and header fields.
    pub(crate) head: String,
    body: BufReader<Chunked>,
}

/// The body of a chunked reply, RFC 9112, section 7.1.
struct Chunked {
    stream: BufReader<TcpStream>,
    /// Bytes of the current chunk that are not read yet.
    left: usize,
    ended: bool,
}

impl Streamed {
    /// Sends a `GET` and reads the head of its reply.
    #[track_caller]
    pub(crate) fn open(service: SocketAddr, target: &str, fields: &[(&str, &str)]) -> Self {
        Self::on(TcpStream::connect(service).unwrap(), target, fields)
    }

    /// The same with a small receive window.
    #[track_caller]
    pub(crate) fn open_narrow(service: SocketAddr, target: &str) -> Self {
        Self::open_narrow_from(service.ip(), service, target)
    }

    /// The same, from an address of this machine.
    #[track_caller]
    pub(crate) fn open_narrow_from(client: IpAddr, service: SocketAddr, target: &str) -> Self {
        Self::on(connected_from(client, service).into(), target, &[])
    }

    #[track_caller]
    fn on(mut stream: TcpStream, target: &str, fields: &[(&str, &str)]) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(request_head("GET", target, fields).as_bytes()).unwrap();
        let mut stream = BufReader::with_capacity(4096, stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(stream.read_line(&mut head).unwrap() > 0, "closed instead of a reply: {head}");
        }
        let chunked = Chunked { stream, left: 0, ended: false };
        Self { head, body: BufReader::with_capacity(4096, chunked) }
    }

    /// The reply so far, without its body.
    pub(crate) fn reply(&self) -> Reply {
        let status = self.head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head: self.head.clone(), body: String::new() }
    }

    /// The next line of the body; `None` at the end that the server sent.
    #[track_caller]
    pub(crate) fn line(&mut self) -> Option<String> {
        self.try_line().unwrap()
    }

    /// The same; an error if the stream was cut off.
    pub(crate) fn try_line(&mut self) -> std::io::Result<Option<String>> {
        let mut line = String::new();
        Ok((self.body.read_line(&mut line)? > 0).then_some(line))
    }

    /// The next record of an NDJSON body.
    #[track_caller]
    pub(crate) fn record(&mut self) -> Option<Value> {
        let line = self.line()?;
        assert!(line.ends_with('\n'), "a record is a line: {line:?}");
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// All records up to the end.
    #[track_caller]
    pub(crate) fn records(mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.record()).collect()
    }

    /// The socket, from which nothing more is read.
    pub(crate) fn into_socket(self) -> TcpStream {
        self.body.into_inner().stream.into_inner()
    }
}

impl Read for Chunked {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 && !self.ended {
            let mut size = String::new();
            self.stream.read_line(&mut size)?;
            let digits = size.trim_end();
            self.left = usize::from_str_radix(digits, 16).map_err(|_| {
                std::io::Error::other(format!("cut off: {digits:?} where a chunk's size should be"))
            })?;
            self.ended = self.left == 0;
            if self.ended {
                self.stream.read_line(&mut size)?;
            }
        }
        if self.ended {
            return Ok(0);
        }
        let most = bytes.len().min(self.left);
        let count = self.stream.read(&mut bytes[..most])?;
        self.left -= count;
        if self.left == 0 && count > 0 {
            let mut end = [0; 2];
            self.stream.read_exact(&mut end)?;
            assert_eq!(&end, b"\r\n", "the end of a chunk");
        }
        Ok(count)
    }
}
