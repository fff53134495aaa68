use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn set(list: &str) -> PortSet {
    list.parse().unwrap()
}

#[test]
fn lists_are_sorted_and_neighbours_merge() {
    assert_eq!(set("81,22,80,8000-8100").to_string(), "22,80-81,8000-8100");
    assert_eq!(set("all"), PortSet::all());
    assert_eq!(set("65535").iter().collect::<Vec<_>>(), [65535]);
}

#[test]
fn named_sets_hold_as_many_ports_as_they_say_and_may_overlap_numbers() {
    assert_eq!(set("top100").len(), 100);
    assert_eq!(set("top1000").len(), 1000);
    assert_eq!(set("22,80,top100"), set("top100"));
    assert_eq!(set("top10,top1000,top100,top1000"), set("top1000"));
    assert_eq!(set("all,top10,all"), PortSet::all());
    assert!(set("1,top100").contains(1));
}

#[test]
fn malformed_lists_say_what_is_wrong() {
    use PortListError::*;
    for (list, error) in [
        ("", EmptyItem),
        ("22,", EmptyItem),
        ("0", NotAnItem("0".into())),
        ("65536", NotAnItem("65536".into())),
        ("+80", NotAnItem("+80".into())),
        (" 80", NotAnItem(" 80".into())),
        ("1e3", NotAnItem("1e3".into())),
        ("-5", NotAnItem("-5".into())),
        ("5-", NotAnItem("5-".into())),
        ("1-2-3", NotAnItem("1-2-3".into())),
        ("top0", NotAnItem("top0".into())),
        ("top1001", NotAnItem("top1001".into())),
        ("90-80", Backwards(90, 80)),
        ("80,80", Overlap(80)),
        ("1-100,50", Overlap(50)),
    ] {
        assert_eq!(list.parse::<PortSet>(), Err(error), "{list:?}");
    }
    assert_eq!(PortSet::try_range(0, 5), Err(NotAnItem("0".into())));
    assert_eq!(PortSet::try_range(9, 5), Err(Backwards(9, 5)));
    assert_eq!(PortSet::from_ports([]), None);
    assert_eq!(PortSet::from_ports([80, 0]), None);
}

#[test]
fn people_may_type_services_open_ranges_and_a_last_comma() {
    use PortListError::*;
    let typed = |list: &str| PortSet::typed(list).map(|ports| ports.to_string());
    for (list, ports) in [
        ("http,HTTPS", "80,443"),
        ("compressnet", "2-3"),
        ("http,80", "80"),
        ("8000-", "8000-65535"),
        ("-1024", "1-1024"),
        ("-", "1-65535"),
        ("22,80,", "22,80"),
        ("22,8000-8100,ssh,top1", "22,80,8000-8100"),
    ] {
        assert_eq!(typed(list), Ok(ports.into()), "{list}");
    }
    assert_eq!(PortSet::typed("all,http"), Ok(PortSet::all()));
    for (list, error) in [
        ("", EmptyItem),
        (",", EmptyItem),
        ("22,,", EmptyItem),
        (",22", EmptyItem),
        ("htp", NotTyped("htp".into())),
        ("0-", NotTyped("0-".into())),
        ("--", NotTyped("--".into())),
        ("top1001", NotTyped("top1001".into())),
        ("90-80", Backwards(90, 80)),
        ("-80,80", Overlap(80)),
        ("22,8000-,9000", Overlap(9000)),
    ] {
        assert_eq!(PortSet::typed(list), Err(error), "{list}");
        assert!(list.parse::<PortSet>().is_err(), "{list}");
    }
}

#[test]
fn nothing_is_left_of_a_set_without_all_ports() {
    assert_eq!(set("1,65535").difference(&PortSet::all()), None);
    assert_eq!(set("1-99").intersection(&set("100-65535")), None);
    assert_eq!(PortSet::all().difference(&set("1,80,65535")), Some(set("2-79,81-65534")));
    assert_eq!(PortSet::all().intersection(&set("1,65535")), Some(set("1,65535")));
}

fn some_ports() -> impl Strategy<Value = BTreeSet<u16>> {
    prop_oneof![
        prop::collection::btree_set(1..=u16::MAX, 1..60),
        prop::collection::btree_set(1..=80u16, 1..60),
        prop::collection::btree_set(65_500..=u16::MAX, 1..30),
    ]
}

proptest! {
    #[test]
    fn parse_of_print_is_identity(ports in some_ports()) {
        let set = PortSet::from_ports(ports.iter().copied()).unwrap();
        prop_assert_eq!(set.to_string().parse::<PortSet>().unwrap(), set.clone());
        prop_assert!(set.iter().eq(ports.iter().copied()));
        prop_assert_eq!(set.len() as usize, ports.len());
    }

    #[test]
    fn an_index_addresses_every_port_once(ports in some_ports()) {
        let bounds = ports.iter().map(|&port| (port, port)).collect();
        let set = PortSet::from_merged(bounds);
        prop_assert!((0..).map_while(|index| set.nth(index)).eq(set.iter()));
        prop_assert_eq!(set.nth(set.len()), None);
        for port in 1..=u16::MAX {
            prop_assert_eq!(set.contains(port), ports.contains(&port));
        }
    }

    #[test]
    fn sets_combine_port_by_port(one in some_ports(), two in some_ports()) {
        let set = |ports: &BTreeSet<u16>| {
            PortSet::from_merged(ports.iter().map(|&port| (port, port)).collect())
        };
        let ports = |set: Option<PortSet>| {
            set.map_or_else(Vec::new, |set| set.iter().collect())
        };
        let both: Vec<u16> = one.intersection(&two).copied().collect();
        let rest: Vec<u16> = one.difference(&two).copied().collect();
        let either: Vec<u16> = one.union(&two).copied().collect();
        prop_assert_eq!(ports(Some(set(&one).union(&set(&two)))), either);
        prop_assert_eq!(ports(set(&one).intersection(&set(&two))), both);
        prop_assert_eq!(ports(set(&one).difference(&set(&two))), rest);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[-0-9,aeltop+ \\PC]{0,40}") {
        let (read, typed) = (text.parse::<PortSet>(), PortSet::typed(&text));
        for set in read.iter().chain(&typed) {
            prop_assert!(set.len() > 0 && set.first() <= set.last());
        }
        // Whatever the API accepts means the same at the prompt.
        prop_assert!(read.is_err() || read == typed);
    }
}
