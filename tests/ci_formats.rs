//! The formats for CI systems, and targets for Prometheus in a file. `scripts/formats` also
//! has programs by others read them.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::judged::{Case, Ending, count, github, junit, sarif, tap};
use support::service::{Ended, open_ports, run};
use support::targets::{Listeners, Refused, Silent, free_port};
use support::{ask, own_address, wait_for};
use tempfile::TempDir;

#[test]
fn each_port_is_a_case_in_every_format() {
    let (web, other) = (Listeners::bind(own_address(), 2), own_address());
    let ports: Vec<u16> = web.ports.iter().copied().collect();
    let [expected, unexpected] = ports[..] else { panic!("two ports") };
    let refused = Refused::bind(web.address);
    let missing = refused.port;
    let file = File::new(&format!(
        "# A comment.\n\n{} {expected},{missing} # web\n\n{other} none\n",
        web.address
    ));
    let scan = |format: &str| {
        let ports = format!("{expected},{unexpected},{missing}");
        // Of the third, nothing is expected.
        let third = own_address().to_string();
        let scan = ["scan", &third, "-p", &ports, "--expect-file", file.name(), "--format", format];
        let ended = run(open_ports(&scan));
        assert_eq!(ended.status.code(), Some(5), "{ended:?}");
        (ended.stdout, third)
    };
    let wanted = |third: String, not_ok: Ending| {
        let case = |host: &str, claim: String, ending, place: Option<String>| Case {
            host: (!host.is_empty()).then(|| host.to_owned()),
            claim,
            ending,
            place,
        };
        let (web, other) = (web.address.to_string(), other.to_string());
        let place = Some(format!("{}:3", file.name()));
        let mut cases = vec![
            case(&web, format!("port {expected} is open"), Ending::Passed, None),
            case(&web, format!("port {missing} is open"), not_ok, place.clone()),
            case(&web, format!("port {unexpected} is not open"), not_ok, place),
            case(&other, "no other port is open".into(), Ending::Passed, None),
            case(&third, "something is expected".into(), Ending::Skipped, None),
            case("", "everything was scanned".into(), Ending::Passed, None),
        ];
        cases.sort();
        cases
    };
    for (format, read) in [("junit", junit as fn(&str) -> Vec<Case>), ("tap", tap)] {
        let (text, third) = scan(format);
        let mut cases = read(&text);
        cases.sort();
        assert_eq!(cases, wanted(third, Ending::Failed), "{text}");
    }
    let target = |port| format!("{}:{port}", web.address);
    let texts = [
        format!("{} is expected, and closed", target(missing)),
        format!("{} is open and not expected", target(unexpected)),
    ];
    let (annotations, notice) = github(&scan("github").0);
    let mut found: Vec<&str> = annotations.iter().map(|it| &*it.text).collect();
    found.sort_unstable_by_key(|text| text.contains("is open"));
    assert_eq!(found, texts);
    assert_eq!(notice, "3 as expected, 2 not, 0 not known, 1 not judged");
    let (findings, is_whole) = sarif(&scan("sarif").0);
    assert!(is_whole);
    for (finding, _) in &findings {
        let rule = if finding.text == texts[0] { "missing-port" } else { "unexpected-port" };
        assert_eq!(finding.rule, rule, "{finding:?}");
    }
    let findings = findings.into_iter().map(|(finding, _)| finding);
    for finding in annotations.into_iter().chain(findings) {
        assert!(texts.contains(&finding.text), "{finding:?}");
        let place = finding.file.as_deref().map(|place| place.trim_start_matches("file://"));
        assert_eq!((place, finding.line), (Some(file.name()), Some(3)));
    }
}

