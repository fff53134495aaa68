use std::time::Duration;

use super::*;
use crate::report::IncompleteReason;
use crate::scan::{AddressTally, Finding, Findings, PortState, Reason, ScanTiming, Shortage};
use crate::sweep::Found;
use crate::targets::HostSpec;

fn head(command: &str) -> Head {
    Head {
        command: command.into(),
        ports: "22,8000-8099".parse().unwrap(),
        details: false,
        started: SystemTime::UNIX_EPOCH,
        order: TypedOrder::default(),
        host_width: 0,
        origins: Origins::default(),
        expects: false,
        against: None,
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

fn report(details: bool) -> Arc<Report> {
    report_on("host.example", "fd00::1", details)
}

fn report_on(host: &str, address: &str, details: bool) -> Arc<Report> {
    let mut filtered = [0; Reason::ALL.len()];
    filtered[Reason::NoResponse.index()] = 3;
    filtered[Reason::HostUnreach.index()] = 1;
    let tally = AddressTally {
        address: address.parse().unwrap(),
        findings: Findings::new(
            address.parse().unwrap(),
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
        domain: host,
        ports: &head("").ports,
        details,
        expectation: None,
        left_out: &[],
    };
    let elapsed = Duration::from_millis(20);
    Arc::new(Report::new(&subject, &[tally], &ScanTiming::default(), elapsed))
}

fn not_resolved(host: &str) -> Arc<Report> {
    let subject = crate::report::Subject {
        domain: host,
        ports: &head("").ports,
        details: false,
        expectation: None,
        left_out: &[],
    };
    Arc::new(Report::not_scanned(&subject, IncompleteReason::NotResolved))
}

fn printed(format: Format, print: impl FnOnce(&mut Printer<Vec<u8>>)) -> String {
    printed_with(format, head("open-ports scan \"<host>\"\n\u{1}"), print)
}

fn printed_with(format: Format, head: Head, print: impl FnOnce(&mut Printer<Vec<u8>>)) -> String {
    let mut printer = Printer::new(format, Arc::new(head), Vec::new());
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
        printer.host(&report(true)).unwrap();
        printer.host(&report_on("fd00::1", "fd00::1", true)).unwrap();
        printer.host(&not_resolved("gone.example")).unwrap();
        printer.end(&summary(), &[]).unwrap();
    });
    assert_eq!(text, "[fd00::1]:22\nhost.example:22\n");
}

#[test]
fn a_table_has_its_head_before_the_first_row_and_guesses_look_like_guesses() {
    let print = |printer: &mut Printer<Vec<u8>>| {
        printer.host(&report_on("fd00::1", "fd00::1", true)).unwrap();
        printer.host(&report(true)).unwrap();
        let verdicts = [Verdict::Met("as expected: 22 open".into())];
        printer.end(&summary(), &verdicts).unwrap();
    };
    assert_eq!(
        printed_with(Format::Table, Head { details: true, ..head("") }, print),
        "HOST              PORT  STATE     REASON            SERVICE           RTT\n\
         fd00::1             22  open      syn-ack           ssh?              1.500 ms\n\
         fd00::1           8000  filtered  no-response       irdmi?            \n\
         host.example (fd00::1)     22  open      syn-ack           ssh?              1.500 ms\n\
         host.example (fd00::1)   8000  filtered  no-response       irdmi?            \n\
         1 host in 2.05 s: 1 open, 90 closed (conn-refused), \
         4 filtered (3 no-response, 1 host-unreach), 6 not scanned\n\
         as expected: 22 open\n"
    );
    let titles = printed(Format::Table, print).lines().next().map(str::to_owned);
    let without = "HOST              PORT  STATE     SERVICE           RTT";
    assert_eq!(titles.as_deref(), Some(without), "without details");
}

#[test]
fn colours_are_around_states_and_verdicts_only() {
    let mut printer = Printer::new(Format::Table, Arc::new(head("")), Vec::new());
    printer = printer.with_colour(Colour::Yes);
    printer.host(&report_on("fd00::1", "fd00::1", true)).unwrap();
    let verdicts = ["met", "not met", "unknown"].map(str::to_owned);
    let [met, not_met, unknown] = verdicts;
    let verdicts = [Verdict::Met(met), Verdict::NotMet(not_met), Verdict::Unknown(unknown)];
    printer.end(&summary(), &verdicts).unwrap();
    let text = String::from_utf8(printer.into_inner()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].contains("22  \x1b[32mopen    \x1b[0m  ssh?"), "{text:?}");
    assert!(lines[2].contains("8000  \x1b[33mfiltered\x1b[0m  irdmi?"), "{text:?}");
    assert!(!lines[0].contains('\x1b') && !lines[3].contains('\x1b'), "{text:?}");
    assert_eq!(
        lines[4..],
        ["\x1b[32mmet\x1b[0m", "\x1b[31mnot met\x1b[0m", "\x1b[33munknown\x1b[0m"]
    );
}

#[test]
fn counts_are_grouped_by_thousands() {
    let (few, many) = ([0, 7, 999], [1000, 65_535, 1_048_576]);
    assert_eq!(few.map(grouped), ["0", "7", "999"]);
    assert_eq!(many.map(grouped), ["1,000", "65,535", "1,048,576"]);
}

