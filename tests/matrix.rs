//! `open-ports matrix`, with the real binary as vantages and as what asks them.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod matrix {
    pub(crate) mod fake;
    pub(crate) mod hosts;
}
mod support;

use std::fs::{self, File};
use std::net::IpAddr;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use matrix::fake::{Answer, CA, Fake, cut, records, scan_of};
use matrix::hosts::{Host, forward, router};
use support::ask::serve;
use support::judged;
use support::service::{Ended, open_ports, run};
use support::targets::{Listeners, Refused, Silent, free_port};
use support::{own_address, wait_for};

support::trials::main! {
    every_malformed_line_and_flag_is_named,
    open_refused_and_silent_ports_are_told_apart,
    rules_can_come_from_standard_input,
    only_what_rules_mention_is_judged_unless_strictly,
    a_vantage_that_dies_was_not_asked,
    a_vantage_that_lies_about_being_whole_was_not_asked,
    a_vantage_that_is_late_was_not_asked,
    a_vantage_with_a_foreign_token_was_not_asked,
    a_vantage_that_is_not_there_or_something_else_was_not_asked,
    a_vantage_over_tls_has_to_show_a_certificate_that_is_trusted: Curl,
    a_target_that_policy_refuses_was_not_asked,
    verdicts_are_waited_for,
    verdicts_have_to_settle,
    a_signal_ends_the_matrix,
    every_format_says_what_is_wrong,
    the_metadata_service_is_asked_only_if_a_flag_says_so: OwnNetwork,
    policies_between_hosts_are_what_the_rules_say: OwnNetwork | Nft,
    a_broken_policy_is_found_and_what_may_be_the_cause: OwnNetwork | Nft,
    a_denial_is_proved_only_while_somebody_listens: OwnNetwork | Nft,
    a_policy_that_takes_a_while_is_waited_for: OwnNetwork | Nft,
    the_example_of_readme_comes_out_as_shown: OwnNetwork | Nft,
}

/// A file of rules.
struct Reach {
    _folder: TempDir,
    path: String,
}

impl Reach {
    fn new(rules: &str) -> Self {
        let folder = tempdir().unwrap();
        let path = folder.path().join("reach.txt");
        fs::write(&path, rules).unwrap();
        Self { path: path.to_str().unwrap().to_owned(), _folder: folder }
    }
}

fn matrix(arguments: &[&str]) -> Ended {
    run(open_ports(&[&["matrix"], arguments].concat()))
}

/// The document and the exit status.
#[track_caller]
fn document(arguments: &[&str]) -> (Value, i32) {
    let ended = matrix(&[arguments, &["--format", "json"]].concat());
    let document = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
    (document, ended.status.code().unwrap())
}

/// The same for rules.
#[track_caller]
fn judged(rules: &str, more: &[&str]) -> (Value, i32) {
    let reach = Reach::new(rules);
    document(&[&[reach.path.as_str()], more].concat())
}

/// `vantage target:port state verdict` of every cell.
fn cells(document: &Value) -> Vec<String> {
    let cells = document["cells"].as_array().unwrap().iter();
    let text = |cell: &Value, name: &str| cell[name].as_str().unwrap().to_owned();
    cells
        .map(|cell| {
            let (vantage, target) = (text(cell, "vantage"), text(cell, "target"));
            let (state, verdict) = (text(cell, "state"), text(cell, "verdict"));
            format!("{vantage} {target}:{} {state} {verdict}", cell["port"])
        })
        .collect()
}

/// The reason of the only cell, which was not asked.
#[track_caller]
fn not_asked(rules: &str, more: &[&str]) -> String {
    let (document, exit) = judged(rules, more);
    assert_eq!(exit, 4, "{document}");
    assert_eq!(document["not_asked"], 1, "{document}");
    assert_eq!(document["complete"], false);
    let cell = &document["cells"][0];
    assert_eq!((&cell["state"], &cell["verdict"]), (&"not-asked".into(), &"not-asked".into()));
    cell["reason"].as_str().unwrap().to_owned()
}