#[test]
fn what_is_as_expected_is_green() {
    let web = Listeners::bind(own_address(), 2);
    let host = web.address.to_string();
    let scan = |format| {
        let ended = run(open_ports(&["scan", &host, "--expect", &web.list(), "--format", format]));
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{ended:?}");
        ended.stdout
    };
    for cases in [junit(&scan("junit")), tap(&scan("tap"))] {
        assert_eq!((cases.len(), count(&cases, Ending::Passed)), (4, 4), "{cases:?}");
    }
    let notice = "4 as expected, 0 not, 0 not known, 0 not judged";
    assert_eq!(github(&scan("github")), (vec![], notice.into()));
    assert_eq!(sarif(&scan("sarif")), (vec![], true));
}

#[test]
fn what_was_not_scanned_is_passed_in_no_format() {
    let listeners = Listeners::bind(own_address(), 1);
    let silent = Silent::bind(own_address(), 4);
    let host = silent.address.to_string();
    let expected = format!("{},{}", silent.list(), listeners.list());
    let scans: [(&[&str], i32); 3] = [
        // Refused by policy, not to be resolved, and cut by the deadline before a port has
        // answered.
        (&["169.254.169.254"], 5),
        (&["no-such-host.invalid"], 3),
        (&[&host, "-p", "1-4000", "--rate", "100", "--deadline-ms", "300"], 5),
    ];
    for (more, status) in scans {
        let scan = |format| {
            let arguments = ["scan", "--expect", &expected, "--format", format];
            let ended = run(open_ports(&[&arguments[..], more].concat()));
            assert_eq!(ended.status.code(), Some(status), "{ended:?}");
            ended.stdout
        };
        let cases = junit(&scan("junit"));
        assert_incomplete(&cases, Ending::Unknown);
        // The five ports, the host and the run.
        assert_eq!((cases.len(), count(&cases, Ending::Unknown)), (7, 7), "{cases:?}");
        assert_incomplete(&tap(&scan("tap")), Ending::Failed);
        let (annotations, notice) = github(&scan("github"));
        assert!(annotations.iter().all(|it| it.rule == "Not scanned"), "{annotations:?}");
        assert_eq!(annotations.len(), 2, "the host and the run: {annotations:?}");
        assert_eq!(notice, "0 as expected, 0 not, 7 not known, 0 not judged");
        let (findings, is_whole) = sarif(&scan("sarif"));
        assert!(!is_whole && findings.len() == 7, "{findings:?}");
        assert!(findings.iter().all(|(it, _)| it.rule == "not-scanned"), "{findings:?}");
    }
}

#[test]
fn an_incomplete_scan_without_a_difference_is_not_green() {
    let web = Listeners::bind(own_address(), 1);
    let host = web.address.to_string();
    let hosts = ["scan", &host, "no-such-host.invalid"];
    let expected = File::new(&format!("{host} {}\n", web.list()));
    let scan = |format| {
        let arguments = ["--expect-file", expected.name(), "--format", format];
        run(open_ports(&[&hosts[..], &["-p", &web.list()], &arguments].concat())).stdout
    };
    for (cases, not_known) in
        [(junit(&scan("junit")), Ending::Unknown), (tap(&scan("tap")), Ending::Failed)]
    {
        // The other host and the run.
        assert_eq!(count(&cases, Ending::Passed), 2, "{cases:?}");
        assert_eq!((count(&cases, not_known), cases.len()), (2, 4), "{cases:?}");
    }
    assert_eq!(github(&scan("github")).0.len(), 2);
    let (findings, is_whole) = sarif(&scan("sarif"));
    assert!(!is_whole && findings.len() == 2, "{findings:?}");
}

