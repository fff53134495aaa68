use proptest::prelude::*;

use super::parameters::{OF_DISCOVERY, OF_SWEEP, of_list};
use super::*;
use crate::fields::tests::assert_in_readme;
use crate::limits;
use crate::request::parameters::{Omitted, Parameter};

const CEILINGS: Ceilings =
    Ceilings { deadline: Duration::from_secs(60), rate: NonZeroU32::new(1000), sweep_targets: 512 };

fn read_as(
    table: &'static [Parameter],
    pairs: &[(&str, &str)],
) -> Result<SweepRequest, FieldErrors> {
    let mut params = ScanParams::of(table);
    for (name, text) in pairs {
        *params.slot(name).unwrap() = Some((*text).to_owned());
    }
    SweepRequest::try_new(&params, &CEILINGS)
}

fn read(pairs: &[(&str, &str)]) -> Result<SweepRequest, FieldErrors> {
    read_as(&OF_SWEEP, pairs)
}

fn errors(pairs: &[(&str, &str)]) -> String {
    read(pairs).unwrap_err().to_string()
}

/// The number of hosts that are left.
fn hosts(targets: &Targets, exclude: &AddressSet) -> u64 {
    let mut list = targets.list(exclude, 1);
    std::iter::from_fn(|| list.next_set().unwrap()).map(|set| set.remaining()).sum()
}

#[test]
fn targets_and_ports_are_enough() {
    let request = read(&[("targets", "10.0.0.0/24,db.internal"), ("ports", "22,443")]).unwrap();
    assert_eq!((request.typed.len(), request.ports.len()), (2, 2));
    assert_eq!(request.timeout, limits::DEFAULT_TIMEOUT);
    assert_eq!((request.deadline, request.rate), (CEILINGS.deadline, CEILINGS.rate));
    assert_eq!((request.format, request.details, request.expectation), (None, false, None));
    assert_eq!(hosts(&Targets::Typed(request.typed), &request.exclude), 257);
}

#[test]
fn every_bad_field_is_reported_at_once() {
    let typed = [
        ("targets", "10.0.0.0/33,10.0.0.1:22,,ok.example"),
        ("exclude", "some.example"),
        ("toPort", "0"),
        ("timeoutMs", "49"),
        ("family", "ipv5"),
        ("details", "yes"),
        ("deadlineMs", "60001"),
        ("rate", "1001"),
        ("format", "text"),
        ("expect", "22,22"),
    ];
    assert_eq!(
        errors(&typed),
        "deadlineMs must be 100 to 60000 ms; details must be true or false; \
         exclude some.example is a name; give its addresses; \
         expect 22 is listed more than once; family must be any, ipv4 or ipv6; \
         format must be ndjson, json or sse; rate must be 1 to 1000 probes per second; \
         targets \"10.0.0.0/33\" must have a prefix length of 0 to 32 after the slash; \
         targets \"10.0.0.1:22\" holds a port; give the host alone, and ports in ports; \
         targets \"\" is empty; give a host name, an IPv4 or an IPv6 address; \
         timeoutMs must be 50 to 30000 ms; toPort must be 1 to 65535"
    );
    assert_eq!(errors(&[("toPort", "80")]), "targets is required");
}

#[test]
fn a_list_of_bad_words_does_not_make_a_long_error() {
    let words = vec!["1.2.3.4/x"; 2000].join(",");
    let message = errors(&[("targets", &words), ("exclude", &words), ("toPort", "80")]);
    assert!(message.len() < 1000, "{message}");
    let words: Vec<String> = (0..2000).map(|number| format!("1.2.3.4/x{number}")).collect();
    let message = errors(&[("targets", &words.join(",")), ("toPort", "80")]);
    assert!(message.len() < 1000, "{message}");
    assert!(message.ends_with("holds 1992 more words that name no hosts"), "{message}");
}