fn every_malformed_line_and_flag_is_named() {
    let reach = Reach::new("local => db : TCP 5432\nlocal -> db : none\n\nweb => db : TCP\n");
    let ended = matrix(&[&reach.path, "--settle", "x", "--format", "xml"]);
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    for part in [
        "line 2: write a rule like",
        "line 4: \"web\" is no vantage; write local, a URL like",
        "--settle must be 1ms to 1day",
        "--format must be one of table, json",
    ] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    let reach = Reach::new("local => db : TCP 22\nlocal => db : none TCP 22\n");
    let ended = matrix(&[&reach.path]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.stderr.contains("reach.txt line 2: contradicts line 1"), "{}", ended.stderr);
    let ended = matrix(&[&Reach::new("# nothing\n").path]);
    assert!(ended.stderr.contains("has no rule"), "{}", ended.stderr);
    assert_eq!(matrix(&["/nowhere"]).status.code(), Some(1));
}

fn open_refused_and_silent_ports_are_told_apart() {
    let address = own_address();
    let open = Listeners::bind(address, 1);
    let refused = Refused::bind(address);
    let silent = Silent::bind(address, 1);
    let (open, closed, dropped) = (open.list(), refused.port, silent.list());
    let ports = format!("{open},{closed},{dropped}");
    let target = address.to_string();
    let (found, exit) = document(&["--from", "local", "--to", &target, "-p", &ports]);
    assert_eq!(exit, 0, "{found}");
    let mut expected = vec![
        format!("local {address}:{open} open not-judged"),
        format!("local {address}:{closed} refused not-judged"),
        format!("local {address}:{dropped} filtered not-judged"),
    ];
    expected.sort();
    let mut cells_found = cells(&found);
    cells_found.sort();
    assert_eq!(cells_found, expected);
    let rules = format!(
        "local => {address} : TCP {open}\n\
         local => {address} : none TCP {closed},{dropped}\n"
    );
    let (found, exit) = judged(&rules, &[]);
    // Nobody could open those that are denied.
    assert_eq!((exit, &found["ok"], &found["unproved"]), (4, &1.into(), &2.into()), "{found}");
    let (found, exit) = judged(&format!("local => {address} : TCP {dropped}"), &[]);
    assert_eq!((exit, &found["missing"]), (5, &1.into()));
    let (found, exit) = judged(&format!("local => {address}:{open} : none"), &[]);
    assert_eq!((exit, &found["unexpected"]), (5, &1.into()));
}

fn rules_can_come_from_standard_input() {
    let address = own_address();
    let open = Listeners::bind(address, 1);
    let reach = Reach::new(&format!("local => {address} : TCP {}\n", open.list()));
    let mut command = open_ports(&["matrix", "-"]);
    command.stdin(File::open(&reach.path).unwrap());
    let output = command.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    assert!(stdout.contains("1 cell in "), "{stdout}");
}

fn only_what_rules_mention_is_judged_unless_strictly() {
    let (one, other) = (own_address(), own_address());
    let open = Listeners::bind(one, 1);
    let port = open.list();
    let also = Listeners::bind_at(other, port.parse().unwrap()).unwrap();
    let vantage = serve(&["--allow", "127.0.0.0/8"]);
    let url = format!("http://{}", vantage.address);
    let rules = format!("local => {one} : TCP {port}\n{url} => {other} : TCP {port}\n");
    let (found, exit) = judged(&rules, &[]);
    assert_eq!((exit, &found["cell_count"]), (0, &2.into()), "{found}");
    let (found, exit) = judged(&rules, &["--strict"]);
    assert_eq!(exit, 5);
    assert_eq!(
        (&found["cell_count"], &found["ok"], &found["unexpected"]),
        (&4.into(), &2.into(), &2.into()),
        "{found}"
    );
    drop(also);
}

fn a_vantage_that_dies_was_not_asked() {
    let whole = scan_of("127.0.0.1", 80, "open", "");
    let half: String = whole.lines().next().unwrap().to_owned() + "\n";
    for answer in [
        Answer::Bytes(String::new()),
        Answer::Bytes("HTTP/1.1 200 OK\r\nContent-Type: application/x-ndj".into()),
        cut(&half),
        cut(&whole),
    ] {
        let fake = Fake::start(vec![answer.clone()]);
        let reason = not_asked(&format!("{} => 127.0.0.1 : TCP 80", fake.url()), &[]);
        assert!(reason.contains("broke off"), "{answer:?}: {reason}");
    }
    let fake = Fake::start(vec![records(&half)]);
    let reason = not_asked(&format!("{} => 127.0.0.1 : TCP 80", fake.url()), &[]);
    assert_eq!(reason, "its answer was cut off");
}

