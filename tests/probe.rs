//! `GET /probe`: one host as metrics, in place of blackbox_exporter's `tcp_connect`.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::ask::{audit_lines, get_with, request_head, sample_of, serve};
use support::client::{Connection, Reply};
use support::kernel::has_ipv6;
use support::service::Service;
use support::targets::{Listeners, Refused, Silent, free_port, list};
use support::{namespace, own_address, wait_for};

support::trials::main! {
    an_open_port_is_a_success_and_a_closed_or_silent_one_a_failure,
    what_is_expected_decides_and_what_differs_is_named,
    a_list_without_an_expectation_succeeds_if_something_answers,
    bad_input_is_named,
    policy_refuses_with_403,
    a_limit_that_is_reached_is_a_failed_probe,
    a_probe_waits_for_its_turn,
    a_name_without_an_address_is_a_failed_probe: OwnNames,
    five_hundred_unexpected_ports_are_under_a_hundred_series,
    a_probe_ends_before_its_scrape_with_what_is_known,
    the_format_is_negotiated_and_debug_is_text,
    head_checks_and_scans_nothing,
    every_name_of_blackbox_exporter_has_the_same_meaning: BlackboxExporter,
}

/// The header field in which Prometheus says when it gives up.
const TIMEOUT: &str = "X-Prometheus-Scrape-Timeout-Seconds";

/// The samples of a probe, which has to be answered with 200.
#[track_caller]
fn probe(service: &Service, query: &str) -> String {
    let reply = service.get(&format!("/probe?{query}"));
    assert_eq!(reply.status, 200, "{reply:?}");
    let text = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(reply.header("content-type"), Some(text), "{reply:?}");
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{reply:?}");
    reply.body
}

/// The lines of samples, without comments.
fn series(exposition: &str) -> Vec<&str> {
    exposition.lines().filter(|line| !line.starts_with('#')).collect()
}

/// The reason that is set, if there is one, and only one.
#[track_caller]
fn failure(exposition: &str) -> Option<&str> {
    let lines = series(exposition).into_iter();
    let set: Vec<&str> = lines
        .filter_map(|line| line.strip_prefix("probe_failure{reason=\"")?.strip_suffix("\"} 1"))
        .collect();
    assert!(set.len() <= 1, "{exposition}");
    let success = sample_of(exposition, "probe_success");
    assert_eq!(success, if set.is_empty() { 1.0 } else { 0.0 }, "{exposition}");
    set.first().copied()
}

/// What a family has for each value of its label.
fn labelled(exposition: &str, family: &str) -> BTreeMap<String, u64> {
    let read = |line: &str| {
        let (label, value) = line.strip_prefix(family)?.strip_prefix('{')?.split_once("} ")?;
        let (_, text) = label.split_once('=')?;
        Some((text.trim_matches('"').to_owned(), value.parse().unwrap()))
    };
    series(exposition).into_iter().filter_map(read).collect()
}

fn pairs(given: &[(&str, u64)]) -> BTreeMap<String, u64> {
    given.iter().map(|&(text, value)| (text.to_owned(), value)).collect()
}

