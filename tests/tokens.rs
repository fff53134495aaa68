//! Bearer tokens, tested with the real binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::{TempDir, tempdir};

use support::ask::{audit_lines, get_with, request_head, sample_of, serve, serving};
use support::client::{Connection, Reply, get};
use support::service::{Service, open_ports, run, setting};
use support::targets::{Listeners, Silent};
use support::{own_address, wait_for};

const ALICE: &str = "alice-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdef";

const OPEN: [&str; 2] = ["/livez", "/readyz"];
const CLOSED: [&str; 7] = [
    "/",
    "/open-ports?domain=127.0.0.1&ports=9",
    "/sweep?targets=127.0.0.1&ports=9",
    "/sd?targets=127.0.0.1&ports=9",
    "/metrics",
    "/openapi.json",
    "/nowhere",
];

/// A file of tokens in a folder of its own.
fn tokens(lines: &str) -> (TempDir, String) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("tokens");
    fs::write(&path, lines).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

fn both() -> String {
    format!("# callers\nalice:{ALICE}\n\nbob:{BOB}\n")
}

#[track_caller]
fn with_token(service: SocketAddr, target: &str, token: &str) -> Reply {
    get_with(service, target, &[("Authorization", &format!("Bearer {token}"))])
}

#[test]
fn without_a_valid_token_everything_but_the_health_checks_is_401() {
    let (_folder, path) = tokens(&both());
    let service = serve(&["--tokens", &path]);
    for target in OPEN {
        assert_eq!(service.get(target).status, 200, "{target}");
        assert_eq!(with_token(service.address, target, "nonsense").status, 200, "{target}");
    }
    let plain = "Bearer realm=\"open-ports\"";
    let invalid = "Bearer realm=\"open-ports\", error=\"invalid_token\"";
    let almost = format!("Bearer {ALICE}x");
    let shorter = format!("Bearer {}", &ALICE[..ALICE.len() - 1]);
    let case = format!("Bearer {}", ALICE.to_uppercase());
    for target in CLOSED {
        for (authorization, challenge) in [
            (None, plain),
            (Some("Basic YWxpY2U6c2VjcmV0"), plain),
            (Some(ALICE), plain),
            (Some("Bearer"), invalid),
            (Some("Bearer a b"), invalid),
            (Some("Bearer alice"), invalid),
            (Some(&almost), invalid),
            (Some(&shorter), invalid),
            (Some(&case), invalid),
        ] {
            let fields: Vec<_> =
                authorization.map(|value| ("Authorization", value)).into_iter().collect();
            let reply = get_with(service.address, target, &fields);
            let problem = reply.problem(401);
            assert_eq!(reply.header("www-authenticate"), Some(challenge), "{authorization:?}");
            assert!(!reply.body.contains("0123456789"), "{problem}");
        }
    }
    // A wrong method gets 405 without a token.
    for target in ["/livez", "/open-ports"] {
        let mut connection = Connection::open(service.address);
        connection.request("DELETE", target);
        let reply = connection.reply();
        reply.problem(405);
        assert_eq!(reply.header("allow"), Some("GET, HEAD"));
    }
    let metrics = with_token(service.address, "/metrics", ALICE).body;
    let refused = "open_ports_http_requests_total{route=\"/open-ports\",status=\"401\"}";
    assert_eq!(sample_of(&metrics, refused), 9.0, "{metrics}");
    assert_eq!(audit_lines(&service).len(), 0);
}

#[test]
fn requests_without_a_valid_token_are_counted_by_reason_and_logged_once_a_second() {
    let (_folder, path) = tokens(&both());
    let service = serve(&["--tokens", &path]);
    let unknown = format!("Bearer {ALICE}x");
    let asked = [
        (None, "missing", 1),
        (Some("Basic YWxpY2U6c2VjcmV0"), "other-scheme", 2),
        (Some("Bearer a b"), "malformed", 3),
        (Some(&*unknown), "unknown", 40),
    ];
    for (authorization, _, times) in asked {
        let fields: Vec<_> =
            authorization.map(|value| ("Authorization", value)).into_iter().collect();
        for _ in 0..times {
            get_with(service.address, CLOSED[1], &fields).problem(401);
        }
    }
    let metrics = with_token(service.address, "/metrics", ALICE).body;
    for (_, reason, times) in asked {
        let name = format!("open_ports_unauthorized_total{{reason=\"{reason}\"}}");
        assert_eq!(sample_of(&metrics, &name), f64::from(times), "{metrics}");
    }
    let line = service.wait_for_log("\"unauthorized\"");
    let told = ["level", "client", "route", "reason", "unlogged"].map(|name| setting(&line, name));
    let expected = ["WARN", "127.0.0.1", "/open-ports", "missing", "0"];
    assert_eq!(told, expected.map(|value| Some(value.to_owned())), "{line}");
    assert!(setting(&line, "request_id").is_some(), "{line}");
    // The next line comes a second later, with the number of those in between.
    let second = wait_for("another line", || {
        get_with(service.address, CLOSED[1], &[]).problem(401);
        let lines = service.log().into_iter().filter(|line| line.contains("\"unauthorized\""));
        lines.into_iter().nth(1)
    });
    assert_ne!(setting(&second, "unlogged").as_deref(), Some("0"), "{second}");
    assert!(!service.log().join("\n").contains(ALICE));
}

