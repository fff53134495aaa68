use std::time::Duration;

use super::*;
use crate::report::IncompleteReason;
use crate::scan::{AddressTally, Finding, Findings, PortState, Reason, ScanTiming, Shortage};
use crate::sweep::Found;

fn head(command: &str) -> Head {
    Head {
        command: command.into(),
        ports: "22,8000-8099".parse().unwrap(),
        started: SystemTime::UNIX_EPOCH,
        host_width: 0,
        colour: false,
    }
}

fn finding(port: u16, state: PortState, reason: Reason) -> Finding {
    let rtt = (reason == Reason::SynAck).then(|| Duration::from_micros(1500));
    Finding { address: "fd00::1".parse().unwrap(), port, state, reason, rtt }
}

fn found(host: &str, first: bool) -> Found {
    let finding = finding(22, PortState::Open, Reason::SynAck);
    Found { host: host.into(), finding, first }
}

fn report(details: bool) -> Report {
    let mut filtered = [0; Reason::ALL.len()];
    filtered[Reason::NoResponse.index()] = 3;
    filtered[Reason::HostUnreach.index()] = 1;
    let tally = AddressTally {
        address: "fd00::1".parse().unwrap(),
        findings: Findings::new(
            "fd00::1".parse().unwrap(),
            [
                finding(22, PortState::Open, Reason::SynAck),
                finding(8000, PortState::Filtered, Reason::NoResponse),
            ],
        ),
        open: 1,
        closed: 90,
        filtered,
        not_scanned: 6,
        shortage: Some(Shortage::Time),
        accepts_everything: false,
    };
    let subject = crate::report::Subject {
        domain: "host.example",
        ports: &head("").ports,
        details,
        expectation: None,
        left_out: 0,
    };
    Report::new(&subject, &[tally], &ScanTiming::default(), Duration::from_millis(20))
}

fn printed(format: Format, print: impl FnOnce(&mut Printer<Vec<u8>>)) -> String {
    let mut printer = Printer::new(format, head("open-ports scan \"<host>\"\n\u{1}"), Vec::new());
    print(&mut printer);
    String::from_utf8(printer.into_inner()).unwrap()
}

fn summary() -> Summary {
    let mut summary = Summary { reason: Some(IncompleteReason::Deadline), ..Summary::default() };
    summary.count(&report(false));
    summary.elapsed = Duration::from_millis(2050);
    summary
}

#[test]
fn plain_lines_are_addresses_that_other_programs_take() {
    let text = printed(Format::Plain, |printer| {
        printer.found(&found("fd00::1", true)).unwrap();
        printer.found(&found("host.example", true)).unwrap();
        printer.found(&found("host.example", false)).unwrap();
        let filtered = finding(80, PortState::Filtered, Reason::NoResponse);
        let host = "host.example".into();
        printer.found(&Found { host, finding: filtered, first: true }).unwrap();
    });
    assert_eq!(text, "[fd00::1]:22\nhost.example:22\n");
}

#[test]
fn a_table_has_its_head_before_the_first_row_and_guesses_look_like_guesses() {
    let text = printed(Format::Table, |printer| {
        printer.found(&found("fd00::1", true)).unwrap();
        printer.found(&found("host.example", true)).unwrap();
        printer.end(&summary()).unwrap();
    });
    assert_eq!(
        text,
        "HOST              PORT  STATE     SERVICE           RTT\n\
         fd00::1             22  open      ssh?              1.500 ms\n\
         host.example (fd00::1)     22  open      ssh?              1.500 ms\n\
         1 host in 2.05 s: 1 open, 90 closed, 4 filtered, 6 not scanned\n"
    );
}