fn a_vantage_that_lies_about_being_whole_was_not_asked() {
    for (state, lie) in [
        ("open", "open"),
        ("closed", "open"),
        ("closed", "filtered"),
        ("filtered", "filtered"),
        ("open", "host"),
    ] {
        let fake = Fake::start(vec![records(&scan_of("127.0.0.1", 80, state, lie))]);
        let reason = not_asked(&format!("{} => 127.0.0.1 : none TCP 80", fake.url()), &[]);
        assert!(reason.starts_with("its answer is not whole: its end counts"), "{lie}: {reason}");
    }
    for scan in [scan_of("127.0.0.2", 80, "open", ""), scan_of("127.0.0.1", 81, "open", "")] {
        let fake = Fake::start(vec![records(&scan)]);
        let reason = not_asked(&format!("{} => 127.0.0.1 : TCP 80", fake.url()), &[]);
        assert!(reason.contains("which was not asked"), "{reason}");
    }
    // It counts no port at all.
    let nothing = scan_of("127.0.0.1", 80, "nothing", "").replace("no-response", "-");
    let nothing = nothing.lines().last().unwrap().to_owned() + "\n";
    let fake = Fake::start(vec![records(&nothing)]);
    let reason = not_asked(&format!("{} => 127.0.0.1 : none TCP 80", fake.url()), &[]);
    assert_eq!(reason, "its answer is not whole: its end counts 0 ports, of 1");
    let fake = Fake::start(vec![records(&scan_of("127.0.0.1", 80, "open", ""))]);
    let (found, exit) = judged(&format!("{} => 127.0.0.1 : TCP 80", fake.url()), &[]);
    assert_eq!(exit, 0, "an honest one counts: {found}");
}

fn a_vantage_that_is_late_was_not_asked() {
    let fake = Fake::start(vec![Answer::Silence]);
    let rules = format!("{} => 127.0.0.1 : TCP 80", fake.url());
    let reason = not_asked(&rules, &["--deadline-ms", "100"]);
    assert_eq!(reason, "it did not answer within 0.1 s");
}

fn a_vantage_with_a_foreign_token_was_not_asked() {
    let folder = tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let tokens = file("tokens", "ci:0123456789abcdef-ci\n");
    let service = serve(&["--tokens", &tokens, "--allow", "127.0.0.0/8"]);
    let url = format!("http://{}", service.address);
    let address = own_address();
    let open = Listeners::bind(address, 1);
    let rules = format!("{url} => {address} : TCP {}", open.list());
    for (more, words) in [
        (vec![], "it answered 401: "),
        (vec!["--token-file".to_owned(), file("foreign", "another-0123456789\n")], "401: "),
        (
            // Another service's.
            vec![
                "--token-file".to_owned(),
                format!("http://127.0.0.1:1={}", file("ours", "0123456789abcdef-ci\n")),
            ],
            "it answered 401: ",
        ),
    ] {
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let reason = not_asked(&rules, &more);
        assert!(reason.contains(words), "{reason}");
    }
    let ours = file("ours", "0123456789abcdef-ci\n");
    for token in [ours.clone(), format!("{url}={ours}")] {
        let (found, exit) = judged(&rules, &["--token-file", &token]);
        assert_eq!(exit, 0, "{found}");
    }
}

fn a_vantage_that_is_not_there_or_something_else_was_not_asked() {
    let port = free_port();
    let reason = not_asked(&format!("http://127.0.0.1:{port} => 127.0.0.1 : TCP 80"), &[]);
    assert!(reason.starts_with("it cannot be reached: "), "{reason}");
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi";
    let fake = Fake::start(vec![Answer::Bytes(page.into())]);
    let reason = not_asked(&format!("{} => 127.0.0.1 : TCP 80", fake.url()), &[]);
    assert_eq!(reason, "it answered, but not as open-ports does");
    let gone = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
    let fake = Fake::start(vec![Answer::Bytes(gone.into())]);
    let reason = not_asked(&format!("{} => 127.0.0.1 : TCP 80", fake.url()), &[]);
    assert_eq!(reason, "it answered 502");
    let reason = not_asked("shop/web => 127.0.0.1 : TCP 80", &[]);
    assert!(!reason.is_empty());
}

