//! The page as the service sends it, its form for browsers without scripts, and the
//! records that its map is drawn from.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::net::IpAddr;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use support::ask::{Streamed, audit_lines, get_with, request_head, serve};
use support::client::{Connection, Reply};
use support::service::Service;
use support::targets::{Listeners, Silent, free_port};
use support::{own_address, wait_for};

/// What Chromium sends when somebody types an address or sends a form.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,\
                       image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7";

const HTML: &str = "text/html; charset=utf-8";

/// The reply to a browser.
#[track_caller]
fn browse(service: &Service, target: &str) -> Reply {
    get_with(service.address, target, &[("Accept", BROWSER)])
}

/// The texts of the elements called `name`.
fn elements<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let parts = html.split(&*open).skip(1);
    parts.map(|part| part.split_once(&*close).unwrap().0.split_once('>').unwrap().1).collect()
}

/// Checks that the policy of a page allows the styles and scripts in it, and nothing
/// else, and that the page needs nothing else.
#[track_caller]
fn assert_confined(reply: &Reply) {
    assert_eq!(reply.header("content-type"), Some(HTML), "{reply:?}");
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
    let policy = reply.header("content-security-policy").unwrap();
    let directives: BTreeMap<&str, &str> =
        policy.split("; ").map(|directive| directive.split_once(' ').unwrap()).collect();
    let hash = |text: &&str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let hashes = |name| elements(&reply.body, name).iter().map(hash).collect::<Vec<_>>().join(" ");
    let scripts = hashes("script");
    let mut wanted = BTreeMap::from([
        ("default-src", "'none'".to_owned()),
        ("style-src", hashes("style")),
        ("img-src", "data:".to_owned()),
        ("form-action", "'self'".to_owned()),
        ("base-uri", "'none'".to_owned()),
        ("frame-ancestors", "'none'".to_owned()),
    ]);
    if !scripts.is_empty() {
        wanted.insert("script-src", scripts);
        wanted.insert("connect-src", "'self'".to_owned());
    }
    let directives = directives.into_iter().map(|(name, value)| (name, value.to_owned()));
    assert_eq!(directives.collect::<BTreeMap<_, _>>(), wanted);
    // Outside its scripts, a page has no attribute that the policy would block.
    let scripts = elements(&reply.body, "script");
    let markup = scripts.iter().fold(reply.body.clone(), |text, script| text.replace(script, ""));
    for forbidden in [
        " style=",
        " onclick=",
        " onload=",
        " onsubmit=",
        "javascript:",
        "<iframe",
        " src=",
        "url(http",
        "@import",
    ] {
        assert!(!markup.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn a_browser_gets_the_page_and_everybody_else_the_help() {
    let service = Service::start();
    for (accept, is_page) in [
        (Some(BROWSER), true),
        (Some("text/html"), true),
        (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), true),
        (Some("text/html, text/*;q=0.5, image/*"), true),
        (Some("*/*"), false),
        (None, false),
        (Some("text/plain"), false),
        (Some("text/plain, text/html;q=0.9"), false),
        (Some("text/*"), false),
        (Some("application/json"), false),
        (Some("text/html;q=0, */*"), false),
    ] {
        let fields: Vec<_> = accept.iter().map(|&accept| ("Accept", accept)).collect();
        let reply = get_with(service.address, "/", &fields);
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.header("vary"), Some("Accept, Accept-Encoding"));
        if is_page {
            assert_confined(&reply);
            assert!(reply.body.starts_with("<!doctype html>"), "{accept:?}");
        } else {
            assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
            assert!(reply.body.starts_with("open-ports reports"), "{accept:?}");
            assert_eq!(reply.header("etag"), None);
        }
    }
}

#[test]
fn the_page_is_one_small_document() {
    let service = Service::start();
    let page = browse(&service, "/");
    assert!(page.body.len() <= 40 << 10, "{} bytes", page.body.len());
    assert_eq!(elements(&page.body, "style").len(), 1);
    assert_eq!(elements(&page.body, "script").len(), 1);
    // State in the URL does not change it.
    assert_eq!(browse(&service, "/?domain=%3Cb%3E&ports=22").body, page.body);
}

#[test]
fn a_page_that_the_browser_has_is_not_sent_again() {
    let service = Service::start();
    let page = browse(&service, "/");
    let tag = page.header("etag").unwrap().to_owned();
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    for (known, status) in [(&*tag, 304), ("\"0\"", 200), ("*", 304), ("\"0\", W/\"1\"", 200)] {
        let mut connection = Connection::open(service.address);
        let fields = [("Accept", BROWSER), ("If-None-Match", known)];
        connection.send(request_head("GET", "/", &fields));
        let reply = connection.reply_to_head();
        assert_eq!((reply.status, reply.header("etag")), (status, Some(&*tag)), "{known}");
        assert_eq!(reply.header("vary"), Some("Accept, Accept-Encoding"));
        if status == 304 {
            // There is no body, which would be taken for the next reply.
            assert_eq!(connection.get("/livez").status, 200);
        }
    }
    // Another service of the same build has the same page.
    assert_eq!(browse(&Service::start(), "/").header("etag"), Some(&*tag));
}

#[test]
fn the_page_is_compressed_for_who_accepts_that() {
    let service = Service::start();
    let page = browse(&service, "/");
    assert_eq!(page.header("content-encoding"), None);
    for (encodings, is_compressed) in
        [("gzip, deflate, br, zstd", true), ("gzip;q=0, *", false), ("br", false)]
    {
        let mut connection = Connection::open(service.address);
        let fields = [("Accept", BROWSER), ("Accept-Encoding", encodings), ("Connection", "close")];
        connection.send(request_head("GET", "/", &fields));
        let head = connection.reply_to_head();
        let body = connection.rest();
        assert_eq!(head.header("content-encoding"), is_compressed.then_some("gzip"));
        assert_eq!(head.header("content-length"), Some(&*body.len().to_string()));
        if !is_compressed {
            assert_eq!(body, page.body.as_bytes());
            continue;
        }
        assert!(body.len() < page.body.len(), "{} bytes", body.len());
        assert_ne!(head.header("etag"), page.header("etag"));
        let mut text = String::new();
        GzDecoder::new(&*body).read_to_string(&mut text).unwrap();
        assert_eq!(text, page.body);
    }
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    let service = Service::start();
    let of = |method, target: &str| {
        let mut connection = Connection::open(service.address);
        connection.send(request_head(method, target, &[("Accept", BROWSER)]));
        let reply = connection.reply_to_head();
        if method == "HEAD" {
            assert_eq!(connection.get("/livez").status, 200, "a body after HEAD {target}");
        }
        let fields = reply.head.lines().filter(|line| {
            let name = line.split(':').next().unwrap().to_ascii_lowercase();
            !["x-request-id", "date"].contains(&&*name)
        });
        let mut fields: Vec<String> = fields.map(str::to_owned).collect();
        fields.sort();
        fields
    };
    assert_eq!(of("HEAD", "/"), of("GET", "/"));
    let scan = format!("/open-ports?domain={}&ports=1", own_address());
    let head = of("HEAD", &scan).join("\n").to_ascii_lowercase();
    for field in ["content-type: text/html", "content-security-policy: default-src 'none'"] {
        assert!(head.contains(field), "{field} in {head}");
    }
    assert!(audit_lines(&service).is_empty());
}

#[test]
fn the_rules_on_hosts_and_other_sites_hold_for_the_page() {
    let service = Service::start();
    let ask = |host: &str, more: &[(&str, &str)]| {
        let fields: String =
            more.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut connection = Connection::open(service.address);
        connection
            .send(format!("GET / HTTP/1.1\r\nHost: {host}\r\nAccept: {BROWSER}\r\n{fields}\r\n"));
        connection.reply()
    };
    assert_eq!(ask("rebound.example", &[]).status, 421);
    assert_eq!(ask("localhost", &[("Origin", "http://evil.example")]).status, 403);
    for (site, mode, dest, status) in [
        ("cross-site", "navigate", "iframe", 403),
        ("cross-site", "no-cors", "script", 403),
        ("same-site", "cors", "empty", 403),
        ("cross-site", "navigate", "document", 200),
        ("none", "navigate", "document", 200),
    ] {
        let fields = [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", dest)];
        assert_eq!(ask("localhost", &fields).status, status, "{site}, {mode}, {dest}");
    }
}

#[test]
fn the_page_needs_no_token_and_all_that_it_asks_for_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    fs::write(&path, "alice:alice-0123456789abcdef\n").unwrap();
    let service = serve(&["--tokens", path.to_str().unwrap()]);
    let page = browse(&service, "/");
    assert_eq!(page.status, 200);
    assert_confined(&page);
    assert!(page.body.contains("data-tokens=\"true\""), "{}", page.body);
    assert!(browse(&Service::start(), "/").body.contains("data-tokens=\"false\""));
    // The help is for callers, as before.
    service.get("/").problem(401);
    let scan = format!("/open-ports?domain={}&ports=1", own_address());
    service.get(&scan).problem(401);
    let refused = browse(&service, &scan);
    assert_eq!(refused.status, 401);
    assert_confined(&refused);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"open-ports\""));
}

