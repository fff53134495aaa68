//! The service as `open-ports serve` sets it up, within this process, and a
//! client that adds as little as a client can.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;

use open_ports::config::{Config, Sources};
use open_ports::http::{App, Parts, ServerLimits, serve};
use open_ports::limits;
use open_ports::machine::descriptors::{DescriptorPlan, raise_descriptor_limit};
use open_ports::resolve::Resolver;
use open_ports::scan::Scanner;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// A server on a port of its own, its runtime, and a scanner like the server's,
/// so that a scan can be measured without the server.
pub(crate) struct Service {
    pub(crate) runtime: Runtime,
    pub(crate) scanner: Scanner,
    pub(crate) address: SocketAddr,
}

/// One keep-alive connection: a blocking socket, read in large pieces.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    request: String,
    body: Vec<u8>,
}

impl Service {
    pub(crate) fn start() -> Self {
        let cores = available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let descriptors =
            DescriptorPlan::try_new(raise_descriptor_limit()).expect("enough descriptors");
        let runtime = Builder::new_multi_thread()
            .worker_threads(cores.get())
            .event_interval(limits::EVENT_INTERVAL)
            .enable_all()
            .build()
            .expect("a runtime");
        let scanner = Scanner::new(descriptors.probes, cores);
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .expect("a free port to listen on");
        let address = listener.local_addr().expect("a bound listener has an address");
        let config = Config::try_new(&Sources::new(&|_| None, &|_| None)).expect("the defaults");
        let parts = Parts {
            listen: address,
            descriptors,
            cores,
            resolver: Resolver::new(descriptors.lookups),
            tokens: None,
            log: None,
        };
        let app = App::new(&config, parts);
        let server = ServerLimits {
            connections: descriptors.connections,
            drain_delay: config.drain_delay,
            grace: config.grace,
        };
        // A line a request is part of the path; where it is written is not.
        tracing_subscriber::fmt().with_ansi(false).with_writer(io::sink).init();
        runtime.spawn(serve(listener, Arc::new(app), server, std::future::pending()));
        Self { runtime, scanner, address }
    }

    pub(crate) fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("the service accepts");
        stream.set_nodelay(true).expect("a TCP socket has the option");
        Client { stream: BufReader::new(stream), request: String::new(), body: Vec::new() }
    }
}

impl Client {
    /// Asks for `target` and returns the body of the 200 that must come.
    pub(crate) fn get(&mut self, target: &str) -> &[u8] {
        self.request.clear();
        self.request.extend(["GET ", target, " HTTP/1.1\r\nhost: localhost\r\n\r\n"]);
        self.stream.get_mut().write_all(self.request.as_bytes()).expect("the service reads");
        let mut length = 0;
        for line in 0.. {
            self.request.clear();
            self.stream.read_line(&mut self.request).expect("the service answers");
            let header = self.request.trim_ascii_end();
            assert!(line > 0 || header == "HTTP/1.1 200 OK", "{target}: {header}");
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length: ") {
                length = value.parse().expect("a length is a number");
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body).expect("the service sends the whole body");
        &self.body
    }
}