fn an_open_port_is_a_success_and_a_closed_or_silent_one_a_failure() {
    let service = serve(&[]);
    let (listeners, silent) = (Listeners::bind(own_address(), 1), Silent::bind(own_address(), 1));
    let refused = Refused::bind(listeners.address);
    let open = listeners.ports.first().unwrap();
    let address = listeners.address;

    let text = probe(&service, &format!("target={address}:{open}&module=tcp_connect"));
    assert_eq!(failure(&text), None, "{text}");
    for (name, value) in [
        ("probe_complete", 1.0),
        ("probe_ports{state=\"open\"}", 1.0),
        ("probe_ports{state=\"not-scanned\"}", 0.0),
        ("probe_ports_unexpected", 0.0),
        ("probe_ports_missing", 0.0),
        ("probe_addresses{state=\"answered\"}", 1.0),
        ("probe_ip_protocol", 4.0),
        ("probe_timeout_seconds", 119.5),
    ] {
        assert_eq!(sample_of(&text, name), value, "{name}: {text}");
    }
    assert_eq!(labelled(&text, "probe_port_open"), pairs(&[(&open.to_string(), 1)]));

    let text = probe(&service, &format!("target={address}:{}", refused.port));
    assert_eq!(failure(&text), Some("missing-port"), "{text}");
    assert_eq!(sample_of(&text, "probe_ports{state=\"closed\"}"), 1.0, "{text}");
    assert_eq!(sample_of(&text, "probe_ports_missing"), 1.0, "{text}");
    assert_eq!(labelled(&text, "probe_port_open"), pairs(&[(&refused.port.to_string(), 0)]));

    let target = format!("target={}:{}&timeoutMs=100", silent.address, silent.list());
    let text = probe(&service, &target);
    assert_eq!(failure(&text), Some("unreachable"), "{text}");
    assert_eq!(sample_of(&text, "probe_complete"), 1.0, "{text}");
    assert_eq!(sample_of(&text, "probe_ports{state=\"filtered\"}"), 1.0, "{text}");
    assert_eq!(sample_of(&text, "probe_addresses{state=\"silent\"}"), 1.0, "{text}");
}

fn what_is_expected_decides_and_what_differs_is_named() {
    let service = serve(&[]);
    let listeners = Listeners::bind(own_address(), 3);
    let refused = Refused::bind(listeners.address);
    let open: Vec<u16> = listeners.ports.iter().copied().collect();
    let target =
        format!("target={}&ports={},{}", listeners.address, listeners.list(), refused.port);

    let text = probe(&service, &format!("{target}&expect={}", listeners.list()));
    assert_eq!(failure(&text), None, "{text}");
    assert_eq!(labelled(&text, "probe_port_open").len(), 4, "{text}");
    assert_eq!(labelled(&text, "probe_unexpected_port"), pairs(&[]), "{text}");

    let text = probe(&service, &format!("{target}&expect={},{}", open[0], refused.port));
    assert_eq!(failure(&text), Some("unexpected-port"), "{text}");
    assert_eq!(sample_of(&text, "probe_ports_unexpected"), 2.0, "{text}");
    assert_eq!(sample_of(&text, "probe_ports_missing"), 1.0, "{text}");
    let unexpected = [(&*open[1].to_string(), 1), (&*open[2].to_string(), 1)];
    assert_eq!(labelled(&text, "probe_unexpected_port"), pairs(&unexpected));
    assert_eq!(sample_of(&text, "probe_unexpected_ports_truncated"), 0.0, "{text}");

    let all = format!("{},{}", listeners.list(), refused.port);
    let text = probe(&service, &format!("{target}&expect={all}"));
    assert_eq!(failure(&text), Some("missing-port"), "{text}");

    // A port that ought to be closed.
    let text = probe(&service, &format!("target={}:{}&expect=none", listeners.address, open[0]));
    assert_eq!(failure(&text), Some("unexpected-port"), "{text}");
    let closed = format!("target={}:{}&expect=none", listeners.address, refused.port);
    assert_eq!(failure(&probe(&service, &closed)), None);

    // Of many ports only those that are expected have a series.
    let wide = format!("target={}&ports=1-64&expect={}", listeners.address, open[0]);
    let text = probe(&service, &wide);
    assert_eq!(labelled(&text, "probe_port_open"), pairs(&[(&open[0].to_string(), 1)]), "{text}");
}

fn a_list_without_an_expectation_succeeds_if_something_answers() {
    let service = serve(&[]);
    let (address, silent) = (own_address(), Silent::bind(own_address(), 2));
    let refused = Refused::bind(address);
    let text = probe(&service, &format!("target={address}&ports={}", refused.port));
    assert_eq!(failure(&text), None, "{text}");
    assert_eq!(sample_of(&text, "probe_ports{state=\"closed\"}"), 1.0, "{text}");
    assert!(!text.contains("\nprobe_ports_unexpected "), "{text}");
    let silence = format!("target={}&ports={}&timeoutMs=100", silent.address, silent.list());
    assert_eq!(failure(&probe(&service, &silence)), Some("unreachable"));
    assert_eq!(failure(&probe(&service, &format!("{silence}&expect=none"))), None);
}

