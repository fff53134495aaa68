//! Requests a second that `/livez` answers, beside hyper's own hello-world:
//! what the service adds to a request before any route does its work.
//!
//! Each round asks both for as many replies, in changing order, by the same
//! client over as many connections, and compares within the round. See `rounds`
//! for how to set the number of rounds.
#![expect(clippy::print_stdout, reason = "the table is what this is for")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use crate::support::hello::Hello;
use crate::support::rounds::{median, quantile, ratios, wanted_rounds};
use crate::support::service::Service;

mod support {
    pub(crate) mod hello;
    pub(crate) mod rounds;
    #[expect(dead_code, reason = "others ask the scanner too, or less often")]
    pub(crate) mod service;
}

/// Keep-alive connections to one server, each with one request on its way.
struct Clients {
    streams: Vec<TcpStream>,
    /// Every reply is as long as the first was.
    reply: Vec<u8>,
}

impl Clients {
    fn connect(server: SocketAddr) -> Self {
        let connect = |_| {
            let stream = TcpStream::connect(server).expect("the server accepts");
            stream.set_nodelay(true).expect("a TCP socket has the option");
            stream
        };
        let mut streams: Vec<TcpStream> = (0..CONNECTIONS).map(connect).collect();
        let mut reply = vec![0; 4096];
        streams[0].write_all(REQUEST).expect("the server reads");
        let length = streams[0].read(&mut reply).expect("the server answers");
        reply.truncate(length);
        assert!(reply.starts_with(OK), "{}", reply.escape_ascii());
        Self { streams, reply }
    }

    /// How many requests a second were answered.
    fn measure(&mut self) -> f64 {
        let start = Instant::now();
        for _ in 0..TURNS {
            for stream in &mut self.streams {
                stream.write_all(REQUEST).expect("the server reads");
            }
            for stream in &mut self.streams {
                stream.read_exact(&mut self.reply).expect("the server answers");
                assert!(self.reply.starts_with(OK), "{}", self.reply.escape_ascii());
            }
        }
        f64::from(TURNS * CONNECTIONS) / start.elapsed().as_secs_f64()
    }
}

fn main() {
    let Some(rounds) = wanted_rounds("livez", ROUNDS, QUICK_ROUNDS) else { return };
    let (service, hello) = (Service::start(), Hello::start());
    let mut servers = [service.address, hello.address].map(Clients::connect);
    let mut measured = [Vec::new(), Vec::new()];
    // The first requests of a process pay for pages and caches.
    for server in &mut servers {
        server.measure();
    }
    for round in 0..rounds {
        for turn in 0..servers.len() {
            let index = (round + turn) % servers.len();
            measured[index].push(servers[index].measure());
        }
    }
    let [livez, hello] = &measured;
    let ratios = ratios(livez, hello);
    println!("\nlivez, {rounds} rounds of {} requests each", TURNS * CONNECTIONS);
    println!("{:<20} {:>9.0} requests/s", "hyper's hello-world", median(hello));
    println!(
        "{:<20} {:>9.0} requests/s, {:.3} times as many ({:.3} to {:.3}, the middle half)\n",
        "/livez",
        median(livez),
        median(&ratios),
        quantile(&ratios, 0.25),
        quantile(&ratios, 0.75),
    );
}

const REQUEST: &[u8] = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";

/// As wrk's users often take.
const CONNECTIONS: u32 = 64;

/// A round of some hundred thousand requests would be no steadier.
const TURNS: u32 = 500;

const ROUNDS: usize = 31;

const QUICK_ROUNDS: usize = 5;
