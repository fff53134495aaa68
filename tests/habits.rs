//! What people type out of habit, and what `open-ports scan` makes of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has to fail")]

mod support;

use std::fs;

use support::own_address;
use support::service::{Ended, open_ports, run};
use support::targets::Listeners;

#[test]
fn the_format_of_a_file_follows_from_its_ending_or_the_flag() {
    let listeners = Listeners::bind(own_address(), 1);
    let (host, port) = (listeners.address.to_string(), listeners.list());
    let folder = tempfile::tempdir().unwrap();
    let written = |flag: &str, name: &str| {
        let path = folder.path().join(name);
        let ended = scan(&[&host, "-p", &port, flag, path.to_str().unwrap()]);
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{flag} {name}");
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(path).unwrap();
        text
    };
    let plain = format!("{host}:{port}\n");
    for (flag, name, start) in [
        ("--output", "found.xml", "<?xml"),
        ("--output", "found.gnmap", "# open-ports"),
        ("--output", "found.json", "{"),
        ("--output", "found.txt", &*plain),
        ("--output", "found", &plain),
        ("-oX", "found", "<?xml"),
        ("-oG", "found.txt", "# open-ports"),
        ("-oJ", "found", "{"),
    ] {
        let text = written(flag, name);
        assert!(text.starts_with(start), "{flag} {name}: {text}");
    }
    let ended = scan(&[&host, "-p", &port, "-oX", "-"]);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with("<?xml"), "{ended:?}");
}

fn scan(arguments: &[&str]) -> Ended {
    run(open_ports(&[&["scan"], arguments].concat()))
}
