//! What the service refuses: it replies with a problem that names the field and what
//! is accepted, and never scans.

#![allow(clippy::unwrap_used, reason = "a document that cannot be read has to fail the test")]

mod support;

use serde_json::{Value, json};

use support::client::Connection;
use support::service::Service;
use support::targets::Listeners;
use support::{own_address, wait_for};

#[test]
fn every_bad_query_gets_a_problem_that_names_the_field_and_no_scan() {
    let (service, listener) = (Service::start(), Listeners::bind(own_address(), 1));
    // The valid parameters of these queries name the listener.
    let (host, port) = (format!("domain={}", listener.address), listener.list());
    let parameters = parameters(&service);
    let mut connection = Connection::open(service.address);
    for (query, errors) in bad_queries() {
        let query = query.replace("HOST", &host).replace("PORT", &port);
        let problem = connection.get(&format!("/open-ports?{query}")).problem(400);
        let fields: Vec<&String> = problem["errors"].as_object().unwrap().keys().collect();
        let wanted: Vec<&str> = errors.iter().map(|(field, _)| *field).collect();
        assert_eq!(fields, wanted, "{query}: {problem}");
        for (field, message) in errors {
            let message = message.replace("PARAMETERS", &parameters);
            assert_eq!(problem["errors"][field], json!([message]), "{query}");
            let both = format!("{field} {message}");
            assert!(problem["detail"].as_str().unwrap().contains(&both), "{query}: {problem}");
        }
    }
    connection.get(&format!("/open-ports?{host}&ports={port}")).report();
    wait_for("the listener to be probed", || (listener.probed() > 0).then_some(()));
    assert_eq!(listener.probed(), 1, "something refused was scanned");
}

/// The names of the parameters in the order of the OpenAPI document.
fn parameters(service: &Service) -> String {
    let document = service.get("/openapi.json").json();
    let references = document["paths"]["/open-ports"]["parameters"].as_array().unwrap().iter();
    let names = references.map(|parameter| parameter["$ref"].as_str().unwrap());
    let names = names.map(|name| name.strip_prefix("#/components/parameters/").unwrap());
    let in_query = |name: &&str| document["components"]["parameters"][*name]["in"] == "query";
    names.filter(in_query).collect::<Vec<_>>().join(", ")
}