#[test]
fn lines_of_json_and_csv_have_the_same_values() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
    let (mut json, mut csv) = (Vec::new(), Vec::new());
    ndjson::found(&mut json, &found("host.example", true), at).unwrap();
    csv::begin(&mut csv).unwrap();
    csv::found(&mut csv, &found("host.example", true), at).unwrap();
    assert_eq!(
        String::from_utf8(json).unwrap(),
        "{\"type\":\"port\",\"host\":\"host.example\",\"address\":\"fd00::1\",\
         \"port\":22,\"state\":\"open\",\"reason\":\"syn-ack\",\
         \"service\":\"ssh\",\"service_method\":\"table\",\"rtt_ms\":1.5,\
         \"timestamp\":\"2023-11-14T22:13:20.123456Z\"}\n"
    );
    assert_eq!(
        String::from_utf8(csv).unwrap(),
        "host,ip,port,protocol,state,reason,service,service_method,rtt_ms,timestamp\n\
         host.example,fd00::1,22,tcp,open,syn-ack,ssh,table,1.5,2023-11-14T22:13:20.123456Z\n"
    );
}

#[test]
fn lines_of_json_end_with_a_record_that_says_whether_all_was_scanned() {
    let text = printed(Format::Ndjson, |printer| {
        printer.begin().unwrap();
        printer.found(&found("host.example", true)).unwrap();
        printer.host(&report(true)).unwrap();
        printer.end(&summary()).unwrap();
    });
    let (_, last) = text.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(
        last,
        "{\"type\":\"end\",\"summary\":{\"complete\":false,\"reason\":\"deadline\",\
         \"host_count\":1,\"address_count\":1,\"open\":1,\"closed\":90,\"filtered\":4,\
         \"not_scanned\":6,\"unvisited_hosts\":0,\"elapsed_ms\":2050.0}}"
    );
}

#[test]
fn a_json_document_is_whole_with_any_number_of_hosts() {
    for hosts in 0..3 {
        let text = printed(Format::Json, |printer| {
            printer.begin().unwrap();
            (0..hosts).for_each(|_| printer.host(&report(true)).unwrap());
            printer.end(&summary()).unwrap();
        });
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["hosts"].as_array().unwrap().len(), hosts);
        assert_eq!(
            (&document["reason"], &document["elapsed_ms"]),
            (&"deadline".into(), &2050.0.into())
        );
        if let Some(host) = document["hosts"].get(0) {
            assert_eq!(host, &serde_json::to_value(report(true)).unwrap());
        }
    }
}

#[test]
fn grepable_lines_count_each_port_once() {
    let text = printed(Format::Grepable, |printer| {
        printer.begin().unwrap();
        printer.host(&report(true)).unwrap();
        let subject = crate::report::Subject {
            domain: "gone.example",
            ports: &head("").ports,
            details: false,
            expectation: None,
            left_out: 0,
        };
        printer.host(&Report::not_scanned(&subject, IncompleteReason::NotResolved)).unwrap();
        printer.end(&summary()).unwrap();
    });
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        text,
        format!(
            "# open-ports {version} scan initiated 1970-01-01T00:00:00Z as: open-ports scan \"<host>\"\\n\\u{{1}}\n\
             Host: fd00::1 (host.example)\tStatus: Up\n\
             Host: fd00::1 (host.example)\tPorts: 22/open/tcp//ssh///, 8000/filtered/tcp//irdmi///\
             \tIgnored State: closed (90), filtered (3), not-scanned (6)\n\
             # gone.example: not-resolved\n\
             # incomplete (deadline): 6 ports were not scanned, 0 hosts not visited\n\
             # open-ports done -- 1 IP addresses (1 hosts up) scanned in 2.05 seconds\n"
        )
    );
}

#[test]
fn xml_is_well_formed_whatever_was_typed() {
    let text = printed(Format::Xml, |printer| {
        printer.begin().unwrap();
        printer.host(&report(true)).unwrap();
        printer.end(&summary()).unwrap();
    });
    let document = roxmltree::Document::parse(&text).unwrap();
    let run = document.root_element();
    assert_eq!(run.attribute("args"), Some("open-ports scan \"<host>\"\n?"));
    let counts: u32 = run
        .descendants()
        .filter(|node| node.has_tag_name("extraports"))
        .map(|node| node.attribute("count").unwrap().parse::<u32>().unwrap())
        .sum();
    let ports = run.descendants().filter(|node| node.has_tag_name("port")).count();
    // Every port asked for is in the document once.
    assert_eq!((counts, ports), (99, 2));
}
