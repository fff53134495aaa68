use proptest::prelude::*;

use super::parameters::{Omitted, Parameter};
use super::*;
use crate::fields::tests::assert_in_readme;

fn typed(pairs: &[(&str, &str)]) -> ScanParams {
    let mut params = ScanParams::default();
    for (name, text) in pairs {
        *params.slot(name).unwrap() = Some((*text).to_owned());
    }
    params
}

const CEILINGS: Ceilings = Ceilings {
    deadline: Duration::from_secs(60),
    rate: NonZeroU32::new(1000),
    sweep_targets: 1 << 20,
};

fn read(pairs: &[(&str, &str)]) -> Result<ScanRequest, FieldErrors> {
    ScanRequest::try_new(&typed(pairs), &CEILINGS)
}

fn errors(pairs: &[(&str, &str)]) -> String {
    read(pairs).unwrap_err().to_string()
}

#[test]
fn a_domain_and_a_last_port_are_enough() {
    let request = read(&[("domain", "localhost"), ("toPort", "1024")]).unwrap();
    assert_eq!(request.ports.to_string(), "1-1024");
    assert_eq!(request.timeout, limits::DEFAULT_TIMEOUT);
    assert_eq!((request.family, request.details), (Family::Any, false));
    assert_eq!((request.deadline, request.rate), (CEILINGS.deadline, CEILINGS.rate));
    assert_eq!((request.format, request.explain), (None, false));
}

#[test]
fn every_bad_field_is_reported_at_once() {
    let typed = [
        ("fromPort", "0"),
        ("toPort", "65536"),
        ("timeoutMs", "49"),
        ("family", "ipv5"),
        ("details", "yes"),
        ("deadlineMs", "60001"),
        ("rate", "1001"),
        ("format", "yaml"),
        ("explain", "1"),
        ("expect", "22,22"),
        ("expectFailStatus", "200"),
        ("pretty", "1"),
    ];
    assert_eq!(
        errors(&typed),
        "deadlineMs must be 100 to 60000 ms; \
         details must be true or false; domain is required; expect 22 is listed more than once; \
         expectFailStatus must be 409, 412 or 424; \
         explain must be true or false; family must be any, ipv4 or ipv6; \
         format must be json, ndjson, sse, text or html; fromPort must be 1 to 65535; \
         pretty must be true or false; rate must be 1 to 1000 probes per second; timeoutMs must be 50 to 30000 ms; toPort must be 1 to 65535"
    );
}

#[test]
fn ports_and_a_range_exclude_each_other() {
    let both = [("domain", "localhost"), ("toPort", "80"), ("ports", "22")];
    assert!(errors(&both).starts_with("ports cannot be combined with"));
    let neither = [("domain", "localhost")];
    assert_eq!(errors(&neither), "toPort is required, unless ports is given");
    let backwards = [("domain", "localhost"), ("toPort", "80"), ("fromPort", "81")];
    assert_eq!(errors(&backwards), "fromPort must not be above toPort, 80");
}

#[test]
fn what_is_expected_is_scanned() {
    let expect = |list| [("domain", "localhost"), ("toPort", "100"), ("expect", list)];
    let none = read(&expect("none")).unwrap();
    assert_eq!(none.expectation, Some("none".parse().unwrap()));
    assert_eq!(none.ports.to_string(), "1-100");
    let some = read(&expect("22,100-200,443")).unwrap();
    assert_eq!(some.expectation, Some("22,100-200,443".parse().unwrap()));
    assert_eq!(some.ports.to_string(), "1-200,443");
}

