use proptest::prelude::*;

use super::*;

fn params(domain: &str, to_port: &str) -> ScanParams {
    ScanParams {
        domain: Some(domain.into()),
        to_port: Some(to_port.into()),
        ..ScanParams::default()
    }
}

const CEILINGS: Ceilings =
    Ceilings { deadline: Duration::from_secs(60), rate: NonZeroU32::new(1000) };

fn errors(params: ScanParams) -> String {
    ScanRequest::try_new(params, &CEILINGS).unwrap_err().to_string()
}

#[test]
fn a_domain_and_a_last_port_are_enough() {
    let request = ScanRequest::try_new(params("localhost", "1024"), &CEILINGS).unwrap();
    assert_eq!(request.ports.to_string(), "1-1024");
    assert_eq!(request.timeout, limits::DEFAULT_TIMEOUT);
    assert_eq!((request.family, request.details), (Family::Any, false));
    assert_eq!((request.deadline, request.rate), (CEILINGS.deadline, CEILINGS.rate));
    assert_eq!((request.format, request.explain), (None, false));
}

#[test]
fn every_bad_field_is_reported_at_once() {
    let typed = ScanParams {
        domain: None,
        from_port: Some("0".into()),
        to_port: Some("65536".into()),
        ports: None,
        timeout_ms: Some("49".into()),
        family: Some("ipv5".into()),
        details: Some("yes".into()),
        deadline_ms: Some("60001".into()),
        rate: Some("1001".into()),
        format: Some("yaml".into()),
        explain: Some("1".into()),
        expect: Some("22,22".into()),
    };
    assert_eq!(
        errors(typed),
        "deadlineMs must be 100 to 60000 (milliseconds); \
         details must be true or false; domain is required; expect 22 is listed more than once; \
         explain must be true or false; family must be any, ipv4 or ipv6; \
         format must be json, ndjson, sse or text; fromPort must be 1 to 65535; \
         rate must be 1 to 1000 (probes a second); timeoutMs must be 50 to 30000 (milliseconds); toPort must be 1 to 65535"
    );
}

#[test]
fn ports_and_a_range_exclude_each_other() {
    let both = ScanParams { ports: Some("22".into()), ..params("localhost", "80") };
    assert!(errors(both).starts_with("ports takes the place of"));
    let neither = ScanParams { domain: Some("localhost".into()), ..ScanParams::default() };
    assert_eq!(errors(neither), "toPort is required, unless ports is given");
    let backwards = ScanParams { from_port: Some("81".into()), ..params("localhost", "80") };
    assert_eq!(errors(backwards), "fromPort must not be above toPort, 80");
}

#[test]
fn only_what_is_scanned_can_be_expected() {
    let expect =
        |list: &str| ScanParams { expect: Some(list.into()), ..params("localhost", "100") };
    let expected = ScanRequest::try_new(expect("none"), &CEILINGS).unwrap().expectation;
    assert_eq!(expected, Some("none".parse().unwrap()));
    assert_eq!(
        errors(expect("22,100-443")),
        "expect names ports that are not to be scanned: 101-443"
    );
}

#[test]
fn a_family_that_excludes_the_address_is_an_error() {
    let wrong = ScanParams { family: Some("ipv6".into()), ..params("::ffff:10.0.0.1", "80") };
    assert_eq!(errors(wrong), "family excludes domain, which is an IPv4 address");
}

proptest! {
    #[test]
    fn no_text_makes_the_checks_panic(text in "\\PC{0,60}", other in "[-0-9:.%\\[\\]a-f]{0,40}") {
        for domain in [&text, &other] {
            let typed = ScanParams {
                from_port: Some(other.clone()),
                timeout_ms: Some(text.clone()),
                ..params(domain, &text)
            };
            if let Err(errors) = ScanRequest::try_new(typed, &CEILINGS) {
                prop_assert!(!errors.is_empty());
            }
        }
    }
}