#[test]
fn a_scan_that_is_stopped_is_not_green() {
    for format in ["junit", "tap", "github", "sarif"] {
        let web = Listeners::bind(own_address(), 40);
        let host = web.address.to_string();
        // Two ports a second, of which all are as expected.
        let ports = web.list();
        let scan = ["scan", &host, "-p", &ports, "--expect", &ports, "--rate", "2"];
        let scan = [&scan[..], &["--format", format]].concat();
        let mut command = open_ports(&scan);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        wait_for("the first probe", || (web.probed() > 0).then_some(()));
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        match format {
            "junit" => assert_incomplete(&junit(&text), Ending::Unknown),
            "tap" => assert_incomplete(&tap(&text), Ending::Failed),
            "github" => assert_eq!(github(&text).0.len(), 2, "{text}"),
            _ => assert!(!sarif(&text).1, "{text}"),
        }
    }
}

#[test]
fn a_host_that_is_not_visited_is_skipped_if_that_is_wanted() {
    let [one, two] = [(); 2].map(|()| own_address().to_string());
    let file = File::new(&format!("{one} none\n{two} none\n"));
    for more in [["--exclude", &*two], ["--shard", "1/2"]] {
        let scan = ["scan", "-p1", "--expect-file", file.name(), "--format", "junit"];
        let ended = run(open_ports(&[&scan[..], &more].concat()));
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        let cases = junit(&ended.stdout);
        let ends = [Ending::Passed, Ending::Skipped].map(|ending| count(&cases, ending));
        assert_eq!((ends, cases.len()), ([2, 1], 3), "{cases:?}");
    }
}

#[test]
fn names_are_escaped_as_each_format_wants_it() {
    let folder = tempfile::tempdir().unwrap();
    let name = "po,rts: 100%\n\"<&>'\u{1} #é.txt";
    let path = folder.path().join(name);
    let host = "_Odd-Name.no-such-host.invalid.";
    fs::write(&path, format!("\n{host} 22\n")).unwrap();
    let path = path.to_str().unwrap();
    let scan = |format| {
        let ended = run(open_ports(&["scan", "-p22", "--expect-file", path, "--format", format]));
        assert_eq!(ended.status.code(), Some(3), "{ended:?}");
        ended.stdout
    };
    for (annotation, line) in github(&scan("github")).0.iter().zip([Some(2), None]) {
        assert_eq!((annotation.file.as_deref(), annotation.line), (Some(path), line));
    }
    for (finding, _) in &sarif(&scan("sarif")).0[..2] {
        let uri = format!("file://{path}");
        assert_eq!((finding.file.as_deref(), finding.line), (Some(&*uri), Some(2)));
        assert!(finding.text.contains(host), "{finding:?}");
    }
    let of_host = |case: &&Case| case.host.as_deref() == Some(host);
    // XML has no character for \u{1}.
    let in_xml = format!("{}:2", path.replace('\u{1}', "?"));
    for case in junit(&scan("junit")).iter().filter(of_host) {
        assert_eq!(case.place.as_ref(), Some(&in_xml));
    }
    let cases = tap(&scan("tap"));
    let places: Vec<_> = cases.iter().filter(of_host).map(|case| case.place.as_ref()).collect();
    assert_eq!(places.len(), 2);
    let in_a_line = path.replace('\n', "\\n").replace('\u{1}', "\\u{1}");
    assert!(places.iter().all(|place| *place == Some(&format!("{in_a_line}:2"))), "{places:?}");
}

#[test]
fn a_fingerprint_is_the_same_in_every_run_and_on_every_line() {
    let web = Listeners::bind(own_address(), 3);
    let refused = Refused::bind(web.address);
    let missing = refused.port;
    let ports = format!("{},{missing}", web.list());
    let prints = |before: &str| {
        let file = File::new(&format!("{before}{} {missing}\n", web.address));
        let scan = ["scan", "-p", &ports, "--expect-file", file.name(), "--format", "sarif"];
        let (findings, _) = sarif(&run(open_ports(&scan)).stdout);
        let lines: BTreeSet<_> = findings.iter().map(|(finding, _)| finding.line).collect();
        let prints: BTreeSet<String> = findings.into_iter().map(|(_, print)| print).collect();
        (prints, lines)
    };
    let (first, lines) = prints("");
    assert_eq!((first.len(), lines), (4, BTreeSet::from([Some(1)])), "one for each port");
    assert_eq!(prints("# One.\n\n# Two.\n"), (first, BTreeSet::from([Some(4)])));
}

