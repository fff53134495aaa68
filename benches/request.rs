//! Requests a second over one connection: what one port costs from the
//! request's first byte to the reply's last, beside its two parts, the HTTP
//! path and the scan.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::{str, thread};

use criterion::{Criterion, Throughput};
use open_ports::ports::PortSet;
use open_ports::scan::ScanPlan;
use socket2::{Domain, Socket, Type};

use crate::support::service::Service;

mod support {
    pub(crate) mod service;
}

fn request(criterion: &mut Criterion) {
    let service = Service::start();
    let open = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let open_port = open.local_addr().expect("it is bound").port();
    // A queue that nobody empties would fill, and the port turn silent.
    thread::spawn(move || open.incoming().for_each(drop));
    // Bound and not listening: refused, and nobody else's meanwhile.
    let closed = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    closed.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    let name = closed.local_addr().ok().and_then(|name| name.as_socket());
    let closed_port = name.expect("it is bound").port();

    let mut group = criterion.benchmark_group("request");
    group.throughput(Throughput::Elements(1));
    let port = PortSet::try_range(closed_port, closed_port).expect("a port is not 0");
    let plan = ScanPlan::new(vec![Ipv4Addr::LOCALHOST.into()], port);
    group.bench_function("engine_alone_one_closed_port", |bencher| {
        bencher.iter(|| {
            let tallies = service.runtime.block_on(service.scanner.scan(&plan));
            assert_eq!(tallies[0].closed, 1, "{tallies:?}");
        });
    });
    let mut ask = |name: &str, target: &str, expected: &str| {
        group.bench_function(name, |bencher| {
            let mut client = service.client();
            bencher.iter(|| {
                let body = str::from_utf8(client.get(target)).expect("bodies are UTF-8");
                assert!(body.contains(expected), "{target}: {body}");
            });
        });
    };
    ask("help", "/", "GET /open-ports");
    let one_port = |port| format!("/open-ports?domain=127.0.0.1&ports={port}");
    ask("one_closed_port", &one_port(closed_port), r#""open_ports":[],"complete":true"#);
    let found = format!(r#""open_ports":[{open_port}],"complete":true"#);
    ask("one_open_port", &one_port(open_port), &found);
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    request(&mut criterion);
    criterion.final_summary();
}
