use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::facts::{Fact, HostFacts, PortFacts};
use super::*;

fn set(ports: &str) -> PortSet {
    ports.parse().unwrap()
}

/// An address, sets of its ports with what is known of them, and what is known of the
/// others.
type Known<'a> = (&'a str, &'a [(&'a str, Fact)], Fact);

/// What a run that asked for `asked` says of a host, by address: sets of ports with what
/// is known of them, the last of the others.
fn host(asked: &str, addresses: &[Known<'_>]) -> HostFacts {
    let facts = |listed: &[(&str, Fact)], rest| PortFacts {
        asked: Some(Arc::new(set(asked))),
        count: None,
        listed: listed.iter().map(|(ports, fact)| (set(ports), *fact)).collect(),
        rest,
    };
    let addresses = addresses
        .iter()
        .map(|(address, listed, rest)| (address.parse().unwrap(), facts(listed, *rest)));
    HostFacts { addresses: addresses.collect(), ..HostFacts::default() }
}

fn survey(hosts: &[(&str, HostFacts)]) -> Survey {
    let mut survey = Survey::new();
    for (name, facts) in hosts {
        survey.add(name, facts.clone());
    }
    survey
}

fn lines(before: &Survey, now: &Survey) -> Vec<String> {
    compare(before, now).lines().into_iter().map(|line| line.text).collect()
}

const OPEN: Fact = Ok(State::Open);
const CLOSED: Fact = Ok(State::Closed);

#[test]
fn a_name_with_several_addresses_is_compared_address_by_address() {
    let of = |first: Fact, second: Fact| {
        let (one, two) = ([("22", first)], [("22", second)]);
        survey(&[("web", host("22,80", &[("::1", &one, CLOSED), ("192.0.2.1", &two, CLOSED)]))])
    };
    assert_eq!(
        lines(&of(OPEN, OPEN), &of(CLOSED, OPEN)),
        ["- web:22 (::1) open → closed", "1 change: 4 ports compared"]
    );
}

#[test]
fn of_a_name_that_moved_open_anywhere_is_open() {
    let one = |address: &str, fact: Fact| {
        survey(&[("web", host("22,80", &[(address, &[("22", fact)], CLOSED)]))])
    };
    let two = survey(&[(
        "web",
        host("22,80", &[("::1", &[("22", OPEN)], CLOSED), ("::2", &[("22", CLOSED)], CLOSED)]),
    )]);
    let moved = "? web compared by name: its addresses were ::3 and are ::1, ::2";
    assert_eq!(lines(&one("::3", OPEN), &two), [moved, "no change: 2 ports compared"]);
    assert_eq!(
        lines(&one("::3", CLOSED), &two),
        ["+ web:22 open", moved, "1 change: 2 ports compared"]
    );
    // An address that is in both has lost the port, although another one has it.
    let swapped = survey(&[(
        "web",
        host("22,80", &[("::1", &[("22", CLOSED)], CLOSED), ("::2", &[("22", OPEN)], CLOSED)]),
    )]);
    let said = lines(&one("::1", OPEN), &swapped);
    assert_eq!(said[0], "- web:22 (::1) open → closed");
}

#[test]
fn a_host_is_the_same_by_its_address_if_its_name_is_unknown() {
    let of =
        |name: &str, fact| survey(&[(name, host("22", &[("192.0.2.1", &[("22", fact)], CLOSED)]))]);
    assert_eq!(
        lines(&of("192.0.2.1", OPEN), &of("web", CLOSED)),
        ["- web:22 open → closed", "1 change: 1 port compared"]
    );
}

#[test]
fn closed_or_filtered_contradicts_open_alone() {
    for (from, to, changed) in [
        (State::Closed, State::NotOpen, false),
        (State::NotOpen, State::Filtered, false),
        (State::NotOpen, State::NotOpen, false),
        (State::NotOpen, State::Open, true),
        (State::Open, State::NotOpen, true),
        (State::Closed, State::Filtered, true),
        (State::Open, State::Open, false),
    ] {
        assert_eq!(from.contradicts(to), changed, "{from:?} {to:?}");
    }
}

#[test]
fn the_same_gap_of_many_hosts_is_one_line() {
    let cut = Err(Gap::NotScanned("deadline"));
    let hosts = |rest| {
        let hosts = (1..=9).map(|number| {
            let address = format!("192.0.2.{number}");
            let facts = host("1-100", &[(&address, &[], rest)]);
            (address, facts)
        });
        let hosts: Vec<_> = hosts.collect();
        let hosts: Vec<_> = hosts.iter().map(|(name, facts)| (&**name, facts.clone())).collect();
        survey(&hosts)
    };
    assert_eq!(
        lines(&hosts(CLOSED), &hosts(cut)),
        [
            "? 192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4 and 5 more hosts, ports 1-100 not \
             compared: not scanned now (deadline)",
            "no port could be compared"
        ]
    );
}

/// A fact for each port of a few; `None` was not asked for.
fn facts() -> impl Strategy<Value = Vec<Option<Fact>>> {
    let fact = prop_oneof![
        Just(None),
        Just(Some(Ok(State::Open))),
        Just(Some(Ok(State::Closed))),
        Just(Some(Ok(State::Filtered))),
        Just(Some(Ok(State::NotOpen))),
        Just(Some(Err(Gap::NotScanned("deadline")))),
    ];
    prop::collection::vec(fact, 6)
}

fn port_facts(facts: &[Option<Fact>], rest: Fact) -> Option<PortFacts> {
    let ports = (1_u16..).zip(facts);
    let asked = ports.clone().filter(|(_, fact)| fact.is_some()).map(|(port, _)| port);
    let asked = PortSet::from_ports(asked)?;
    let mut listed: BTreeMap<Fact, Vec<PortSet>> = BTreeMap::new();
    for (port, fact) in ports.filter(|(_, fact)| **fact != Some(rest)) {
        if let Some(fact) = fact {
            listed.entry(*fact).or_default().extend(PortSet::from_ports([port]));
        }
    }
    let listed = facts::disjoint(listed);
    Some(PortFacts { asked: Some(Arc::new(asked)), count: None, listed, rest })
}

proptest! {
    /// Every port that one of two runs asked for is compared, or is listed with a reason.
    #[test]
    fn every_port_is_compared_or_has_a_reason(
        before in facts(),
        now in facts(),
        rests in prop::sample::subsequence(vec![CLOSED, OPEN, Ok(State::Filtered)], 2),
    ) {
        let of = |facts: &[Option<Fact>], rest| {
            let ports = port_facts(facts, rest)?;
            let address = "192.0.2.1".parse().unwrap();
            let host = HostFacts { addresses: [(address, ports)].into(), ..HostFacts::default() };
            Some(survey(&[("192.0.2.1", host)]))
        };
        let (Some(then), Some(later)) = (of(&before, rests[0]), of(&now, rests[1])) else {
            return Ok(());
        };
        let drift = compare(&then, &later);
        let mut compared = 0;
        for (port, (from, to)) in (1_u16..).zip(before.iter().zip(&now)) {
            let is_in = |ports: &PortSet| ports.contains(port);
            let is_changed = drift.changes.iter().any(|change| is_in(&change.ports));
            let is_left_out =
                drift.not_compared.iter().any(|not| not.ports.as_ref().is_some_and(is_in));
            match (from, to) {
                (Some(Ok(from)), Some(Ok(to))) => {
                    compared += 1;
                    prop_assert_eq!((is_changed, is_left_out), (from.contradicts(*to), false));
                }
                (None, None) => prop_assert!(!is_changed && !is_left_out),
                _ => prop_assert_eq!((is_changed, is_left_out), (false, true)),
            }
        }
        prop_assert_eq!(drift.compared, compared);
        prop_assert!(compare(&then, &then).changes.is_empty());
    }
}
