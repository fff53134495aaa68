//! The output of `open-ports scan` when something goes wrong: a signal, a deadline, a
//! reader that leaves, and files that cannot be written.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::fs::{self, Metadata, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use support::service::{Ended, open_ports, run};
use support::targets::{Listeners, Silent};
use support::{own_address, wait_for};

#[test]
fn a_file_that_cannot_be_read_or_written_is_a_failure() {
    for (arguments, message) in [
        (&["--targets", "/nowhere/hosts"][..], "--targets /nowhere/hosts: "),
        (&["127.0.0.1", "--expect-file", "/nowhere/hosts"], "--expect-file /nowhere/hosts: "),
        (&["127.0.0.1", "--output", "/nowhere/found"], "cannot write /nowhere/found: "),
        (
            &["127.0.0.1", "-p1", "--format", "json", "--output", "/dev/full"],
            "cannot write /dev/full: ",
        ),
    ] {
        let ended = scan(arguments);
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(message), "{arguments:?}: {ended:?}");
    }
    let mut command = open_ports(&["scan", "127.0.0.1", "-p1", "--format", "xml"]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot write the output: No space left on device"), "{stderr}");
}

#[test]
fn a_reader_that_leaves_ends_the_scan_silently() {
    let listeners = Listeners::bind(own_address(), 60);
    let (host, ports) = (listeners.address.to_string(), listeners.list());
    let scan = ["scan", &host, "-p", &ports, "--rate", "50", "--format", "ndjson"];
    let mut command = open_ports(&scan);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    assert!(reader.read_line(&mut String::new()).unwrap() > 0);
    drop(reader);
    let status = wait_for("the process to end", || child.try_wait().unwrap());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((status.code(), &*stderr), (Some(141), ""));
}

#[test]
fn a_reader_that_is_gone_is_no_error_either() {
    let listeners = Listeners::bind(own_address(), 3);
    let (host, ports) = (listeners.address.to_string(), listeners.list());
    for format in ["plain", "csv", "table", "grepable"] {
        let mut command = open_ports(&["scan", &host, "-p", &ports, "--format", format]);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), &*stderr), (Some(141), ""), "{format}");
    }
}

#[test]
fn progress_is_recorded_where_somebody_follows_it() {
    let listeners = Listeners::bind(own_address(), 30);
    let (host, ports) = (listeners.address.to_string(), listeners.list());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("found");
    // Three seconds.
    let slow = [&*host, "-p", &ports, "--rate", "10", "--format", "ndjson"];
    let progress = |text: &str| -> Vec<serde_json::Value> {
        let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
        records.filter(|record: &serde_json::Value| record["type"] == "progress").collect()
    };
    let ended = scan(&slow);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let records = progress(&ended.stdout);
    assert!(!records.is_empty(), "{ended:?}");
    for record in &records {
        let count = |name: &str| record[name].as_u64().unwrap();
        assert_eq!(count("total"), 30, "{record}");
        assert_eq!(count("asked"), count("done") + count("waiting"), "{record}");
        assert!(count("attempts") >= count("asked"), "{record}");
    }
    // A file is there only once it is complete.
    let ended = scan(&[&slow[..], &["--output", path.to_str().unwrap()]].concat());
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let text = fs::read_to_string(path).unwrap();
    assert_eq!((progress(&text).len(), text.lines().count()), (0, 31), "{text}");
}

#[test]
fn a_host_that_gave_no_answer_is_named_with_what_may_be_wrong() {
    let silent = Silent::bind(own_address(), 2);
    let (host, ports) = (silent.address.to_string(), silent.list());
    let ended = scan(&[&host, "-p", &ports, "--timeout-ms", "200"]);
    assert_eq!((ended.status.code(), &*ended.stdout), (Some(0), ""));
    let words = "at all: is there a route, a VPN?";
    assert_eq!(ended.stderr, format!("open-ports: no answer from {host} {words}\n"));
}

