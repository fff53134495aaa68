//! `open-ports watch` and `/watch`: changes told once, conditions that come true and hold,
//! and how a watch ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, TcpListener};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use support::ask::{Streamed, get_with, sample, serve, wait_for_sockets_closed};
use support::client::Reply;
use support::service::{Ended, open_ports, run, with_limit};
use support::targets::{Listeners, Silent};
use support::terminal::OnTerminal;
use support::{DEADLINE, own_address, wait_for};

/// A port that listens or refuses.
struct Switch {
    address: IpAddr,
    port: u16,
    listener: Option<TcpListener>,
}

impl Switch {
    fn open() -> Self {
        let address = own_address();
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { address, port, listener: Some(listener) }
    }

    fn closed() -> Self {
        let mut switch = Self::open();
        switch.close();
        switch
    }

    fn close(&mut self) {
        self.listener = None;
    }

    fn reopen(&mut self) {
        // A connection that was open when it closed may hold the port for a moment.
        let bind = || TcpListener::bind((self.address, self.port)).ok();
        self.listener = Some(wait_for("the port to be free", bind));
    }

    fn host(&self) -> String {
        self.address.to_string()
    }

    fn until(&self, state: &str) -> String {
        format!("{}={state}", self.port)
    }
}

/// A running `open-ports watch`, and its records as they come.
struct Watching {
    child: Child,
    records: Receiver<Value>,
}

