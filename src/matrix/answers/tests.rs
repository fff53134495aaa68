use super::*;

fn question(hosts: &[&str], ports: &str) -> Question {
    Question {
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        ports: ports.parse().unwrap(),
        timeout: Duration::from_secs(1),
        deadline: Duration::from_secs(1),
        metadata: false,
    }
}

fn port(host: &str, port: u16, state: &str) -> String {
    let reason = if state == "open" { "syn-ack" } else { "no-response" };
    format!(
        "{{\"type\":\"port\",\"host\":\"{host}\",\"address\":\"192.0.2.7\",\"port\":{port},\
         \"state\":\"{state}\",\"reason\":\"{reason}\"}}\n"
    )
}

/// An end that counts hosts, and open, closed and filtered ports.
fn end(hosts: u64, [open, closed, filtered]: [u64; 3], more: &str) -> String {
    format!(
        "{{\"type\":\"end\",\"summary\":{{\"complete\":true,\"host_count\":{hosts},\
         \"address_count\":{hosts},\"open\":{open},\"closed\":{closed},\"filtered\":{filtered},\
         \"not_scanned\":0,\"unvisited_hosts\":0,\"elapsed_ms\":1.0{more}}}}}\n"
    )
}

fn answers(text: &str, question: &Question) -> Result<Answers, String> {
    read_answers(text.as_bytes(), question).map_err(|reason| reason.to_string())
}

fn states(answers: &Answers, host: &str, ports: &[u16]) -> Vec<State> {
    let host: Host = host.parse().unwrap();
    ports.iter().map(|&port| answers.state(&host, port)).collect()
}

#[test]
fn whole_answers_say_the_state_of_every_port() {
    let question = question(&["web", "10.0.0.1"], "22,80,443");
    let text = port("web", 80, "open")
        + "{\"type\":\"progress\",\"done\":1,\"total\":2,\"rate\":3}\n"
        + &port("10.0.0.1", 22, "filtered")
        + &end(2, [1, 4, 1], ",\"ports\":\"22,80,443\"");
    let answers = answers(&text, &question).unwrap();
    let filtered = State::Filtered(Reason::NoResponse);
    assert_eq!(
        states(&answers, "web", &[22, 80, 443]),
        [State::Refused, State::Open, State::Refused]
    );
    assert_eq!(states(&answers, "10.0.0.1", &[22, 80]), [filtered, State::Refused]);
    assert_eq!(answers.open(&"web".parse().unwrap()).collect::<Vec<_>>(), [80]);
    assert!(matches!(states(&answers, "other", &[80])[..], [State::NotAsked(_)]));
}

#[test]
fn of_a_name_with_several_addresses_an_open_port_counts() {
    let question = question(&["web"], "80");
    let text = port("web", 80, "filtered") + &port("web", 80, "open") + &end(1, [1, 0, 1], "");
    assert_eq!(states(&answers(&text, &question).unwrap(), "web", &[80]), [State::Open]);
}

#[test]
fn an_answer_that_is_not_whole_does_not_count() {
    let question = question(&["web", "db"], "80");
    let open = port("web", 80, "open");
    let filtered = port("db", 80, "filtered");
    for (text, reason) in [
        (String::new(), "its answer was cut off"),
        (open.clone() + &filtered, "its answer was cut off"),
        (end(2, [1, 1, 0], ""), "its end counts 1 open ports, and 0 came"),
        (open.clone() + &filtered + &end(2, [1, 1, 0], ""), "counts 0 filtered ports, and 1 came"),
        (open.clone() + &end(1, [1, 0, 0], ""), "its end counts 1 hosts, of 2"),
        (open.clone() + &end(2, [1, 0, 0], ""), "its end counts 1 ports, of 2"),
        (open.clone() + &end(2, [1, 1, 0], ",\"ports\":\"81\""), "its end names other ports"),
        (
            port("web", 81, "open") + &end(2, [1, 1, 0], ""),
            "it is about port 81, which was not asked",
        ),
        (
            port("other", 80, "open") + &end(2, [1, 1, 0], ""),
            "it is about other, which was not asked",
        ),
        ("<html>\n".into(), "its answer is no output of open-ports scan"),
        (open.clone() + &end(2, [1, 1, 0], "") + &open, "there is more after the end"),
    ] {
        let found = answers(&text, &question).unwrap_err();
        assert!(found.contains(reason), "{text}: {found}");
    }
}

#[test]
fn of_a_host_that_was_not_scanned_nothing_is_known() {
    let question = question(&["web", "gone", "10.0.0.1"], "80,443");
    let text = port("web", 80, "open")
        + "{\"type\":\"host\",\"host\":\"gone\",\"complete\":false,\"reason\":\"not-resolved\",\
           \"detail\":\"gone does not resolve\"}\n"
        + "{\"type\":\"host\",\"host\":\"10.0.0.1\",\"complete\":false,\"reason\":\"deadline\"}\n"
        + &port("10.0.0.1", 443, "open")
        + &end(3, [2, 1, 0], ",\"reason\":\"not-resolved\"").replace("true", "false");
    let answers = answers(&text, &question).unwrap();
    let gone = State::NotAsked(NotAsked::new("gone does not resolve"));
    assert_eq!(states(&answers, "gone", &[80]), [gone]);
    assert_eq!(states(&answers, "web", &[80, 443]), [State::Open, State::Refused]);
    let late = State::NotAsked(NotAsked::new("deadline"));
    assert_eq!(states(&answers, "10.0.0.1", &[80, 443]), [late, State::Open]);
    let lie = text.replace("\"complete\":false,\"host_count", "\"complete\":true,\"host_count");
    assert!(super::tests::answers(&lie, &question).is_err());
}

#[test]
fn a_scan_that_did_not_come_to_every_host_is_not_whole() {
    let question = question(&["web", "db"], "80");
    let text = end(1, [0, 1, 0], ",\"reason\":\"deadline\"")
        .replace("true", "false")
        .replace("\"unvisited_hosts\":0", "\"unvisited_hosts\":1");
    assert_eq!(answers(&text, &question).unwrap_err(), "it did not finish: deadline");
}

#[test]
fn a_host_that_accepts_everything_has_no_open_port_that_proves_anything() {
    let question = question(&["web"], "80,443");
    let text = port("web", 80, "open")
        + &port("web", 443, "open")
        + "{\"type\":\"host\",\"host\":\"web\",\"complete\":true,\
           \"accepts_everything\":[\"192.0.2.7\"]}\n"
        + &end(1, [2, 0, 0], "");
    let answers = answers(&text, &question).unwrap();
    assert_eq!(states(&answers, "web", &[80]), [State::AcceptsEverything]);
    assert_eq!(answers.open(&"web".parse().unwrap()).count(), 0);
}
