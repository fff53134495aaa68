//! The policy of the service, over HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use support::ask::{sample, sample_of, serve, serving};
use support::client::{Connection, Reply, ports};
use support::embedded::Embedded;
use support::service::{Service, open_ports, run};
use support::targets::{Listeners, free_port};
use support::{own_address, wait_for};

/// The names of built-in rules, with IPv4 addresses that they refuse.
const NEVER_IPV4: &[(&str, &[[u8; 4]])] = &[
    (
        "cloud-metadata",
        &[
            [169, 254, 169, 254],
            [169, 254, 170, 2],
            [169, 254, 170, 23],
            [169, 254, 169, 252],
            [168, 63, 129, 16],
            [100, 100, 100, 200],
            [100, 96, 0, 96],
            [192, 0, 0, 192],
        ],
    ),
    ("unspecified", &[[0, 0, 0, 0]]),
    ("this-network", &[[0, 0, 0, 1], [0, 255, 255, 255]]),
    ("multicast", &[[224, 0, 0, 1], [239, 255, 255, 255]]),
    ("reserved", &[[240, 0, 0, 0], [255, 255, 255, 254]]),
    ("broadcast", &[[255, 255, 255, 255]]),
];

const NEVER_IPV6: &[(&str, &[&str])] = &[
    (
        "cloud-metadata",
        &[
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "fd00:a9fe:a9fe::1",
            "fd00:100::100:200",
            "fd00:42::42",
            "fe80::a9fe:a9fe",
            "[FD00:0EC2:0::0254]",
        ],
    ),
    ("unspecified", &["::", "[::]", "0:0:0:0:0:0:0:0"]),
    ("multicast", &["ff02::1", "[ff0e::1]"]),
];

/// The notations of an IPv4 host.
fn spellings(host: Ipv4Addr) -> Vec<String> {
    let ([a, b, c, d], number) = (host.octets(), host.to_bits());
    let (high, low) = (number >> 16, number & 0xffff);
    let mut spellings = vec![
        host.to_string(),
        // As inet_aton(3) reads them: fewer parts, hexadecimal, octal.
        number.to_string(),
        format!("{number:#x}"),
        format!("0{number:o}"),
        format!("{a}.{}", number & 0xff_ffff),
        format!("{a}.{b}.{low}"),
        format!("{a:#x}.{b:#X}.{c}.0{d:o}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        // IPv4-mapped.
        format!("::ffff:{host}"),
        format!("[::FFFF:{high:x}:{low:x}]"),
        format!("0:0:0:0:0:ffff:{high:04x}:{low:04x}"),
        // NAT64: the well-known prefix, and the one for a network's own.
        format!("64:ff9b::{host}"),
        format!("[64:ff9b::{high:x}:{low:x}]"),
    ];
    if a != 0 {
        // There, a host of 0.0.0.0/8 cannot be told from padding.
        spellings.extend([
            format!("64:ff9b:1::{host}"),
            format!("64:ff9b:1:{high:x}:{c:x}:{d:02x}00::"),
            format!("64:ff9b:1:{a:x}:{b:x}:{c:x}{d:02x}::"),
        ]);
    }
    spellings
}

#[track_caller]
fn assert_refused(reply: &Reply, rule: &str, address: &str) {
    let problem = reply.problem(403);
    assert_eq!(problem["type"], "urn:open-ports:problem:refused-by-policy");
    assert_eq!((&problem["rule"], &problem["address"]), (&json!(rule), &json!(address)));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(address), "{detail}");
    assert_eq!(problem["errors"]["domain"], json!([detail]));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("vary"), Some("Accept"));
}

