//! Requests for another host, and requests that a page of another site made a
//! browser send, are refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::net::SocketAddr;

use support::ask::{audit_lines, serve};
use support::client::{Connection, Reply};
use support::service::{Service, open_ports, run, setting};
use support::targets::Listeners;
use support::{own_address, wait_for};

/// Sends a head as it stands and returns the reply.
#[track_caller]
fn ask(service: SocketAddr, head: &str) -> Reply {
    let mut connection = Connection::open(service);
    connection.send(head);
    let reply = connection.reply();
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{reply:?}");
    reply
}

/// A `GET` with these fields and no others.
fn get(target: &str, fields: &[(&str, &str)]) -> String {
    let fields: String =
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET {target} HTTP/1.1\r\n{fields}\r\n")
}

/// A service that other hosts can reach, as in a pod.
fn open_to_all(more: &[&str]) -> Service {
    let mut command = open_ports(&["--listen", "0.0.0.0:0", "--allow", "loopback"]);
    command.args(more);
    Service::spawn(command)
}

fn local(service: &Service) -> SocketAddr {
    ([127, 0, 0, 1], service.address.port()).into()
}

const ROUTES: [&str; 9] = [
    "/",
    "/livez",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/open-ports",
    "/sweep",
    "/sd",
    "/nowhere",
];

#[test]
fn a_name_that_was_rebound_to_loopback_is_refused() {
    let service = serve(&[]);
    let listener = Listeners::bind(own_address(), 1);
    let scan = format!("/open-ports?domain={}&ports={}", listener.address, listener.list());
    for target in ROUTES.into_iter().chain([&*scan]) {
        for host in ["rebound.example", "rebound.example:8080", "10.0.0.1", "localhost.example"] {
            let problem = ask(service.address, &get(target, &[("Host", host)])).problem(421);
            assert!(problem["errors"]["Host"].is_array(), "{problem}");
        }
        // A host in the target takes precedence.
        let absolute = format!("http://rebound.example{target}");
        ask(service.address, &get(&absolute, &[("Host", "localhost")])).problem(421);
    }
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080"] {
        assert_eq!(ask(service.address, &get("/livez", &[("Host", host)])).status, 200, "{host}");
    }
    let absolute = format!("http://localhost{scan}");
    ask(service.address, &get(&absolute, &[("Host", "rebound.example")])).report();
    wait_for("the listener to be probed", || (listener.probed() > 0).then_some(()));
    assert_eq!(listener.probed(), 1, "something refused was scanned");
}

#[test]
fn the_examples_of_the_help_page_ask_the_host_that_was_asked_for_it() {
    let service = open_to_all(&[]);
    for host in ["scan.example.com", "10.0.0.1:8443", "[::1]:80"] {
        let help = ask(local(&service), &get("/", &[("Host", host)])).body;
        let examples: Vec<&str> = help.lines().filter(|line| line.starts_with("curl ")).collect();
        assert!(examples.len() >= 3, "{help}");
        for example in examples {
            let (_, rest) = example.split_once(&format!(" 'http://{host}/")).expect(example);
            // What is shown is valid.
            let target = format!("/{}", rest.strip_suffix('\'').unwrap());
            let mut connection = Connection::open(local(&service));
            connection.request("HEAD", &target);
            assert_eq!(connection.reply_to_head().status, 200, "{example}");
        }
    }
    // A host is a name or an address, so it cannot leave the quotes.
    for host in ["a'b", "a\"b", "a;b", "a b", "a$b"] {
        ask(local(&service), &get("/", &[("Host", host)])).problem(400);
    }
}

#[test]
fn a_setting_adds_names() {
    let mut command = open_ports(&["--listen", "127.0.0.1:0"]);
    command.env("OPEN_PORTS_HOST", "scan.example.com,10.0.0.1");
    for service in [serve(&["--host", "scan.example.com,10.0.0.1"]), Service::spawn(command)] {
        for (host, status) in [
            ("scan.example.com", 200),
            ("Scan.Example.Com.:443", 200),
            ("10.0.0.1:8080", 200),
            ("localhost", 200),
            ("example.com", 421),
            ("10.0.0.2", 421),
        ] {
            let reply = ask(service.address, &get("/livez", &[("Host", host)]));
            assert_eq!(reply.status, status, "{host}");
        }
    }
    // Other hosts can use only these names, and addresses.
    let service = open_to_all(&["--host", "scan.example.com"]);
    for (host, status) in [
        ("scan.example.com", 200),
        ("10.1.2.3:8080", 200),
        ("localhost", 200),
        ("other.example", 421),
    ] {
        let reply = ask(local(&service), &get("/livez", &[("Host", host)]));
        assert_eq!(reply.status, status, "{host}");
    }
    for wrong in ["scan.example.com:8080", "http://scan.example.com", "a,,b", "*.example.com"] {
        let ended = run(open_ports(&["--listen", "127.0.0.1:0", "--host", wrong]));
        assert!(!ended.status.success() && ended.stderr.contains("--host"), "{ended:?}");
    }
}

