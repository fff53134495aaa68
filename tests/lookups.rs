//! Names that are slow to resolve, and machines that cannot look names up. Neither
//! delays other callers, and neither is reported as a name without addresses.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::net::{IpAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::{self, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::process::getuid;
use serde_json::Value;

use support::ask::sample;
use support::client::{Connection, Reply};
use support::namespace::with_resolver;
use support::service::{Service, on_any_port, open_ports, run};
use support::wait_for;

support::trials::main! {
    slow_names_of_one_caller_do_not_delay_other_callers: OwnNetwork | OwnNames,
    a_request_whose_look_up_cannot_start_soon_gets_503: OwnNetwork | OwnNames,
    the_deadline_of_a_request_includes_its_look_up: OwnNetwork | OwnNames,
    dead_names_in_a_list_do_not_keep_good_ones_from_resolving: OwnNetwork | OwnNames,
    names_not_resolved_before_the_deadline_count_as_not_visited: OwnNetwork | OwnNames,
    a_final_dot_saves_the_look_ups_in_the_domains_of_a_cluster: OwnNetwork | OwnNames,
    a_service_without_a_thread_for_a_look_up_says_so_and_goes_on,
    with_few_threads_a_list_of_names_is_resolved_or_reported_as_not_looked_up: Root,
    a_list_whose_rest_no_thread_can_read_is_a_failure: Root,
}

/// A name server that counts queries and answers none.
struct SilentServer {
    questions: Arc<AtomicUsize>,
}

