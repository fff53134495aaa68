//! Reports read back.

use super::*;

/// The form, the summary if there is one, and the pieces in short.
fn pieces(text: &str) -> Result<(Form, Option<Summary>, Vec<String>), String> {
    let mut pieces = Vec::new();
    let mut visit = |piece| {
        pieces.push(match piece {
            Piece::Host(report) => report.facts.domain,
            Piece::Found { host, finding, .. } => format!("{host}:{}", finding.port),
            Piece::NotScanned { host, reason, .. } => format!("{host}: {reason}"),
            Piece::AcceptsEverything { host, .. } => format!("{host}: accepts everything"),
            Piece::Remark(line) => line,
        });
        Ok(())
    };
    let read = read(text.as_bytes(), &mut visit).map_err(|error| error.to_string());
    let (form, summary) = read?;
    Ok((form, summary, pieces))
}

const END: &str = "\"complete\":true,\"host_count\":2,\"address_count\":2,\"open\":1,\
                   \"closed\":1,\"filtered\":0,\"not_scanned\":0,\"unvisited_hosts\":0,\
                   \"elapsed_ms\":2050.5";

fn record(host: &str, port: u16) -> String {
    format!(
        "{{\"type\":\"port\",\"host\":\"{host}\",\"address\":\"192.0.2.7\",\"port\":{port},\
         \"state\":\"open\",\"reason\":\"syn-ack\",\"rtt_ms\":1.5,\
         \"timestamp\":\"2023-11-14T22:13:20.123456Z\",\"later\":[1]}}\n"
    )
}

fn report(host: &str) -> String {
    format!(
        "{{\"domain\":\"{host}\",\"from_port\":22,\"to_port\":22,\"open_ports\":[],\
         \"complete\":true,\"elapsed_ms\":1.0,\"addresses\":[],\
         \"timing\":{{\"attempts\":1,\"loss\":0.0,\"max_in_flight\":1}}}}"
    )
}

#[test]
fn records_are_read_with_remarks_between_them() {
    let end = format!("{{\"type\":\"end\",\"summary\":{{{END}}}}}\n");
    let progress = "{\"type\":\"progress\",\"done\":1,\"total\":2,\"rate\":3}\n";
    let gone =
        "{\"type\":\"host\",\"host\":\"gone\",\"complete\":false,\"reason\":\"not-resolved\"}\n";
    let text = format!(
        "open-ports: be careful\n{}{progress}\n{}{gone}{end}open-ports: incomplete\n",
        record("web", 22),
        record("db", 5432)
    );
    let (form, summary, found) = pieces(&text).unwrap();
    assert_eq!(form, Form::Records);
    let summary = summary.unwrap();
    assert_eq!((summary.complete, summary.hosts, summary.open), (true, 2, 1));
    assert_eq!(summary.elapsed.as_micros(), 2_050_500);
    assert_eq!(
        found,
        [
            "open-ports: be careful",
            "web:22",
            "db:5432",
            "gone: not-resolved",
            "open-ports: incomplete"
        ]
    );
    let more = format!("{text}{}", record("late", 1));
    assert!(pieces(&more).unwrap_err().ends_with("line 9: there is more after the end"));
}

#[test]
fn a_document_is_read_host_by_host_in_any_layout() {
    let (one, two) = (report("one"), report("two"));
    for text in [
        format!("{{\"hosts\":[\n{one},\n{two}\n],{END}}}\n"),
        format!("\n{{\n  \"hosts\": [{one}, {two}],{END},\n \"later\": {{}}\n}}"),
        format!("{{{END},\"hosts\":[{one},{two}]}}"),
    ] {
        let (form, summary, hosts) = pieces(&text).unwrap();
        assert_eq!((form, hosts), (Form::Document, vec!["one".into(), "two".into()]), "{text}");
        assert_eq!(summary.unwrap().closed, 1);
    }
}

#[test]
fn what_is_cut_anywhere_has_no_summary() {
    let records = record("web", 22) + &format!("{{\"type\":\"end\",\"summary\":{{{END}}}}}\n");
    let document = format!("{{\"hosts\":[\n{},\n{}\n],{END}}}\n", report("one"), report("two"));
    for text in [records, document] {
        // Without the line break it is whole.
        for length in 0..text.len() - 1 {
            let (_, summary, found) = pieces(&text[..length]).unwrap();
            assert_eq!(summary, None, "{}", &text[..length]);
            assert!(found.len() <= 2);
        }
        assert!(pieces(text.trim_end()).unwrap().1.is_some());
    }
}

#[test]
fn something_else_is_an_error_that_says_where() {
    for (text, error) in [
        ("web:22\n", "line 1: expected value"),
        ("{\"type\":\"port\",\"address\":\"192.0.2.7\"}\n", "line 1: missing field"),
        ("{\"type\":\"end\",\"report\":{}}\n", "line 1: missing field `summary`"),
        ("{\"domain\":\"web\",\"open_ports\":[]}", "missing field `hosts`"),
        ("{\"hosts\":[]}", "missing field `complete`"),
        ("{\"hosts\":[{\"domain\":1}]}", "invalid type"),
        ("[]", "line 1"),
    ] {
        let found = pieces(text).unwrap_err();
        assert!(found.contains("is no output of open-ports scan"), "{text}: {found}");
        assert!(found.contains(error), "{text}: {found}");
    }
}