/// Queries, and their invalid fields in alphabetical order.
fn bad_queries() -> Vec<(String, Vec<(&'static str, &'static str)>)> {
    let name_of_254 = ["a".repeat(63).as_str(); 4].join(".")[..254].to_owned();
    let mut queries: Vec<(String, Vec<_>)> = vec![
        (String::new(), vec![("domain", REQUIRED), ("toPort", LAST_REQUIRED)]),
        ("toPort=PORT".into(), vec![("domain", REQUIRED)]),
        ("HOST".into(), vec![("toPort", LAST_REQUIRED)]),
        ("HOST&HOST&toPort=PORT".into(), vec![("domain", REPEATED)]),
        ("HOST&toPort=PORT&toPort=PORT".into(), vec![("toPort", REPEATED)]),
        ("HOST&ports=PORT&ports=PORT".into(), vec![("ports", REPEATED)]),
        ("HOST&toport=PORT".into(), vec![("toPort", LAST_REQUIRED), ("toport", UNKNOWN)]),
        ("HOST&ports=PORT&verbose".into(), vec![("verbose", UNKNOWN)]),
        ("HOST&ports=PORT&%3Cscript%3E=1".into(), vec![("<script>", UNKNOWN)]),
        (
            "HOST&fromPort=2000&toPort=1999".into(),
            vec![("fromPort", "must not be above toPort, 1999")],
        ),
        ("HOST&ports=PORT&toPort=PORT".into(), vec![("ports", NOT_BOTH)]),
        ("HOST&ports=PORT&fromPort=1".into(), vec![("ports", NOT_BOTH)]),
        (
            "HOST&family=ipv6&ports=PORT".into(),
            vec![("family", "excludes domain, which is an IPv4 address")],
        ),
        ("HOST%&ports=PORT".into(), vec![("domain", BROKEN_ESCAPE)]),
        ("HOST&ports=PORT%zz".into(), vec![("ports", BROKEN_ESCAPE)]),
        ("HOST&ports=PORT&details=%e9".into(), vec![("details", NOT_UTF8)]),
        (
            "fromPort=0&toPort=65536&timeoutMs=x&family=x&details=x&x=x".into(),
            vec![
                ("details", "must be true or false"),
                ("domain", REQUIRED),
                ("family", "must be any, ipv4 or ipv6"),
                ("fromPort", NOT_A_PORT),
                ("timeoutMs", "must be 50 to 30000 ms"),
                ("toPort", NOT_A_PORT),
                ("x", UNKNOWN),
            ],
        ),
    ];
    for (domain, message) in [
        ("", "is empty; give a host name, an IPv4 or an IPv6 address"),
        ("%", BROKEN_ESCAPE),
        ("a%2", BROKEN_ESCAPE),
        ("%ff", NOT_UTF8),
        ("%c3%28", NOT_UTF8),
        ("a%20b", NOT_A_NAME),
        ("a+b", NOT_A_NAME),
        ("%20", NOT_A_NAME),
        ("a%00b", NOT_A_NAME),
        ("a%0d%0ab", NOT_A_NAME),
        ("a..b", NOT_A_NAME),
        ("-a", NOT_A_NAME),
        (&name_of_254, TOO_LONG),
        (&"a".repeat(64), TOO_LONG),
        ("b%C3%BCcher.example", "has letters outside ASCII; write the name in its xn-- form"),
        ("http://localhost", "is a URL; give only its host, like example.org"),
        ("localhost:80", HAS_A_PORT),
        ("[::1]:80", HAS_A_PORT),
        ("fe80::1%25lo", HAS_A_ZONE),
        ("[fe80::1%25lo]", HAS_A_ZONE),
        ("::1::", "is not an IPv6 address; write one like 2001:db8::1 or [2001:db8::1]"),
    ] {
        queries.push((format!("domain={domain}&ports=PORT"), vec![("domain", message)]));
    }
    for port in [
        "",
        "0",
        "65536",
        "-1",
        "1e3",
        "%2080",
        "80%20",
        "+80",
        "%2B80",
        "0x50",
        "80.0",
        "8,0",
        "%EF%BC%98%EF%BC%90",
        "99999999999999999999",
        "80%00",
    ] {
        queries.push((format!("HOST&toPort={port}"), vec![("toPort", NOT_A_PORT)]));
        queries.push((format!("HOST&toPort=PORT&fromPort={port}"), vec![("fromPort", NOT_A_PORT)]));
    }
    for (list, message) in [
        ("", EMPTY_ITEM),
        (",", EMPTY_ITEM),
        ("PORT,", EMPTY_ITEM),
        ("PORT,,22", EMPTY_ITEM),
        ("80,80", "80 is listed more than once"),
        ("1-100,50", "50 is listed more than once"),
        ("1-100,100-200", "100 is listed more than once"),
        ("90-80", "90-80 runs backwards; write 80-90"),
        ("0", "\"0\" is not a port (1 to 65535), a range (8000-8100), top1 to top1000, or all"),
        (
            "%2080",
            "\" 80\" is not a port (1 to 65535), a range (8000-8100), top1 to top1000, or all",
        ),
    ] {
        queries.push((format!("HOST&ports={list}"), vec![("ports", message)]));
    }
    for timeout in ["", "0", "49", "30001", "1e3", "2s", "-50", "%2050", "65536"] {
        let message = "must be 50 to 30000 ms";
        queries
            .push((format!("HOST&ports=PORT&timeoutMs={timeout}"), vec![("timeoutMs", message)]));
    }
    for family in ["", "ipv5", "IPv4", "4"] {
        let message = "must be any, ipv4 or ipv6";
        queries.push((format!("HOST&ports=PORT&family={family}"), vec![("family", message)]));
    }
    for details in ["", "1", "yes", "TRUE"] {
        let message = "must be true or false";
        queries.push((format!("HOST&ports=PORT&details={details}"), vec![("details", message)]));
    }
    queries
}

#[test]
fn a_query_that_is_too_long_gets_a_problem_and_no_scan() {
    let (service, listener) = (Service::start(), Listeners::bind(own_address(), 1));
    let scan = format!("/open-ports?domain={}&ports={}", listener.address, listener.list());
    for (bytes, status) in [(9_000, 414), (64 * 1024, 431)] {
        let padding = "&".repeat(bytes);
        let mut connection = Connection::open(service.address);
        let problem = connection.get(&format!("{scan}{padding}")).problem(status);
        assert_eq!(problem["errors"]["query"], json!(["may be 8192 bytes long with the path"]));
    }
    // A long query within the limit is read.
    let padding = "&".repeat(8192 - scan.len());
    service.get(&format!("{scan}{padding}")).report();
    wait_for("the listener to be probed", || (listener.probed() > 0).then_some(()));
    assert_eq!(listener.probed(), 1);
}