#[test]
fn addresses_never_scanned_are_refused_in_every_notation_and_nothing_is_sent() {
    // No rule overrides it, neither a wide one nor one that names the address.
    let every: Vec<String> = NEVER_IPV4
        .iter()
        .flat_map(|(_, hosts)| hosts.iter().map(|&host| Ipv4Addr::from(host).to_string()))
        .collect();
    let service = serve(&["--allow", &format!("any,{}", every.join(","))]);
    let mut connection = Connection::open(service.address);
    let mut ask = |domain: &str| connection.get(&format!("/open-ports?domain={domain}&toPort=99"));
    let mut metadata = 0;
    for (rule, hosts) in NEVER_IPV4 {
        for host in hosts.iter().map(|&host| Ipv4Addr::from(host)) {
            for spelling in spellings(host) {
                assert_refused(&ask(&spelling), rule, &host.to_string());
                metadata += u32::from(*rule == "cloud-metadata");
            }
            let (bits, [a, b, c, d]) = (host.to_bits(), host.octets());
            for (kind, tunnelled) in [
                ("6to4", format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1")),
                ("teredo", format!("2001:0:{a:02x}{b:02x}:{c:02x}{d:02x}::1")),
                ("teredo", format!("2001::1:{:x}:{:x}", !bits >> 16, !bits & 0xffff)),
            ] {
                let address: IpAddr = tunnelled.parse().unwrap();
                assert_refused(&ask(&tunnelled), kind, &address.to_string());
            }
        }
    }
    for (rule, addresses) in NEVER_IPV6 {
        for address in *addresses {
            let canonical: IpAddr = address.trim_matches(['[', ']']).parse().unwrap();
            assert_refused(&ask(address), rule, &canonical.to_string());
            metadata += u32::from(*rule == "cloud-metadata");
        }
    }
    let metrics = service.get("/metrics").body;
    let refusals = sample_of(&metrics, "open_ports_refusals_total{rule=\"cloud-metadata\"}");
    assert_eq!(refusals, f64::from(metadata));
    for state in ["open", "closed", "filtered"] {
        let ports = format!("open_ports_ports_total{{state=\"{state}\"}}");
        assert_eq!(sample_of(&metrics, &ports), 0.0, "{ports}");
    }
}

#[test]
fn never_beats_deny_and_deny_beats_allow() {
    let (open, other) = (Listeners::bind(own_address(), 2), own_address());
    let mut listed = open.ports.iter();
    let (allowed, denied) = (listed.next().unwrap(), listed.next().unwrap());
    let address = open.address;
    let service = serve(&[
        "--allow",
        &format!("{address}:{allowed},{address}:{denied}"),
        "--deny",
        &format!("0.0.0.0/8,{address}:{denied}"),
    ]);
    let ask = |domain: &str, ports: &str| {
        service.get(&format!("/open-ports?domain={domain}&ports={ports}"))
    };
    let text = address.to_string();
    let report = ask(&text, &allowed.to_string()).report();
    assert_eq!(ports(&report["open_ports"]), [*allowed]);
    // One refused port refuses all, and the problem names the rule.
    let both = ask(&text, &open.list());
    assert_refused(&both, &format!("deny {address}:{denied}"), &text);
    assert!(both.body.contains(&format!("(ports {denied})")), "{both:?}");
    assert_refused(&ask(&format!("::ffff:{text}"), &denied.to_string()), &rule_of(&both), &text);
    assert_refused(&ask(&text, "1-3"), "not-allowed", &text);
    assert_refused(
        &ask(&other.to_string(), &allowed.to_string()),
        "not-allowed",
        &other.to_string(),
    );
    assert_refused(&ask("0", &allowed.to_string()), "unspecified", "0.0.0.0");
}

fn rule_of(reply: &Reply) -> String {
    reply.json()["rule"].as_str().unwrap().to_owned()
}

#[test]
fn rules_are_also_read_from_the_environment() {
    let address = own_address();
    let mut command = serving(&[]);
    command.env("OPEN_PORTS_ALLOW", "loopback").env("OPEN_PORTS_DENY", format!("{address}:1-10"));
    let service = Service::spawn(command);
    let reply = service.get(&format!("/open-ports?domain={address}&toPort=11"));
    assert_refused(&reply, &format!("deny {address}:1-10"), &address.to_string());
    service.get(&format!("/open-ports?domain={address}&fromPort=11&toPort=11")).report();
    let reply = service.get("/open-ports?domain=10.0.0.1&toPort=11");
    assert_refused(&reply, "not-allowed", "10.0.0.1");
}

#[test]
fn an_explanation_describes_the_scan_and_sends_nothing() {
    let listener = Listeners::bind(own_address(), 1);
    let (address, port) = (listener.address, *listener.ports.first().unwrap());
    let service = serve(&["--allow", &format!("{address}:1-9,loopback"), "--deny", "127.0.0.0/24"]);
    let query = format!("/open-ports?domain={address}&ports=1-9,{port}");
    let explain = |query: &str| {
        let reply = service.get(&format!("{query}&explain=true"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        reply.report()
    };
    assert_eq!(
        explain(&query),
        json!({
            "domain": address.to_string(), "from_port": 1, "to_port": port, "allowed": true,
            "addresses": [{
                "address": address.to_string(), "allowed": true,
                "rule": format!("allow {address}:1-9, allow loopback"),
            }],
            "probes": 10, "worst_case_ms": 2000,
        })
    );
    // The rate, the deadline and the timeout all count.
    let worst_case = |query: &str| explain(query)["worst_case_ms"].clone();
    assert_eq!(worst_case(&format!("{query}&timeoutMs=700")), 700);
    assert_eq!(worst_case(&format!("{query}&timeoutMs=500&rate=2")), 5500);
    assert_eq!(worst_case(&format!("{query}&timeoutMs=500&rate=2&deadlineMs=1500")), 1500);
    for (domain, rule) in [
        ("127.0.0.1", "deny 127.0.0.0/24"),
        ("10.0.0.1", "not-allowed"),
        ("0xa9fea9fe", "cloud-metadata"),
    ] {
        let explained = explain(&format!("/open-ports?domain={domain}&ports={port}"));
        assert_eq!((&explained["allowed"], &explained["probes"]), (&json!(false), &json!(0)));
        assert_eq!(explained["worst_case_ms"], 0);
        let judged = &explained["addresses"][0];
        assert_eq!((&judged["allowed"], &judged["rule"]), (&json!(false), &json!(rule)));
    }
    for state in ["open", "closed", "filtered"] {
        assert_eq!(sample(&service, &format!("open_ports_ports_total{{state=\"{state}\"}}")), 0.0);
    }
    assert_eq!(listener.probed(), 0);
    // A probe would have been seen.
    assert_eq!(ports(&service.get(&query).report()["open_ports"]), [port]);
    wait_for("a probe", || (listener.probed() > 0).then_some(()));
}

#[test]
fn a_name_is_refused_if_one_of_its_addresses_is() {
    let listener = Listeners::bind(own_address(), 1);
    let (good, bad) = (listener.address, "169.254.169.254");
    let addresses = vec![good, bad.parse().unwrap()];
    let server = Embedded::start(&[], move |_| addresses.clone());
    let query = format!("/open-ports?domain=mixed.test&ports={}", listener.list());
    for format in ["json", "ndjson", "sse", "text"] {
        let reply = server.get(&format!("{query}&format={format}"));
        assert_refused(&reply, "cloud-metadata", bad);
    }
    let explained = server.get(&format!("{query}&explain=true")).report();
    assert_eq!((&explained["allowed"], &explained["probes"]), (&json!(false), &json!(0)));
    let judged: Vec<&Value> =
        explained["addresses"].as_array().unwrap().iter().map(|one| &one["allowed"]).collect();
    assert_eq!(judged, [&json!(true), &json!(false)]);
    // Of the other family the name has no address.
    server.get(&format!("{query}&family=ipv6")).problem(422);
    let alone = server.get(&query.replace("mixed.test", &good.to_string())).report();
    assert_eq!(alone["open_ports"], json!(listener.ports));
    // One scan makes a connection, or two where it looks twice.
    wait_for("a probe", || (listener.probed() > 0).then_some(()));
    assert!(listener.probed() <= 2, "{}", listener.probed());
}

#[test]
fn the_addresses_that_are_checked_are_the_ones_that_are_scanned() {
    // The first look-up gives the first address, which is allowed, any later one the
    // second.
    let judged = Listeners::bind(own_address(), 1);
    let port = *judged.ports.first().unwrap();
    let later = Listeners::bind_at(own_address(), port).unwrap();
    let (first, second) = (judged.address, later.address);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let allow = first.to_string();
    let server = Embedded::start(&[("allow", &allow)], move |_| {
        vec![if count.fetch_add(1, Ordering::Relaxed) == 0 { first } else { second }]
    });
    let query = format!("/open-ports?domain=rebinding.test&ports={port}");
    let report = server.get(&query).report();
    assert_eq!(report["addresses"][0]["address"], json!(first));
    assert_eq!(ports(&report["open_ports"]), [port]);
    wait_for("a probe", || (judged.probed() > 0).then_some(()));
    assert_eq!(asked.load(Ordering::Relaxed), 1, "resolved once for one request");

    assert_refused(&server.get(&query), "not-allowed", &second.to_string());
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert_eq!(later.probed(), 0);
}

#[test]
fn a_listener_reachable_from_outside_needs_an_allow_list() {
    let port = free_port();
    let public = format!("0.0.0.0:{port}");
    for arguments in [
        &["--listen", &public][..],
        &["--listen", &format!("[::]:{port}")],
        &["--listen", "192.0.2.1:8080", "--deny", "any"],
    ] {
        let ended = run(open_ports(arguments));
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert_eq!(ended.stdout, "");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        for wanted in [arguments[1], "--allow private", "OPEN_PORTS_ALLOW=10.0.0.0/8"] {
            assert!(ended.stderr.contains(wanted), "{wanted}: {ended:?}");
        }
    }
    let mut by_port = open_ports(&[]);
    by_port.env("PORT", port.to_string()).env("OPEN_PORTS_ALLOW", "");
    assert!(run(by_port).stderr.contains("--allow private"));

    let mut listening = open_ports(&["--listen", "0.0.0.0:0", "--allow", "none"]);
    listening.env("PORT", "1");
    let service = Service::spawn(listening);
    let address = (Ipv4Addr::LOCALHOST, service.address.port()).into();
    let reply = support::client::get(address, "/open-ports?domain=127.0.0.1&toPort=1");
    assert_refused(&reply, "not-allowed", "127.0.0.1");
}

#[test]
fn an_invalid_rule_prevents_the_start_with_one_line() {
    for (rules, message) in [
        ("10.0.0.0/33", "must have a prefix length of 0 to 32"),
        ("10.0.0.1/8", "write 10.0.0.0/8 or 10.0.0.1"),
        ("10.0.0.0/8,,", "is empty; write rules"),
        ("everything", "is not an address"),
        ("any:0", "must have a port (22) or a range"),
        ("fd00::/8:22", "write [fd00::/8]:22"),
    ] {
        for flag in ["--allow", "--deny"] {
            let ended = run(open_ports(&["--listen", "127.0.0.1:0", flag, rules]));
            assert_eq!((ended.status.code(), ended.stderr.lines().count()), (Some(2), 1));
            assert!(ended.stderr.contains(flag) && ended.stderr.contains(message), "{ended:?}");
        }
    }
}