fn bad_input_is_named() {
    let service = serve(&[]);
    for (query, field) in [
        ("", "target"),
        ("module=tcp_connect", "target"),
        ("target=", "target"),
        ("target=127.0.0.1:0", "target"),
        ("target=http://127.0.0.1/", "target"),
        ("target=127.0.0.1", "ports"),
        ("target=127.0.0.1:1&ports=2", "ports"),
        ("target=127.0.0.1&ports=0", "ports"),
        ("target=127.0.0.1:1&module=http_2xx", "module"),
        ("target=127.0.0.1:1&expect=ssh", "expect"),
        ("target=127.0.0.1:1&family=ipv6", "family"),
        ("target=127.0.0.1:1&debug=yes", "debug"),
        ("target=127.0.0.1:1&hostname=a", "hostname"),
        ("target=127.0.0.1:1&target=127.0.0.1:2", "target"),
    ] {
        let problem = service.get(&format!("/probe?{query}")).problem(400);
        assert!(problem["errors"][field].is_array(), "{query}: {problem}");
    }
    for wrong in ["soon", "-1", "NaN", "inf"] {
        let target = "/probe?target=127.0.0.1:1&module=icmp";
        let problem = get_with(service.address, target, &[(TIMEOUT, wrong)]).problem(400);
        assert!(problem["errors"][TIMEOUT].is_array(), "{wrong}: {problem}");
        assert!(problem["errors"]["module"].is_array(), "{wrong}: {problem}");
    }
}

fn policy_refuses_with_403() {
    let service = serve(&["--allow", "127.0.0.0/8", "--deny", "127.0.0.1:22"]);
    let problem = service.get("/probe?target=192.0.2.1:80").problem(403);
    assert_eq!(problem["rule"], "not-allowed");
    assert!(problem["errors"]["target"].is_array(), "{problem}");
    let problem = service.get("/probe?target=127.0.0.1&ports=20-30").problem(403);
    assert_eq!(problem["rule"], "deny 127.0.0.1:22");
}

fn a_limit_that_is_reached_is_a_failed_probe() {
    let service = serve(&[]);
    let silent = Silent::bind(own_address(), 1);
    // It runs as long as its client waits.
    let mut other = Connection::open(service.address);
    let scan = format!("/open-ports?domain={}&ports=all&rate=1", silent.address);
    other.send(request_head("GET", &scan, &[]));
    wait_for("the scan to run", || {
        let metrics = service.get("/metrics").body;
        (sample_of(&metrics, "open_ports_scans_running") == 1.0).then_some(())
    });
    let target = format!("target={}:{}", silent.address, silent.list());
    let text = probe(&service, &target);
    assert_eq!(failure(&text), Some("busy"), "{text}");
    assert_eq!(sample_of(&text, "probe_complete"), 0.0, "{text}");
    assert_eq!(sample_of(&text, "probe_ports{state=\"not-scanned\"}"), 1.0, "{text}");
    // Nothing is claimed about the port.
    assert!(!text.contains("\nprobe_ports_missing "), "{text}");
    assert_eq!(labelled(&text, "probe_port_open"), pairs(&[]), "{text}");
    let debug = service.get(&format!("/probe?{target}&debug=true")).body;
    assert!(debug.contains("has reached its limit of concurrent scans"), "{debug}");
    wait_for("a line in the log for each of them", || {
        let lines = audit_lines(&service);
        let refused = lines.iter().filter(|line| line["outcome"] == "not-admitted");
        (refused.count() == 2).then_some(())
    });
}

fn a_probe_waits_for_its_turn() {
    let service = serve(&[]);
    let listeners = Listeners::bind(own_address(), 1);
    let (address, open) = (listeners.address, listeners.list());
    // The scan goes on for a moment, and its address has no room for another meanwhile.
    let mut other = Connection::open(service.address);
    let scan = format!("/open-ports?domain={address}&ports=1-40&rate=200");
    other.send(request_head("GET", &scan, &[]));
    wait_for("the scan to run", || {
        let metrics = service.get("/metrics").body;
        (sample_of(&metrics, "open_ports_scans_running") == 1.0).then_some(())
    });
    let text = probe(&service, &format!("target={address}:{open}"));
    assert_eq!(failure(&text), None, "{text}");
    assert_eq!(other.reply().status, 200);
}

