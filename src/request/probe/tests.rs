use std::num::NonZeroU32;

use proptest::prelude::*;

use super::parameters::OF_PROBE;
use super::*;
use crate::fields::tests::assert_in_readme;
use crate::host::Family;
use crate::request::parameters::{Omitted, Parameter};

const CEILINGS: Ceilings = Ceilings {
    deadline: Duration::from_secs(60),
    rate: NonZeroU32::new(1000),
    sweep_targets: 1 << 20,
};

const TIME: Duration = Duration::from_millis(9500);

fn read(pairs: &[(&str, &str)]) -> Result<ProbeRequest, FieldErrors> {
    let mut params = ScanParams::of(&OF_PROBE);
    for (name, text) in pairs {
        *params.slot(name).unwrap() = Some((*text).to_owned());
    }
    ProbeRequest::try_new(&params, &CEILINGS, TIME)
}

fn errors(pairs: &[(&str, &str)]) -> String {
    read(pairs).unwrap_err().to_string()
}

#[test]
fn a_target_with_its_port_is_a_scan_of_that_port_which_ought_to_be_open() {
    for (target, domain, ports) in [
        ("db.internal:5432", "db.internal", "5432"),
        ("10.0.0.5:22", "10.0.0.5", "22"),
        ("[fd00::1]:443", "[fd00::1]", "443"),
    ] {
        let ProbeRequest { scan, debug } = read(&[("target", target)]).unwrap();
        assert_eq!((&*scan.domain, scan.ports.to_string()), (domain, ports.to_owned()));
        assert_eq!(scan.expectation, of_port(scan.ports.first()), "{target}");
        assert_eq!((scan.deadline, scan.timeout), (TIME, limits::DEFAULT_TIMEOUT));
        assert_eq!((scan.family, debug), (Family::Any, false));
    }
}

#[test]
fn a_target_without_a_port_needs_ports_and_expects_what_it_is_told() {
    let listed = read(&[("target", "fd00::1"), ("ports", "22,80-90")]).unwrap();
    assert_eq!((listed.scan.ports.to_string(), listed.scan.expectation), ("22,80-90".into(), None));
    let expecting = [("target", "db.internal"), ("ports", "1-100"), ("expect", "22,443")];
    let expecting = read(&expecting).unwrap().scan;
    assert_eq!(expecting.ports.to_string(), "1-100,443");
    assert_eq!(expecting.expectation.map(|it| it.to_string()), Some("22,443".into()));
    let closed = read(&[("target", "db.internal:22"), ("expect", "none")]).unwrap().scan;
    assert_eq!(closed.ports.to_string(), "22");
    assert_eq!(closed.expectation.map(|it| it.to_string()), Some("none".into()));
}

#[test]
fn what_is_wrong_is_named() {
    for (pairs, error) in [
        (&[][..], "target is required"),
        (&[("target", "")], "target is empty; give a host name, an IPv4 or an IPv6 address"),
        (&[("target", "http://a/")], "target is a URL; give only its host, like example.org"),
        (&[("target", "a:0")], "target needs a port from 1 to 65535 after its last colon"),
        (&[("target", "a:http")], "target needs a port from 1 to 65535 after its last colon"),
        (&[("target", "[::1]:")], "target needs a port from 1 to 65535 after its last colon"),
        (
            &[("target", "[::1:22")],
            "target is not an IPv6 address; write one like 2001:db8::1 or [2001:db8::1]",
        ),
        (
            &[("target", "a b:1")],
            "target is not a host name; use letters, digits, hyphens and dots",
        ),
        (&[("target", "a")], "ports is required, unless target has a port"),
        (&[("target", "a:1"), ("ports", "2")], "ports cannot be combined with a port in target"),
        (&[("target", "a:1"), ("module", "http_2xx")], "module must be tcp_connect"),
        (&[("target", "a:1"), ("module", "")], "module must be tcp_connect"),
        (&[("target", "a:1"), ("debug", "1")], "debug must be true or false"),
        (&[("target", "a:1"), ("rate", "1001")], "rate must be 1 to 1000 probes per second"),
        (&[("target", "a:1"), ("timeoutMs", "49")], "timeoutMs must be 50 to 30000 ms"),
        (
            &[("target", "[::1]:1"), ("family", "ipv4")],
            "family excludes target, which is an IPv6 address",
        ),
    ] {
        assert_eq!(errors(pairs), error);
    }
    let all = errors(&[("module", "icmp"), ("ports", "0"), ("expect", "22,22")]);
    for name in ["expect", "module", "ports", "target"] {
        assert!(all.contains(&format!("{name} ")), "{name}: {all}");
    }
}