impl SilentServer {
    /// The address is sure to be free only in a network of its own.
    fn start() -> Self {
        let socket = UdpSocket::bind(NAME_SERVER).unwrap();
        let questions = Arc::new(AtomicUsize::new(0));
        let heard = Arc::clone(&questions);
        thread::spawn(move || {
            while socket.recv(&mut [0; 512]).is_ok() {
                heard.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { questions }
    }

    /// Waits until `count` queries have come.
    #[track_caller]
    fn wait_for(&self, count: usize) {
        wait_for("questions", || (self.questions.load(Ordering::Relaxed) >= count).then_some(()));
    }
}

/// A service that uses [`SilentServer`]. Its resolver waits longer than its clients.
fn service() -> Service {
    let resolver = "nameserver 127.0.0.53\noptions timeout:30 attempts:1\n";
    let (command, _files) = with_resolver(HOSTS, resolver, &on_any_port());
    // The files are mounted before the service logs its address.
    Service::spawn(command)
}

/// Requests slow names, each on its own connection, and waits until `looked_up` of
/// them are being looked up.
fn ask_slowly(
    service: &Service,
    server: &SilentServer,
    client: &str,
    names: usize,
    looked_up: usize,
) -> Vec<Connection> {
    let client = client.parse().unwrap();
    let before = server.questions.load(Ordering::Relaxed);
    let asking = |number| {
        let mut connection = Connection::open_from(client, service.address);
        connection.request("GET", &scan_of(&format!("slow{number}.example.")));
        connection
    };
    let connections = (0..names).map(asking).collect();
    // One for IPv4 and one for IPv6.
    server.wait_for(before + 2 * looked_up);
    connections
}

fn scan_of(name: &str) -> String {
    format!("/open-ports?domain={name}&ports=1")
}

fn slow_names_of_one_caller_do_not_delay_other_callers() {
    let (server, service) = (SilentServer::start(), service());
    // 16 look-ups at once, and eight of them for one caller.
    let mut first = ask_slowly(&service, &server, "127.0.0.2", 10, 8);
    let from = |client: &str, name: &str| {
        let client: IpAddr = client.parse().unwrap();
        Connection::open_from(client, service.address).get(&scan_of(name))
    };
    from("127.0.0.3", "localhost").report();
    // An address needs no look-up.
    from("127.0.0.2", "127.0.0.1").report();
    // Two waited too long for their turn, so nothing is known about their names.
    let replies: Vec<Reply> = first.iter_mut().map(Connection::reply).collect();
    let (early, late): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 429);
    assert_eq!((early.len(), late.len()), (2, 8), "{replies:?}");
    for reply in early {
        assert_eq!(reply.problem(429)["type"], "urn:open-ports:problem:quota-used-up");
        assert_eq!(reply.header("retry-after"), Some("2"));
    }
    for reply in late {
        let problem = reply.problem(422);
        assert!(problem["detail"].as_str().unwrap().ends_with(" within 8 s"), "{problem}");
    }
}

fn a_request_whose_look_up_cannot_start_soon_gets_503() {
    let (server, service) = (SilentServer::start(), service());
    let _first = ask_slowly(&service, &server, "127.0.0.2", 8, 8);
    let _second = ask_slowly(&service, &server, "127.0.0.3", 8, 8);
    let reply = service.get(&scan_of("localhost"));
    let problem = reply.problem(503);
    assert_eq!(problem["type"], "urn:open-ports:problem:not-looked-up");
    assert!(problem["detail"].as_str().unwrap().starts_with("localhost was not looked up"));
    assert_eq!(reply.header("retry-after"), Some("2"));
    assert_eq!(audited(&service, "localhost"), "not-looked-up");
}

fn the_deadline_of_a_request_includes_its_look_up() {
    let (_server, service) = (SilentServer::start(), service());
    let query = format!("{}&deadlineMs=500", scan_of("slow.example."));
    let problem = service.get(&query).problem(422);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("did not resolve within 0."), "{detail}");
}

fn dead_names_in_a_list_do_not_keep_good_ones_from_resolving() {
    let _server = SilentServer::start();
    let resolver = "nameserver 127.0.0.53\noptions timeout:7 attempts:1\n";
    let mut hosts = HOSTS.to_owned();
    let mut scan = open_ports(&["scan", "-p1", "--format", "json", "--seed", "7"]);
    for number in 1..=24 {
        hosts.push_str(&format!("127.9.0.{number} good{number}.example\n"));
        scan.args([format!("good{number}.example"), format!("dead{number}.example.")]);
    }
    let (command, _files) = with_resolver(&hosts, resolver, &scan);
    let ended = run(command);
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    let reports = document["hosts"].as_array().unwrap();
    assert_eq!(reports.len(), 48, "{ended:?}");
    for report in reports {
        let good = report["domain"].as_str().unwrap().starts_with("good");
        assert_eq!(report["complete"], good, "{report}");
    }
}

fn names_not_resolved_before_the_deadline_count_as_not_visited() {
    let _server = SilentServer::start();
    let resolver = "nameserver 127.0.0.53\noptions timeout:7 attempts:1\n";
    let mut scan = open_ports(&["scan", "-p1", "--deadline-ms", "700"]);
    scan.args((0..40).map(|number| format!("dead{number}.example.")));
    let (command, _files) = with_resolver(HOSTS, resolver, &scan);
    let ended = run(command);
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
    let message = "open-ports: incomplete (deadline): 40 hosts not visited\n";
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", message));
}

/// docs/service.md has these numbers.
fn a_final_dot_saves_the_look_ups_in_the_domains_of_a_cluster() {
    let socket = UdpSocket::bind(NAME_SERVER).unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    let questions = Arc::clone(&heard);
    thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut message) {
            heard.fetch_add(1, Ordering::Relaxed);
            // A response that there is no such name: RFC 1035, section 4.1.1.
            message[2] |= 0x80;
            message[3] = 0x83;
            socket.send_to(&message[..length], client).unwrap();
        }
    });
    // As Kubernetes writes it for a pod in the namespace `scan`.
    let resolver = "search scan.svc.cluster.local svc.cluster.local cluster.local\n\
                    nameserver 127.0.0.53\noptions ndots:5\n";
    for (name, asked) in [("db.example.com", 8), ("db.example.com.", 2)] {
        let before = questions.load(Ordering::Relaxed);
        let (command, _files) = with_resolver(HOSTS, resolver, &open_ports(&["scan", name, "-p1"]));
        let ended = run(command);
        assert_eq!(ended.status.code(), Some(3), "{ended:?}");
        assert_eq!(questions.load(Ordering::Relaxed) - before, asked, "{name}");
    }
}