fn a_name_without_an_address_is_a_failed_probe() {
    let listeners = Listeners::bind(own_address(), 1);
    let service = namespace::service_with_hosts(&format!("{} db.internal\n", listeners.address));
    let text = probe(&service, "target=nothing.invalid:80");
    assert_eq!(failure(&text), Some("not-resolved"), "{text}");
    assert_eq!(sample_of(&text, "probe_ip_protocol"), 0.0, "{text}");
    let open = listeners.ports.first().unwrap();
    let text = probe(&service, &format!("target=db.internal:{open}"));
    assert_eq!(failure(&text), None, "{text}");
    assert!(sample_of(&text, "probe_dns_lookup_time_seconds") > 0.0, "{text}");
}

fn five_hundred_unexpected_ports_are_under_a_hundred_series() {
    let service = serve(&[]);
    let listeners = Listeners::bind(own_address(), 500);
    let few: Vec<u16> = listeners.ports.iter().copied().take(40).collect();
    for (expect, unexpected) in [("none".to_owned(), 500.0), (list(&few), 460.0)] {
        let scan = format!("target={}&ports={}", listeners.address, listeners.list());
        let text = probe(&service, &format!("{scan}&expect={expect}"));
        let count = series(&text).len();
        assert!(count < 100, "{count} series: {text}");
        assert_eq!(failure(&text), Some("unexpected-port"), "{text}");
        assert_eq!(sample_of(&text, "probe_ports_unexpected"), unexpected, "{text}");
        assert_eq!(sample_of(&text, "probe_unexpected_ports_truncated"), 1.0, "{text}");
        assert_eq!(labelled(&text, "probe_unexpected_port").len(), 16, "{text}");
    }
}

fn a_probe_ends_before_its_scrape_with_what_is_known() {
    let silent = Silent::bind(own_address(), 1);
    for (scrape, offset) in [(5.0, 0.5), (1.5, 1.0)] {
        let service = serve(&["--timeout-offset", &offset.to_string()]);
        // The port would have longer to answer than the scrape lasts.
        let target = format!("/probe?target={}:{}&timeoutMs=20000", silent.address, silent.list());
        let begun = Instant::now();
        let reply = get_with(service.address, &target, &[(TIMEOUT, &scrape.to_string())]);
        assert!(begun.elapsed() < Duration::from_secs_f64(scrape), "{reply:?}");
        assert_eq!(failure(&reply.body), Some("deadline"), "{reply:?}");
        assert_eq!(sample_of(&reply.body, "probe_complete"), 0.0, "{reply:?}");
        assert_eq!(sample_of(&reply.body, "probe_timeout_seconds"), scrape - offset, "{reply:?}");
        // Nothing is claimed about the port.
        assert_eq!(labelled(&reply.body, "probe_port_open"), pairs(&[]), "{reply:?}");
    }
    // The first port is open, and there is no time to ask most of the thousands after it.
    let listeners = Listeners::bind(own_address(), 1);
    let (service, open) = (serve(&[]), listeners.list());
    let target = format!("target={}&ports={open}-65535", listeners.address);
    let target = format!("/probe?{target}&rate=500&expect={open},65535");
    let reply = get_with(service.address, &target, &[(TIMEOUT, "2")]);
    assert_eq!(failure(&reply.body), Some("deadline"), "{reply:?}");
    for state in ["closed", "not-scanned"] {
        let name = format!("probe_ports{{state=\"{state}\"}}");
        assert!(sample_of(&reply.body, &name) > 0.0, "{reply:?}");
    }
    assert_eq!(labelled(&reply.body, "probe_port_open"), pairs(&[(&open, 1)]), "{reply:?}");
}