#[test]
fn the_form_without_scripts_shows_its_result_on_a_page() {
    let service = Service::start();
    let (open, silent) = (Listeners::bind(own_address(), 3), Silent::bind(own_address(), 1));
    let (address, closed) = (open.address, free_port());
    // As a browser sends the form: with the fields that were left empty.
    let target = format!(
        "/open-ports?domain={address}&ports={},{closed}&family=any&timeoutMs=&deadlineMs=&rate=&expect=",
        open.list()
    );
    let page = browse(&service, &target);
    assert_eq!(page.status, 200, "{page:?}");
    assert_confined(&page);
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("vary"), Some("Accept"));
    assert_eq!(page.header("open-ports-complete"), Some("true"));
    assert!(page.body.contains(&format!("<h1>Open ports of {address}</h1>")), "{}", page.body);
    assert_eq!(rows(&page), all(&open.ports, "open"));
    // A way back to the form, with what was typed.
    let link = format!("href=\"/?domain={address}&amp;ports=");
    assert!(page.body.contains(&link), "{}", page.body);

    // With details, and a status for what is not as expected.
    let target = format!(
        "/open-ports?domain={}&ports={},{closed}&details=true&timeoutMs=50&expect={closed}\
         &expectFailStatus=409",
        silent.address,
        silent.list()
    );
    let page = browse(&service, &target);
    assert_eq!(page.status, 409, "{page:?}");
    assert_confined(&page);
    assert_eq!(rows(&page), all(&silent.ports, "filtered"));
    assert!(page.body.contains(&format!("<dt>Missing</dt><dd>{closed}</dd>")), "{}", page.body);
}