fn a_service_without_a_thread_for_a_look_up_says_so_and_goes_on() {
    // Limits on tasks do not apply to root.
    let mut command = on_any_port();
    if getuid().is_root() {
        command.uid(own_user(0)).gid(own_user(0));
    }
    let mut service = Service::spawn(command);
    let mut limit = Command::new("prlimit");
    limit.args(["--nproc=1:1", "--pid", &service.pid().as_raw_nonzero().to_string()]);
    if getuid().is_root() {
        limit.uid(own_user(0)).gid(own_user(0));
    }
    assert!(limit.status().unwrap().success());
    let reply = service.get(&scan_of("localhost"));
    let problem = reply.problem(503);
    assert_eq!(problem["type"], "urn:open-ports:problem:not-looked-up");
    assert!(reply.header("retry-after").is_some(), "{reply:?}");
    service.get(&scan_of("127.0.0.1")).report();
    assert_eq!(sample(&service, "open_ports_scans_running"), 0.0);
    service.signal(rustix::process::Signal::TERM);
    assert!(service.wait().success());
}

fn with_few_threads_a_list_of_names_is_resolved_or_reported_as_not_looked_up() {
    // With users who have no other process, which root can become.
    // One for the program, one for its runtime, and one for look-ups.
    for (user, threads, status, message) in [
        (1, 3, 0, ""),
        (2, 2, 4, "open-ports: localhost was not looked up: "),
        (3, 1, 1, "open-ports: cannot start the runtime: "),
    ] {
        let scan = format!("ulimit -u {threads} && exec \"$0\" scan -p1 127.0.0.1 localhost");
        let mut command = Command::new("bash");
        command.args(["-c", &scan, env!("CARGO_BIN_EXE_open-ports")]);
        command.uid(own_user(user)).gid(own_user(user));
        let ended = run(command);
        assert_eq!(ended.status.code(), Some(status), "{threads} threads: {ended:?}");
        assert!(ended.stderr.starts_with(message), "{threads} threads: {ended:?}");
        let incomplete = ended.stderr.contains("incomplete (not-looked-up)");
        assert_eq!(incomplete, status == 4, "{threads} threads: {ended:?}");
    }
}

fn a_list_whose_rest_no_thread_can_read_is_a_failure() {
    // With a user who has no other process, which root can become.
    // More hosts than are read at first. The program and its runtime use a thread each.
    let list = "yes 127.0.0.1 | head -n 20000 >list";
    let scan = "ulimit -u 2 && exec \"$0\" scan -p1 --targets list";
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("sh").args(["-c", list]).current_dir(&folder).status();
    assert!(made.unwrap().success());
    std::os::unix::fs::chown(&folder, Some(own_user(4)), None).unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", scan, env!("CARGO_BIN_EXE_open-ports")]).current_dir(&folder);
    command.uid(own_user(4)).gid(own_user(4));
    let ended = run(command);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.starts_with("open-ports: --targets: line 16384: "), "{ended:?}");
}

/// The outcome of the request for a scan of `domain`, from the log.
fn audited(service: &Service, domain: &str) -> String {
    wait_for("a line in the log", || {
        let lines = support::ask::audit_lines(service);
        let line = lines.into_iter().find(|line| line["domain"] == domain)?;
        line["outcome"].as_str().map(str::to_owned)
    })
}

/// A user, numbered up to 7, that has no processes except this test's.
fn own_user(number: u32) -> u32 {
    // Within the 65,536 users that containers usually have.
    20_000 + 8 * process::id() % 40_000 + number
}

const HOSTS: &str = "127.0.0.1 localhost\n";

const NAME_SERVER: &str = "127.0.0.53:53";