fn a_vantage_over_tls_has_to_show_a_certificate_that_is_trusted() {
    let answer = || records(&scan_of("127.0.0.1", 80, "open", ""));
    let fake = Fake::start_encrypted(answer());
    let asked = |url: &str, trusted: &str| {
        let reach = Reach::new(&format!("{url} => 127.0.0.1 : TCP 80"));
        let mut command = open_ports(&["matrix", &reach.path, "--format", "json"]);
        command.env("CURL_CA_BUNDLE", trusted);
        let ended = run(command);
        let found: Value = serde_json::from_str(&ended.stdout).unwrap();
        let reason = found["cells"][0]["reason"].as_str().unwrap().to_owned();
        (ended.status.code().unwrap(), reason)
    };
    assert_eq!(asked(&fake.https_url(), CA), (0, "syn-ack".to_owned()));
    let foreign = CA.replace("ca.pem", "foreign.pem");
    let (exit, reason) = asked(&fake.https_url(), &foreign);
    assert!(exit == 4 && reason.contains("certificate"), "{reason}");
    let (exit, reason) = asked(&format!("https://localhost:{}", fake.port()), CA);
    assert!(exit == 4 && reason.contains("certificate"), "{reason}");
    let (exit, reason) = asked(&fake.https_url(), "/nowhere");
    assert!(exit == 4 && reason.contains("certificate"), "{reason}");
    let plain = Fake::start(vec![answer()]);
    let (exit, reason) = asked(&plain.https_url(), CA);
    assert!(exit == 4 && reason.starts_with("curl: "), "{reason}");
}

fn a_target_that_policy_refuses_was_not_asked() {
    let address = own_address();
    let service = serve(&["--allow", "10.0.0.0/8"]);
    let rules = format!("http://{} => {address} : TCP 80", service.address);
    let reason = not_asked(&rules, &[]);
    assert!(reason.contains(&address.to_string()), "{reason}");
    let reason = not_asked(&format!("local => {address} : TCP 80"), &["--deny", "127.0.0.0/8"]);
    assert!(reason.contains("127.0.0.0/8"), "{reason}");
}

fn verdicts_are_waited_for() {
    let answer = |state: &str| records(&scan_of("127.0.0.1", 80, state, ""));
    let fake = Fake::start(vec![answer("closed"), answer("filtered"), answer("open")]);
    let rules = format!("{} => 127.0.0.1 : TCP 80", fake.url());
    let (found, exit) = judged(&rules, &["--within", "4m"]);
    assert_eq!((exit, &found["rounds"]), (0, &3.into()), "{found}");
    assert_eq!(fake.asked(), 3);
    let fake = Fake::start(vec![answer("closed")]);
    let rules = format!("{} => 127.0.0.1 : TCP 80", fake.url());
    let (found, exit) = judged(&rules, &["--within", "300ms"]);
    assert_eq!((exit, &found["missing"]), (5, &1.into()), "{found}");
}

fn verdicts_have_to_settle() {
    let answer = |state: &str| records(&scan_of("127.0.0.1", 80, state, ""));
    let fake = Fake::start(vec![answer("open"), answer("closed"), answer("open")]);
    let rules = format!("{} => 127.0.0.1 : TCP 80", fake.url());
    let (found, exit) = judged(&rules, &["--settle", "40ms"]);
    // The pause between two rounds is longer than that.
    assert_eq!((exit, &found["rounds"]), (0, &4.into()), "{found}");
    assert_eq!(found["settled"], true);
    let flaps = [answer("open"), answer("closed")];
    let fake = Fake::start(flaps.iter().cycle().take(10_000).cloned().collect());
    let rules = format!("{} => 127.0.0.1 : TCP 80", fake.url());
    let (found, exit) = judged(&rules, &["--settle", "400ms", "--within", "500ms"]);
    assert_eq!(found["settled"], false, "{found}");
    assert!(exit == 4 || exit == 5);
}

