//! The service as a process: settings, start, signals, exit.

mod support;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::thread::{self, JoinHandle};

use rustix::process::Signal;

use support::client::{Connection, Reply};
use support::service::{Ended, Service, open_ports, run, setting, with_descriptors, with_limit};
use support::targets::{Silent, free_port};
use support::{own_address, wait_for};

#[test]
fn the_first_line_of_the_log_has_the_settings_in_force() {
    let service = Service::spawn(with_descriptors(256));
    let log = service.log();
    let line = log.first().unwrap();
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!(setting(line, "listen"), Some(service.address.to_string()));
    assert_eq!(setting(line, "descriptors").as_deref(), Some("256"));
    let cores = thread::available_parallelism().unwrap().to_string();
    assert_eq!(setting(line, "fanouts"), Some(cores));
    let number = |name| setting(line, name).and_then(|value| value.parse::<usize>().ok()).unwrap();
    assert!(number("probes") > 100 && number("probes") + number("connections") < 256, "{line}");
    assert!(!line.contains('\u{1b}'), "colours in what is no terminal: {line:?}");
}

#[test]
fn the_soft_limit_on_descriptors_is_raised_to_the_hard_one() {
    let service = Service::spawn(with_limit("ulimit -S -n 64 && ulimit -H -n 512"));
    assert_eq!(setting(&service.log()[0], "descriptors").as_deref(), Some("512"));
}

#[test]
fn a_flag_takes_precedence_over_the_variable_and_that_over_port() {
    let address = || SocketAddr::from((own_address(), free_port()));
    let (flag, variable, port) = (address(), address(), free_port());

    let mut all = open_ports(&["--listen", &flag.to_string()]);
    all.env("OPEN_PORTS_LISTEN", variable.to_string()).env("PORT", port.to_string());
    let service = Service::spawn(all);
    assert_eq!(service.address, flag);
    assert_eq!(service.get("/").status, 200);

    let mut two = open_ports(&["serve"]);
    two.env("OPEN_PORTS_LISTEN", variable.to_string()).env("PORT", port.to_string());
    assert_eq!(Service::spawn(two).address, variable);

    let mut one = open_ports(&[]);
    one.env("PORT", port.to_string()).env("OPEN_PORTS_ALLOW", "loopback");
    let service = Service::spawn(one);
    assert!(service.address.ip().is_unspecified());
    // It listens on all interfaces, so any loopback address works.
    let reply = support::client::get((own_address(), port).into(), "/");
    assert_eq!(reply.status, 200);
}

#[test]
fn a_start_that_fails_gives_the_reason_in_one_line() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, variable, names) in [
        (&["--listen", &*taken][..], None, &*taken),
        (&["--listen", "8080"], None, "--listen"),
        (&["--listen", "localhost:8080"], None, "--listen"),
        (&["--listen", "127.0.0.1:65536"], None, "--listen"),
        (&["--listen", "127.0.0.1:0\n\u{1b}[31m"], None, "--listen"),
        (&["--listen"], None, "--listen"),
        (&["--grace", "soon"], None, "--grace"),
        (&["--grace", "-1"], None, "--grace"),
        (&["--bogus"], None, "--bogus"),
        (&["serve", "--bogus"], None, "--bogus"),
        (&["serve", "now"], None, "now"),
        (&["frobnicate"], None, "frobnicate"),
        (&[], Some(("OPEN_PORTS_LISTEN", "nowhere")), "OPEN_PORTS_LISTEN"),
        (&[], Some(("PORT", "8080")), "OPEN_PORTS_ALLOW"),
        (&[], Some(("OPEN_PORTS_GRACE", "1e9")), "OPEN_PORTS_GRACE"),
        (&[], Some(("PORT", "0")), "PORT"),
        (&[], Some(("PORT", "http")), "PORT"),
    ] {
        let mut command = open_ports(arguments);
        command.envs(variable);
        assert_fails(&run(command), names);
    }
    assert_fails(&run(with_descriptors(24)), "ulimit -n");
}

