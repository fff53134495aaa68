use std::time::Duration;

use super::*;
use crate::expect::{Expectation, Expectations};
use crate::report::{IncompleteReason, Subject};
use crate::scan::{AddressTally, Finding, Findings, PortState, Reason, ScanTiming, Shortage};
use crate::targets::TypedOrder;

const FORMS: [JudgeForm; 4] =
    [JudgeForm::Junit, JudgeForm::Tap, JudgeForm::Github, JudgeForm::Sarif];

/// A host at which `open` ports are open, one is closed, and so many were not scanned.
fn report(host: &str, expected: Option<&str>, open: &[u16], not_scanned: u32) -> Report {
    let address = "fd00::1".parse().unwrap();
    let finding = |&port| {
        let (state, reason) = (PortState::Open, Reason::SynAck);
        Finding { address, port, state, reason, rtt: None }
    };
    let tally = AddressTally {
        address,
        findings: Findings::new(address, open.iter().map(finding)),
        open: u32::try_from(open.len()).unwrap(),
        closed: 1,
        filtered: Default::default(),
        not_scanned,
        shortage: (not_scanned > 0).then_some(Shortage::Time),
        accepts_everything: false,
    };
    let (ports, expectation) = ("1-65535".parse().unwrap(), expected.map(str::parse));
    let expectation: Option<Expectation> = expectation.transpose().unwrap();
    let expectation = expectation.as_ref();
    let subject =
        Subject { domain: host, ports: &ports, details: true, expectation, left_out: &[] };
    Report::new(&subject, &[tally], &ScanTiming::default(), Duration::ZERO)
}

/// What is written about reports, where a file expects something of hosts.
fn written(
    form: JudgeForm,
    reports: &[Report],
    file: &str,
    reason: Option<IncompleteReason>,
) -> String {
    let mut expectations = Expectations::default();
    expectations.read(file).unwrap();
    let name = if file.is_empty() { "" } else { "a b.txt" };
    let head = Head {
        command: "open-ports scan".into(),
        ports: "1-65535".parse().unwrap(),
        details: false,
        started: SystemTime::UNIX_EPOCH,
        order: TypedOrder::default(),
        host_width: 0,
        origins: expectations.origins(name),
        expects: true,
        against: None,
    };
    let mut summary = Summary { complete: reason.is_none(), reason, ..Summary::default() };
    reports.iter().for_each(|report| summary.count(report));
    let (mut out, mut judge) = (Vec::new(), Judge::new(form));
    judge.begin(&mut out).unwrap();
    for report in reports {
        judge.host(&mut out, report, &head).unwrap();
    }
    judge.end(&mut out, &head, &summary).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn tap_has_a_line_for_each_claim() {
    let reports = [report("fd00::1", Some("22,443"), &[22, 8080], 0), report("web", None, &[], 0)];
    let file = "\nfd00::1 22,443\nunseen 22";
    assert_eq!(
        written(JudgeForm::Tap, &reports, file, None),
        "TAP version 13\n\
         ok 1 - fd00::1: port 22 is open\n\
         not ok 2 - fd00::1: port 443 is open\n\
         # [fd00::1]:443 is expected, and closed\n\
         # a b.txt:2\n\
         not ok 3 - fd00::1: port 8080 is not open\n\
         # [fd00::1]:8080 is open and not expected\n\
         # a b.txt:2\n\
         ok 4 - web: something is expected # SKIP nothing is expected of web\n\
         ok 5 - unseen: no other port is open # SKIP unseen is excluded, or in another shard\n\
         ok 6 - everything was scanned\n\
         1..6\n"
    );
}

#[test]
fn annotations_point_at_the_line() {
    let reports = [report("fd00::1", Some("22,443"), &[22, 8080], 0)];
    assert_eq!(
        written(JudgeForm::Github, &reports, "\nfd00::1 22,443", None),
        "::error file=a b.txt,line=2,title=Expected port is not open::\
         [fd00::1]:443 is expected, and closed\n\
         ::error file=a b.txt,line=2,title=Unexpected open port::\
         [fd00::1]:8080 is open and not expected\n\
         ::notice title=open-ports::2 as expected, 2 not, 0 not known, 0 not judged\n"
    );
}

#[test]
fn a_port_of_an_incomplete_scan_is_unknown_unless_it_is_open() {
    let cut = report("web", Some("22,443"), &[22, 8080], 3);
    let group = Group::of(&cut, None);
    let ends = group.checks.iter().map(|check| match &check.judgement {
        Judgement::Holds => "holds",
        Judgement::Broken(..) => "broken",
        Judgement::Unknown(why) => why,
        Judgement::NotJudged(_) => "not judged",
    });
    assert_eq!(
        ends.collect::<Vec<_>>(),
        [
            "holds",
            "it is not known whether web:443 is open: 3 ports were not scanned (deadline)",
            "broken",
            "web: 3 ports were not scanned (deadline)"
        ]
    );
}

#[test]
fn a_run_that_judged_nothing_or_left_something_out_is_red() {
    let met = || report("web", Some("22"), &[22], 0);
    let cut = Some(IncompleteReason::Deadline);
    for (reports, file, reason) in [
        (vec![], "", None),
        (vec![report("web", None, &[22], 0)], "", None),
        (vec![report("web", None, &[22], 1)], "", cut),
        (vec![met()], "", cut),
        // A host with a line that was not visited.
        (vec![met()], "web 22\nunseen 22", cut),
    ] {
        for form in FORMS {
            let text = written(form, &reports, file, reason);
            assert!(is_red(form, &text), "{form:?}: {text}");
        }
    }
    for form in FORMS {
        let text = written(form, &[met()], "web 22", None);
        assert!(!is_red(form, &text), "{form:?}: {text}");
    }
}

fn is_red(form: JudgeForm, text: &str) -> bool {
    match form {
        JudgeForm::Junit => text.contains("<failure") || text.contains("<error"),
        JudgeForm::Tap => text.contains("\nnot ok"),
        JudgeForm::Github => text.contains("::error"),
        JudgeForm::Sarif => text.contains("\"ruleIndex\""),
    }
}