impl Watching {
    fn start(arguments: &[&str]) -> Self {
        let mut command = open_ports(&[&["watch"], arguments].concat());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (read, records) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The receiver is gone once the test has what it waits for.
                let _ = read.send(serde_json::from_str(&line).expect("a record a line"));
            }
        });
        Self { child, records }
    }

    /// The next record that is not about progress; `None` at the end of the output.
    fn record(&self) -> Option<Value> {
        loop {
            match self.records.recv_timeout(DEADLINE) {
                Ok(record) if record["type"] == "progress" => {}
                Ok(record) => return Some(record),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(error) => panic!("{error}: no record"),
            }
        }
    }

    /// The next record that is not about what was missed, as a busy machine may.
    #[track_caller]
    fn expect(&self, kind: &str) -> Value {
        let record = loop {
            let record = self.record().unwrap_or_else(|| panic!("no {kind}"));
            if record["type"] != "missed" {
                break record;
            }
        };
        assert_eq!(record["type"], kind, "{record}");
        record
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn end(mut self) -> ExitStatus {
        wait_for("the watch to end", || self.child.try_wait().unwrap())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn watch(arguments: &[&str]) -> Ended {
    run(open_ports(&[&["watch"], arguments].concat()))
}

/// The records of a watch that has ended, without progress.
fn records(ended: &Ended) -> Vec<Value> {
    let lines = ended.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|record| record["type"] != "progress" && record["type"] != "missed").collect()
}

fn time(value: &Value) -> SystemTime {
    humantime::parse_rfc3339(value.as_str().unwrap()).unwrap()
}

/// How long after `one` the time `other` is; zero if it is before.
fn between(one: &Value, other: &Value) -> Duration {
    time(other).duration_since(time(one)).unwrap_or_default()
}

#[test]
fn each_change_is_told_once_with_its_time_and_control_c_ends_with_a_last_record() {
    let mut switch = Switch::open();
    let port = switch.port.to_string();
    let watching = Watching::start(&[&switch.host(), "-p", &port, "--every", "10ms"]);
    let first = watching.expect("states");
    let row = &first["states"][0];
    assert_eq!((&row["host"], &row["port"]), (&json!(switch.host()), &json!(switch.port)));
    assert_eq!((&row["state"], &row["reason"]), (&json!("open"), &json!("syn-ack")));
    assert_eq!(first["states"].as_array().unwrap().len(), 1);
    for (from, to) in [("open", "closed"), ("closed", "open"), ("open", "closed")] {
        let before = SystemTime::now();
        if to == "open" {
            switch.reopen();
        } else {
            switch.close();
        }
        let change = watching.expect("change");
        assert_eq!((&change["from"], &change["to"]), (&json!(from), &json!(to)), "{change}");
        assert_eq!((&change["host"], &change["port"]), (&row["host"], &row["port"]));
        // Records have microseconds.
        let at = time(&change["at"]) + Duration::from_micros(1);
        assert!(at >= before && at <= SystemTime::now(), "{before:?}: {change}");
    }
    watching.signal(Signal::INT);
    let end = watching.expect("end");
    assert_eq!((&end["outcome"], &end["changes"]), (&json!("stopped"), &json!(3)), "{end}");
    assert!(end["rounds"].as_u64() > Some(3) && end["probes"].as_u64() > Some(3), "{end}");
    assert_eq!(watching.record(), None);
    assert_eq!(watching.end().code(), Some(130));
}

#[test]
fn a_condition_ends_the_watch_with_what_came_of_it() {
    let (open, closed) = (Switch::open(), Switch::closed());
    let silent = Silent::bind(own_address(), 1);
    let silent_port = silent.list();
    let cases = [
        (open.host(), open.until("open"), "60s", 0, "met", ""),
        (closed.host(), closed.until("closed"), "60s", 0, "met", ""),
        (closed.host(), closed.until("not-open"), "60s", 0, "met", ""),
        (closed.host(), closed.until("open"), "500ms", 5, "not-met", "is closed, not open"),
        (open.host(), open.until("not-open"), "500ms", 5, "not-met", "is open, not not-open"),
        // It takes a second before silence is one.
        (
            silent.address.to_string(),
            format!("{silent_port}=open"),
            "50ms",
            4,
            "unknown",
            "it is not known whether",
        ),
    ];
    for (host, until, within, code, outcome, said) in cases {
        let ended = watch(&[&host, "--until", &until, "--within", within]);
        assert_eq!(ended.status.code(), Some(code), "{until}: {ended:?}");
        let records = records(&ended);
        assert_eq!(records[0]["type"], "states", "{ended:?}");
        let end = records.last().unwrap();
        assert_eq!((&end["type"], &end["outcome"]), (&json!("end"), &json!(outcome)));
        assert_eq!(end.get("held_since").is_some(), code == 0, "{end}");
        assert_eq!(end["unmet"].is_array(), code != 0, "{end}");
        assert!(ended.stderr.contains(said) && ended.stderr.is_empty() == (code == 0), "{ended:?}");
    }
    let filtered = format!("{silent_port}=filtered");
    let ended = watch(&[&silent.address.to_string(), "--until", &filtered, "--within", "60s"]);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

#[test]
fn a_port_that_opens_later_is_waited_for() {
    let mut switch = Switch::closed();
    let (host, until) = (switch.host(), switch.until("open"));
    let watching = Watching::start(&[&host, "--until", &until, "--every", "10ms"]);
    assert_eq!(watching.expect("states")["states"][0]["state"], "closed");
    switch.reopen();
    let change = watching.expect("change");
    let end = watching.expect("end");
    assert_eq!((&end["outcome"], &end["held_since"]), (&json!("met"), &change["at"]));
    assert_eq!(watching.end().code(), Some(0));
}

#[test]
fn a_state_that_did_not_hold_long_enough_begins_anew() {
    let mut switch = Switch::open();
    let (host, until) = (switch.host(), switch.until("open"));
    let settle = ["--until", &until, "--settle", "3s", "--every", "10ms"];
    let watching = Watching::start(&[&[&*host][..], &settle].concat());
    let first = watching.expect("states");
    switch.close();
    let closed = watching.expect("change");
    assert_eq!((&first["states"][0]["state"], &closed["to"]), (&json!("open"), &json!("closed")));
    switch.reopen();
    let reopened = watching.expect("change");
    let end = watching.expect("end");
    assert_eq!((&end["outcome"], &end["held_since"]), (&json!("met"), &reopened["at"]));
    assert!(between(&end["held_since"], &end["at"]) >= Duration::from_secs(3), "{end}");
    assert_eq!(watching.end().code(), Some(0));
}

#[test]
fn what_is_true_but_has_not_held_is_not_met() {
    let open = Switch::open();
    let (host, until) = (open.host(), open.until("open"));
    // What holds from the first probe on has held for less than the time since the start.
    let times = ["--settle", "400ms", "--within", "400ms", "--every", "10ms"];
    let ended = watch(&[&[&*host, "--until", &until][..], &times].concat());
    assert_eq!(ended.status.code(), Some(5), "{ended:?}");
    assert!(ended.stderr.contains("it is true, but has not held for 400ms"), "{ended:?}");
}

#[test]
fn what_is_wrong_with_a_command_line_is_named() {
    for (arguments, part) in [
        (&["db"][..], "-p is required; name the ports to watch"),
        (&["-p", "22"], "host is missing; name a host to watch"),
        (&["db", "-p", "22", "--every", "1"], "--every must be 5ms to 1h, with a unit"),
        (&["db", "-p", "22", "--until", "up"], "--until \"up\" is not a state"),
        (&["db", "-p", "22", "--within", "3s"], "--within needs --until"),
        (&["db", "-p", "all"], "-p names 65535 ports, and 1024 can be watched"),
        (&["db", "-p", "22", "--evry", "1s"], "did you mean --every?"),
    ] {
        let ended = watch(arguments);
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(ended.stderr.contains(part) && ended.stdout.is_empty(), "{part}: {ended:?}");
    }
    let ended = watch(&["192.0.2.1", "-p", "22", "--deny", "192.0.2.0/24"]);
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
    assert!(ended.stderr.contains("192.0.2.1") && ended.stdout.is_empty(), "{ended:?}");
    let ended = watch(&["nobody.invalid", "-p", "22"]);
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
}

#[test]
fn on_a_terminal_a_change_is_a_line() {
    let mut switch = Switch::open();
    let (host, port) = (switch.host(), switch.port.to_string());
    let arguments = ["watch", &host, "-p", &port, "--every", "10ms"];
    let mut terminal = OnTerminal::start(&arguments, &[]);
    let shows = |what: String| move |screen: &str| screen.lines().any(|line| line.ends_with(&what));
    let label = format!("{host}:{port}");
    terminal.wait_for_screen("the state", shows(format!("  {label}  open")));
    switch.close();
    terminal.wait_for_screen("the change", shows(format!("  {label}  open → closed")));
    terminal.type_in("\x03");
    let seen = terminal.end();
    assert_eq!(seen.status.code(), Some(130), "{seen:?}");
    assert_eq!(seen.screen.lines().filter(|line| line.contains(&label)).count(), 2, "{seen:?}");
}

#[test]
fn with_few_descriptors_probes_are_missed_and_no_change_is_invented() {
    let listeners = Listeners::bind(own_address(), 60);
    let silent = Silent::bind(listeners.address, 20);
    let command = with_limit("ulimit -n 64");
    // The same limit, but for another command.
    let mut limited = std::process::Command::new(command.get_program());
    let words: Vec<_> = command.get_args().take(3).collect();
    limited.args(words).args(["watch", &listeners.address.to_string()]);
    limited.arg("-p").arg(format!("{},{}", listeners.list(), silent.list()));
    limited.args(["--every", "20ms", "--until", "closed", "--within", "6s"]);
    let ended = run(limited);
    assert_eq!(ended.status.code(), Some(5), "{ended:?}");
    let records = records(&ended);
    let end = records.last().unwrap();
    assert!(end["missed"].as_u64() > Some(0), "{end}");
    for change in records.iter().filter(|record| record["type"] == "change") {
        assert_eq!(change.get("from"), None, "{change}");
    }
    assert!(ended.stderr.contains("probes were not sent in time (no-descriptors)"), "{ended:?}");
}

/// A query for a watch of a switch.
fn query(switch: &Switch, more: &str) -> String {
    format!("/watch?domain={}&ports={}&every=10ms{more}", switch.address, switch.port)
}

/// The next record of a stream that is neither progress nor about what was missed.
fn next(stream: &mut Streamed) -> Option<Value> {
    std::iter::from_fn(|| stream.record())
        .find(|record| record["type"] != "progress" && record["type"] != "missed")
}

#[test]
fn over_http_the_same_records_are_streamed_until_the_condition_is_met() {
    let service = serve(&[]);
    let mut switch = Switch::open();
    let more = format!("&until={}&within=60s", switch.until("closed"));
    let mut stream = Streamed::open(service.address, &query(&switch, &more), &[]);
    let reply = stream.reply();
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/x-ndjson")));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("x-accel-buffering"), Some("no"));
    let first = next(&mut stream).unwrap();
    assert_eq!((&first["type"], &first["states"][0]["state"]), (&json!("states"), &json!("open")));
    switch.close();
    let change = next(&mut stream).unwrap();
    assert_eq!((&change["type"], &change["to"]), (&json!("change"), &json!("closed")));
    let end = next(&mut stream).unwrap();
    assert_eq!((&end["type"], &end["outcome"]), (&json!("end"), &json!("met")));
    assert_eq!(end["held_since"], change["at"]);
    assert_eq!(stream.line(), None, "the stream ends as the server ends it");
    let line = service.wait_for_log("\"message\":\"watch\"");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["outcome"], &line["changes"]), (&json!("met"), &json!(1)), "{line}");
    wait_for_sockets_closed(&service);
}