#[test]
fn what_is_not_http_gets_a_problem_and_the_connection_closes() {
    let service = Service::start();
    for request in [
        &b"GET\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"GET /open-ports?domain=a b&toPort=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /open-ports?domain=\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost test\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let mut connection = Connection::open(service.address);
        connection.send(request);
        connection.finish_sending();
        let text = String::from_utf8_lossy(request);
        let reply = connection.reply();
        assert_eq!(reply.problem(400)["title"], "Bad Request", "{text:?}");
        assert_eq!(connection.rest(), b"", "{text:?}");
    }
    assert_eq!(service.get("/").status, 200);
}

#[test]
fn other_paths_and_methods_get_a_problem_that_names_the_help() {
    let service = Service::start();
    let mut connection = Connection::open(service.address);
    for path in
        ["/open-ports/", "/Open-Ports", "//open-ports", "/favicon.ico", "/%6Fpen-ports", "/.."]
    {
        let problem = connection.get(path).problem(404);
        assert!(problem["detail"].as_str().unwrap().contains("GET /"), "{problem}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        for path in ["/", "/open-ports", "/open-ports?domain=127.0.0.1&toPort=65535"] {
            connection.request(method, path);
            let reply = connection.reply();
            reply.problem(405);
            assert_eq!(reply.header("allow"), Some("GET, HEAD"), "{method} {path}");
        }
    }
    connection
        .send("POST /open-ports HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\ntoPort=80");
    connection.reply().problem(405);
    // The body of the previous request is not a request.
    assert_eq!(connection.get("/").status, 200);
}

#[test]
fn help_lists_the_routes_and_parameters() {
    let service = Service::start();
    let mut connection = Connection::open(service.address);
    let help = connection.get("/");
    assert_eq!(
        (help.status, help.header("content-type")),
        (200, Some("text/plain; charset=utf-8"))
    );
    assert!(help.body.contains("GET /open-ports"), "{}", help.body);
    assert_eq!(help.body.lines().filter(|line| line.starts_with("curl ")).count(), 7);
    for parameter in ["domain", "toPort", "fromPort", "ports", "timeoutMs", "family", "details"] {
        assert!(help.body.contains(&format!("  {parameter} ")), "{parameter}: {}", help.body);
    }
    connection.request("HEAD", "/");
    let head = connection.reply_to_head();
    assert_eq!((head.status, head.header("content-length")), (200, help.header("content-length")));
    assert_eq!(connection.get("/").body, help.body);
}

#[test]
fn nothing_of_a_request_is_sent_back_or_logged_unescaped() {
    let service = Service::start();
    let started = service.log().len();
    let mut connection = Connection::open(service.address);
    for nasty in [
        "%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a",
        "%00",
        "%1b%5B31m",
        "%22%2C%22x%22:%22",
        "%5C",
        "%7f",
        "%c2%9b31m",
        "%e2%80%ae",
        "%e2%80%a8",
        "%0a",
    ] {
        for query in [
            format!("domain=a{nasty}b&toPort=1"),
            format!("domain=[{nasty}]&toPort={nasty}"),
            format!("domain=127.0.0.1&ports={nasty}"),
            format!("domain=127.0.0.1&toPort=1&{nasty}=1"),
            format!("domain=127.0.0.1&toPort=1&family={nasty}&details={nasty}&timeoutMs={nasty}"),
        ] {
            let reply = connection.get(&format!("/open-ports?{query}"));
            let problem: Value = reply.problem(400);
            assert!(problem["errors"].as_object().is_some_and(|errors| !errors.is_empty()));
            let line = reply.body.strip_suffix('\n').unwrap();
            let unescaped = |c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c);
            assert!(!line.contains(unescaped), "{query}: {line:?}");
            assert_eq!(reply.header("set-cookie"), None, "{query}");
        }
    }
    assert_eq!(service.log().len(), started, "{:?}", service.log());
}

const REQUIRED: &str = "is required";
const LAST_REQUIRED: &str = "is required, unless ports is given";
const REPEATED: &str = "is given more than once";
const UNKNOWN: &str = "is not a parameter; the parameters are PARAMETERS";
const NOT_A_PORT: &str = "must be 1 to 65535";
const NOT_BOTH: &str = "cannot be combined with fromPort and toPort";
const BROKEN_ESCAPE: &str = "has a broken percent-escape; write % as %25";
const NOT_UTF8: &str = "is not UTF-8 once its percent-escapes are decoded";
const NOT_A_NAME: &str = "is not a host name; use letters, digits, hyphens and dots";
const TOO_LONG: &str = "is too long; a name has at most 253 characters, and 63 between two dots";
const HAS_A_PORT: &str = "holds a port; give the host alone, and ports in toPort or ports";
const HAS_A_ZONE: &str = "holds a zone id; give the address without % and what follows it";
const EMPTY_ITEM: &str = "has an empty item; write ports like 22,80,8000-8100";