#[test]
fn the_ending_of_a_file_says_the_format() {
    let (folder, host) = (tempfile::tempdir().unwrap(), own_address().to_string());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let names = ["junit.xml", "a.junit.xml", "a.tap", "a.sarif", "b.sarif.json", "a.xml"];
    let scan = ["scan", &host, "-p1", "--expect", "none"];
    let mut arguments = scan.map(str::to_owned).to_vec();
    arguments.extend(names.iter().flat_map(|name| ["--output".into(), path(name)]));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = run(open_ports(&arguments));
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{ended:?}");
    let [junit_one, junit_two, as_tap, sarif_one, sarif_two, xml] =
        names.map(|name| fs::read_to_string(path(name)).unwrap());
    assert_eq!(junit(&junit_one).len(), 2);
    assert_eq!(junit(&junit_two), junit(&junit_one));
    assert_eq!(tap(&as_tap), junit(&junit_one));
    assert_eq!((sarif(&sarif_one), sarif(&sarif_two)), ((vec![], true), (vec![], true)));
    assert!(xml.contains("<nmaprun"), "{xml}");
}

#[test]
fn without_an_expectation_there_is_nothing_to_judge() {
    for (arguments, name) in [
        (&["--format", "junit"][..], "junit"),
        (&["--output", "/nowhere/a.sarif"], "sarif"),
        (&["--output", "/nowhere/a.tap"], "tap"),
    ] {
        let ended = run(open_ports(&[&["scan", "127.0.0.1", "-p1"], arguments].concat()));
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        let error = format!("--format {name} needs --expect, --expect-file or --against");
        assert!(ended.stderr.contains(&error), "{ended:?}");
    }
}

#[test]
fn shards_are_judged_when_they_are_merged() {
    let [web, other] = [(); 2].map(|()| Listeners::bind(own_address(), 1));
    let folder = tempfile::tempdir().unwrap();
    let expected = web.list();
    let ports = format!("{expected},{}", other.list());
    let scan = |more: &[&str]| {
        let hosts = [&web, &other].map(|host| host.address.to_string());
        let scan = ["scan", &hosts[0], &hosts[1], "-p", &ports, "--expect", &expected];
        run(open_ports(&[&scan[..], more].concat()))
    };
    let parts = ["1", "2"].map(|part| {
        let path = folder.path().join(format!("{part}.json")).to_str().unwrap().to_owned();
        scan(&["--shard", &format!("{part}/2"), "--output", &path]);
        path
    });
    let sorted = |mut cases: Vec<Case>| {
        cases.sort();
        cases
    };
    let merge =
        |files: &[&str]| run(open_ports(&[&["merge", "--format", "junit"], files].concat()));
    let merged = merge(&[&parts[0], &parts[1]]);
    assert_eq!(merged.status.code(), Some(5), "{merged:?}");
    let whole = junit(&scan(&["--format", "junit"]).stdout);
    assert_eq!(sorted(junit(&merged.stdout)), sorted(whole));
    let cut = merge(&[&parts[0]]);
    assert_incomplete(&junit(&cut.stdout), Ending::Unknown);
}