#[test]
fn a_file_that_cannot_be_used_shows_in_metrics_without_requests() {
    let (_folder, path) = tokens(&both());
    let service = Service::spawn(serving(&["--tokens", &path, "--metrics-listen", "127.0.0.1:0"]));
    let line = service.wait_for_log("\"metrics_listen\"");
    let metrics: SocketAddr = setting(&line, "metrics_listen").unwrap().parse().unwrap();
    let told = || {
        let exposed = get(metrics, "/metrics").body;
        ["open_ports_token_file_usable", "open_ports_tokens"].map(|name| sample_of(&exposed, name))
    };
    assert_eq!(told(), [1.0, 2.0]);
    fs::remove_file(&path).unwrap();
    wait_for("the file to be missed", || (told() == [0.0, 2.0]).then_some(()));
    service.wait_for_log("tokens kept as they were");
    fs::write(&path, format!("bob:{BOB}\n")).unwrap();
    wait_for("the file to be found", || (told() == [1.0, 1.0]).then_some(()));
}

#[test]
fn a_valid_token_is_accepted_and_only_its_name_is_ever_shown() {
    let (_folder, path) = tokens(&both());
    let service = serve(&["--tokens", &path]);
    let statuses = CLOSED.map(|target| with_token(service.address, target, ALICE).status);
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 404]);
    // The name of the scheme is case-insensitive, RFC 9110, section 11.1.
    let lower = [("authorization", format!("bearer {BOB}"))];
    let lower = lower.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(get_with(service.address, CLOSED[1], &lower).status, 200);
    // HEAD needs one too.
    let mut connection = Connection::open(service.address);
    connection.send(request_head("HEAD", CLOSED[1], &[]));
    assert_eq!(connection.reply_to_head().status, 401);

    let lines =
        wait_for("two audit lines", || Some(audit_lines(&service)).filter(|l| l.len() == 2));
    assert_eq!((&lines[0]["caller"], &lines[1]["caller"]), (&"alice".into(), &"bob".into()));
    let metrics = with_token(service.address, "/metrics", ALICE).body;
    for told in [service.log().join("\n"), metrics] {
        assert!(!told.contains("0123456789abcdef"), "{told}");
    }
}

#[test]
fn a_rewritten_file_takes_effect_while_the_service_runs() {
    let (_folder, path) = tokens(&format!("alice:{ALICE}\n"));
    let service = serve(&["--tokens", &path]);
    let status = |token| with_token(service.address, "/", token).status;
    assert_eq!((status(ALICE), status(BOB)), (200, 401));

    fs::write(&path, format!("bob:{BOB}\n")).unwrap();
    wait_for("the new token to work", || (status(BOB) == 200).then_some(()));
    assert_eq!((status(ALICE), status(BOB)), (401, 200));
    service.wait_for_log("tokens read again");

    // A file that cannot be used is logged, and changes nothing.
    fs::write(&path, format!("alice {ALICE}\n")).unwrap();
    let told = wait_for("a warning", || {
        assert_eq!(status(BOB), 200);
        service.log().into_iter().find(|line| line.contains("tokens kept as they were"))
    });
    assert!(told.contains("line 1 is not of the form name:token"), "{told}");
    assert_eq!((status(ALICE), status(BOB)), (401, 200));
    fs::remove_file(&path).unwrap();
    wait_for("another warning", || {
        assert_eq!(status(BOB), 200);
        let log = service.log();
        (log.iter().filter(|line| line.contains("tokens kept as they were")).count() == 2)
            .then_some(())
    });
    fs::write(&path, both()).unwrap();
    wait_for("the file to come back", || (status(ALICE) == 200).then_some(()));
    assert!(!service.log().join("\n").contains("0123456789abcdef"));
}

