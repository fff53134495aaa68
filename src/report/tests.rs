use serde_json::{Value, json};

use super::*;
use crate::scan::{Finding, Findings, PortState, Shortage};

fn finding(port: u16, state: PortState, reason: Reason, us: Option<u64>) -> Finding {
    let rtt = us.map(Duration::from_micros);
    Finding { address: "192.0.2.7".parse().unwrap(), port, state, reason, rtt }
}

/// A report on an address with two findings, and on one that was left half done.
/// All times in it are `speed` times as long.
fn report(details: bool, expected: Option<&str>, speed: u64) -> Report {
    let found = finding(22, PortState::Open, Reason::SynAck, Some(1234 * speed));
    let filtered = finding(8080, PortState::Filtered, Reason::HostUnreach, None);
    let rows = [Some(found), details.then_some(filtered)];
    let mut filtered = [0; Reason::ALL.len()];
    filtered[Reason::NoResponse.index()] = 2;
    filtered[Reason::HostUnreach.index()] = 1;
    filtered[Reason::AdminProhibited.index()] = 1;
    let (first, second) = ("192.0.2.7".parse().unwrap(), "fd00::7".parse().unwrap());
    let tallies = [
        AddressTally {
            address: first,
            findings: Findings::new(first, rows.into_iter().flatten()),
            open: 1,
            closed: 65_530,
            filtered,
            not_scanned: 0,
            shortage: None,
            accepts_everything: true,
        },
        AddressTally {
            address: second,
            findings: Findings::none(second),
            open: 0,
            closed: 0,
            filtered: [0; Reason::ALL.len()],
            not_scanned: 65_535,
            shortage: Some(Shortage::Time),
            accepts_everything: false,
        },
    ];
    let times = |us| Duration::from_micros(us * speed);
    let path = PathTiming { rtt: times(1200), timeout: times(101_200) };
    let timing = ScanTiming {
        attempts: 2,
        loss: 0.012_34,
        paths: vec![Some(path), None],
        ..ScanTiming::default()
    };
    let expectation: Option<Expectation> = expected.map(|list| list.parse().unwrap());
    let subject = Subject {
        domain: "host.example",
        ports: &PortSet::all(),
        details,
        expectation: expectation.as_ref(),
        left_out: &[],
    };
    Report::new(&subject, &tallies, &timing, times(20_001))
}

fn read(text: &str) -> Result<Report, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn a_report_that_is_written_and_read_back_is_equal() {
    for details in [false, true] {
        for expected in [None, Some("none"), Some("22,443")] {
            let report = report(details, expected, 1);
            let text = serde_json::to_string(&report).unwrap();
            let back = read(&text).unwrap();
            assert_eq!(back, report);
            // Times of single answers are no part of that comparison.
            assert_eq!(serde_json::to_string(&back).unwrap(), text);
        }
    }
    // Numbers come back exactly, although JSON has them in decimals.
    for speed in 1..1000 {
        let report = report(true, None, speed);
        let text = serde_json::to_string(&report).unwrap();
        let back = read(&text).unwrap();
        assert_eq!(back, report);
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }
    let subject = Subject {
        domain: "gone.example",
        ports: &PortSet::all(),
        details: true,
        expectation: None,
        left_out: &[],
    };
    let gone = Report::not_scanned(&subject, IncompleteReason::NotResolved);
    assert_eq!(read(&serde_json::to_string(&gone).unwrap()), Ok(gone));
}

#[test]
fn names_and_order_of_the_fields_stay_as_they_are() {
    assert_eq!(
        serde_json::to_string(&report(true, Some("443"), 1)).unwrap(),
        "{\"domain\":\"host.example\",\"from_port\":1,\"to_port\":65535,\"open_ports\":[22],\
         \"complete\":false,\"reason\":\"deadline\",\
         \"as_expected\":false,\"unexpected\":[22],\"missing\":[443],\"elapsed_ms\":20.001,\
         \"addresses\":[{\"address\":\"192.0.2.7\",\"open_ports\":[22],\"closed\":65530,\
         \"filtered\":4,\"not_scanned\":0,\
         \"filtered_by\":{\"admin-prohibited\":1,\"host-unreach\":1,\"no-response\":2},\
         \"timing\":{\"rtt_ms\":1.2,\"timeout_ms\":101.2},\"accepts_everything\":true,\
         \"ports\":[{\"port\":22,\"state\":\"open\",\"reason\":\"syn-ack\",\"service\":\"ssh\",\
         \"service_method\":\"table\",\"rtt_ms\":1.234},\
         {\"port\":8080,\"state\":\"filtered\",\"reason\":\"host-unreach\",\
         \"service\":\"http-alt\",\"service_method\":\"table\"}]},\
         {\"address\":\"fd00::7\",\"open_ports\":[],\"closed\":0,\"filtered\":0,\
         \"not_scanned\":65535,\"ports\":[]}],\
         \"timing\":{\"attempts\":2,\"loss\":0.0123,\"window\":0,\"max_in_flight\":0}}"
    );
}

#[test]
fn the_same_facts_are_equal_however_long_they_took_to_find() {
    for details in [false, true] {
        let (fast, slow) = (report(details, None, 1), report(details, None, 7));
        assert_eq!(fast.facts, slow.facts);
        assert_ne!(fast.effort, slow.effort);
        assert_ne!(fast, slow);
    }
}