#[test]
fn what_changed_is_a_case_in_every_format() {
    let kept = Listeners::bind(own_address(), 1);
    let (address, host) = (kept.address, kept.address.to_string());
    let (lost, closed) = (Listeners::bind(address, 1), Refused::bind(address));
    let (lost_port, opened_port) = (*lost.ports.first().unwrap(), closed.port);
    let ports = format!("{},{lost_port},{opened_port}", kept.list());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (old, new) = (path("old.json"), path("new.json"));
    let scan = |more: &[&str]| run(open_ports(&[&["scan", &host, "-p", &ports], more].concat()));
    assert_eq!(scan(&["--output", &old]).status.code(), Some(0));
    let same = |format| scan(&["--against", &old, "--format", format]);
    for (cases, whole) in [(junit(&same("junit").stdout), 2), (tap(&same("tap").stdout), 2)] {
        assert_eq!((count(&cases, Ending::Passed), cases.len()), (whole, whole), "{cases:?}");
    }
    assert_eq!(github(&same("github").stdout).0, []);
    let green = same("sarif");
    assert_eq!((green.status.code(), sarif(&green.stdout)), (Some(0), (vec![], true)));

    drop((lost, closed));
    let _opened = wait_for("the port to be free", || Listeners::bind_at(address, opened_port).ok());
    scan(&["--output", &new]);
    let texts = [
        format!("{host}:{lost_port} was open, and is closed"),
        format!("{host}:{opened_port} was closed, and is open"),
    ];
    let mut prints = BTreeSet::new();
    for diff in [false, true] {
        let changed = |format| {
            let ended = match diff {
                true => run(open_ports(&["diff", &old, &new, "--format", format])),
                false => scan(&["--against", &old, "--format", format]),
            };
            assert_eq!(ended.status.code(), Some(5), "{ended:?}");
            ended.stdout
        };
        for mut cases in [junit(&changed("junit")), tap(&changed("tap"))] {
            cases.retain(|case| case.ending != Ending::Passed);
            let mut wanted = [lost_port, opened_port].map(|port| Case {
                host: Some(host.clone()),
                claim: format!("port {port} is as before"),
                ending: Ending::Failed,
                place: Some(old.clone()),
            });
            cases.sort();
            wanted.sort();
            assert_eq!(cases, wanted);
        }
        let (annotations, _) = github(&changed("github"));
        let (findings, is_whole) = sarif(&changed("sarif"));
        assert!(is_whole);
        prints.insert(findings.iter().map(|(_, print)| print.clone()).collect::<BTreeSet<_>>());
        let findings = findings.into_iter().map(|(finding, _)| finding);
        let found: Vec<_> = annotations.into_iter().chain(findings).collect();
        assert_eq!(found.len(), 4, "{found:?}");
        for finding in found {
            let place = finding.file.as_deref().map(|place| place.trim_start_matches("file://"));
            assert_eq!((place, finding.line), (Some(&*old), None));
            assert!(texts.contains(&finding.text), "{finding:?}");
        }
    }
    assert_eq!(prints.len(), 1, "the same findings of scan and diff");
}

#[test]
fn what_could_not_be_compared_is_not_green() {
    let host = own_address().to_string();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (old, new) = (path("old.json"), path("new.json"));
    run(open_ports(&["scan", &host, "-p", "1-2000", "--output", &old]));
    let cut = ["scan", &host, "-p", "1-2000", "--rate", "20", "--deadline-ms", "300"];
    let ended = run(open_ports(&[&cut[..], &["--output", &new]].concat()));
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
    let diffs = ["diff", &old, &new].map(str::to_owned).to_vec();
    let scans = cut.iter().copied().chain(["--against", &old]).map(str::to_owned).collect();
    for arguments in [diffs, scans] {
        let write = |format: &str| {
            let arguments = arguments.iter().map(String::as_str).chain(["--format", format]);
            let ended = run(open_ports(&arguments.collect::<Vec<_>>()));
            assert_eq!(ended.status.code(), Some(4), "{ended:?}");
            ended.stdout
        };
        assert!(count(&junit(&write("junit")), Ending::Unknown) > 0);
        assert!(count(&tap(&write("tap")), Ending::Failed) > 0);
        let (annotations, _) = github(&write("github"));
        let (findings, _) = sarif(&write("sarif"));
        assert!(!annotations.is_empty() && !findings.is_empty());
        assert!(annotations.iter().all(|it| it.rule == "Not scanned"), "{annotations:?}");
        assert!(findings.iter().all(|(it, _)| it.rule == "not-scanned"), "{findings:?}");
    }
}