#[test]
fn a_status_for_failure_needs_an_expectation_and_a_reply_that_waits_for_the_end() {
    let given = [("domain", "localhost"), ("toPort", "80"), ("expectFailStatus", "412")];
    let with = |more: &[(&'static str, &'static str)]| read(&[&given[..], more].concat());
    let wrong = |more: &[(&'static str, &'static str)]| with(more).unwrap_err().to_string();
    for format in ["json", "text"] {
        let request = with(&[("expect", "80"), ("format", format)]).unwrap();
        assert_eq!(request.fail_status, Some(412));
    }
    assert_eq!(wrong(&[]), "expectFailStatus needs expect");
    assert_eq!(
        wrong(&[("expect", "80"), ("explain", "true")]),
        "expectFailStatus cannot be combined with explain, which scans nothing"
    );
    let refusal =
        "expectFailStatus needs the format json, text or html: a stream sends its status first";
    for format in ["ndjson", "sse"] {
        assert_eq!(wrong(&[("expect", "80"), ("format", format)]), refusal);
    }
    // Accept may also choose the format.
    let request = with(&[("expect", "80")]).unwrap();
    assert_eq!(request.check_format(Format::Sse).unwrap_err().to_string(), refusal);
    assert_eq!(request.check_format(Format::Text), Ok(()));
}

#[test]
fn only_a_stream_has_the_states_of_ports() {
    let given = [("domain", "localhost"), ("toPort", "80")];
    let with = |more: &[(&'static str, &'static str)]| read(&[&given[..], more].concat());
    let wrong = |more: &[(&'static str, &'static str)]| with(more).unwrap_err().to_string();
    let refusal = "states needs the format ndjson or sse";
    for format in ["json", "text", "html"] {
        assert_eq!(wrong(&[("states", "true"), ("format", format)]), refusal);
    }
    assert_eq!(wrong(&[("states", "yes")]), "states must be true or false");
    let request = with(&[("states", "true")]).unwrap();
    assert_eq!(request.check_format(Format::Json).unwrap_err().to_string(), refusal);
    for format in [Format::Ndjson, Format::Sse] {
        assert_eq!(request.check_format(format), Ok(()));
    }
    // An explanation is JSON, and has no states.
    let explained = with(&[("states", "true"), ("explain", "true"), ("format", "json")]).unwrap();
    assert_eq!(explained.check_format(Format::Json), Ok(()));
    assert!(!with(&[]).unwrap().states);
}

#[test]
fn only_json_is_indented() {
    let given = [("domain", "localhost"), ("toPort", "80"), ("pretty", "true")];
    assert_eq!(read(&given).unwrap().layout, Layout::Indented);
    for format in ["ndjson", "sse", "text"] {
        let named = [&given[..], &[("format", format)]].concat();
        assert_eq!(errors(&named), "pretty needs the format json");
        // An explanation is JSON.
        assert!(read(&[&named[..], &[("explain", "true")]].concat()).is_ok());
    }
}

#[test]
fn a_family_that_excludes_the_address_is_an_error() {
    let wrong = [("domain", "::ffff:10.0.0.1"), ("toPort", "80"), ("family", "ipv6")];
    assert_eq!(errors(&wrong), "family excludes domain, which is an IPv4 address");
}

#[test]
fn every_parameter_of_the_table_is_checked() {
    let without = errors(&[]);
    for Parameter { name, .. } in PARAMETERS {
        assert_ne!(errors(&[(name, "\0")]), without, "{name} is not read");
    }
}

#[test]
fn a_default_is_what_holds_without_the_parameter() {
    let given = [("domain", "localhost"), ("toPort", "80")];
    for Parameter { name, omitted, .. } in PARAMETERS {
        if let Omitted::Default(value) = omitted {
            assert_eq!(read(&[&given[..], &[(name, value)]].concat()), read(&given), "{name}");
        }
    }
}

#[test]
fn the_docs_have_the_table() {
    let rows = PARAMETERS.each_ref().map(|Parameter { name, meaning, values, omitted, .. }| {
        format!("| `{name}` | {meaning} | {values} | {omitted} |\n")
    });
    let head =
        "| parameter | meaning | values | default |\n|-----------|---------|--------|---------|\n";
    assert_in_readme("parameters", &format!("{head}{}", rows.concat()));
}

proptest! {
    #[test]
    fn no_text_makes_the_checks_panic(text in "\\PC{0,60}", other in "[-0-9:.%\\[\\]a-f]{0,40}") {
        for domain in [&text, &other] {
            let typed =
                [("fromPort", &other), ("timeoutMs", &text), ("domain", domain), ("toPort", &text)];
            if let Err(errors) = read(&typed.map(|(name, text)| (name, text.as_str()))) {
                prop_assert!(!errors.is_empty());
            }
        }
    }
}