/// All of `ports` in one state.
fn all(ports: &BTreeSet<u16>, state: &str) -> BTreeMap<u16, String> {
    ports.iter().map(|&port| (port, state.to_owned())).collect()
}

/// The ports in the tables of a result, with their states.
fn rows(page: &Reply) -> BTreeMap<u16, String> {
    let rows = elements(&page.body, "tr").into_iter().map(|row| elements(row, "td"));
    let rows = rows.filter(|cells| !cells.is_empty());
    rows.map(|cells| (cells[0].parse().unwrap(), cells[1].to_owned())).collect()
}

#[test]
fn a_result_of_any_length_is_a_whole_page() {
    let service = Service::start();
    let open = Listeners::bind(own_address(), 500);
    let target = format!("/open-ports?domain={}&ports={}", open.address, open.list());
    let page = browse(&service, &target);
    assert!(page.body.len() > 30_000, "{} bytes", page.body.len());
    assert!(page.body.ends_with("</html>\n"));
    assert_eq!(rows(&page).into_keys().collect::<Vec<_>>(), Vec::from_iter(open.ports.clone()));
}

#[test]
fn a_problem_is_a_page_for_a_browser_and_holds_no_markup_that_was_typed() {
    let service = serve(&["--allow", "127.0.0.0/8"]);
    let markup = "%3Cscript%3Ealert(1)%3C/script%3E%22%3E";
    for (target, status, shown) in [
        (format!("/open-ports?domain={markup}&ports=1"), 400, "Invalid parameters"),
        (
            format!("/open-ports?domain=127.0.0.1&ports=1&{markup}={markup}"),
            400,
            "is not a parameter",
        ),
        ("/open-ports?domain=127.0.0.1&ports=".to_owned(), 400, "<code>toPort</code> is required"),
        ("/open-ports?domain=192.0.2.1&ports=1".to_owned(), 403, "Refused by policy"),
        (format!("/open-ports?domain=no-such-host.invalid&ports=1&rate={markup}"), 400, "rate"),
        (format!("/open-ports?{}", "a".repeat(9_000)), 414, "URI Too Long"),
    ] {
        let page = browse(&service, &target);
        assert_eq!(page.status, status, "{page:?}");
        assert_confined(&page);
        assert!(page.body.contains(shown), "{shown} in {}", page.body);
        assert!(!page.body.contains("<script"), "{}", page.body);
        assert!(page.body.ends_with("</html>\n"));
        // The same problem for a program, with the same status.
        service.get(&target).problem(status);
    }
    // Another route has no pages.
    let mut connection = Connection::open(service.address);
    connection.send(request_head("GET", "/sweep", &[("Accept", BROWSER)]));
    connection.reply().problem(400);
}