fn the_format_is_negotiated_and_debug_is_text() {
    let service = serve(&[]);
    let listeners = Listeners::bind(own_address(), 2);
    let target = format!("/probe?target={}&ports={}", listeners.address, listeners.list());
    let get = |target: &str, accept| get_with(service.address, target, &[("Accept", accept)]);
    let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let open_metrics: Reply = get(&target, prometheus);
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open_metrics.header("content-type"), Some(media_type), "{open_metrics:?}");
    assert!(open_metrics.body.ends_with("# EOF\n"), "{open_metrics:?}");
    let plain = get(&target, "*/*");
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let names = |text: &str| -> Vec<String> {
        series(text).iter().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    assert_eq!(names(&open_metrics.body), names(&plain.body));

    let debug = get(&format!("{target}&expect=none&debug=true"), prometheus);
    assert_eq!(debug.header("content-type"), Some("text/plain; charset=utf-8"), "{debug:?}");
    for part in [
        "Logs for the probe:\n",
        "\n\n\nMetrics that would have been returned:\n# HELP probe_success ",
        "\n\n\nModule configuration:\nmodule: tcp_connect\n",
        &format!("\nunexpected: {}\n", listeners.list()),
        "\nProbe failed after ",
        ": unexpected-port\n",
    ] {
        assert!(debug.body.contains(part), "{part}: {}", debug.body);
    }
}

fn head_checks_and_scans_nothing() {
    let service = serve(&[]);
    let listeners = Listeners::bind(own_address(), 1);
    let target = format!("/probe?target={}:{}", listeners.address, listeners.list());
    let mut connection = Connection::open(service.address);
    connection.send(request_head("HEAD", &target, &[]));
    let reply = connection.reply_to_head();
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    connection.send(request_head("HEAD", "/probe?module=icmp", &[]));
    assert_eq!(connection.reply_to_head().status, 400);
    assert_eq!((listeners.probed(), audit_lines(&service).len()), (0, 0));
}

/// A blackbox_exporter with a module for plain connections.
struct Blackbox {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Blackbox {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("blackbox.yml");
        std::fs::write(&config, "modules:\n  tcp_connect:\n    prober: tcp\n").unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let process = Command::new("prometheus-blackbox-exporter")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let blackbox = Self { process, address, _folder: folder };
        wait_for("blackbox_exporter to listen", || TcpStream::connect(address).ok());
        blackbox
    }

    /// What it says about `target`.
    fn probe(&self, target: &str) -> String {
        let target = format!("/probe?module=tcp_connect&target={target}");
        let reply = get_with(self.address, &target, &[(TIMEOUT, "3")]);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body
    }
}

impl Drop for Blackbox {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn every_name_of_blackbox_exporter_has_the_same_meaning() {
    let (service, blackbox) = (serve(&[]), Blackbox::start());
    let (listeners, silent) = (Listeners::bind(own_address(), 1), Silent::bind(own_address(), 1));
    let (address, address_v6) = (own_address(), Ipv6Addr::LOCALHOST.into());
    let refused = Refused::bind(address);
    let refused_v6 = has_ipv6().then(|| Refused::bind(address_v6));
    let mut targets = vec![
        format!("{}:{}", listeners.address, listeners.list()),
        format!("{address}:{}", refused.port),
        format!("{}:{}", silent.address, silent.list()),
        "nothing.invalid:80".to_owned(),
    ];
    // Brackets are no characters of a query.
    targets.extend(refused_v6.iter().map(|refused| format!("%5B::1%5D:{}", refused.port)));
    for target in targets {
        let theirs = blackbox.probe(&target);
        let ask = format!("/probe?module=tcp_connect&target={target}");
        let ours = get_with(service.address, &ask, &[(TIMEOUT, "3")]).body;
        let types = |text: &str| -> BTreeSet<String> {
            text.lines().filter(|line| line.starts_with("# TYPE ")).map(str::to_owned).collect()
        };
        let lacking: Vec<String> = types(&theirs).difference(&types(&ours)).cloned().collect();
        assert!(lacking.is_empty(), "{target}: {lacking:?}");
        for line in series(&theirs) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let has_it = series(&ours).iter().any(|line| line.starts_with(&format!("{name} ")));
            let same = sample_of(&ours, name) == value.parse::<f64>().unwrap();
            // How long it took is for each of them to say.
            let is_time = name.ends_with("_seconds");
            assert!(has_it && (same || is_time), "{target}: {line}\n{ours}");
        }
    }
}