#[test]
fn hosts_come_in_the_order_typed_however_they_end() {
    let words = ["db.example", "10.0.0.9", "10.0.0.0/28"];
    let words: Vec<HostSpec> = words.iter().map(|word| word.parse().unwrap()).collect();
    let ended = ["10.0.0.10", "10.0.0.2", "db.example", "10.0.0.9"];
    let print = |printer: &mut Printer<Vec<u8>>| {
        for host in ended {
            let address = if host.starts_with('d') { "10.1.0.1" } else { host };
            printer.host(&report_on(host, address, true)).unwrap();
            printer.flush().unwrap();
        }
        printer.end(&summary(), &[]).unwrap();
    };
    let hosts = |format, prefix: &str, end: char| -> Vec<String> {
        let head = Head { order: TypedOrder::new(&words), ..head("") };
        let text = printed_with(format, head, print);
        let hosts = text.lines().filter_map(|line| line.strip_prefix(prefix));
        let mut hosts: Vec<String> =
            hosts.map(|line| line.split(end).next().unwrap().to_owned()).collect();
        hosts.dedup();
        hosts
    };
    let order = ["db.example", "10.0.0.9", "10.0.0.2", "10.0.0.10"];
    assert_eq!(hosts(Format::Plain, "", ':'), order);
    assert_eq!(hosts(Format::Csv, "", ','), order);
    assert_eq!(hosts(Format::Table, "", ' ')[1..5], order);
    let addresses = ["10.1.0.1", "10.0.0.9", "10.0.0.2", "10.0.0.10"];
    assert_eq!(hosts(Format::Grepable, "Host: ", ' '), addresses);
    // Where nothing is held back, they come as they end.
    let mut printer = Printer::new(Format::Table, Arc::new(head("")), Vec::new());
    printer = printer.with_hold(Hold::Together);
    print(&mut printer);
    let text = String::from_utf8(printer.into_inner()).unwrap();
    let at = |host: &str| text.find(&format!("\n{host}")).unwrap();
    assert!(ended.is_sorted_by_key(|host| at(host)), "{text}");
}

#[test]
fn lines_of_json_and_csv_have_the_same_values() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
    let (mut json, mut csv) = (Vec::new(), Vec::new());
    ndjson::found(&mut json, &found("host.example", true), at).unwrap();
    csv::begin(&mut csv).unwrap();
    csv::host(&mut csv, &report(true), at).unwrap();
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
         host.example,fd00::1,22,tcp,open,syn-ack,ssh,table,1.5,2023-11-14T22:13:20.123456Z\n\
         host.example,fd00::1,8000,tcp,filtered,no-response,irdmi,table,,\
         2023-11-14T22:13:20.123456Z\n"
    );
}

#[test]
fn lines_of_json_end_with_a_record_that_says_whether_all_was_scanned() {
    let text = printed(Format::Ndjson, |printer| {
        printer.begin().unwrap();
        printer.found(&found("host.example", true)).unwrap();
        printer.host(&report(true)).unwrap();
        printer.host(&not_resolved("gone.example")).unwrap();
        printer.end(&summary(), &[]).unwrap();
    });
    let (_, last) = text.trim_end().rsplit_once('\n').unwrap();
    let hosts: Vec<&str> = text.lines().filter(|line| line.contains("\"type\":\"host\"")).collect();
    let host = |name, reason| {
        format!(
            "{{\"type\":\"host\",\"host\":\"{name}\",\"complete\":false,\"reason\":\"{reason}\"}}"
        )
    };
    assert_eq!(hosts, [host("host.example", "deadline"), host("gone.example", "not-resolved")]);
    assert_eq!(
        last,
        "{\"type\":\"end\",\"summary\":{\"complete\":false,\"reason\":\"deadline\",\
         \"host_count\":1,\"address_count\":1,\"open\":1,\"closed\":90,\"filtered\":4,\
         \"not_scanned\":6,\"unvisited_hosts\":0,\"elapsed_ms\":2050.0,\"nothing_open\":[]}}"
    );
}

#[test]
fn a_json_document_is_whole_with_any_number_of_hosts() {
    for hosts in 0..3 {
        let text = printed(Format::Json, |printer| {
            printer.begin().unwrap();
            (0..hosts).for_each(|_| printer.host(&report(true)).unwrap());
            printer.end(&summary(), &[]).unwrap();
        });
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["hosts"].as_array().unwrap().len(), hosts);
        assert_eq!(
            (&document["reason"], &document["elapsed_ms"]),
            (&"deadline".into(), &2050.0.into())
        );
        if let Some(host) = document["hosts"].get(0) {
            assert_eq!(host, &serde_json::to_value(&*report(true)).unwrap());
        }
    }
}

#[test]
fn grepable_lines_count_each_port_once() {
    let text = printed(Format::Grepable, |printer| {
        printer.begin().unwrap();
        printer.host(&report(true)).unwrap();
        printer.host(&not_resolved("gone.example")).unwrap();
        printer.end(&summary(), &[]).unwrap();
    });
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        text,
        format!(
            "# open-ports {version} scan initiated 1970-01-01T00:00:00Z as: open-ports scan \"<host>\"\\n\\u{{1}}\n\
             # Ports scanned: TCP(101;22,8000-8099) UDP(0;) SCTP(0;) PROTOCOLS(0;)\n\
             # gone.example: not-resolved\n\
             Host: fd00::1 (host.example)\tStatus: Up\n\
             Host: fd00::1 (host.example)\tPorts: 22/open/tcp//ssh///, 8000/filtered/tcp//irdmi///\
             \tIgnored State: closed (90), filtered (3), not-scanned (6)\n\
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
        printer.end(&summary(), &[]).unwrap();
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