#[test]
fn facts_that_differ_in_anything_are_not_equal() {
    let text = serde_json::to_value(report(true, None, 1)).unwrap();
    let facts = read(&text.to_string()).unwrap().facts;
    for (pointer, other) in [
        ("/domain", json!("other.example")),
        ("/to_port", json!(1024)),
        ("/open_ports", json!([22, 23])),
        ("/reason", json!("no-memory")),
        ("/addresses/0/address", json!("192.0.2.8")),
        ("/addresses/0/open_ports", json!([])),
        ("/addresses/0/closed", json!(1)),
        ("/addresses/0/filtered_by", json!({"no-response": 4})),
        ("/addresses/0/accepts_everything", json!(false)),
        ("/addresses/0/ports/1/port", json!(8081)),
        ("/addresses/0/ports/1/state", json!("open")),
        ("/addresses/0/ports/1/reason", json!("no-response")),
    ] {
        let mut changed = text.clone();
        *changed.pointer_mut(pointer).unwrap() = other;
        assert_ne!(read(&changed.to_string()).unwrap().facts, facts, "{pointer}");
    }
}

#[test]
fn a_report_of_an_earlier_version_is_read() {
    // From the README of 0.1.0, when `window` was the only name of `max_in_flight`.
    let old = read(
        "{\"domain\":\"localhost\",\"from_port\":1,\"to_port\":65535,\"open_ports\":[8080],\
         \"complete\":true,\"elapsed_ms\":306.927,\"addresses\":[{\"address\":\"127.0.0.1\",\
         \"open_ports\":[8080],\"closed\":65534,\"filtered\":0,\"not_scanned\":0,\
         \"timing\":{\"rtt_ms\":0.009,\"timeout_ms\":100.009}}],\
         \"timing\":{\"attempts\":1,\"loss\":0.0,\"window\":17}}",
    )
    .unwrap();
    assert!(old.facts.is_complete() && old.comparison.is_none());
    assert_eq!(old.facts.open_ports, [8080]);
    assert!(old.facts.addresses[0].open_ports.iter().eq([8080]));
    assert_eq!((old.facts.addresses[0].closed, old.effort.max_in_flight), (65_534, 17));
    assert_eq!(old.effort.paths, [Some(PathEffort { rtt_ms: 0.009, timeout_ms: 100.009 })]);
}

#[test]
fn fields_of_later_versions_are_ignored() {
    let report = report(true, Some("22"), 1);
    let mut later = serde_json::to_value(&report).unwrap();
    for object in ["", "/addresses/0", "/addresses/0/timing", "/addresses/0/ports/0", "/timing"] {
        let object = later.pointer_mut(object).unwrap().as_object_mut().unwrap();
        object.insert("later".into(), json!({"field": [1, "two"]}));
    }
    // The deprecated name may be gone by then.
    later["timing"].as_object_mut().unwrap().remove("window");
    assert_eq!(read(&later.to_string()), Ok(report));
}

#[test]
fn a_document_that_contradicts_itself_is_not_read() {
    let whole = serde_json::to_value(report(true, Some("22"), 1)).unwrap();
    let with = |pointer: &str, value: Value| {
        let mut changed = whole.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        read(&changed.to_string()).unwrap_err()
    };
    for (error, text) in [
        (with("/complete", json!(true)), "either complete or has a reason"),
        (with("/reason", Value::Null), "either complete or has a reason"),
        (with("/reason", json!("tired")), "unknown variant `tired`"),
        (with("/missing", Value::Null), "only stand together"),
        (with("/open_ports", json!([443, 22])), "not in ascending order"),
        (with("/addresses/0/open_ports", json!([22, 22])), "not in ascending order"),
        (with("/addresses/0/ports/0/port", json!(9000)), "not in ascending order"),
        (with("/addresses/0/ports/0/rtt_ms", json!(-1.0)), "rtt_ms is not a time"),
        (with("/addresses/0/ports/0/state", json!("ajar")), "unknown variant `ajar`"),
        (with("/timing", json!({"attempts": 1, "loss": 0.0})), "no max_in_flight"),
    ] {
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn states_and_reasons_have_the_same_name_in_json_as_elsewhere() {
    for state in [PortState::Open, PortState::Closed, PortState::Filtered] {
        assert_eq!(json!(state), state.name());
    }
    for reason in Reason::ALL {
        assert_eq!(json!(reason), reason.name());
    }
    for shortage in [
        Shortage::Descriptors,
        Shortage::Memory,
        Shortage::SourcePorts,
        Shortage::Neighbours,
        Shortage::Time,
        Shortage::UnknownError,
    ] {
        let reason = IncompleteReason::from(shortage);
        assert_eq!((json!(reason), reason.name()), (shortage.name().into(), shortage.name()));
    }
    for reason in [
        IncompleteReason::TooManyAddresses,
        IncompleteReason::Interrupted,
        IncompleteReason::NotLookedUp,
        IncompleteReason::NotResolved,
        IncompleteReason::RefusedByPolicy,
        IncompleteReason::NoRoute,
        IncompleteReason::MissingShard,
        IncompleteReason::RepeatedShard,
    ] {
        assert_eq!(json!(reason), reason.name());
    }
}
