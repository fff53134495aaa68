//! What the service reports about itself: ids, log lines, metrics, readiness.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, prlimit};
use serde_json::{Value, json};

use support::ask::{
    Streamed, audit_lines, get_with, sample, sample_of, serve, serving, wait_for_sockets_closed,
};
use support::client::{Connection, get};
use support::service::{Service, open_ports, run};
use support::targets::{Listeners, Refused, Silent, free_port};
use support::terminal::OnTerminal;
use support::{own_address, wait_for};

const CONTROL_C: &str = "\x03";

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_request_id_is_kept_or_made_and_always_echoed() {
    let service = serve(&[]);
    let scan = format!("/open-ports?domain={}&toPort=1", own_address());
    for target in [&scan, "/livez", "/nowhere", "/open-ports", "/metrics"] {
        let reply = get_with(service.address, target, &[("X-Request-Id", "req-1.a:b/c+d=_")]);
        assert_eq!(reply.header("x-request-id"), Some("req-1.a:b/c+d=_"), "{target}");
        assert_eq!(reply.header("traceparent"), None);
        let reply = get_with(service.address, target, &[("traceparent", TRACE)]);
        assert_eq!(reply.header("x-request-id"), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!(reply.header("traceparent"), Some(TRACE));
        let both = [("traceparent", TRACE), ("X-Request-Id", "mine")];
        let reply = get_with(service.address, target, &both);
        assert_eq!(
            (reply.header("x-request-id"), reply.header("traceparent")),
            (Some("mine"), Some(TRACE))
        );
    }
    let mut made = BTreeSet::new();
    let long = "a".repeat(129);
    let unacceptable = ["", "a b", "\"quoted\"", "ä", "{}", "<script>", &long];
    for id in unacceptable {
        let reply = get_with(service.address, &scan, &[("X-Request-Id", id)]);
        let echoed = reply.header("x-request-id").unwrap();
        assert!(echoed.len() == 16 && echoed.bytes().all(|byte| byte.is_ascii_hexdigit()));
        made.insert(echoed.to_owned());
    }
    assert_eq!(made.len(), unacceptable.len(), "ids differ");
    let count = 3 + unacceptable.len();
    let lines =
        wait_for("every audit line", || Some(audit_lines(&service)).filter(|l| l.len() == count));
    let ids: Vec<&str> = lines.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
    assert_eq!(ids[..3], ["req-1.a:b/c+d=_", "4bf92f3577b34da6a3ce929d0e0e4736", "mine"]);
    assert_eq!(ids[3..].iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>(), made);
}

#[test]
fn the_steps_of_a_scan_are_timed() {
    let service = serve(&[]);
    let steps = |target: &str| -> Vec<(String, f64)> {
        let reply = service.get(target);
        let timing = reply.header("server-timing").expect("Server-Timing").to_owned();
        let step = |metric: &str| {
            let (name, duration) = metric.trim().split_once(";dur=").expect("a duration");
            (name.to_owned(), duration.parse().unwrap())
        };
        timing.split(',').map(step).collect()
    };
    let scan = format!("/open-ports?domain={}&ports=1-30&rate=60", own_address());
    let [(first, _), (second, took)] = &steps(&scan)[..] else { panic!("two steps") };
    assert_eq!((first.as_str(), second.as_str()), ("resolve", "scan"));
    assert!(*took >= 400.0, "{took} ms for half a second of probes");
    // No time for a step that did not happen.
    for target in [
        format!("{scan}&explain=true"),
        "/open-ports?domain=169.254.169.254&toPort=1".into(),
        "/open-ports?domain=no-such-name.invalid&toPort=1".into(),
    ] {
        let steps = steps(&target);
        assert_eq!((steps.len(), steps[0].0.as_str()), (1, "resolve"), "{target}");
    }
}

/// The fields of an audit line, except for its times.
fn fields(line: &Value) -> Value {
    let mut fields = line.as_object().unwrap().clone();
    for name in ["timestamp", "level", "message", "duration_ms"] {
        assert!(fields.remove(name).is_some(), "{name} in {line}");
    }
    fields.into_iter().collect()
}

#[test]
fn each_scan_has_one_line_with_every_field_however_it_ended() {
    let service = serve(&["--deny", "192.0.2.0/24", "--max-scans-per-caller", "1"]);
    let (open, silent) = (Listeners::bind(own_address(), 1), Silent::bind(own_address(), 3));
    let refused = Refused::bind(open.address);
    let (address, port) = (open.address, *open.ports.first().unwrap());
    let ask = |id: &str, query: &str| {
        get_with(service.address, &format!("/open-ports?{query}"), &[("X-Request-Id", id)]).status
    };
    let ports = format!("{},{}", port.min(refused.port), port.max(refused.port));
    assert_eq!(ask("complete", &format!("domain={address}&ports={ports}")), 200);
    let cut = format!("domain={address}&ports=1-99&rate=20&deadlineMs=200");
    assert_eq!(ask("incomplete", &cut), 200);
    assert_eq!(ask("explained", &format!("domain={address}&toPort=9&explain=true")), 200);
    assert_eq!(ask("refused", "domain=192.0.2.7&toPort=9"), 403);
    assert_eq!(ask("not-resolved", "domain=no-such-name.invalid&toPort=9"), 422);
    let quiet = silent.address;
    let long = format!("domain={quiet}&ports={}&timeoutMs=30000", silent.list());
    let streaming = Streamed::open(
        service.address,
        &format!("/open-ports?{long}&format=ndjson"),
        &[("X-Request-Id", "cancelled")],
    );
    assert_eq!(ask("not-admitted", &format!("domain={address}&toPort=9")), 429);
    drop(streaming);
    // These requests are no scans.
    assert_eq!(ask("none", "domain=&toPort=9"), 400);
    assert_eq!(ask("none", &format!("domain={address}&toPort=9&format=yaml")), 400);

    let wanted = [
        (
            "complete",
            &address.to_string(),
            json!([address]),
            ports.clone(),
            "allow any",
            [1, 1, 0, 0],
        ),
        ("explained", &address.to_string(), json!([address]), "1-9".into(), "", [0; 4]),
        (
            "refused",
            &"192.0.2.7".into(),
            json!(["192.0.2.7"]),
            "1-9".into(),
            "deny 192.0.2.0/24",
            [0; 4],
        ),
        ("not-resolved", &"no-such-name.invalid".into(), json!([]), "1-9".into(), "", [0; 4]),
        ("not-admitted", &address.to_string(), json!([address]), "1-9".into(), "allow any", [0; 4]),
        ("cancelled", &quiet.to_string(), json!([quiet]), silent.list(), "allow any", [0, 0, 0, 3]),
    ];
    let lines = wait_for("every line", || {
        Some(audit_lines(&service)).filter(|lines| lines.len() == wanted.len() + 1)
    });
    let of = |id: &str| {
        let mut of = lines.iter().filter(|line| line["request_id"] == id);
        let line = of.next().unwrap_or_else(|| panic!("no line of {id}: {lines:?}"));
        assert!(of.next().is_none(), "{id} twice: {lines:?}");
        line
    };
    for (outcome, domain, addresses, ports, rule, [open, closed, filtered, not_scanned]) in wanted {
        assert_eq!(
            fields(of(outcome)),
            json!({
                "request_id": outcome, "caller": "127.0.0.1", "domain": domain,
                "addresses": addresses, "ports": ports, "rule": rule,
                "outcome": outcome, "open": open, "closed": closed, "filtered": filtered,
                "not_scanned": not_scanned,
            })
        );
    }
    let cut = of("incomplete");
    assert_eq!(cut["outcome"], "incomplete");
    let count = |name: &str| cut[name].as_u64().unwrap();
    assert_eq!(count("open") + count("closed") + count("filtered") + count("not_scanned"), 99);
    assert!(cut["duration_ms"].as_u64().unwrap() >= 200, "{cut}");
}

#[test]
fn no_part_of_a_request_is_logged_unescaped() {
    for format in ["text", "json"] {
        let service = serve(&["--log-format", format]);
        // The one text of a client's own that is logged: a host name. Others are
        // refused before.
        for domain in ["a%0aforged", "a%1b%5b31m", "%22x", "a%7f", "a%e2%80%ae"] {
            let target = format!("/open-ports?domain={domain}&toPort=1&x%0a=1");
            let reply = service.get(&target);
            reply.problem(400);
            assert!(reply.body.bytes().all(|byte| byte >= b' ' || byte == b'\n'), "{reply:?}");
        }
        service.get(&format!("/open-ports?domain={}&toPort=1", own_address())).report();
        let line = service.wait_for_log("complete");
        assert!(!line.bytes().any(|byte| byte < b' '), "{line:?}");
        assert_eq!(service.log().len(), 2, "{:?}", service.log());
    }
}

#[test]
fn the_log_is_json_except_on_a_terminal_or_if_configured_otherwise() {
    let scan = format!("/open-ports?domain={}&toPort=1", own_address());
    let json = serve(&[]);
    json.get(&scan).report();
    let line: Value = serde_json::from_str(&json.wait_for_log("complete")).unwrap();
    assert_eq!((&line["level"], &line["message"]), (&json!("INFO"), &json!("scan")));

    let mut command = serving(&[]);
    command.env("OPEN_PORTS_LOG_FORMAT", "text");
    let text = Service::spawn(command);
    text.get(&scan).report();
    let line = text.wait_for_log("complete");
    for part in [" INFO scan request_id=", " addresses=[\"127.", " outcome=\"complete\""] {
        assert!(line.contains(part), "{part}: {line}");
    }

    let mut terminal = OnTerminal::start(&["--listen", "127.0.0.1:0"], &[]);
    terminal.wait_for_screen("the service to listen", |screen| screen.contains("serving"));
    terminal.type_in(CONTROL_C);
    let seen = terminal.end();
    assert!(!seen.bytes.contains("\"message\""), "{seen:?}");
}

#[test]
fn a_level_leaves_out_less_important_lines() {
    let ended = |level: &str| {
        // At some levels the service does not log its port, so choose one here.
        // On an address that no client has, so that none can connect to itself.
        let address: SocketAddr = (own_address(), free_port()).into();
        let mut command = open_ports(&["--listen", &address.to_string()]);
        command.env("OPEN_PORTS_LOG", level);
        let stop = std::thread::spawn(move || {
            wait_for("the service to listen", || TcpStream::connect(address).ok());
            get(address, &format!("/open-ports?domain={}&toPort=1", own_address())).report();
            address
        });
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
        let child = command.spawn().unwrap();
        let asked = stop.join();
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM)
            .unwrap();
        let output = child.wait_with_output().unwrap();
        // Check this only now: otherwise the service could outlive the test.
        asked.unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    for level in ["error", "warn"] {
        assert_eq!(ended(level), "", "{level}");
    }
    for level in ["info", "debug", "trace"] {
        let log = ended(level);
        for message in ["serving", "scan", "stopped"] {
            assert!(log.contains(&format!("\"message\":\"{message}\"")), "{level}: {log}");
        }
    }
    let wrong = run(open_ports(&["--log", "loud"]));
    assert_eq!((wrong.status.code(), wrong.stderr.lines().count()), (Some(2), 1), "{wrong:?}");
}

#[test]
fn it_is_not_ready_while_it_drains_but_still_accepts() {
    const DELAY: Duration = Duration::from_secs(3);
    let mut service = serve(&["--drain-delay", &DELAY.as_secs().to_string()]);
    let ready = service.get("/readyz");
    assert_eq!((ready.status, ready.body.as_str()), (200, "ok\n"));
    let signalled = Instant::now();
    service.signal(Signal::TERM);
    let stopping =
        wait_for("it to be not ready", || Some(service.get("/readyz")).filter(|r| r.status != 200));
    assert_eq!((stopping.status, stopping.body.as_str()), (503, "stopping\n"));
    // Load balancers that have not noticed yet still send requests.
    assert_eq!(service.get("/livez").status, 200);
    service.get(&format!("/open-ports?domain={}&toPort=9", own_address())).report();
    assert!(service.wait().success());
    assert!(signalled.elapsed() >= DELAY, "{:?}", signalled.elapsed());
    assert!(TcpStream::connect(service.address).is_err());
}

#[test]
fn metrics_count_what_happened() {
    let service = serve(&["--deny", "192.0.2.0/24"]);
    let before = service.get("/metrics");
    assert_eq!(before.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let (version, revision) = (env!("CARGO_PKG_VERSION"), env!("BUILD_REVISION"));
    let build = format!("open_ports_build_info{{version=\"{version}\",revision=\"{revision}\"}}");
    for (name, value) in [
        (build, 1.0),
        ("open_ports_scans_running".into(), 0.0),
        ("open_ports_probes_in_flight".into(), 0.0),
        ("open_ports_descriptors_used".into(), 0.0),
        ("open_ports_rtt_seconds_count".into(), 0.0),
        ("open_ports_scan_duration_seconds_count".into(), 0.0),
    ] {
        assert_eq!(sample_of(&before.body, &name), value, "{name}");
    }
    assert!(sample_of(&before.body, "open_ports_descriptors_budgeted") >= 2.0);

    let (open, silent) = (Listeners::bind(own_address(), 3), Silent::bind(own_address(), 5));
    let refused = Refused::bind(open.address);
    let known =
        format!("/open-ports?domain={}&ports={},{}", open.address, open.list(), refused.port);
    service.get(&known).report();
    service.get(&known.replace("&ports", "&format=text&ports"));
    service.get("/open-ports?domain=192.0.2.1&toPort=1").problem(403);
    service.get("/open-ports?domain=192.0.2.1").problem(400);
    let wait = format!("/open-ports?domain={}&ports={}", silent.address, silent.list());
    service.get(&format!("{wait}&timeoutMs=100")).report();
    let mut held = Connection::open(service.address);
    held.request("GET", &format!("{wait}&timeoutMs=30000"));
    wait_for("five probes in flight", || {
        (sample(&service, "open_ports_probes_in_flight") == 5.0).then_some(())
    });
    assert!(sample(&service, "open_ports_descriptors_used") >= 5.0);
    assert_eq!(sample(&service, "open_ports_scans_running"), 1.0);
    drop(held);
    wait_for("the last scan to end", || {
        (sample(&service, "open_ports_scans_total{outcome=\"cancelled\"}") == 1.0).then_some(())
    });
    wait_for_sockets_closed(&service);

    let accept = [("Accept", "application/openmetrics-text; version=1.0.0")];
    let modern = get_with(service.address, "/metrics", &accept);
    let modern_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(modern.header("content-type"), Some(modern_type));
    assert!(modern.body.ends_with("# EOF\n"));
    for metrics in [&service.get("/metrics").body, &modern.body] {
        for (name, value) in [
            ("http_requests_total{route=\"/open-ports\",status=\"200\"}", 3.0),
            ("http_requests_total{route=\"/open-ports\",status=\"400\"}", 1.0),
            ("http_requests_total{route=\"/open-ports\",status=\"403\"}", 1.0),
            ("scans_total{outcome=\"complete\"}", 3.0),
            ("ports_total{state=\"open\"}", 6.0),
            ("ports_total{state=\"closed\"}", 2.0),
            ("ports_total{state=\"filtered\"}", 5.0),
            ("refusals_total{rule=\"deny 192.0.2.0/24\"}", 1.0),
            ("scan_duration_seconds_count", 4.0),
            ("scan_duration_seconds_bucket{le=\"+Inf\"}", 4.0),
            ("probes_in_flight", 0.0),
            ("descriptors_used", 0.0),
            ("resource_errors_total{errno=\"EMFILE\"}", 0.0),
        ] {
            assert_eq!(sample_of(metrics, &format!("open_ports_{name}")), value, "{name}");
        }
        // At least one for each answer; open ports may be probed twice.
        assert!(sample_of(metrics, "open_ports_rtt_seconds_count") >= 8.0);
        assert!(sample_of(metrics, "open_ports_scan_duration_seconds_sum") >= 0.1);
    }
    assert_eq!(
        service.get("/openapi.json").header("content-type"),
        Some("application/openapi+json")
    );
}

#[test]
fn resource_errors_are_counted_by_errno_and_the_report_is_honest() {
    let service = serve(&[]);
    let silent = Silent::bind(own_address(), 60);
    let mut connection = Connection::open(service.address);
    connection.get("/livez");
    // Lower the limit of a service that has planned with more.
    let limit = service.descriptors() as u64 + 12;
    let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
    prlimit(Some(service.pid()), Resource::Nofile, limit).unwrap();
    let query =
        format!("/open-ports?domain={}&ports={}&timeoutMs=50", silent.address, silent.list());
    let report = connection.get(&query).report();
    let counts = &report["addresses"][0];
    let count = |name: &str| counts[name].as_u64().unwrap();
    assert_eq!((count("filtered") + count("not_scanned"), count("closed")), (60, 0), "{report}");
    assert_eq!(report["complete"], json!(count("not_scanned") == 0));
    let metrics = connection.get("/metrics").body;
    assert!(sample_of(&metrics, "open_ports_resource_errors_total{errno=\"EMFILE\"}") > 0.0);
}