#[test]
fn targets_in_a_file_are_those_of_the_service() {
    let [one, two] = [(); 2].map(|()| Listeners::bind(own_address(), 3));
    let ports = format!("{},{}", one.list(), two.list());
    let (first, second) = (one.address.to_string(), two.address.to_string());
    let service = ask::serve(&["--allow", "loopback"]);
    let discovered = service.get(&format!("/sd?targets={second},{first}&ports={ports}")).report();
    assert_eq!(discovered.as_array().unwrap().len(), 6);
    let scan = |more: &[&str]| {
        let scan = ["scan", &second, &first, "-p", &ports, "--format", "file-sd"];
        run(open_ports(&[&scan[..], more].concat()))
    };
    let ended = scan(&[]);
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{ended:?}");
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap(), discovered);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("targets.json");
    let ended = scan(&["--output", path.to_str().unwrap()]);
    assert_eq!((ended.status.code(), &*ended.stdout), (Some(0), ""), "{ended:?}");
    let written: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(written, discovered);
    let nothing = ["scan", &first, "-p", &free_port().to_string(), "--format", "file-sd"];
    assert_eq!(run(open_ports(&nothing)).stdout, "[]\n");
}

#[test]
fn an_incomplete_scan_leaves_the_file_of_targets_as_it_was() {
    let web = Listeners::bind(own_address(), 1);
    let (host, ports) = (web.address.to_string(), web.list());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("targets.json");
    let scan = |host: &str, more: &[&str]| {
        let scan = ["scan", host, "-p", &ports, "--format", "file-sd"];
        run(open_ports(&[&scan[..], more].concat()))
    };
    let output = ["--output", path.to_str().unwrap()];
    let cut = ["--to-port", "1000", "--rate", "100", "--deadline-ms", "300"];
    let cut_scan = || {
        let scan = ["scan", &host, "--format", "file-sd"];
        run(open_ports(&[&scan[..], &output, &cut].concat()))
    };
    let is_refused = |ended: &Ended, status| {
        assert_eq!((ended.status.code(), &*ended.stdout), (Some(status), ""), "{ended:?}");
        assert!(ended.stderr.contains("nothing is written to "), "{ended:?}");
    };
    let files = || fs::read_dir(folder.path()).unwrap().count();
    is_refused(&cut_scan(), 4);
    assert_eq!(files(), 0, "neither the file nor a part of it");
    assert_eq!(scan(&host, &output).status.code(), Some(0));
    let good = fs::read(&path).unwrap();
    is_refused(&cut_scan(), 4);
    is_refused(&scan("169.254.169.254", &output), 4);
    is_refused(&scan("no-such-host.invalid", &output), 3);
    is_refused(&scan("no-such-host.invalid", &[]), 3);
    assert_eq!((fs::read(&path).unwrap(), files()), (good, 1));
}

/// A file in a folder of its own.
struct File {
    path: PathBuf,
    _folder: TempDir,
}

impl File {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("expected.txt");
        fs::write(&path, text).unwrap();
        Self { path, _folder: folder }
    }

    fn name(&self) -> &str {
        Path::to_str(&self.path).unwrap()
    }
}

/// Checks that a run does not look green, and that what ended differently from what was
/// scanned is `not_known`.
#[track_caller]
fn assert_incomplete(cases: &[Case], not_known: Ending) {
    let run = cases.iter().find(|case| case.host.is_none()).unwrap();
    assert_eq!((&*run.claim, run.ending), ("everything was scanned", not_known), "{cases:?}");
    let rest = cases.iter().find(|case| case.claim == "no other port is open");
    if let Some(rest) = rest.filter(|case| case.ending != Ending::Passed) {
        assert_eq!(rest.ending, not_known, "{cases:?}");
    }
}
