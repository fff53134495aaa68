//! `open-ports healthcheck` of the real service and of others.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

support::trials::main! {
    a_service_that_lives_is_healthy_by_flag_and_by_variable,
    a_service_on_all_interfaces_is_asked_on_loopback,
    a_service_on_all_interfaces_of_both_families_is_asked_on_loopback: Ipv6,
    a_port_where_nobody_listens_is_unhealthy_and_named,
    a_service_that_answers_503_is_unhealthy,
    a_service_that_hangs_is_unhealthy_before_its_callers_give_up,
    an_invalid_address_is_reported,
}

fn a_service_that_lives_is_healthy_by_flag_and_by_variable() {
    let service = Service::start(&["--listen", "127.0.0.1:0"]);
    let address = service.address.to_string();
    assert_healthy(&healthcheck(&["--listen", &address], &[]));
    assert_healthy(&healthcheck(&[], &[("OPEN_PORTS_LISTEN", &address)]));
}

fn a_service_on_all_interfaces_is_asked_on_loopback() {
    assert_asked_on_loopback("0.0.0.0:0");
}

fn a_service_on_all_interfaces_of_both_families_is_asked_on_loopback() {
    assert_asked_on_loopback("[::]:0");
}

#[track_caller]
fn assert_asked_on_loopback(listen: &str) {
    let service = Service::start(&["--listen", listen, "--allow", "loopback"]);
    let unspecified = service.address;
    assert!(unspecified.ip().is_unspecified(), "{unspecified}");
    assert_healthy(&healthcheck(&["--listen", &unspecified.to_string()], &[]));
    assert_healthy(&healthcheck(&[], &[("PORT", &unspecified.port().to_string())]));
}

fn a_port_where_nobody_listens_is_unhealthy_and_named() {
    let (_kept, address) = refusing();
    let answer = healthcheck(&["--listen", &address.to_string()], &[]);
    assert_unhealthy(&answer, &format!("open-ports: healthcheck {address}: "));
}

fn a_service_that_answers_503_is_unhealthy() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut request = [0; 512];
        let read = client.read(&mut request).unwrap();
        client.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let answer = healthcheck(&["--listen", &address.to_string()], &[]);
    assert_unhealthy(&answer, "answered \"HTTP/1.1 503\", not 200");
    let request = server.join().unwrap();
    assert!(request.starts_with("GET /livez HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
}

fn a_service_that_hangs_is_unhealthy_before_its_callers_give_up() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let start = Instant::now();
    let answer = healthcheck(&["--listen", &address.to_string()], &[]);
    assert_unhealthy(&answer, "open-ports: healthcheck ");
    // Twice the timeout of one step is due; the rest is for a busy machine.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

fn an_invalid_address_is_reported() {
    for (arguments, environment, message) in [
        (&["--listen", "8080"][..], &[][..], "--listen: \"8080\" is not an address with a port"),
        (&[], &[("PORT", "http")], "PORT: \"http\" is not a port"),
    ] {
        let answer = healthcheck(arguments, environment);
        let error = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert_eq!(answer.status.code(), Some(2), "{error}");
        assert!(error.contains(message), "{error}");
    }
}

/// The service, killed on drop.
struct Service {
    process: Child,
    address: SocketAddr,
}

impl Service {
    fn start(arguments: &[&str]) -> Self {
        let mut command = open_ports(arguments, &[("OPEN_PORTS_LOG_FORMAT", "json")]);
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let started: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = started["listen"].as_str().unwrap().parse().unwrap();
        Self { process, address }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn healthcheck(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let arguments = [&["healthcheck"], arguments].concat();
    open_ports(&arguments, environment).output().unwrap()
}

/// The binary with only these settings.
fn open_ports(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_open-ports"));
    command.env_clear().args(arguments).envs(environment.iter().copied());
    command
}

/// A port that refuses: it is bound, so that nothing else can listen there.
fn refusing() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

#[track_caller]
fn assert_healthy(answer: &Output) {
    assert!(answer.status.success(), "{answer:?}");
    assert!(answer.stdout.is_empty() && answer.stderr.is_empty(), "{answer:?}");
}

#[track_caller]
fn assert_unhealthy(answer: &Output, reason: &str) {
    let said = String::from_utf8_lossy(&answer.stderr);
    assert_eq!(answer.status.code(), Some(1), "{said}");
    assert!(said.contains(reason), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