#[test]
fn host_must_be_given_once() {
    for service in [serve(&[]), open_to_all(&[])] {
        for fields in [
            &[][..],
            &[("Host", "localhost"), ("Host", "localhost")],
            &[("Host", "localhost"), ("host", "rebound.example")],
            &[("Host", "")],
            &[("Host", "a b")],
            &[("Host", "localhost:http")],
            &[("Host", "user@localhost")],
        ] {
            for target in
                ["/livez", "/open-ports?domain=127.0.0.1&ports=1", "http://localhost/livez"]
            {
                let problem = ask(local(&service), &get(target, fields)).problem(400);
                assert!(problem["errors"]["Host"].is_array(), "{fields:?}: {problem}");
            }
        }
        // HTTP/1.0 has no such field.
        let mut old = Connection::open(local(&service));
        old.send("GET /livez HTTP/1.0\r\n\r\n");
        let reply = String::from_utf8(old.rest()).unwrap();
        assert!(reply.starts_with("HTTP/1.0 200 ") && reply.ends_with("ok\n"), "{reply:?}");
    }
}

#[test]
fn a_service_in_a_cluster_answers_to_any_name() {
    let service = open_to_all(&["--metrics-listen", "127.0.0.1:0"]);
    let listener = Listeners::bind(own_address(), 1);
    let scan = format!("/open-ports?domain={}&ports={}", listener.address, listener.list());
    for host in [
        "open-ports",
        "open-ports.scan.svc.cluster.local:80",
        // kubectl port-forward, and an ssh tunnel.
        "localhost:9090",
        // The kubelet's probes and Prometheus' scrapes.
        "10.244.0.7:8080",
        "[fd00:10:244::7]:8080",
    ] {
        for target in ["/livez", "/readyz", "/metrics", "/openapi.json", &*scan] {
            let reply = ask(local(&service), &get(target, &[("Host", host)]));
            assert_eq!(reply.status, 200, "{host} {target}: {reply:?}");
        }
    }
    let line = service.log().remove(0);
    let metrics: SocketAddr = setting(&line, "metrics_listen").unwrap().parse().unwrap();
    let status = |fields: &[(&str, &str)]| ask(metrics, &get("/metrics", fields)).status;
    assert_eq!(status(&[("Host", "localhost:8081")]), 200);
    assert_eq!(status(&[("Host", "rebound.example")]), 421);
    assert_eq!(status(&[]), 400);
    assert_eq!(status(&[("Host", "localhost"), ("Origin", "http://evil.example")]), 403);
}

#[test]
fn pages_of_other_sites_cannot_make_a_browser_scan() {
    for service in [serve(&[]), open_to_all(&[])] {
        let listener = Listeners::bind(own_address(), 1);
        let scan = format!("/open-ports?domain={}&ports={}", listener.address, listener.list());
        let host = format!("localhost:{}", service.address.port());
        let own = format!("http://{host}");
        let status = |target: &str, fields: &[(&str, &str)]| {
            let fields: Vec<(&str, &str)> =
                [("Host", &*host)].iter().chain(fields).copied().collect();
            let reply = ask(local(&service), &get(target, &fields));
            if reply.status == 403 {
                let problem = reply.problem(403);
                assert_eq!(problem["type"], "urn:open-ports:problem:cross-site");
            }
            reply.status
        };
        for foreign in ["http://evil.example", "null", "http://localhost:1", "https://localhost"] {
            for target in ROUTES.into_iter().chain([&*scan]) {
                assert_eq!(status(target, &[("Origin", foreign)]), 403, "{foreign} {target}");
            }
        }
        for site in ["cross-site", "same-site"] {
            for target in ROUTES.into_iter().chain([&*scan]) {
                let image = [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", "no-cors")];
                assert_eq!(status(target, &image), 403, "{target} as an image");
                let link = [
                    ("Sec-Fetch-Site", site),
                    ("Sec-Fetch-Mode", "navigate"),
                    ("Sec-Fetch-Dest", "document"),
                ];
                let scans =
                    !["/", "/livez", "/readyz", "/metrics", "/openapi.json"].contains(&target);
                assert_eq!(
                    status(target, &link),
                    if scans { 403 } else { 200 },
                    "{target} as a link"
                );
            }
        }
        assert!(audit_lines(&service).is_empty(), "{:?}", service.log());
        assert_eq!(listener.probed(), 0);
        // Somebody who types the address, and a page of the service itself.
        for fields in [
            &[("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate")][..],
            &[("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "cors")],
            &[("Origin", &*own)],
        ] {
            assert_eq!(status(&scan, fields), 200, "{fields:?}");
        }
        wait_for("the scans", || (listener.probed() == 3).then_some(()));
    }
}

#[test]
fn the_preflight_of_another_site_is_refused_too() {
    let service = serve(&[]);
    let head = "OPTIONS /open-ports HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\
                Access-Control-Request-Method: GET\r\n\r\n";
    let reply = ask(service.address, head);
    reply.problem(403);
    assert_eq!(reply.header("access-control-allow-origin"), None);
}

#[test]
fn a_reply_to_what_is_not_http_is_not_sniffed_either() {
    let service = serve(&[]);
    ask(service.address, "GET / HTTP/1.1\r\nHost test\r\n\r\n").problem(400);
}