#[test]
fn excluded_addresses_are_not_counted() {
    let pairs =
        [("targets", "10.0.0.0/29,10.0.0.4"), ("exclude", "10.0.0.0/30,::1"), ("ports", "1-64")];
    let request = read(&pairs).unwrap();
    let left = hosts(&Targets::Typed(request.typed.clone()), &request.exclude);
    assert_eq!(left, 4);
    assert_eq!(request.check_size(left, &CEILINGS), Ok(256));
}

#[test]
fn a_sweep_with_too_many_targets_says_how_many_are_allowed() {
    let request = read(&[("targets", "10.0.0.1"), ("ports", "1-64")]).unwrap();
    assert_eq!(request.check_size(8, &CEILINGS), Ok(512));
    let error = request.check_size(9, &CEILINGS).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("9 hosts with 64 ports each are 576 targets, and a sweep may have 512")
    );
    assert!(request.check_size(u64::MAX, &CEILINGS).is_err());
}

#[test]
fn a_list_names_the_line_of_its_first_error() {
    let list = |text: &str| Targets::Listed(text.as_bytes().into());
    let none = AddressSet::default();
    assert_eq!(hosts(&list("# hosts\n10.0.0.0/30 web.internal\n\n::1 # loopback\n"), &none), 6);
    for (text, fault) in [
        ("10.0.0.1\n10.0.0.2:80\n", "line 2: \"10.0.0.2:80\" holds a port; give the host alone"),
        ("a b http://c", "line 1: \"http://c\" "),
    ] {
        let mut list = list(text).list(&none, 1);
        let error = list.next_set().unwrap_err();
        assert!(list_fault(&error).starts_with(fault), "{}", list_fault(&error));
    }
    assert_eq!(first_words(b"# a b\n10.0.0.1  c # d\ne"), "10.0.0.1,c,e");
}

#[test]
fn every_parameter_of_the_tables_is_checked() {
    const TABLES: [&[Parameter]; 2] = [&OF_SWEEP, &OF_DISCOVERY];
    for table in [TABLES[0], of_list(), TABLES[1]] {
        for Parameter { name, .. } in table {
            let without = read_as(table, &[]).unwrap_err();
            let with = read_as(table, &[(name, "\0")]).unwrap_err();
            assert_ne!(with, without, "{name} is not read");
        }
    }
}

#[test]
fn a_default_is_what_holds_without_the_parameter() {
    let given = [("targets", "localhost"), ("toPort", "80")];
    for Parameter { name, omitted, .. } in OF_SWEEP {
        if let Omitted::Default(value) = omitted {
            assert_eq!(read(&[&given[..], &[(name, value)]].concat()), read(&given), "{name}");
        }
    }
}

#[test]
fn the_docs_have_the_table_of_sweeps() {
    let rows = OF_SWEEP.each_ref().map(|Parameter { name, meaning, values, omitted, .. }| {
        format!("| `{name}` | {meaning} | {values} | {omitted} |\n")
    });
    let head =
        "| parameter | meaning | values | default |\n|-----------|---------|--------|---------|\n";
    assert_in_readme("sweep parameters", &format!("{head}{}", rows.concat()));
    let only_of_sweeps: Vec<&str> = OF_SWEEP
        .iter()
        .map(|parameter| parameter.name)
        .filter(|name| OF_DISCOVERY.iter().all(|parameter| parameter.name != *name))
        .collect();
    let named = ["details", "expect", "format", "shard", "explain"];
    assert_eq!(only_of_sweeps, named, "docs/service.md names them");
}

proptest! {
    #[test]
    fn no_text_makes_the_checks_panic(text in "\\PC{0,60}", other in "[-0-9:.,/%\\[\\]a-f]{0,40}") {
        for targets in [&text, &other] {
            let typed = [("targets", targets), ("exclude", &other), ("ports", &text)];
            if let Err(errors) = read(&typed.map(|(name, text)| (name, text.as_str()))) {
                prop_assert!(!errors.is_empty());
            }
        }
    }

    #[test]
    fn no_list_makes_the_reader_panic(list in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut list = Targets::Listed(list.into()).list(&AddressSet::default(), 1);
        while let Ok(Some(_)) = list.next_set() {}
    }
}