#[test]
fn whoever_asks_for_json_gets_json_in_a_browser_too() {
    let service = Service::start();
    let target = format!("/open-ports?domain={}&ports=1", own_address());
    let media_type = |more: &str, accept: &str| {
        let reply = get_with(service.address, &format!("{target}{more}"), &[("Accept", accept)]);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.header("content-type").unwrap().to_owned()
    };
    for (more, accept, wanted) in [
        ("", "*/*", "application/json"),
        ("", "application/json, text/html;q=0.9", "application/json"),
        ("&format=json", BROWSER, "application/json"),
        ("&pretty=true", BROWSER, "application/json"),
        ("&explain=true", BROWSER, "application/json"),
        ("&format=html", "*/*", HTML),
        ("", BROWSER, HTML),
    ] {
        assert_eq!(media_type(more, accept), wanted, "{more} {accept}");
    }
    get_with(service.address, &format!("{target}&rate=x&format=json"), &[("Accept", BROWSER)])
        .problem(400);
    // A program is not forgiven what a form cannot help.
    service.get(&format!("{target}&rate=&format=html")).problem(400);
}

/// The state of each port in the runs of a record.
#[track_caller]
fn states(record: &Value) -> BTreeMap<u16, String> {
    let mut states = BTreeMap::new();
    let mut before = 0;
    for run in record["runs"].as_array().unwrap() {
        let port = |index: usize| u16::try_from(run[index].as_u64().unwrap()).unwrap();
        let (first, last, state) = (port(0), port(1), run[2].as_str().unwrap());
        assert!(before < first && first <= last, "{run} after {before}");
        before = last;
        states.extend((first..=last).map(|port| (port, state.to_owned())));
    }
    states
}

/// What a report says: each port that is not closed, and how many there are of each kind.
#[track_caller]
fn assert_reported(states: &BTreeMap<u16, String>, address: &Value) {
    let count = |wanted: &str| states.values().filter(|state| *state == wanted).count();
    let open = address["open_ports"].as_array().unwrap();
    assert_eq!(json!(count("open")), json!(open.len()));
    for name in ["closed", "filtered", "not_scanned"] {
        assert_eq!(json!(count(&name.replace('_', "-"))), address[name], "{name}");
    }
    assert!(
        open.iter().all(|port| states[&u16::try_from(port.as_u64().unwrap()).unwrap()] == "open")
    );
    for row in address["ports"].as_array().into_iter().flatten() {
        let port = u16::try_from(row["port"].as_u64().unwrap()).unwrap();
        assert_eq!(json!(states[&port]), row["state"], "{port}");
    }
}

/// The records of a scan with states: those of states, and the report.
#[track_caller]
fn followed(service: &Service, query: &str) -> (Vec<Value>, Value) {
    let target = format!("/open-ports?{query}&states=true&format=ndjson");
    let stream = Streamed::open(service.address, &target, &[]);
    assert_eq!(stream.reply().status, 200, "{}", stream.head);
    let mut records = stream.records();
    let end = records.pop().unwrap();
    assert_eq!(end["type"], "end");
    assert_eq!(records.last().unwrap()["type"], "states", "{records:?}");
    records.retain(|record| record["type"] == "states");
    (records, end["report"].clone())
}

#[test]
fn the_last_states_are_those_of_the_report_for_every_port_of_a_host() {
    let service = Service::start();
    let open = Listeners::bind(own_address(), 101);
    let query = format!("domain={}&ports=all&details=true", open.address);
    let (records, report) = followed(&service, &query);
    let last = records.last().unwrap();
    assert_eq!(last["address"], json!(open.address));
    let states = states(last);
    assert_eq!(states.len(), 65_535);
    assert_reported(&states, &report["addresses"][0]);
    assert!(report["open_ports"].as_array().unwrap().len() >= 101, "{}", report["open_ports"]);
    // Runs are as long as can be, and few.
    let runs = last["runs"].as_array().unwrap();
    assert!(runs.windows(2).all(|pair| pair[0][2] != pair[1][2]), "{last}");
    assert!(last.to_string().len() < 8_000, "{} bytes", last.to_string().len());
}