#[test]
fn server_sent_events_name_their_records_and_progress_comes_once_a_second() {
    let service = serve(&[]);
    let switch = Switch::open();
    let accept = [("Accept", "text/event-stream")];
    let mut stream = Streamed::open(service.address, &query(&switch, ""), &accept);
    assert_eq!(stream.reply().header("content-type"), Some("text/event-stream"));
    let mut event = || {
        let lines: Vec<String> = (0..3).map(|_| stream.line().unwrap()).collect();
        let name = lines[0].strip_prefix("event: ").unwrap().trim_end().to_owned();
        let data: Value = serde_json::from_str(lines[1].strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!((&*lines[2], &data["type"]), ("\n", &json!(name)));
        data
    };
    assert_eq!(event()["type"], "states");
    let progress = loop {
        let record = event();
        if record["type"] != "missed" {
            break record;
        }
    };
    assert_eq!(progress["type"], "progress");
    assert!(progress["probes"].as_u64() > Some(0), "{progress}");
}

#[test]
fn a_client_that_leaves_ends_its_watch_which_counted_as_a_scan() {
    let service = serve(&["--max-scans-per-caller", "1"]);
    let switch = Switch::open();
    let mut stream = Streamed::open(service.address, &query(&switch, ""), &[]);
    assert!(next(&mut stream).is_some());
    assert!(sample(&service, "open_ports_descriptors_used") > 0.0);
    let second = service.get(&query(&switch, ""));
    assert_eq!(second.status, 429, "{second:?}");
    drop(stream);
    wait_for_sockets_closed(&service);
    wait_for("the quota to be free", || {
        let ended = query(&switch, "&until=open&within=60s");
        (get_with(service.address, &ended, &[]).status == 200).then_some(())
    });
    let line: Value =
        serde_json::from_str(&service.wait_for_log("\"outcome\":\"cancelled\"")).unwrap();
    assert_eq!(line["message"], "watch", "{line}");
}

#[test]
fn a_service_that_stops_ends_its_watches_with_a_last_record() {
    let mut service = serve(&[]);
    let switch = Switch::open();
    // Between two rounds, and between two records of progress.
    let query = query(&switch, "").replace("every=10ms", "every=1h");
    let mut stream = Streamed::open(service.address, &query, &[]);
    assert_eq!(next(&mut stream).unwrap()["type"], "states");
    let asked = Instant::now();
    service.signal(Signal::TERM);
    let end = next(&mut stream).unwrap();
    assert_eq!((&end["type"], &end["outcome"]), (&json!("end"), &json!("stopped")));
    assert_eq!(stream.line(), None);
    assert_eq!(service.wait().code(), Some(0));
    // Not because the grace period was over.
    assert!(asked.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_request_that_cannot_be_watched_is_refused_with_the_reason() {
    let service = serve(&["--allow", "127.0.0.0/8"]);
    let problem = |target: &str, status| {
        let reply: Reply = service.get(target);
        assert_eq!(reply.status, status, "{target}: {reply:?}");
        reply.problem(status)
    };
    problem("/watch?domain=192.0.2.1&ports=22", 403);
    problem("/watch?domain=nobody.invalid&ports=22&family=ipv4", 422);
    for (query, field, part) in [
        ("ports=22", "domain", "is required"),
        ("domain=localhost", "toPort", "is required, unless ports is given"),
        ("domain=localhost&ports=22&every=1", "every", "with a unit"),
        ("domain=localhost&ports=22&until=22", "until", "gives 22 no state"),
        ("domain=localhost&ports=22&settle=1s", "settle", "needs until"),
        ("domain=localhost&ports=all", "ports", "1024 can be watched"),
        ("domain=localhost&ports=22&rate=1", "rate", "is not a parameter"),
        ("domain=localhost&ports=22&format=text", "format", "must be ndjson or sse"),
    ] {
        let problem = problem(&format!("/watch?{query}"), 400);
        let said = problem["errors"][field][0].as_str().unwrap_or_default();
        assert!(said.contains(part), "{query}: {problem}");
    }
    let reply = get_with(
        service.address,
        "/watch?domain=localhost&ports=22",
        &[("Accept", "application/json")],
    );
    assert_eq!(reply.status, 406, "{reply:?}");
}