#[test]
fn a_signal_leaves_whole_output_that_says_it_is_incomplete() {
    let silent = Silent::bind(own_address(), 20);
    let (folder, host) = (tempfile::tempdir().unwrap(), silent.address.to_string());
    for (format, signal, status) in [
        ("json", Signal::INT, 130),
        ("json", Signal::TERM, 143),
        ("ndjson", Signal::INT, 130),
        ("ndjson", Signal::TERM, 143),
    ] {
        let path = folder.path().join(format!("found-{status}"));
        let output = path.to_str().unwrap();
        let ports = silent.list();
        let scan = ["scan", &host, "-p", &ports, "--rate", "2", "--format", format, "--output"];
        let mut command = open_ports(&[&scan[..], &[output]].concat());
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // It handles signals before it opens the output.
        wait_for("the output to be begun", || {
            fs::read_dir(folder.path()).unwrap().next().map(drop)
        });
        assert!(!path.exists());
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ended = wait_for("the process to end", || child.try_wait().unwrap());
        assert_eq!(ended.code(), Some(status));
        let text = fs::read_to_string(&path).unwrap();
        let summary = match format {
            "json" => serde_json::from_str(&text).unwrap(),
            _ => summary_of_records(&text),
        };
        assert_eq!(
            (&summary["complete"], &summary["reason"]),
            (&false.into(), &"interrupted".into())
        );
        fs::remove_file(path).unwrap();
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing else is left");
}

#[test]
fn the_last_record_says_what_a_deadline_left_out() {
    let silent = Silent::bind(own_address(), 1);
    let (host, ports) = (silent.address.to_string(), silent.list());
    let ended = scan(&[&host, "-p", &ports, "--deadline-ms", "100", "--format", "ndjson"]);
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
    let summary = summary_of_records(&ended.stdout);
    assert_eq!((&summary["complete"], &summary["reason"]), (&false.into(), &"deadline".into()));
    assert_eq!(summary["not_scanned"], 1, "{summary}");
}

#[test]
fn one_scan_writes_each_file_in_the_format_of_its_name() {
    let listeners = Listeners::bind(own_address(), 2);
    let (host, ports) = (listeners.address.to_string(), listeners.list());
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("found.xml", "<?xml "),
        ("found.json", "{\"hosts\":["),
        ("found.ndjson", "{\"type\":\"port\""),
        ("found.csv", "host,ip,"),
        ("found.gnmap", "# open-ports "),
        ("found.txt", &*host),
    ];
    let paths = files.map(|(name, _)| folder.path().join(name).display().to_string());
    let mut arguments = vec![&*host, "-p", &*ports];
    paths.iter().for_each(|path| arguments.extend(["--output", path]));
    let ended = scan(&arguments);
    assert_eq!((ended.status.code(), &*ended.stdout), (Some(0), ""), "{ended:?}");
    for ((name, beginning), path) in files.iter().zip(&paths) {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.starts_with(beginning), "{name}: {text}");
        let ports = listeners.ports.iter().map(u16::to_string);
        assert!(ports.into_iter().all(|port| text.contains(&port)), "{name}: {text}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), files.len(), "nothing else");
}

#[test]
fn an_output_that_cannot_be_written_is_named_and_the_others_are_whole() {
    let listeners = Listeners::bind(own_address(), 2);
    let (host, ports) = (listeners.address.to_string(), listeners.list());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("found.json").display().to_string();
    let files = ["--output", "/dev/full", "--output", &path];
    let ended = scan(&[&[&*host, "-p", &ports][..], &files].concat());
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(
        ended.stderr,
        "open-ports: cannot write /dev/full: No space left on device (os error 28)\n"
    );
    let text = fs::read_to_string(&path).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&document["complete"], &document["open"]), (&true.into(), &2.into()));
}

#[test]
fn an_output_file_keeps_its_mode_and_owner_and_links_lead_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let write = |path: &Path| scan(&["127.0.0.1", "-p", "1", "--output", path.to_str().unwrap()]);
    for mode in [0o600, 0o640, 0o444] {
        let path = at(&format!("{mode:o}"));
        fs::write(&path, "before").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let before = fs::metadata(&path).unwrap();
        let ended = write(&path);
        let after = fs::metadata(&path).unwrap();
        let facts = |found: &Metadata| (found.mode() & 0o7777, found.uid(), found.gid());
        assert_eq!(facts(&after), facts(&before), "{ended:?}");
        // A mode without write permission is respected, except by root.
        let may_write = fs::OpenOptions::new().write(true).open(&path).is_ok();
        assert_eq!(ended.status.code(), Some(if may_write { 0 } else { 1 }), "{ended:?}");
    }
    // A new file gets the mode of the umask.
    let path = at("new");
    let mut command = Command::new("sh");
    command.args(["-c", "umask 027; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_open-ports"), "scan"]);
    command.args(["127.0.0.1", "-p", "1", "--output", path.to_str().unwrap()]);
    assert_eq!(run(command).status.code(), Some(0));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    // A link to a link to a file that does not exist yet.
    fs::create_dir(at("inner")).unwrap();
    symlink("inner/second", at("first")).unwrap();
    symlink("../target", at("inner/second")).unwrap();
    assert_eq!(write(&at("first")).status.code(), Some(0));
    assert!(at("target").is_file() && at("first").is_symlink() && at("inner/second").is_symlink());
    symlink("round", at("round")).unwrap();
    let ended = write(&at("round"));
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(at("round").is_symlink());
}

#[test]
fn an_output_file_is_whole_or_as_it_was() {
    let listeners = Listeners::bind(own_address(), 40);
    let (folder, host) = (tempfile::tempdir().unwrap(), listeners.address.to_string());
    let path = folder.path().join("found");
    let output = path.to_str().unwrap();
    fs::write(&path, "before").unwrap();
    let ports = listeners.list();
    let scan = ["scan", &host, "-p", &ports, "--format", "json", "--output", output];
    let mut command = Command::new("sh");
    // 512 or 1,024 bytes, and an error in place of the signal.
    let limited = "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"";
    command.args(["-c", limited, env!("CARGO_BIN_EXE_open-ports")]).args(scan);
    let ended = run(command);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains(&format!("cannot write {output}: ")), "{ended:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");

    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    let through_link = [&scan[..7], &[link.to_str().unwrap()]].concat();
    let ended = run(open_ports(&through_link));
    assert_eq!((ended.status.code(), &*ended.stdout), (Some(0), ""), "{ended:?}");
    assert!(link.is_symlink());
    let document: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(document["hosts"][0]["open_ports"].as_array().unwrap().len(), 40);
}

fn scan(arguments: &[&str]) -> Ended {
    run(open_ports(&[&["scan"], arguments].concat()))
}

/// The summary in the last record of NDJSON, which has to be there.
fn summary_of_records(text: &str) -> serde_json::Value {
    let last = text.lines().last().unwrap();
    let mut record: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(record["type"], "end", "{record}");
    record["summary"].take()
}