#[test]
fn states_become_known_while_the_scan_goes_on() {
    let service = Service::start();
    let silent = Silent::bind(own_address(), 3);
    let address = silent.address;
    // Silent ports first, and then closed ones, slowly.
    let closed = "65511-65535";
    let query = format!("domain={address}&ports={},{closed}&rate=10&timeoutMs=300", silent.list());
    let (records, report) = followed(&service, &query);
    let all: Vec<_> = records.iter().map(states).collect();
    let (last, before) = all.split_last().unwrap();
    assert!(!before.is_empty(), "{records:?}");
    // A port keeps its state, unless it was silent.
    for pair in all.windows(2) {
        for (port, state) in pair[0].iter().filter(|(_, state)| *state != "silent") {
            assert_eq!(&pair[1][port], state, "{port}");
        }
    }
    let was_silent = |port: &u16| {
        before.iter().any(|states| states.get(port).is_some_and(|state| state == "silent"))
    };
    assert!(silent.ports.iter().all(was_silent), "{records:?}");
    assert!(silent.ports.iter().all(|port| last[port] == "filtered"), "{last:?}");
    assert!(before.iter().all(|states| states.values().all(|state| state != "not-scanned")));
    assert_reported(last, &report["addresses"][0]);
    assert_eq!(report["complete"], true);
}

#[test]
fn ports_that_were_not_scanned_are_among_the_last_states() {
    let service = Service::start();
    let query = format!("domain={}&ports=1-40,65000-65535&rate=100&deadlineMs=700", own_address());
    let (records, report) = followed(&service, &query);
    let states = states(records.last().unwrap());
    assert_eq!(states.len(), 40 + 536);
    assert!(states.values().any(|state| state == "not-scanned"), "{report}");
    assert_reported(&states, &report["addresses"][0]);
    assert_eq!(report["complete"], false);
}

#[test]
fn a_request_whose_time_is_up_has_the_states_of_its_own_report() {
    let service = serve(&["--max-scans-per-target", "1"]);
    let scan = format!("domain={}&ports=65000-65535&rate=150", own_address());
    let long = thread::scope(|scope| {
        let long = scope.spawn(|| followed(&service, &format!("{scan}&deadlineMs=60000")));
        // It joins the scan, which goes on without it.
        let (records, report) = followed(&service, &format!("{scan}&deadlineMs=900"));
        let states = states(records.last().unwrap());
        assert_eq!(states.len(), 536);
        assert_reported(&states, &report["addresses"][0]);
        assert_eq!(report["reason"], "deadline");
        long.join().unwrap()
    });
    let (records, report) = long;
    assert_reported(&states(records.last().unwrap()), &report["addresses"][0]);
    assert_eq!(report["complete"], true);
    wait_for("two audit lines", || (audit_lines(&service).len() == 2).then_some(()));
}

#[test]
fn each_address_of_a_host_has_its_states() {
    let service = Service::start();
    let listener = Listeners::bind("127.0.0.1".parse().unwrap(), 1);
    let query = format!("domain=localhost&ports={},65535", listener.list());
    let (records, report) = followed(&service, &query);
    let addresses = report["addresses"].as_array().unwrap();
    let last = &records[records.len() - addresses.len()..];
    for (record, address) in last.iter().zip(addresses) {
        assert_eq!(record["address"], address["address"]);
        assert_reported(&states(record), address);
    }
}

#[test]
fn server_sent_events_have_states_too_and_streams_without_the_parameter_have_none() {
    let service = Service::start();
    let address: IpAddr = own_address();
    let target = format!("/open-ports?domain={address}&ports=1-9,65535");
    let body = service.get(&format!("{target}&states=true&format=sse")).body;
    let (_, event) = body.split_once("event: states\ndata: ").expect("an event");
    let (data, rest) = event.split_once("\n\n").unwrap();
    let record: Value = serde_json::from_str(data).unwrap();
    assert_eq!(record["type"], "states");
    assert_eq!(states(&record).len(), 10);
    assert!(rest.starts_with("event: end\n"), "{rest}");
    for format in ["ndjson", "sse"] {
        let body = service.get(&format!("{target}&format={format}")).body;
        assert!(!body.contains("states"), "{body}");
    }
    let problem = service.get(&format!("{target}&states=true")).problem(400);
    assert_eq!(problem["errors"], json!({ "states": ["needs the format ndjson or sse"] }));
}