fn a_signal_ends_the_matrix() {
    let fake = Fake::start(vec![Answer::Silence]);
    let reach = Reach::new(&format!("{} => 127.0.0.1 : TCP 80", fake.url()));
    let mut command = open_ports(&["matrix", &reach.path]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    wait_for("the vantage to be asked", || (fake.asked() > 0).then_some(()));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = wait_for("the matrix to end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
}

fn every_format_says_what_is_wrong() {
    let address = own_address();
    let open = Listeners::bind(address, 1);
    let refused = Refused::bind(address);
    let (port, closed) = (open.list(), refused.port);
    let reach = Reach::new(&format!(
        "local => {address} : none TCP {port}\n\
         local => {address} : TCP {closed}\n"
    ));
    let written = |format: &str| {
        let ended = matrix(&[&reach.path, "--format", format]);
        assert_eq!(ended.status.code(), Some(5), "{ended:?}");
        ended.stdout
    };
    let table = written("table");
    assert!(table.contains("[.]") && table.contains("[x]"), "{table}");
    assert!(table.contains(&format!("unexpected: local => {address} : TCP {port}")), "{table}");
    assert!(!table.contains('\u{1b}'), "{table}");
    let mut coloured = open_ports(&["matrix", &reach.path]);
    coloured.env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR");
    let coloured = run(coloured).stdout;
    assert!(coloured.contains("\u{1b}[31m[.]\u{1b}[0m"), "{coloured}");
    let cases = judged::junit(&written("junit"));
    let failed = cases.iter().filter(|case| case.ending == judged::Ending::Failed);
    let places: Vec<_> = failed.filter_map(|case| case.place.clone()).collect();
    assert_eq!(places.len(), 2, "{cases:?}");
    assert!(places[0].ends_with("reach.txt:1"), "{places:?}");
    assert_eq!(written("tap").matches("not ok").count(), 2);
    assert_eq!(written("github").matches("::error").count(), 2);
    let sarif: Value = serde_json::from_str(&written("sarif")).unwrap();
    assert_eq!(sarif["runs"][0]["results"].as_array().unwrap().len(), 2);
    assert_eq!(written("csv").lines().count(), 3);
    assert_eq!(written("dot").matches("color=red").count(), 2);
    assert_eq!(written("ndjson").lines().count(), 3);
    let output = reach.path.replace("reach.txt", "found.json");
    let ended = matrix(&[&reach.path, "--format", "json", "--output", &output]);
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(5), ""));
    let found: Value = serde_json::from_str(&fs::read_to_string(output).unwrap()).unwrap();
    assert_eq!(found["cell_count"], 2);
}

fn the_metadata_service_is_asked_only_if_a_flag_says_so() {
    let rules = "local => 169.254.169.254 : none TCP 80";
    let reason = not_asked(rules, &[]);
    assert!(reason.contains("never scanned"), "{reason}");
    // There is no route to it here.
    let (found, exit) = judged(rules, &["--ask-cloud-metadata"]);
    assert_eq!((exit, &found["unproved"]), (4, &1.into()), "{found}");
}

/// Three hosts, which listen at 80 and 443.
struct Network {
    hosts: [Host; 3],
    _listeners: Vec<Listeners>,
}

impl Network {
    fn start() -> Self {
        router();
        let hosts = [1, 2, 3].map(Host::start);
        let listeners = hosts.iter().flat_map(|host| [host.listen(80), host.listen(443)]);
        Self { _listeners: listeners.collect(), hosts }
    }

    fn urls(&self) -> [String; 3] {
        self.hosts.each_ref().map(Host::url)
    }

    fn addresses(&self) -> [IpAddr; 3] {
        self.hosts.each_ref().map(|host| host.address)
    }
}

/// Of every kind: all ports of a target, a port, a refusal, everything but one source.
const POLICY: &str = "ip saddr 10.77.1.2 ip daddr 10.77.2.2 drop\n\
                      ip saddr 10.77.1.2 ip daddr 10.77.3.2 tcp dport 443 reject with tcp reset\n\
                      ip saddr != 10.77.3.2 ip daddr 10.77.1.2 tcp dport 80 reject\n";

/// What [`POLICY`] comes to, written by hand. A host always reaches itself.
fn truth(network: &Network) -> String {
    let [one, two, three] = network.urls();
    let [a, b, c] = network.addresses();
    format!(
        "{one} => {a} : TCP 80,443\n\
         {one} => {b} : none\n\
         {one} => {c} : TCP 80\n\
         {one} => {c} : none TCP 443\n\
         {two} => {a} : TCP 443\n\
         {two} => {a} : none TCP 80\n\
         {two} => {b} : TCP 80,443\n\
         {two} => {c} : TCP 80,443\n\
         {three} => {a} : TCP 80,443\n\
         {three} => {b} : TCP 80,443\n\
         {three} => {c} : TCP 80,443\n"
    )
}

fn policies_between_hosts_are_what_the_rules_say() {
    let network = Network::start();
    forward(POLICY);
    let (found, exit) = judged(&truth(&network), &["-p", "80,443", "--strict"]);
    assert_eq!(exit, 0, "{found}");
    assert_eq!((&found["cell_count"], &found["ok"]), (&18.into(), &18.into()), "{found}");
    let [one, two, ..] = network.urls();
    let [a, b, c] = network.addresses();
    for cell in [
        format!("{one} {b}:80 filtered ok"),
        format!("{one} {c}:443 refused ok"),
        format!("{two} {a}:80 filtered ok"),
        format!("{two} {b}:80 open ok"),
    ] {
        assert!(cells(&found).contains(&cell), "{cell}: {found}");
    }
}

