//! Reads what `open-ports` writes for CI systems.

use roxmltree::{Document, Node};
use serde_json::Value;

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    Passed,
    Failed,
    Unknown,
    Skipped,
}

/// A claim about a host, or about the run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    pub(crate) host: Option<String>,
    pub(crate) claim: String,
    pub(crate) ending: Ending,
    /// Where it was written.
    pub(crate) place: Option<String>,
}

/// An annotation, or a finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) rule: String,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u64>,
    pub(crate) text: String,
}

/// The cases of a JUnit document, whose counts have to be right.
#[track_caller]
pub(crate) fn junit(text: &str) -> Vec<Case> {
    let document = Document::parse(text).unwrap();
    let root = document.root_element();
    assert_eq!(root.tag_name().name(), "testsuites");
    let suites = root.children().filter(Node::is_element);
    suites.flat_map(cases_of).collect()
}

fn cases_of(suite: Node<'_, '_>) -> Vec<Case> {
    assert_eq!(suite.tag_name().name(), "testsuite");
    let name = suite.attribute("name").unwrap();
    let case = |case: Node<'_, '_>| {
        assert_eq!(case.attribute("classname"), Some(name));
        let children: Vec<_> = case.children().filter(Node::is_element).collect();
        let (ending, place) = match &children[..] {
            [] => (Ending::Passed, None),
            [child] => {
                assert!(!child.attribute("message").unwrap().is_empty());
                let ending = match child.tag_name().name() {
                    "failure" => Ending::Failed,
                    "error" => Ending::Unknown,
                    "skipped" => Ending::Skipped,
                    other => panic!("{other}"),
                };
                (ending, child.text().map(str::to_owned))
            }
            several => panic!("{several:?}"),
        };
        let host = (name != "the whole run").then(|| name.to_owned());
        Case { host, claim: case.attribute("name").unwrap().to_owned(), ending, place }
    };
    let cases: Vec<Case> = suite.children().filter(Node::is_element).map(case).collect();
    let counted = [
        ("tests", cases.len()),
        ("failures", count(&cases, Ending::Failed)),
        ("errors", count(&cases, Ending::Unknown)),
        ("skipped", count(&cases, Ending::Skipped)),
    ];
    for (attribute, count) in counted {
        assert_eq!(suite.attribute(attribute), Some(&*count.to_string()), "{attribute}");
    }
    cases
}

/// The cases of a TAP document, whose numbers and plan have to be right. A case that is
/// not `ok` may be failed or unknown.
#[track_caller]
pub(crate) fn tap(text: &str) -> Vec<Case> {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("TAP version 13"));
    let mut cases: Vec<Case> = Vec::new();
    let mut plan = None;
    for line in lines {
        assert_eq!(plan, None, "the plan comes last: {text}");
        if let Some(count) = line.strip_prefix("1..") {
            plan = Some(count.parse::<usize>().unwrap());
        } else if let Some(remark) = line.strip_prefix("# ") {
            cases.last_mut().unwrap().place = Some(remark.to_owned());
        } else {
            let (is_ok, rest) = match line.strip_prefix("not ") {
                Some(rest) => (false, rest),
                None => (true, line),
            };
            let (number, rest) = rest.strip_prefix("ok ").unwrap().split_once(" - ").unwrap();
            assert_eq!(number, (cases.len() + 1).to_string());
            let (text, skip) = match rest.split_once(" # SKIP ") {
                Some((text, why)) => (text, Some(why)),
                None => (rest, None),
            };
            let (host, claim) = match text.split_once(": ") {
                Some((host, claim)) => (Some(host.to_owned()), claim.to_owned()),
                None => (None, text.to_owned()),
            };
            let ending = match (is_ok, skip) {
                (true, Some(_)) => Ending::Skipped,
                (true, None) => Ending::Passed,
                (false, None) => Ending::Failed,
                (false, Some(why)) => panic!("not ok and skipped: {why}"),
            };
            cases.push(Case { host, claim, ending, place: None });
        }
    }
    assert_eq!(plan, Some(cases.len()));
    cases
}

/// The errors among the annotations of GitHub, and the text of the notice at the end.
#[track_caller]
pub(crate) fn github(text: &str) -> (Vec<Finding>, String) {
    let mut findings = Vec::new();
    for line in text.lines() {
        let (command, text) = line.strip_prefix("::").unwrap().split_once("::").unwrap();
        let text = unescaped(text);
        let (command, properties) = command.split_once(' ').unwrap();
        if command == "notice" {
            assert_eq!(text.lines().count(), 1);
            return (findings, text);
        }
        assert_eq!(command, "error");
        let property = |name: &str| {
            let mut properties = properties.split(',').map(|it| it.split_once('=').unwrap());
            properties.find(|(known, _)| *known == name).map(|(_, value)| unescaped(value))
        };
        let line = property("line").map(|line| line.parse().unwrap());
        findings.push(Finding {
            rule: property("title").unwrap(),
            file: property("file"),
            line,
            text,
        });
    }
    panic!("no notice: {text}");
}

/// The findings of a SARIF document with their fingerprints, and whether it says that all
/// was scanned.
#[track_caller]
pub(crate) fn sarif(text: &str) -> (Vec<(Finding, String)>, bool) {
    let document: Value = serde_json::from_str(text).unwrap();
    assert_eq!(document["version"], "2.1.0");
    let run = &document["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let findings = run["results"].as_array().unwrap().iter().map(|result| {
        let rule = result["ruleId"].as_str().unwrap();
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!((rules[index]["id"].as_str(), &result["level"]), (Some(rule), &"error".into()));
        let place = &result["locations"][0]["physicalLocation"];
        let finding = Finding {
            rule: rule.to_owned(),
            file: place["artifactLocation"]["uri"].as_str().map(unescaped),
            line: place["region"]["startLine"].as_u64(),
            text: result["message"]["text"].as_str().unwrap().to_owned(),
        };
        let prints = &result["partialFingerprints"];
        assert_eq!(prints["openPorts/v1"], prints["primaryLocationLineHash"]);
        (finding, prints["openPorts/v1"].as_str().unwrap().to_owned())
    });
    let invocation = &run["invocations"][0];
    (findings.collect(), invocation["executionSuccessful"].as_bool().unwrap())
}

pub(crate) fn count(cases: &[Case], ending: Ending) -> usize {
    cases.iter().filter(|case| case.ending == ending).count()
}

/// Percent-encoded bytes as they are.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(&behind[..2]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &behind[2..];
        } else {
            bytes.push(first);
            rest = behind;
        }
    }
    String::from_utf8(bytes).unwrap()
}