#[test]
fn help_and_version_go_to_standard_output() {
    let help = run(open_ports(&["--help"]));
    assert!(help.status.success() && help.stderr.is_empty(), "{help:?}");
    assert!(help.stdout.contains("serve"), "{help:?}");
    let help = run(open_ports(&["serve", "--help"]));
    assert!(help.status.success() && help.stdout.contains("--listen"), "{help:?}");
    let printed = run(open_ports(&["--version"])).stdout;
    let (version, revision) = (env!("CARGO_PKG_VERSION"), env!("BUILD_REVISION"));
    assert_eq!(printed, format!("open-ports {version} (revision {revision})\n"));
}

#[test]
fn sigterm_during_a_scan_lets_it_finish_and_refuses_new_clients() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut service = Service::start();
        let silent = Silent::bind(own_address(), 20);
        let scan = start_scan(&service, &silent, 1500);
        service.signal(signal);
        wait_for_refusal(service.address);
        assert!(!scan.is_finished(), "the scan had ended already");
        let report = scan.join().unwrap().expect("a reply").report();
        assert_eq!(report["addresses"][0]["filtered"], 20);
        assert_eq!(report["complete"], true);
        assert_eq!(service.wait().code(), Some(0), "{:?}", service.log());
    }
}

#[test]
fn a_grace_period_that_ends_first_cuts_the_scan() {
    for grace in ["0", "1"] {
        let mut service =
            Service::spawn(open_ports(&["--listen", "127.0.0.1:0", "--grace", grace]));
        let silent = Silent::bind(own_address(), 1);
        let scan = start_scan(&service, &silent, 30_000);
        service.signal(Signal::TERM);
        assert_eq!(service.wait().code(), Some(0));
        assert!(scan.join().unwrap().is_none(), "a reply, before the timeout");
        let line = service.wait_for_log("cutting");
        assert_eq!(setting(&line, "connections").as_deref(), Some("1"), "{line}");
    }
}

#[test]
fn a_second_signal_ends_the_service_at_once() {
    for (signal, code) in [(Signal::TERM, 128 + 15), (Signal::INT, 128 + 2)] {
        let mut service = Service::start();
        let silent = Silent::bind(own_address(), 1);
        let scan = start_scan(&service, &silent, 30_000);
        service.signal(Signal::TERM);
        service.wait_for_log("stopping");
        service.signal(signal);
        let status = service.wait();
        assert_eq!((status.code(), status.signal()), (Some(code), None));
        assert!(scan.join().unwrap().is_none(), "a reply, before the timeout");
    }
}

#[test]
fn idle_connections_do_not_delay_the_exit() {
    let mut service = Service::spawn(open_ports(&["--listen", "127.0.0.1:0", "--grace", "3600"]));
    let unused = Connection::open(service.address);
    let mut used = Connection::open(service.address);
    assert_eq!(used.get("/").status, 200);
    service.signal(Signal::TERM);
    assert_eq!(service.wait().code(), Some(0));
    let last = service.log().pop().unwrap();
    assert_eq!(setting(&last, "message").as_deref(), Some("stopped"), "{last}");
    for mut connection in [unused, used] {
        assert_eq!(connection.rest(), b"");
    }
}

/// Starts a scan of silent ports on a thread, and waits until it runs. The thread
/// returns the reply, if there is one before the connection ends.
fn start_scan(service: &Service, silent: &Silent, timeout: u32) -> JoinHandle<Option<Reply>> {
    let before = service.descriptors();
    let query = format!(
        "/open-ports?domain={}&ports={}&timeoutMs={timeout}",
        silent.address,
        silent.list()
    );
    let mut connection = Connection::open(service.address);
    connection.request("GET", &query);
    let scan = thread::spawn(move || connection.reply_or_end());
    // Besides the probes there are the connection and a readiness set.
    wait_for("the probes to be in flight", || {
        (service.descriptors() >= before + 2 + silent.ports.len()).then_some(())
    });
    scan
}

fn wait_for_refusal(address: SocketAddr) {
    wait_for("newcomers to be refused", || TcpStream::connect(address).err());
}

#[track_caller]
fn assert_fails(ended: &Ended, names: &str) {
    assert!(ended.status.code().is_some_and(|code| code != 0), "{ended:?}");
    assert_eq!(ended.stdout, "");
    let line = ended.stderr.strip_suffix('\n').expect("a whole line");
    assert!(line.starts_with("open-ports: ") && line.contains(names), "{names}: {line:?}");
    assert!(!line.contains(char::is_control), "{line:?}");
}