fn a_broken_policy_is_found_and_what_may_be_the_cause() {
    let network = Network::start();
    let rules = truth(&network);
    let [_, two, three] = network.urls();
    let [a, ..] = network.addresses();
    // Nothing is denied any more.
    forward("");
    let (found, exit) = judged(&rules, &[]);
    assert_eq!((exit, &found["unexpected"]), (5, &4.into()), "{found}");
    // Nothing gets out of one host.
    forward("ip saddr 10.77.2.2 drop");
    let (found, exit) = judged(&format!("{two} => {a} : TCP 80\n{three} => {a} : TCP 80\n"), &[]);
    assert_eq!((exit, &found["missing"]), (5, &1.into()), "{found}");
    let cause = format!("{two} reaches nothing that others reach: likely its egress");
    assert_eq!(found["causes"], serde_json::json!([cause]));
}

fn a_denial_is_proved_only_while_somebody_listens() {
    let mut network = Network::start();
    forward(POLICY);
    let [one, two, three] = network.urls();
    let [_, b, c] = network.addresses();
    let listener = network.hosts[1].listen(8443);
    let rules = format!(
        "{one} => {b} : none TCP 8443\n\
         {three} => {b} : TCP 8443\n\
         {two} => {c} : TCP 443\n"
    );
    assert_eq!(judged(&rules, &[]).1, 0);
    drop(listener);
    let (found, exit) = judged(&rules, &[]);
    assert_eq!((exit, &found["missing"], &found["unproved"]), (5, &1.into(), &1.into()), "{found}");
    let denied = format!("{one} => {b} : none TCP 8443\n{two} => {c} : TCP 443\n");
    let (found, exit) = judged(&denied, &[]);
    assert_eq!((exit, &found["unproved"], &found["ok"]), (4, &1.into(), &1.into()), "{found}");
    // A vantage is gone.
    network.hosts[1].kill();
    let (found, exit) = judged(&denied, &[]);
    assert_eq!((exit, &found["not_asked"]), (4, &1.into()), "{found}");
    let causes = found["causes"].as_array().unwrap();
    let is_named = |cause: &Value| cause.as_str().unwrap().starts_with(&format!("{two} was not"));
    assert!(causes.iter().any(is_named), "{causes:?}");
}

fn a_policy_that_takes_a_while_is_waited_for() {
    let network = Network::start();
    forward("");
    let rules = truth(&network);
    let reach = Reach::new(&rules);
    let arguments = ["matrix", &reach.path, "--within", "4m", "--settle", "100ms"];
    let mut command = open_ports(&[&arguments[..], &["--format", "json"]].concat());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    // Whenever it comes: before the first round, in it, or later.
    forward(POLICY);
    let output = child.wait_with_output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{found}");
    assert_eq!((&found["ok"], &found["settled"]), (&18.into(), &true.into()), "{found}");
}

/// The policy of README's example.
const SHOWN_POLICY: &str = "ip saddr 10.77.1.2 ip daddr 10.77.3.2 tcp dport 22 drop\n\
                            ip saddr 10.77.2.2 ip daddr 10.77.3.2 drop\n";

fn the_example_of_readme_comes_out_as_shown() {
    let shown = include_str!("../README.md");
    let (_, shown) = shown.split_once("$ cat reach.txt\n").unwrap();
    let (shown, _) = shown.split_once("\n```").unwrap();
    let (rules, shown) = shown.split_once("$ open-ports matrix reach.txt\n").unwrap();
    assert!(include_str!("../docs/matrix.md").contains(shown), "docs/matrix.md shows another one");
    router();
    let hosts = [1, 2, 3].map(Host::start);
    let _listeners = [22, 5432].map(|port| hosts[2].listen(port));
    forward(SHOWN_POLICY);
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("reach.txt"), rules).unwrap();
    let mut command = open_ports(&["matrix", "reach.txt"]);
    command.current_dir(folder.path());
    let ended = run(command);
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(5), ""), "{ended:?}");
    let without_time = |text: &str| {
        let is_total = |line: &&str| line.contains(" cells in ");
        let total = text.lines().find(is_total).unwrap().split_once(" s: ").unwrap().1;
        let rest = text.trim_end().lines().filter(|line| !is_total(line));
        rest.map(str::to_owned).chain([total.to_owned()]).collect::<Vec<_>>()
    };
    assert_eq!(without_time(&ended.stdout), without_time(shown), "{}", ended.stdout);
}