#[test]
fn a_secret_that_kubernetes_replaces_takes_effect() {
    // The kubelet's atomic writer: tokens -> ..data/tokens, and ..data, which
    // is replaced by a rename, -> a folder for each version.
    let folder = tempdir().unwrap();
    let publish = |version: &str, content: &str| {
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("tokens"), content).unwrap();
        symlink(version, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    publish("..2026_1", &format!("ci:{ALICE}"));
    let path = folder.path().join("tokens");
    symlink(Path::new("..data").join("tokens"), &path).unwrap();
    let service = serve(&["--tokens", path.to_str().unwrap()]);
    let status = |token| with_token(service.address, "/", token).status;
    assert_eq!((status(ALICE), status(BOB)), (200, 401));
    for (version, token, before) in [("..2026_2", BOB, ALICE), ("..2026_3", ALICE, BOB)] {
        publish(version, &format!("ci:{token}"));
        wait_for("the new version", || (status(token) == 200).then_some(()));
        assert_eq!(status(before), 401);
    }
}

#[test]
fn quotas_count_by_the_name_of_the_token_not_by_the_address() {
    let (_folder, path) = tokens(&both());
    let service = serve(&["--tokens", &path, "--max-scans-per-caller", "1"]);
    let (silent, other) = (Silent::bind(own_address(), 1), Silent::bind(own_address(), 1));
    let query = |silent: &Silent, timeout: u32| {
        let (address, port) = (silent.address, silent.list());
        format!("/open-ports?domain={address}&ports={port}&timeoutMs={timeout}")
    };
    let mut long = Connection::open(service.address);
    let alice = format!("Bearer {ALICE}");
    long.send(request_head("GET", &query(&silent, 20_000), &[("Authorization", &alice)]));
    wait_for("the scan to run", || {
        let metrics = with_token(service.address, "/metrics", BOB).body;
        (sample_of(&metrics, "open_ports_scans_running") == 1.0).then_some(())
    });
    let refused = with_token(service.address, &query(&other, 50), ALICE);
    assert_eq!(refused.problem(429)["type"], "urn:open-ports:problem:quota-used-up");
    with_token(service.address, &query(&other, 50), BOB).report();
}

#[test]
fn the_listener_for_metrics_needs_no_token_and_serves_nothing_else() {
    let (_folder, path) = tokens(&both());
    let service = Service::spawn(serving(&["--tokens", &path, "--metrics-listen", "127.0.0.1:0"]));
    let line = service.wait_for_log("\"metrics_listen\"");
    let metrics: SocketAddr = setting(&line, "metrics_listen").unwrap().parse().unwrap();
    let reply = get(metrics, "/metrics");
    assert_eq!(reply.status, 200);
    assert!(reply.body.contains("open_ports_build_info"), "{reply:?}");
    for target in ["/", "/livez", "/open-ports?domain=127.0.0.1&toPort=1", "/openapi.json"] {
        get(metrics, target).problem(404);
    }
    let mut connection = Connection::open(metrics);
    connection.request("POST", "/metrics");
    let reply = connection.reply();
    reply.problem(405);
    assert_eq!(reply.header("allow"), Some("GET, HEAD"));
    // It counts the scans of the other listener.
    let listener = Listeners::bind(own_address(), 1);
    let query = format!("/open-ports?domain={}&ports={}", listener.address, listener.list());
    with_token(service.address, &query, ALICE).report();
    let exposed = get(metrics, "/metrics").body;
    assert_eq!(sample_of(&exposed, "open_ports_scans_total{outcome=\"complete\"}"), 1.0);
}

#[test]
fn a_file_that_cannot_be_used_stops_the_start_with_one_line() {
    let (folder, path) = tokens(&format!("alice={ALICE}\n"));
    let missing = folder.path().join("missing").to_str().unwrap().to_owned();
    let (_short, short) = tokens("alice:secret\n");
    let (_empty, empty) = tokens("# nobody\n");
    for (path, told) in [
        (path.as_str(), "line 1 is not of the form name:token"),
        (&missing, "No such file"),
        (&short, "fewer than 16 characters"),
        (&empty, "holds no token"),
        (folder.path().to_str().unwrap(), "not a regular file"),
    ] {
        let ended = run(open_ports(&["--listen", "127.0.0.1:0", "--tokens", path]));
        assert_eq!((ended.status.code(), ended.stderr.lines().count()), (Some(1), 1), "{ended:?}");
        assert!(ended.stderr.contains(told) && ended.stderr.contains(path), "{ended:?}");
        assert!(!ended.stderr.contains("0123456789") && !ended.stderr.contains("secret"));
    }
}