#[test]
fn a_probe_ends_before_the_scrape_gives_up() {
    let offset = Duration::from_millis(500);
    for (header, milliseconds) in [
        (None, 60_000),
        (Some("0"), 60_000),
        (Some("10"), 9_500),
        (Some("5.5"), 5_000),
        (Some("1e9"), 60_000),
        (Some("1e300"), 60_000),
        // What is left would be too short to find anything, or nothing.
        (Some("0.55"), 100),
        (Some("0.2"), 100),
    ] {
        let time = time_for(header, offset, CEILINGS.deadline).unwrap();
        assert_eq!(time, Duration::from_millis(milliseconds), "{header:?}");
    }
    let most = Duration::from_secs(300);
    assert_eq!(time_for(None, offset, most), Ok(Duration::from_millis(119_500)));
    for wrong in ["", "ten", "-1", "nan", "inf", "10s"] {
        let error = time_for(Some(wrong), offset, most).unwrap_err().to_string();
        assert!(error.starts_with("X-Prometheus-Scrape-Timeout-Seconds must be"), "{error}");
    }
}

#[test]
fn a_port_has_a_part_of_a_short_time_to_answer() {
    for (ports, time, timeout) in [
        ("1-4096", 9_500, 2_000),
        ("1", 2_500, 1_250),
        ("1", 100, 50),
        ("1-4097", 20_000, 2_000),
        ("all", 9_600, 1_200),
    ] {
        let mut params = ScanParams::of(&OF_PROBE);
        for (name, text) in [("target", "a"), ("ports", ports)] {
            *params.slot(name).unwrap() = Some(text.into());
        }
        let time = Duration::from_millis(time);
        let request = ProbeRequest::try_new(&params, &CEILINGS, time).unwrap();
        assert_eq!(request.scan.timeout, Duration::from_millis(timeout), "{ports}");
    }
}

#[test]
fn every_parameter_of_the_table_is_checked() {
    let without = read(&[]).unwrap_err();
    for Parameter { name, .. } in OF_PROBE {
        assert_ne!(read(&[(name, "\0")]).unwrap_err(), without, "{name} is not read");
    }
}

#[test]
fn a_default_is_what_holds_without_the_parameter() {
    let given = [("target", "localhost:80")];
    for Parameter { name, omitted, .. } in OF_PROBE {
        if let Omitted::Default(value) = omitted {
            assert_eq!(read(&[given[0], (name, value)]), read(&given), "{name}");
        }
    }
}

#[test]
fn the_docs_have_the_table_of_probes() {
    let rows = OF_PROBE.each_ref().map(|Parameter { name, meaning, values, omitted, .. }| {
        format!("| `{name}` | {meaning} | {values} | {omitted} |\n")
    });
    let head =
        "| parameter | meaning | values | default |\n|-----------|---------|--------|---------|\n";
    assert_in_readme("probe parameters", &format!("{head}{}", rows.concat()));
}

proptest! {
    #[test]
    fn no_text_makes_the_checks_panic(text in "\\PC{0,60}", other in "[-0-9:.,/%\\[\\]a-f]{0,40}") {
        for target in [&text, &other] {
            if let Err(errors) = read(&[("target", target), ("ports", &other)]) {
                prop_assert!(!errors.is_empty());
            }
        }
        let time = time_for(Some(&other), Duration::ZERO, Duration::MAX);
        prop_assert!(time.is_err() || time.is_ok_and(|time| time >= limits::MIN_DEADLINE));
    }
}
